"""DHT nodes on real UDP sockets of this machine."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence

import pytest
from dht_records import identity

from footloose.core.errors import LocalError, RemoteError
from footloose.discovery.dht.finder import DhtFinder, routers_of
from footloose.discovery.dht.node import DhtNode
from footloose.discovery.dht.wire import Drop
from footloose.discovery.interface import Discovery
from footloose.model.network import Hop, Route, RouterId, router_id
from footloose.model.site import Endpoint, Sighting, Source

ANY = Endpoint("127.0.0.1", 0)
ROUTER = RouterId("10.1.0.0/29")
PATIENCE_S = 60.0


class Cluster:
    """Nodes that the test starts and that are closed after it."""

    def __init__(self) -> None:
        self.nodes: list[DhtNode] = []
        self.addresses: list[Endpoint] = []

    async def start(self, bootstrap: Sequence[Endpoint] = (), bind: Endpoint = ANY) -> DhtNode:
        number = len(self.nodes) + 1
        node = DhtNode(identity(number), Endpoint(f"192.0.2.{number}", 443))
        self.nodes.append(node)
        self.addresses.append(await node.start(bind, bootstrap))
        return node

    async def grow(self, count: int) -> list[DhtNode]:
        await self.start()
        for _ in range(count - 1):
            await self.start(self.addresses[:1])
        await asyncio.wait_for(asyncio.gather(*(node.joined() for node in self.nodes)), PATIENCE_S)
        return self.nodes


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster()
    yield made
    for node in made.nodes:
        await node.close()


async def sites(node: DhtNode, *routers: RouterId) -> set[str]:
    return {sighting.api.host async for sighting in node.lookup(routers)}


async def until_found(node: DhtNode, hosts: set[str], *routers: RouterId) -> None:
    """Look up until ``hosts`` are found; announcing goes on in the background."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                if await sites(node, *routers) >= hosts:
                    return
            except RemoteError:
                continue


async def test_what_one_node_announces_all_find_also_when_some_are_gone(cluster: Cluster) -> None:
    nodes = await cluster.grow(8)
    await nodes[1].announce([(ROUTER, 2.5, 3), (RouterId("10.2.0.0/29"), 9.0, 5)])
    for node in nodes:
        await until_found(node, {"192.0.2.2"}, ROUTER)
    for node in (nodes[0], nodes[3], nodes[6]):
        await node.close()
    for node in (nodes[2], nodes[4], nodes[5], nodes[7]):
        await until_found(node, {"192.0.2.2"}, ROUTER, RouterId("10.2.0.0/29"))
    newcomer = await cluster.start([cluster.addresses[4]])
    await asyncio.wait_for(newcomer.joined(), PATIENCE_S)
    await until_found(newcomer, {"192.0.2.2"}, ROUTER)


async def test_a_finder_gives_the_sites_near_the_routers_of_a_route(cluster: Cluster) -> None:
    nodes = await cluster.grow(5)
    route = Route("10.9.0.9", (Hop(1, "10.0.0.1", 1.0), Hop(2), Hop(3, "10.1.0.3", 20.0)), 30.0)
    assert routers_of(route) == [router_id("10.9.0.9"), ROUTER, router_id("10.0.0.1")]
    await nodes[1].announce([(ROUTER, 2.5, 3)])
    await nodes[2].announce([(ROUTER, 7.5, 4), (router_id("10.0.0.1"), 1.0, 1)])
    await nodes[3].announce([(router_id("10.9.0.9"), 0.5, 1)])
    await until_found(nodes[4], {"192.0.2.2", "192.0.2.3", "192.0.2.4"}, *routers_of(route))
    discovery = Discovery([DhtFinder(nodes[4])], identity(3).node_id)  # node 3's own sightings are left out
    found = [finding async for finding in discovery.find(route)]
    assert all(isinstance(finding, Sighting) for finding in found)
    assert set(found) == {
        Sighting(Endpoint("192.0.2.2", 443), Source.DHT, identity(2).node_id, None, ROUTER, 2.5, 3),
        Sighting(Endpoint("192.0.2.4", 443), Source.DHT, identity(4).node_id, None, router_id("10.9.0.9"), 0.5, 1),
    }


async def test_a_node_whose_bootstrap_endpoints_are_down_works_alone_and_joins_when_one_comes_up(
    cluster: Cluster,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reserved:
        reserved.bind(("127.0.0.1", 0))
        later = Endpoint(*reserved.getsockname())
    early = await cluster.start([later, Endpoint("nowhere.invalid", 4000)])
    await early.announce([(ROUTER, 1.0, 1)])
    found = []
    with pytest.raises(RemoteError, match="no other node answered"):
        async for sighting in early.lookup([ROUTER]):
            found.append(sighting.api.host)  # noqa: PERF401 - what came before the error is wanted
    assert found == ["192.0.2.1"]
    assert early.contacts() == ()
    late = await cluster.start(bind=later)
    await asyncio.wait_for(asyncio.gather(early.joined(), late.joined()), PATIENCE_S)
    await until_found(late, {"192.0.2.1"}, ROUTER)


async def test_a_bootstrap_endpoint_may_be_a_name(cluster: Cluster) -> None:
    first = await cluster.start()
    second = await cluster.start([Endpoint("localhost", cluster.addresses[0].port)])
    await asyncio.wait_for(second.joined(), PATIENCE_S)
    assert first.contacts() == (cluster.addresses[1],)


async def test_nodes_meet_over_ipv6_too(cluster: Cluster) -> None:
    try:
        await cluster.start(bind=Endpoint("::1", 0))
    except LocalError:
        pytest.skip("this machine has no IPv6 loopback address")
    second = await cluster.start(cluster.addresses, bind=Endpoint("::1", 0))
    await asyncio.wait_for(second.joined(), PATIENCE_S)
    assert second.contacts() == (cluster.addresses[0],)


async def test_contacts_and_counts_are_told(cluster: Cluster) -> None:
    nodes = await cluster.grow(5)
    assert set(nodes[0].contacts()) <= set(cluster.addresses[1:])
    assert nodes[0].contacts()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for size in (0, 10, 1500):
            stranger.sendto(bytes(size), (cluster.addresses[0].host, cluster.addresses[0].port))

    def thrown() -> dict[str, int]:
        """What was dropped, but for answers that came too late to be awaited still: that is up to the machine."""
        return {why: count for why, count in nodes[0].stats().dropped.items() if why != Drop.UNEXPECTED.value}

    async with asyncio.timeout(PATIENCE_S):
        while sum(thrown().values()) < 3:
            await sites(nodes[1], ROUTER)
    stats = nodes[0].stats()
    assert thrown() == {"garbage": 2, "oversized": 1}
    assert stats.contacts == len(nodes[0].contacts())
    assert stats.sent > 0
    assert stats.received > 0
    assert 0 < nodes[1].stats().lookups_answered <= nodes[1].stats().lookups


async def test_what_was_announced_before_it_was_withdrawn_is_not_taken_back(cluster: Cluster) -> None:
    node = await cluster.start()
    await node.announce([(ROUTER, 1.0, 1)])
    await node.withdraw([ROUTER])
    assert await sites(node, ROUTER) == {"192.0.2.1"}


async def test_the_first_node_of_a_network_finds_what_it_knows_and_reports_no_failure(cluster: Cluster) -> None:
    node = await cluster.start()
    assert await sites(node, ROUTER) == set()
    await node.announce([(ROUTER, 1.0, 1)])
    assert await sites(node, ROUTER) == {"192.0.2.1"}


async def test_a_port_in_use_is_our_own_error_with_its_address(cluster: Cluster) -> None:
    await cluster.start()
    with pytest.raises(LocalError, match=str(cluster.addresses[0].port)):
        await cluster.start(bind=cluster.addresses[0])
    cluster.nodes.pop()


async def test_a_node_that_is_not_running_says_so(cluster: Cluster) -> None:
    node = DhtNode(identity(1), Endpoint("192.0.2.1", 443))
    with pytest.raises(LocalError, match="call start"):
        await sites(node, ROUTER)
    with pytest.raises(LocalError, match="call start"):
        await node.announce([(ROUTER, 1.0, 1)])
    await node.close()


async def test_closing_ends_look_ups_under_way_and_may_be_done_twice(cluster: Cluster) -> None:
    nodes = await cluster.grow(2)
    await nodes[1].close()
    waiting = asyncio.create_task(sites(nodes[0], *(RouterId(f"10.1.{n}.0/29") for n in range(100))))
    await asyncio.sleep(0)
    await nodes[0].close()
    await nodes[0].close()
    assert await asyncio.wait_for(waiting, PATIENCE_S) == set()


async def test_a_reader_who_stops_early_leaves_no_look_up_behind(cluster: Cluster) -> None:
    nodes = await cluster.grow(3)
    await nodes[1].announce([(ROUTER, 1.0, 1)])
    await until_found(nodes[2], {"192.0.2.2"}, ROUTER)
    for _ in range(200):  # more than may run at a time
        stream = nodes[2].lookup([ROUTER, RouterId("10.7.0.0/29")])
        await anext(stream)
        await stream.aclose()
    assert await sites(nodes[2], ROUTER) == {"192.0.2.2"}
