"""Properties of addresses and paths, for any topology."""

import ipaddress
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from testbed_packets import arrivals, ping, source_of, udp

from footloose.model.network import prefix_of, router_id
from footloose.testbed import Host, Link, Router, Topology, random
from footloose.testbed.addresses import AddressPlan
from footloose.testbed.fabric import Fabric
from footloose.testbed.routes import Routes

topologies = st.builds(
    random,
    routers=st.integers(1, 25),
    hosts=st.integers(2, 8),
    extra_links=st.integers(0, 60),
    delay_ms=st.sampled_from([(1.0, 1.0), (0.0, 2.0), (0.5, 40.0)]),
    seed=st.integers(0, 2**32),
)


def star(spokes: int) -> Topology:
    routers = (Router("hub"), *(Router(f"r{index}") for index in range(spokes)))
    return Topology("star", routers, (), tuple(Link("hub", f"r{index}", 1) for index in range(spokes)))


@given(topologies)
def test_every_address_and_every_router_id_belongs_to_one_node(topology: Topology) -> None:
    plan = AddressPlan(topology)
    addresses = [*plan.hosts.values(), *(each.address for each in plan.interfaces.values())]
    assert len(addresses) == len(set(addresses)) == len(plan.owner)
    seen = [(identity, router.name) for router in topology.routers for identity in plan.router_ids(router.name)]
    assert len({identity for identity, _ in seen}) == len(seen)
    assert all(ipaddress.ip_address(address).is_private for address in addresses)


@given(topologies)
def test_every_host_has_a_prefix_of_its_own(topology: Topology) -> None:
    plan = AddressPlan(topology)
    prefixes = [prefix_of(address) for address in plan.hosts.values()]
    assert len(set(prefixes)) == len(prefixes)
    routers = {prefix_of(each.address) for each in plan.interfaces.values()}
    assert not routers & set(prefixes)


@given(st.integers(1, 40))
def test_a_router_takes_as_few_blocks_as_its_interfaces_need(spokes: int) -> None:
    plan = AddressPlan(star(spokes))
    interfaces = plan.of_router("hub")
    assert len(interfaces) == spokes
    assert len(plan.router_ids("hub")) == -(-spokes // 6)
    assert len({router_id(each.address) for each in interfaces[:6]}) == 1


@given(topologies)
def test_paths_are_symmetric_and_no_detour_is_shorter(topology: Topology) -> None:
    routes = Routes(topology)
    names = [host.name for host in topology.hosts]
    for a in names:
        for b in names:
            path, back = routes.path(a, b), routes.path(b, a)
            assert path is not None
            assert back is not None
            assert path == back[::-1]
            assert routes.delay_ms(a, b) == routes.delay_ms(b, a)
            assert len(set(path)) == len(path)
            for via in names:
                through = (routes.delay_ms(a, via) or 0) + (routes.delay_ms(via, b) or 0)
                assert (routes.delay_ms(a, b) or 0) <= through + 1e-9


@given(topologies, st.data())
def test_a_ping_takes_the_nominal_round_trip_and_every_hop_answers_in_order(
    topology: Topology, data: st.DataObject
) -> None:
    fabric = Fabric(topology)
    a, b = data.draw(st.permutations([host.name for host in topology.hosts]))[:2]
    here, there = fabric.plan.hosts[a], fabric.plan.hosts[b]
    one_way_s = (fabric.routes.delay_ms(a, b) or 0) / 1e3
    fabric.receive((a, ping(here, there)), 100.0)
    [(arrived, host, packet)] = arrivals(fabric)
    assert host == b
    assert abs(arrived - 100.0 - one_way_s) < 1e-9
    fabric.receive((b, ping(there, here)), arrived)
    [(returned, host, packet)] = arrivals(fabric)
    assert host == a
    assert abs(returned - 100.0 - 2 * one_way_s) < 1e-9
    path = fabric.routes.path(a, b) or ()
    assert packet[8] == 64 - (len(path) - 2)
    shown = []
    for ttl in range(1, len(path) - 1):
        fabric.receive((a, udp(here, there, ttl=ttl)), 200.0)
        [(at, host, packet)] = arrivals(fabric)
        assert host == a
        assert abs(at - 200.0 - 2 * (fabric.routes.delay_ms(a, path[ttl]) or 0) / 1e3) < 1e-9
        shown.append(source_of(packet))
    assert tuple(shown) == fabric.plan.hops(path)[:-1]


@settings(max_examples=50)
@given(topologies, st.data())
def test_cutting_and_healing_brings_back_the_same_paths(topology: Topology, data: st.DataObject) -> None:
    routes, fresh = Routes(topology), Routes(topology)
    cut = data.draw(st.lists(st.sampled_from(topology.links), unique_by=lambda link: link.ends, max_size=6))
    names = [host.name for host in topology.hosts]
    before = {(a, b): routes.path(a, b) for a in names for b in names}
    for link in cut:
        routes.cut(link.a, link.b)
    gone = {link.ends for link in cut}
    for a in names:
        for b in names:
            path = routes.path(a, b)
            if path is not None:
                assert not any(frozenset(pair) in gone for pair in pairwise(path))
                assert (routes.delay_ms(a, b) or 0) >= (fresh.delay_ms(a, b) or 0) - 1e-9
    for link in cut:
        routes.heal(link.a, link.b)
    assert {(a, b): routes.path(a, b) for a in names for b in names} == before


def test_a_router_without_links_is_reached_by_nobody() -> None:
    topology = Topology("t", (Router("r"), Router("lonely")), (Host("h"),), (Link("h", "r", 1),))
    assert Routes(topology).path("h", "lonely") is None
