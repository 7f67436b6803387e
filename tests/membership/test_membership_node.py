"""Members on real sockets of the loopback interface, one of them in a process of its own that is killed."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from membership_network import identity_of

from footloose.core.clock import SystemClock
from footloose.core.errors import LocalError
from footloose.membership.card import Facts
from footloose.membership.config import LAN
from footloose.membership.events import Changed, Conflict, Released
from footloose.membership.messages import Gossip, Ping
from footloose.membership.node import MembershipNode
from footloose.membership.states import MemberState
from footloose.membership.wire import encode
from footloose.model.site import Endpoint
from footloose.transport.datagrams import Datagrams

QUICK = msgspec.structs.replace(
    LAN,
    probe_interval_s=0.25,
    probe_timeout_s=0.12,
    gossip_interval_s=0.05,
    exchange_interval_s=2.0,
    reconnect_least_s=0.25,
    reconnect_most_s=1.0,
    facts_interval_s=0.5,
    region_epoch_s=2.0,
)
PATIENCE_S = 60.0
MEMBER = """
import asyncio, sys
sys.path.insert(0, {tests!r})
from test_membership_node import QUICK, started
async def main():
    async with started(4, seeds=[int(sys.argv[1])]) as node:
        await node.joined()
        print("joined", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


class Told:
    """What a node was told, and a way to wait for more."""

    def __init__(self) -> None:
        self.events: list[Changed | Released | Conflict] = []
        self.more = asyncio.Event()

    def __call__(self, event: Changed | Released | Conflict) -> None:
        self.events.append(event)
        self.more.set()


@asynccontextmanager
async def started(number: int, *, seeds: list[int], told: Told | None = None) -> AsyncIterator[MembershipNode]:
    """A member with the identity of ``number``, that knows the ports of others."""
    node = MembershipNode(
        identity_of(number), Facts(region="here", domain="loop", capacity=3), config=QUICK, told=told or Told()
    )
    bound = await node.start(Endpoint("127.0.0.1", 0), [Endpoint("127.0.0.1", port) for port in seeds])
    node.port = bound.port  # type: ignore[attr-defined]
    try:
        yield node
    finally:
        await node.close()


def port(node: MembershipNode) -> int:
    return int(node.port)  # type: ignore[attr-defined]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that other tasks bring about; looked at often, so that no event is missed."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  what is looked at tells nobody when it changes
            await asyncio.sleep(0.02)


def alive(node: MembershipNode) -> set[str]:
    return {member.node for member in node.members() if member.state is MemberState.ALIVE}


async def test_five_members_find_each_other_and_miss_the_one_that_is_killed() -> None:
    async with contextlib.AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(started(0, seeds=[]))]
        for number in range(1, 4):
            nodes.append(await stack.enter_async_context(started(number, seeds=[port(nodes[0])])))
        program = MEMBER.format(tests=str(__file__.rpartition("/")[0]))
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(port(nodes[0])), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert child.stdout is not None
            async with asyncio.timeout(PATIENCE_S):
                assert await child.stdout.readline() == b"joined\n"
            ids = {identity_of(number).node_id for number in range(5)}
            victim = identity_of(4).node_id
            await until(lambda: all(alive(node) | {identity_of(n).node_id} == ids for n, node in enumerate(nodes)))
            child.send_signal(signal.SIGKILL)
            await child.wait()

            def missed() -> bool:
                shown = [node.member(victim) for node in nodes]
                return all(one is not None and one.state is MemberState.UNREACHABLE for one in shown)

            await until(missed)
            await until(lambda: all(len(alive(node)) == 3 for node in nodes))
        finally:
            if child.returncode is None:
                child.kill()
            await child.communicate()  # to the end of its output too


async def test_facts_round_trips_and_sums_come_across() -> None:
    async with started(0, seeds=[]) as one, started(1, seeds=[port(one)]) as other:
        await other.joined()
        other.update(load_percent=50, capacity=3, services=2)

        def known() -> bool:
            shown = one.member(identity_of(1).node_id)
            return shown is not None and shown.facts.load_percent == 50 and shown.rtt_ms is not None

        await until(known)
        await until(lambda: any(region.complete and region.sites > 0.5 for region in one.regions()))
        assert one.coordinate.valid()
        assert one.stats().live == 1


async def test_who_leaves_is_not_missed() -> None:
    told = Told()
    async with started(0, seeds=[], told=told) as one, started(1, seeds=[port(one)]) as other:
        await other.joined()
        await until(lambda: len(alive(one)) == 1)
        await other.leave()
        await until(lambda: one.members()[0].state is MemberState.LEFT)
    changes = [event for event in told.events if isinstance(event, Changed)]
    assert [change.after for change in changes if change.after is not MemberState.SUSPECT][-1] is MemberState.LEFT


async def test_two_processes_with_one_identity_are_reported() -> None:
    told = Told()
    async with started(0, seeds=[], told=told) as one, started(1, seeds=[port(one)]) as node:
        await node.joined()
        async with started(1, seeds=[port(one)]) as twin:
            await twin.joined()
            await until(lambda: any(isinstance(event, Conflict) for event in told.events))


async def test_what_strangers_throw_at_a_member_is_counted_and_forgotten() -> None:
    async with started(0, seeds=[]) as node, started(1, seeds=[port(node)]) as other:
        await other.joined()
        stranger = Datagrams(identity_of(9))
        now = SystemClock().now()
        sealed = stranger.seal(encode(Gossip(())), identity_of(0).node_id, now)
        for_other = stranger.seal(encode(Gossip(())), identity_of(1).node_id, now)
        own = Datagrams(identity_of(0)).seal(encode(Ping(1)), identity_of(1).node_id, now)
        throws = [b"", b"x", bytes(1201), sealed, sealed, sealed[:-1], for_other, own]
        throws += [
            stranger.seal(b"\x01garbage", identity_of(0).node_id, now),
            Datagrams(identity_of(8)).seal(b"", None, now - 500),
        ]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for datagram in throws:
                sock.sendto(datagram, ("127.0.0.1", port(node)))
            wanted = {
                "garbage": 2,
                "oversized": 1,
                "replayed": 2,
                "forged": 1,
                "stale": 1,
                "reflected": 1,
                "not a message": 1,
            }
            await until(lambda: all(node.stats().dropped.get(reason, 0) >= count for reason, count in wanted.items()))
        await until(lambda: len(alive(node)) == 1)


async def test_a_first_ping_to_an_address_alone_is_answered_to_whoever_signed_it() -> None:
    async with started(0, seeds=[]) as node:
        stranger = Datagrams(identity_of(9))
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
            now = SystemClock().now()
            await loop.sock_sendto(sock, stranger.seal(encode(Ping(7)), None, now), ("127.0.0.1", port(node)))
            async with asyncio.timeout(PATIENCE_S):
                answer = await loop.sock_recv(sock, 2000)
        opened = stranger.open(answer, SystemClock().now())
        assert opened.sender == identity_of(0).node_id
        assert opened.addressed


async def test_a_member_may_be_named_instead_of_its_address() -> None:
    async with started(0, seeds=[]) as one:
        node = MembershipNode(identity_of(1), Facts(), config=QUICK)
        await node.start(Endpoint("127.0.0.1", 0), [Endpoint("localhost", port(one)), Endpoint("nowhere.invalid", 1)])
        try:
            async with asyncio.timeout(PATIENCE_S):
                await node.joined()
        finally:
            await node.close()
            await node.close()


async def test_an_address_nobody_can_reach_or_open_is_our_own_mistake() -> None:
    for bind, what in ((Endpoint("0.0.0.0", 0), "cannot reach"), (Endpoint("192.0.2.1", 0), "cannot open")):
        node = MembershipNode(identity_of(0), Facts())
        with pytest.raises(LocalError, match=what):
            await node.start(bind)
        await node.close()
    node = MembershipNode(identity_of(0), Facts(region="x" * 100))
    with pytest.raises(LocalError, match="not a card"):
        await node.start(Endpoint("127.0.0.1", 0))
    await node.close()
    with pytest.raises(LocalError, match="not started"):
        node.members()
