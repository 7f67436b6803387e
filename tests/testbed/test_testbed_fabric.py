"""The router graph as a machine: time is exact here, nothing is waited for."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testbed_packets import arrivals, ip_packet, ping, source_of, target_of, udp

from footloose.core.machine import Machine
from footloose.testbed import Host, Link, Router, Topology, TopologyError, icon, random
from footloose.testbed.fabric import Fabric, Packet
from footloose.testbed.packets import (
    ECHO_REPLY,
    HOST_UNREACHABLE,
    ICMP,
    NET_UNREACHABLE,
    PORT_UNREACHABLE,
    TCP,
    TIME_EXCEEDED,
    UNREACHABLE,
)


def line(*links: Link, routers: tuple[Router, ...] = (Router("r1"), Router("r2")), seed: int = 1) -> Fabric:
    """a - r1 - r2 - b, unless other links are given."""
    listed = links or (Link("a", "r1", 1), Link("r1", "r2", 10), Link("r2", "b", 2))
    return Fabric(Topology("line", routers, (Host("a"), Host("b")), listed, seed))


def shaped(**figures: float) -> Fabric:
    return line(Link("a", "r1", 1), Link("r1", "r2", 10, **figures), Link("r2", "b", 2))


def both(fabric: Fabric) -> tuple[str, str]:
    return fabric.plan.hosts["a"], fabric.plan.hosts["b"]


def answer(fabric: Fabric, packet: bytes, at: float = 1.0) -> tuple[int, int, str]:
    """Type, code and source of the one ICMP message that comes back to ``a``."""
    fabric.receive(("a", packet), at)
    [(_, host, reply)] = arrivals(fabric)
    assert host == "a"
    assert reply[9] == ICMP
    return reply[20], reply[21], source_of(reply)


def test_the_fabric_is_a_machine() -> None:
    machine: Machine[Packet, Packet] = line()
    assert machine.next_deadline() is None
    assert machine.wake(5.0) == []


def test_expired_packets_are_answered_from_the_ingress_address() -> None:
    fabric = line()
    a, b = both(fabric)
    assert answer(fabric, udp(a, b, ttl=1)) == (TIME_EXCEEDED, 0, fabric.plan.ingress("r1", "a"))
    assert answer(fabric, udp(a, b, ttl=2)) == (TIME_EXCEEDED, 0, fabric.plan.ingress("r2", "r1"))
    fabric.receive(("a", udp(a, b, ttl=3)), 1.0)
    [(_, host, packet)] = arrivals(fabric)
    assert (host, packet[8]) == ("b", 1)


def test_a_router_answers_pings_and_refuses_everything_else_sent_to_it() -> None:
    fabric = line()
    a, _ = both(fabric)
    far = fabric.plan.ingress("r2", "b")
    assert answer(fabric, ping(a, far)) == (ECHO_REPLY, 0, far)
    assert answer(fabric, udp(a, far)) == (UNREACHABLE, PORT_UNREACHABLE, far)
    assert answer(fabric, ip_packet(a, far, bytes(20), protocol=TCP)) == (UNREACHABLE, PORT_UNREACHABLE, far)
    assert answer(fabric, ip_packet(a, far, bytes(20), protocol=132)) == (UNREACHABLE, 2, far)
    assert answer(fabric, ping(a, far, ttl=1)) == (TIME_EXCEEDED, 0, fabric.plan.ingress("r1", "a"))


def test_an_address_nobody_has_is_unreachable() -> None:
    fabric = line()
    a, _ = both(fabric)
    access = fabric.plan.ingress("r1", "a")
    for ttl in (1, 2, 64):
        assert answer(fabric, udp(a, "10.200.0.1", ttl=ttl)) == (UNREACHABLE, NET_UNREACHABLE, access)


def test_a_silent_router_passes_packets_on_and_says_nothing() -> None:
    fabric = line(routers=(Router("r1", silent=True), Router("r2")))
    a, b = both(fabric)
    fabric.receive(("a", udp(a, b, ttl=1)), 1.0)
    fabric.receive(("a", ping(a, fabric.plan.ingress("r1", "a"))), 1.0)
    assert arrivals(fabric) == []
    assert answer(fabric, udp(a, b, ttl=2))[2] == fabric.plan.ingress("r2", "r1")


def test_a_router_that_limits_its_icmp_answers_a_burst_and_then_at_its_rate() -> None:
    fabric = line(routers=(Router("r1", icmp_per_s=2, icmp_burst=3), Router("r2")))
    a, b = both(fabric)

    def answered(at: float, probes: int) -> int:
        for _ in range(probes):
            fabric.receive(("a", udp(a, b, ttl=1)), at)
        return len(arrivals(fabric))

    assert answered(1.0, 10) == 3
    assert answered(2.1, 10) == 2
    assert answered(60.0, 10) == 3


def test_packets_go_another_way_when_a_link_is_cut_and_back_when_it_heals() -> None:
    links = (
        Link("a", "r1", 1),
        Link("r1", "r2", 5),
        Link("r2", "b", 1),
        Link("r1", "r3", 20),
        Link("r3", "r2", 20),
    )
    fabric = line(*links, routers=(Router("r1"), Router("r2"), Router("r3")))
    a, b = both(fabric)

    def takes_ms() -> float:
        fabric.receive(("a", udp(a, b)), 1.0)
        [(at, host, _)] = arrivals(fabric)
        assert host == "b"
        return (at - 1.0) * 1e3

    assert takes_ms() == pytest.approx(7)
    fabric.cut([("r1", "r2")])
    assert takes_ms() == pytest.approx(42)
    fabric.cut([("r2", "r3")])
    assert answer(fabric, udp(a, b)) == (UNREACHABLE, HOST_UNREACHABLE, fabric.plan.ingress("r1", "a"))
    fabric.heal([("r1", "r2"), ("r3", "r2")])
    assert takes_ms() == pytest.approx(7)


def test_a_host_whose_own_link_is_cut_hears_nothing() -> None:
    fabric = line()
    a, b = both(fabric)
    fabric.cut([("a", "r1")])
    fabric.receive(("a", udp(a, b)), 1.0)
    assert arrivals(fabric) == []
    assert fabric.counters.lost == 1


def test_a_link_that_does_not_exist_cannot_be_cut() -> None:
    with pytest.raises(TopologyError, match="r1 is joined to a, r2"):
        line().cut([("r1", "b")])
    with pytest.raises(TopologyError, match="no router or host 'r9'"):
        line().cut([("r9", "b")])


def test_loss_takes_its_share_and_repeats_with_the_seed() -> None:
    def survivors(seed: int) -> list[int]:
        links = (Link("a", "r1", 1), Link("r1", "r2", 10, loss=0.2), Link("r2", "b", 2))
        fabric = line(*links, seed=seed)
        a, b = both(fabric)
        for number in range(2000):
            fabric.receive(("a", udp(a, b, size=number % 50)), number / 1e3)
        return [len(packet) for _, _, packet in arrivals(fabric)]

    assert 1500 < len(survivors(1)) < 1700
    assert survivors(1) == survivors(1)
    assert survivors(1) != survivors(2)


def test_a_rate_spaces_packets_and_a_full_queue_drops_them() -> None:
    fabric = shaped(rate_mbit=1.0, queue_ms=45)
    a, b = both(fabric)
    for _ in range(20):
        fabric.receive(("a", udp(a, b, size=1250 - 28)), 1.0)
    times = [at for at, _, _ in arrivals(fabric)]
    # 10 ms each at 1 Mbit/s: one is sent at once, and those that wait up to 45 ms are kept.
    assert [round((at - 1.0) * 1e3) for at in times] == [23, 33, 43, 53, 63]
    assert fabric.counters.lost == 15


def test_at_a_rate_a_near_sender_does_not_wait_for_packets_that_are_still_far() -> None:
    topology = Topology(
        "y",
        (Router("far"), Router("near"), Router("end")),
        (Host("a"), Host("n"), Host("b")),
        (
            Link("a", "far", 200),
            Link("far", "near", 200),
            Link("n", "near", 1),
            Link("near", "end", 1, rate_mbit=1.0),
            Link("end", "b", 1),
        ),
    )
    fabric = Fabric(topology)
    hosts = fabric.plan.hosts
    fabric.receive(("a", udp(hosts["a"], hosts["b"], size=1000)), 1.0)
    fabric.receive(("n", udp(hosts["n"], hosts["b"], size=1000)), 1.0)
    (near, _, first), (far, _, second) = arrivals(fabric)
    assert (source_of(first), source_of(second)) == (hosts["n"], hosts["a"])
    assert near - 1.0 < 0.02
    assert far - 1.0 > 0.4


@given(st.integers(0, 1000), st.booleans())
def test_jitter_varies_the_delay_and_never_reorders(seed: int, rated: bool) -> None:
    figures = {"rate_mbit": 5.0, "queue_ms": 10_000.0} if rated else {}
    links = (
        Link("a", "r1", 5, jitter_ms=5),
        Link("r1", "r2", 10, jitter_ms=10, **figures),
        Link("r2", "b", 2, jitter_ms=2),
    )
    fabric = line(*links, seed=seed)
    a, b = both(fabric)
    for number in range(60):
        fabric.receive(("a", udp(a, b, size=number)), 1.0 + number / 1e3)
    arrived = arrivals(fabric)
    assert [len(packet) for _, _, packet in arrived] == sorted(len(packet) for _, _, packet in arrived)
    assert len(arrived) == 60
    delays = [(at - 1.0) * 1e3 - number for number, (at, _, _) in enumerate(arrived)]
    assert len(set(delays)) > 2
    assert all(0 <= delay < 200 for delay in delays)


def test_jitter_leaves_the_mean_delay_alone() -> None:
    fabric = shaped(jitter_ms=5)
    a, b = both(fabric)
    delays = []
    for number in range(500):
        fabric.receive(("a", udp(a, b)), float(number + 1))
        [(at, _, _)] = arrivals(fabric)
        delays.append((at - number - 1) * 1e3)
    assert min(delays) >= 8
    assert max(delays) <= 18
    assert statistics.mean(delays) == pytest.approx(13, abs=0.6)


def test_a_link_can_be_changed_while_it_carries_packets() -> None:
    fabric = line()
    a, b = both(fabric)
    fabric.change(Link("r2", "r1", 50))
    fabric.receive(("a", udp(a, b)), 1.0)
    fabric.change(Link("r1", "r2", 1))
    fabric.receive(("a", udp(a, b, size=5)), 1.0)
    assert [round((at - 1.0) * 1e3) for at, _, _ in arrivals(fabric)] == [4, 53]


def test_a_packet_waiting_for_its_turn_at_a_link_that_is_cut_is_lost() -> None:
    fabric = shaped(rate_mbit=1.0)
    a, b = both(fabric)
    fabric.receive(("a", udp(a, b)), 1.0)
    fabric.cut([("r1", "r2")])
    assert arrivals(fabric) == []
    assert fabric.counters.lost == 1


def test_another_source_address_is_refused() -> None:
    fabric = line()
    a, b = both(fabric)
    fabric.receive(("a", udp(b, a)), 1.0)
    assert arrivals(fabric) == []
    assert fabric.counters.refused == 1


@given(st.lists(st.binary(max_size=60) | st.binary(min_size=36, max_size=60).map(lambda rest: rest), max_size=20))
def test_garbage_from_a_host_harms_nobody(lines: list[bytes]) -> None:
    fabric = line()
    a, b = both(fabric)
    for data in lines:
        fabric.receive(("a", data), 1.0)
        body = ip_packet(a, b, data, protocol=data[0] if data else 0)
        fabric.receive(("a", body), 1.0)
        fabric.receive(("a", body[:8] + data[:12] + body[20:]), 1.0)
    for _, _, packet in arrivals(fabric):
        assert packet[0] >> 4 == 4


@given(st.integers(0, 2**32))
def test_every_packet_is_accounted_for(seed: int) -> None:
    fabric = Fabric(random(routers=8, hosts=4, loss=0.1, jitter=0.3, seed=seed))
    names = list(fabric.plan.hosts)
    for number in range(40):
        start, end = names[number % 4], names[(number * 7 + 1) % 4]
        if start != end:
            packet = udp(fabric.plan.hosts[start], fabric.plan.hosts[end], ttl=1 + number % 12)
            fabric.receive((start, packet), 1.0)
    arrived = arrivals(fabric)
    counts = fabric.counters
    expired = sum(packet[9] == ICMP for _, _, packet in arrived)
    assert counts.delivered == len(arrived)
    assert counts.icmp >= expired
    assert all(target_of(packet) == fabric.plan.hosts[host] for _, host, packet in arrived)
    # Everything sent arrives, is lost, or became an ICMP message, which arrives or is lost in turn.
    assert counts.sent == counts.delivered + counts.lost


def test_ways_found_ahead_change_nothing() -> None:
    warm, cold = Fabric(icon()), Fabric(icon())
    for _ in warm.warm():
        continue
    packet = udp(warm.plan.hosts["client"], warm.plan.hosts["root"])
    warm.receive(("client", packet), 1.0)
    cold.receive(("client", packet), 1.0)
    assert arrivals(warm) == arrivals(cold)
