"""Counting users."""

import socket
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.limits import PREFIXES_PER_SERVICE
from footloose.gateway import tcpinfo
from footloose.gateway.counts import Counts
from footloose.model.app import ServiceId
from footloose.model.network import Observation, Prefix

S, P = ServiceId("a-1/s"), Prefix("10.0.0.0/24")


class Peer:
    def __init__(self, rtt: float | None = 5.0) -> None:
        self.rtt = rtt

    def rtt_ms(self) -> float | None:
        return self.rtt


class Told:
    def __init__(self) -> None:
        self.soon = self.urgent = 0
        self.counts = Counts(self._soon, self._urgent)

    def _soon(self) -> None:
        self.soon += 1

    def _urgent(self) -> None:
        self.urgent += 1


def test_the_first_sight_of_a_prefix_is_urgent_and_later_ones_are_not() -> None:
    told = Told()
    told.counts.request(S, P, "10.0.0.1", Peer())
    assert told.urgent == 1
    told.counts.request(S, P, "10.0.0.2", Peer())
    told.counts.take()
    told.counts.request(S, P, "10.0.0.2", Peer())
    assert told.urgent == 1
    assert told.soon >= 1
    told.counts.request(ServiceId("a-1/other"), P, "10.0.0.2", Peer())
    assert told.urgent == 2


def test_a_report_has_what_changed_since_the_last_with_the_latest_round_trip() -> None:
    counts, peer = Told().counts, Peer(7.0)
    seen = counts.request(S, P, "10.0.0.1", Peer(9.0))
    counts.request(S, P, "10.0.0.2", peer)
    counts.error(seen)
    assert counts.take() == (Observation(S, P, "10.0.0.2", 2, 1, 7.0, 0),)
    assert counts.take() == ()
    peer.rtt = None
    counts.request(S, P, "10.0.0.2", peer)
    assert counts.take() == (Observation(S, P, "10.0.0.2", 1, 0, 7.0, 0),)


def test_open_websockets_are_a_level_and_are_reported_until_they_close() -> None:
    told = Told()
    counts, one, two = told.counts, Peer(3.0), Peer(4.0)
    seen = counts.request(S, P, "10.0.0.1", one)
    counts.opened(seen, one, "10.0.0.1")
    counts.opened(seen, two, "10.0.0.2")
    assert told.urgent == 3
    assert counts.take()[0].open_websockets == 2
    assert counts.mark_open()
    assert counts.take() == (Observation(S, P, "10.0.0.2", 0, 0, 4.0, 2),)
    counts.closed(seen, two)
    assert counts.take() == (Observation(S, P, "10.0.0.1", 0, 0, 3.0, 1),)
    counts.closed(seen, one)
    assert counts.take()[0].open_websockets == 0
    assert not counts.mark_open()


def test_the_least_recently_seen_prefixes_are_forgotten_but_not_those_with_websockets() -> None:
    counts, peer = Told().counts, Peer()
    first = counts.request(S, Prefix("p0"), "10.0.0.1", peer)
    counts.opened(first, peer, "10.0.0.1")
    for number in range(1, PREFIXES_PER_SERVICE + 10):
        counts.request(S, Prefix(f"p{number}"), "10.0.0.1", peer)
    counts.take()
    assert counts.request(S, Prefix("p0"), "10.0.0.1", peer) is first
    told_before = counts.take()
    assert told_before[0].open_websockets == 1
    counts.request(S, Prefix("p1"), "10.0.0.1", peer)
    assert counts.take()[0].requests == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans()), max_size=60))
def test_no_request_is_lost_or_counted_twice(steps: list[tuple[int, int, bool]]) -> None:
    counts, peer = Told().counts, Peer()
    sent: Counter[tuple[str, str]] = Counter()
    reported: Counter[tuple[str, str]] = Counter()

    def report() -> None:
        for one in counts.take():
            reported[one.service, one.prefix] += one.requests

    for service, prefix, flush in steps:
        counts.request(ServiceId(f"s/{service}"), Prefix(f"p{prefix}"), "10.0.0.1", peer)
        sent[f"s/{service}", f"p{prefix}"] += 1
        if flush:
            report()
    report()
    assert reported == sent


def test_the_kernel_tells_the_round_trip_of_a_tcp_connection_and_of_nothing_else() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as client,
    ):
        served, _ = listening.accept()
        with served:
            measured = tcpinfo.rtt_ms(served)
            assert measured is not None
            assert 0 < measured < 5000
        assert client.fileno() >= 0
    assert tcpinfo.rtt_ms(served) is None
    one, two = socket.socketpair()
    with one, two:
        assert tcpinfo.rtt_ms(one) is None


class Kernel:
    def __init__(self, info: bytes) -> None:
        self.info = info

    def getsockopt(self, _level: int, _option: int, buflen: int) -> bytes:
        return self.info[:buflen]


@pytest.mark.parametrize(
    ("min_rtt", "rtt", "expected"),
    [(1500, 9000, 1.5), (0, 9000, 9.0), (0xFFFFFFFF, 9000, 9.0), (0, 0, None)],
)
def test_the_least_round_trip_is_preferred_where_there_is_one(min_rtt: int, rtt: int, expected: float | None) -> None:
    info = bytearray(232)
    info[68:72] = rtt.to_bytes(4, "little")
    info[148:152] = min_rtt.to_bytes(4, "little")
    assert tcpinfo.rtt_ms(Kernel(bytes(info))) == expected
    if rtt:
        assert tcpinfo.rtt_ms(Kernel(bytes(info[:104]))) == rtt / 1000
