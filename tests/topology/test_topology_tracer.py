"""The tracer and the probe on this machine's own loopback, and the messages of a socket's error queue."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.errors import LocalError
from footloose.model.network import Route
from footloose.topology.addresses import IpAddress, unicast
from footloose.topology.probe import measure
from footloose.topology.probe_socket import (
    IP_RECVERR,
    IPV6_RECVERR,
    SO_TIMESTAMPNS,
    IcmpError,
    ProbeSocket,
    parse_error,
)
from footloose.topology.trace import FIRST_PORT, Answer
from footloose.topology.traceroute import Tracer, trace_route

MUTE = "127.0.0.77"


@contextlib.contextmanager
def silent_ports(address: str, count: int) -> Iterator[None]:
    """Sockets that take the probes and say nothing."""
    with contextlib.ExitStack() as stack:
        for port in range(FIRST_PORT, FIRST_PORT + count):
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind((address, port))
        yield


@contextlib.asynccontextmanager
async def listening(address: str) -> AsyncIterator[int]:
    """A TCP server; its port."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), address, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_this_machine_is_no_hop_away(address: str) -> None:
    route = await Tracer().trace(address)
    assert route.hops == ()
    assert route.rtt_ms is not None
    assert route.target == str(unicast(address))


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("::ffff:224.0.0.1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("0.1.2.3", "this network"),
        ("250.1.1.1", "reserved"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("example.org", "not an IP address"),
        ("", "not an IP address"),
    ],
)
async def test_an_address_that_is_not_one_hosts_is_refused_with_the_reason(address: str, why: str) -> None:
    with pytest.raises(LocalError, match=why):
        await Tracer().trace(address)
    with pytest.raises(LocalError, match=why):
        await measure(address)


async def test_a_limited_broadcast_address_of_the_loopback_network_is_refused_by_the_kernel() -> None:
    with pytest.raises(LocalError, match="one host"):
        await Tracer().trace("127.255.255.255")


class Held:
    """Counts traces and holds them until told to go on."""

    def __init__(self) -> None:
        self.carried_out = 0
        self.most_at_once = 0
        self.going_on = asyncio.Event()
        self._now = 0

    async def __call__(self, target: IpAddress) -> Route:
        self.carried_out += 1
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await self.going_on.wait()
            return await trace_route(target)
        finally:
            self._now -= 1


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_callers_who_want_the_same_target_share_one_trace() -> None:
    held = Held()
    tracer = Tracer(trace_one=held)
    callers = [asyncio.create_task(tracer.trace(name)) for name in ("127.0.0.1", "127.0.0.1", "::ffff:127.0.0.1")]
    await settle()
    held.going_on.set()
    routes = await asyncio.gather(*callers)
    assert held.carried_out == 1
    assert routes[0] is routes[1] is routes[2]
    await tracer.trace("127.0.0.1")
    assert held.carried_out == 2


async def test_a_caller_who_leaves_does_not_end_the_trace_of_the_others() -> None:
    held = Held()
    tracer = Tracer(trace_one=held)
    leaving, staying = (asyncio.create_task(tracer.trace("127.0.0.1")) for _ in range(2))
    await settle()
    leaving.cancel()
    await settle()
    held.going_on.set()
    assert isinstance(await staying, Route)
    assert leaving.cancelled()


async def test_a_trace_nobody_waits_for_any_more_is_given_up() -> None:
    held = Held()
    tracer = Tracer(trace_one=held, at_once=1, waiting=0)
    caller = asyncio.create_task(tracer.trace("127.0.0.1"))
    await settle()
    caller.cancel()
    await settle()
    held.going_on.set()
    assert (await tracer.trace("127.0.0.2")).reached


async def test_only_so_many_traces_run_at_once_and_only_so_many_wait() -> None:
    held = Held()
    tracer = Tracer(trace_one=held, at_once=2, waiting=3)
    callers = [asyncio.create_task(tracer.trace(f"127.0.0.{host}")) for host in range(1, 6)]
    await settle()
    with pytest.raises(LocalError, match="under way or waiting"):
        await tracer.trace("127.0.0.99")
    held.going_on.set()
    assert all(route.reached for route in await asyncio.gather(*callers))
    assert held.most_at_once == 2


async def test_every_caller_is_told_why_a_trace_failed() -> None:
    held = Held()
    tracer = Tracer(trace_one=held)
    callers = [asyncio.create_task(tracer.trace("127.255.255.255")) for _ in range(2)]
    await settle()
    held.going_on.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LocalError, LocalError]


async def test_the_round_trip_to_a_host_is_measured_by_closed_udp_ports() -> None:
    assert 0 < (await measure("127.0.0.1") or 0) < 1000
    assert 0 < (await measure("::1", tries=1) or 0) < 1000


async def test_tcp_steps_in_where_udp_meets_silence() -> None:
    with silent_ports(MUTE, 3):
        assert await measure(MUTE, tries=1) is None
        async with listening(MUTE) as port:
            assert 0 < (await measure(MUTE, tcp_port=port) or 0) < 1000


async def test_a_refused_tcp_connection_is_an_answer_too() -> None:
    async with listening(MUTE) as port:
        pass
    with silent_ports(MUTE, 3):
        assert 0 < (await measure(MUTE, tcp_port=port) or 0) < 1000


async def test_a_host_that_answers_the_probe_itself_has_been_reached() -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.setblocking(False)
        echo.bind((MUTE, FIRST_PORT))
        loop.add_reader(echo, lambda: echo.sendto(b"?", echo.recvfrom(100)[1]))
        try:
            rtt_ms = await measure(MUTE, tries=1)
        finally:
            loop.remove_reader(echo)
    assert rtt_ms is not None


async def test_strangers_datagrams_are_not_taken_for_answers() -> None:
    with silent_ports(MUTE, 1), ProbeSocket(unicast(MUTE)) as probes:
        probes.send(FIRST_PORT)
        own_port = probes._socket.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.78", FIRST_PORT))
            stranger.sendto(b"me, me", ("127.0.0.1", own_port))
        assert await probes.replies(asyncio.get_running_loop().time() + 0.2) == []


@pytest.mark.parametrize("tries", [0, 11])
async def test_the_number_of_tries_has_limits(tries: int) -> None:
    with pytest.raises(LocalError, match="tries"):
        await measure("127.0.0.1", tries=tries)


def extended_error(origin: int, icmp_type: int, code: int, address: str) -> bytes:
    head = struct.pack("=IBBBBII", 113, origin, icmp_type, code, 0, 0, 0)
    if ":" in address:
        return head + struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, socket.inet_pton(socket.AF_INET6, address), 0)
    return head + struct.pack("=HH4s8s", socket.AF_INET, 0, socket.inet_pton(socket.AF_INET, address), b"")


@pytest.mark.parametrize(
    ("origin", "icmp_type", "code", "answer"),
    [
        (2, 11, 0, Answer.EXPIRED),
        (2, 11, 1, None),  # fragments that never met
        (2, 3, 3, Answer.ARRIVED),
        (2, 3, 1, Answer.BLOCKED),
        (2, 3, 13, Answer.BLOCKED),
        (2, 3, 4, None),  # path MTU discovery
        (2, 5, 0, None),  # redirect
        (1, 0, 0, None),  # this machine's own trouble
    ],
)
def test_icmp_is_read_as_rfc_792_means_it(origin: int, icmp_type: int, code: int, answer: Answer | None) -> None:
    data = extended_error(origin, icmp_type, code, "192.0.2.1")
    found = parse_error([(socket.IPPROTO_IP, IP_RECVERR, data)])
    assert found == (IcmpError("192.0.2.1", answer, None) if answer else None)


@pytest.mark.parametrize(
    ("icmp_type", "code", "answer"),
    [(3, 0, Answer.EXPIRED), (1, 4, Answer.ARRIVED), (1, 1, Answer.BLOCKED), (2, 0, None), (4, 0, None)],
)
def test_icmp6_is_read_as_rfc_4443_means_it(icmp_type: int, code: int, answer: Answer | None) -> None:
    data = extended_error(3, icmp_type, code, "2001:db8::1")
    stamp = (socket.SOL_SOCKET, SO_TIMESTAMPNS, struct.pack("@ll", 7, 9))
    found = parse_error([(socket.IPPROTO_IPV6, IPV6_RECVERR, data), stamp])
    assert found == (IcmpError("2001:db8::1", answer, 7_000_000_009) if answer else None)


levels = st.sampled_from([socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.SOL_SOCKET]) | st.integers(0, 300)
kinds = st.sampled_from([IP_RECVERR, IPV6_RECVERR, SO_TIMESTAMPNS]) | st.integers(0, 100)
icmp_bytes = st.binary(max_size=64) | st.builds(
    lambda origin, icmp_type, code, tail: struct.pack("=IBBBBII", 1, origin, icmp_type, code, 0, 0, 0) + tail,
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=40),
)


@given(st.lists(st.tuples(levels, kinds, icmp_bytes), max_size=4))
def test_no_control_message_breaks_the_parser(ancillary: list[tuple[int, int, bytes]]) -> None:
    found = parse_error(ancillary)
    assert found is None or isinstance(found, IcmpError)
