"""The machine of one trace."""

import math
from pathlib import Path as PathToFile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_path import Path, run

from footloose.core.errors import IllegalTransition
from footloose.core.limits import ROUTE_HOPS, TRACE_TIMEOUT_S
from footloose.model.network import Hop
from footloose.topology.trace import (
    FIRST_BURST,
    FIRST_PORT,
    GAP_LIMIT,
    TABLE,
    Answer,
    Begin,
    Finished,
    Probe,
    Reply,
    Trace,
)

TARGET = "203.0.113.9"


def routers(count: int, step_ms: float = 3.0) -> list[tuple[str, float] | None]:
    return [(f"10.0.{place}.1", place * step_ms) for place in range(1, count + 1)]


def test_all_nearer_probes_leave_at_once_and_differ_by_port() -> None:
    probes = Trace(TARGET).receive(Begin(), 0.0)
    assert probes == [Probe(ttl, FIRST_PORT + ttl - 1) for ttl in range(1, FIRST_BURST + 1)]


def test_a_trace_takes_one_round_trip_when_everyone_answers() -> None:
    outcome = run(Path(routers(5)))
    assert outcome.route.hops == tuple(Hop(ttl, f"10.0.{ttl}.1", ttl * 3.0) for ttl in range(1, 6))
    assert outcome.route.rtt_ms == 40.0
    assert outcome.took_s == pytest.approx(0.040)


def test_a_target_on_the_same_network_has_no_hops() -> None:
    outcome = run(Path([], target_rtt_ms=0.3))
    assert outcome.route.hops == ()
    assert outcome.route.rtt_ms == 0.3


def test_a_path_longer_than_the_first_burst_is_followed_without_waiting() -> None:
    outcome = run(Path(routers(22, 1.0)))
    assert [hop.ttl for hop in outcome.route.hops] == list(range(1, 23))
    assert outcome.route.reached
    assert outcome.took_s < 0.100


def test_a_long_path_is_followed_though_the_last_router_of_the_first_burst_keeps_silent() -> None:
    path = routers(20, 1.0)
    path[FIRST_BURST - 1] = None
    outcome = run(Path(path))
    assert outcome.route.reached
    assert [hop.ttl for hop in outcome.route.hops if hop.address is None] == [FIRST_BURST]


def test_no_route_is_longer_than_the_limit() -> None:
    outcome = run(Path(routers(60, 1.0)))
    assert len(outcome.route.hops) == ROUTE_HOPS
    assert not outcome.route.reached


def test_a_silent_router_is_recorded_and_costs_two_short_waits() -> None:
    path = routers(5)
    path[2] = None
    outcome = run(Path(path))
    assert outcome.route.hops[2] == Hop(3)
    assert outcome.took_s < TRACE_TIMEOUT_S / 2


def test_a_lost_probe_is_repeated_once() -> None:
    outcome = run(Path(routers(5), lost={FIRST_PORT + 2}))
    assert outcome.route.hops[2] == Hop(3, "10.0.3.1", 9.0)
    assert [probe.ttl for probe in outcome.probes[FIRST_BURST:]] == [3]


def test_a_target_whose_first_answers_are_lost_is_still_found_at_its_distance() -> None:
    outcome = run(Path(routers(3), lost=set(range(FIRST_PORT + 3, FIRST_PORT + ROUTE_HOPS))))
    assert outcome.route.rtt_ms == 40.0
    assert len(outcome.route.hops) == 3


def test_a_target_that_answers_late_probes_only_is_placed_by_the_repeated_ones() -> None:
    # A host that limits its ICMP answered the probes of TTL 8 and up; nearer ones are asked again
    outcome = run(Path(routers(3), lost=set(range(FIRST_PORT + 3, FIRST_PORT + 7))))
    assert len(outcome.route.hops) == 3


def test_a_silent_target_ends_the_trace_after_the_last_router_that_answered() -> None:
    outcome = run(Path(routers(6), target_rtt_ms=None))
    assert [hop.ttl for hop in outcome.route.hops] == [1, 2, 3, 4, 5, 6]
    assert not outcome.route.reached
    assert outcome.took_s < TRACE_TIMEOUT_S
    assert [probe.ttl for probe in outcome.probes[FIRST_BURST:]] == list(range(7, 7 + GAP_LIMIT))


def test_a_wide_link_behind_quick_routers_is_waited_for() -> None:
    path = Path([("10.0.1.1", 0.2), ("10.0.2.1", 0.3), ("10.0.3.1", 180.0)], target_rtt_ms=181.0)
    outcome = run(path)
    assert outcome.route.rtt_ms == 181.0
    assert len(outcome.probes) == FIRST_BURST


def test_when_nobody_answers_the_trace_gives_up_after_two_timeouts() -> None:
    outcome = run(Path([None] * 4, target_rtt_ms=None))
    assert outcome.route.hops == ()
    assert outcome.took_s == pytest.approx(2 * TRACE_TIMEOUT_S)


def test_a_router_that_refuses_the_way_on_ends_the_trace_at_once() -> None:
    outcome = run(Path(routers(4), blocked_by=("10.0.4.1", 12.5)))
    assert [hop.address for hop in outcome.route.hops] == [f"10.0.{ttl}.1" for ttl in range(1, 5)]
    assert not outcome.route.reached
    assert outcome.took_s < 0.020


def test_any_refusal_by_the_target_itself_counts_as_its_answer() -> None:
    outcome = run(Path(routers(4), blocked_by=(TARGET, 17.0)))
    assert outcome.route.rtt_ms == 17.0
    assert len(outcome.route.hops) == 4


def test_a_loop_does_not_repeat_a_router() -> None:
    path: list[tuple[str, float] | None] = [("10.0.1.1", 1.0), *[("10.0.2.1", 2.0), ("10.0.3.1", 3.0)] * 20]
    outcome = run(Path(path))
    assert [hop.address for hop in outcome.route.hops] == ["10.0.1.1", "10.0.2.1", "10.0.3.1"]


def test_a_router_seen_twice_in_a_row_is_one_hop_and_the_rest_keeps_its_distance() -> None:
    path = routers(5)
    path[2] = path[1]
    outcome = run(Path(path))
    assert [hop.address for hop in outcome.route.hops] == ["10.0.1.1", "10.0.2.1", None, "10.0.4.1", "10.0.5.1"]


def test_a_trace_begins_once() -> None:
    trace = Trace(TARGET)
    trace.receive(Begin(), 0.0)
    with pytest.raises(IllegalTransition):
        trace.receive(Begin(), 0.0)


def test_a_reply_after_the_end_changes_nothing() -> None:
    trace = Trace(TARGET)
    trace.receive(Begin(), 0.0)
    assert trace.receive(Reply(FIRST_PORT, TARGET, Answer.ARRIVED, 1.0), 0.001)
    assert trace.receive(Reply(FIRST_PORT + 1, TARGET, Answer.ARRIVED, 1.0), 0.002) == ()
    assert trace.next_deadline() is None
    assert trace.wake(99.0) == ()


def test_waking_early_does_nothing() -> None:
    trace = Trace(TARGET)
    assert trace.wake(5.0) == ()
    trace.receive(Begin(), 0.0)
    assert trace.wake(TRACE_TIMEOUT_S / 2) == ()


# A router may take longer over its ICMP than the target, but not without bound
@given(
    hops=st.lists(st.none() | st.floats(0.1, 45.0), max_size=ROUTE_HOPS - 1),
    target_rtt_ms=st.floats(0.1, 240.0),
    lost=st.sets(st.integers(FIRST_PORT, FIRST_PORT + ROUTE_HOPS - 1)),
)
def test_any_path_is_found_again_when_only_first_probes_are_lost(
    hops: list[float | None], target_rtt_ms: float, lost: set[int]
) -> None:
    path: list[tuple[str, float] | None] = [
        (f"10.0.{place}.1", rtt) if rtt is not None else None for place, rtt in enumerate(hops)
    ]
    outcome = run(Path(path, target_rtt_ms=target_rtt_ms, lost=lost))
    expected = {place + 1: router[0] for place, router in enumerate(path) if router is not None}
    found = {hop.ttl: hop.address for hop in outcome.route.hops if hop.address is not None}
    assert found.items() <= expected.items()
    assert [hop.ttl for hop in outcome.route.hops] == list(range(1, len(outcome.route.hops) + 1))
    assert len({probe.port for probe in outcome.probes}) == len(outcome.probes) <= 2 * ROUTE_HOPS
    assert outcome.took_s <= 4 * TRACE_TIMEOUT_S
    silent_run = max((len(part) for part in "".join("-" if hop is None else " " for hop in hops).split()), default=0)
    if silent_run < GAP_LIMIT and not lost:
        assert outcome.route.rtt_ms == target_rtt_ms
        assert len(outcome.route.hops) == len(hops)
        assert found == expected


garbage_reply = st.builds(
    Reply,
    port=st.integers(-5, 70_000) | st.integers(FIRST_PORT, FIRST_PORT + 2 * ROUTE_HOPS),
    address=st.text(max_size=20)
    | st.ip_addresses().map(str)
    | st.sampled_from([TARGET, "0.0.0.0", "::", "224.0.0.1", "fe80::1%eth0", "::ffff:1.2.3.4"]),
    answer=st.sampled_from(Answer),
    rtt_ms=st.floats() | st.floats(0, 500),
)


@given(st.lists(st.tuples(garbage_reply, st.floats(0, 0.4))))
def test_no_garbage_breaks_a_trace(events: list[tuple[Reply, float]]) -> None:
    trace, now, finished = Trace(TARGET), 0.0, 0
    trace.receive(Begin(), now)
    for reply, pause in events:
        now += pause
        for effect in [*trace.receive(reply, now), *trace.wake(now)]:
            if isinstance(effect, Finished):
                finished += 1
                check_sense(effect)
            else:
                assert 1 <= effect.ttl <= ROUTE_HOPS
                assert FIRST_PORT <= effect.port < FIRST_PORT + 2 * ROUTE_HOPS
    while (deadline := trace.next_deadline()) is not None:
        assert deadline <= now + TRACE_TIMEOUT_S
        now = max(deadline, now)
        for effect in trace.wake(now):
            if isinstance(effect, Finished):
                finished += 1
                check_sense(effect)
    assert finished == 1


def check_sense(finished: Finished) -> None:
    route = finished.route
    addresses = [hop.address for hop in route.hops if hop.address is not None]
    assert len(addresses) == len(set(addresses))
    assert TARGET not in addresses
    assert all(hop.router is not None for hop in route.hops if hop.address is not None)
    assert all(hop.rtt_ms is None or (math.isfinite(hop.rtt_ms) and hop.rtt_ms >= 0) for hop in route.hops)
    assert len(route.hops) <= ROUTE_HOPS


def test_the_docs_show_the_machine_as_it_is() -> None:
    page = PathToFile(__file__).parents[2] / "docs" / "explanation" / "tracing.md"
    assert f"```mermaid\n{TABLE.mermaid()}\n```" in page.read_text()
