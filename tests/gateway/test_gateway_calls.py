"""Where guests are called, and what becomes of their failures."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from gateway_support import FakeGuest, hello, trap
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.errors import LocalError
from footloose.core.limits import INLINE_GUEST_MS, SLOW_GUEST_MS
from footloose.gateway.calls import Pace, call, call_in_thread
from footloose.gateway.front import answer_of
from footloose.gateway.lanes import Lanes
from footloose.model.guest import GuestAnswer, GuestError, GuestFault


def raising(error: Exception) -> FakeGuest:
    def handler(environment: dict[str, str], body: bytes) -> bytes:
        raise error

    return FakeGuest(handler)


@pytest.mark.parametrize("fault", [fault for fault in GuestFault if fault is not GuestFault.WAITS])
def test_a_guests_fault_is_named_to_the_user_without_its_inside(fault: GuestFault) -> None:
    outcome = call(raising(GuestError(fault, "at 0xdeadbeef", log=b"l")), (), b"")
    response, failure = answer_of(outcome)
    assert response.status == (504 if fault is GuestFault.TIME else 502)
    assert fault.value.encode() in response.body
    assert b"0xdeadbeef" not in response.body
    assert "0xdeadbeef" in failure
    assert outcome.log == b"l"


def test_a_malformed_answer_is_a_bad_gateway() -> None:
    response, failure = answer_of(call(FakeGuest(lambda *_: b"no head"), (), b""))
    assert response.status == 502
    assert b"malformed answer" in response.body
    assert "malformed answer" in failure


def test_a_runtime_that_has_no_room_or_breaks_fails_one_request_only() -> None:
    assert answer_of(call(raising(LocalError("no room")), (), b""))[0].status == 503
    response, failure = answer_of(call(raising(ZeroDivisionError("secret")), (), b""))
    assert response.status == 500
    assert b"secret" not in response.body
    assert "ZeroDivisionError" in failure


def test_an_unknown_guest_starts_in_threads_and_comes_to_the_loop_when_it_proves_fast() -> None:
    pace = Pace()
    assert not pace.fast(0.0)
    for _ in range(10):
        pace.took(0.01, 0.0)
    assert pace.fast(0.0)
    for _ in range(10):
        pace.took(2 * INLINE_GUEST_MS, 0.0)
    assert not pace.fast(0.0)


def test_one_slow_call_keeps_a_service_off_the_loop_longer_each_time() -> None:
    pace, now, waits = Pace(), 1000.0, []
    for _ in range(4):
        pace.took(10 * SLOW_GUEST_MS, now)
        slow_at = now
        for _ in range(200):
            pace.took(0.01, now)
        while not pace.fast(now):
            now += 0.5
        waits.append(now - slow_at)
    assert waits == sorted(waits)
    assert waits[-1] > 2 * waits[0]


@given(st.lists(st.floats(0, 1e6), max_size=50))
def test_a_pace_stays_within_what_it_was_told(samples: list[float]) -> None:
    pace = Pace()
    for sample in samples:
        pace.took(sample, 0.0)
    assert 0 <= pace.average_ms <= max([2 * INLINE_GUEST_MS, *samples])


@pytest.fixture
async def lanes() -> AsyncIterator[Lanes]:
    made = Lanes(threads=3, running=2, waiting=2)
    yield made
    made.close()


class Gate:
    """Work that waits until it is let through."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def work(self) -> str:
        self.open.wait(30)
        return "done"


async def test_a_lane_holds_its_share_and_turns_away_the_rest(lanes: Lanes) -> None:
    gate, results = Gate(), asyncio.Queue[str]()
    accepted = [lanes.submit("a", gate.work, results.put_nowait) for _ in range(6)]
    assert [job is not None for job in accepted] == [True, True, True, True, False, False]
    assert lanes.submit("a", gate.work, results.put_nowait, must=True)
    gate.open.set()
    assert [await results.get() for _ in range(5)] == ["done"] * 5
    assert lanes.submit("a", gate.work, results.put_nowait)
    assert await results.get() == "done"


async def test_a_stuck_service_leaves_room_for_others(lanes: Lanes) -> None:
    gate, stuck, results = Gate(), asyncio.Queue[str](), asyncio.Queue[int]()
    for _ in range(4):
        lanes.submit("stuck", gate.work, stuck.put_nowait)
    for number in range(20):
        assert lanes.submit("other", lambda number=number: number, results.put_nowait, must=True)
    assert sorted([await results.get() for _ in range(20)]) == list(range(20))
    assert stuck.empty()
    gate.open.set()
    for _ in range(4):
        await stuck.get()


async def test_lanes_take_turns() -> None:
    lanes = Lanes(threads=1, running=1, waiting=10)
    gate, order = Gate(), asyncio.Queue[str]()
    lanes.submit("first", gate.work, lambda _: order.put_nowait("first"))
    for _ in range(3):
        lanes.submit("a", lambda: "a", order.put_nowait)
    lanes.submit("b", lambda: "b", order.put_nowait)
    gate.open.set()
    assert [await order.get() for _ in range(5)] == ["first", "a", "b", "a", "a"]
    lanes.close()
    assert not lanes.submit("a", lambda: "a", order.put_nowait, must=True)


def test_what_a_guest_answers_is_passed_on() -> None:
    outcome = call(FakeGuest(lambda environment, body: GuestAnswer(hello(environment, body), b"log")), (), b"")
    assert (outcome.status, outcome.log, answer_of(outcome)[0].body) == (200, b"log", b"hello")
    assert call(FakeGuest(trap), (), b"").log == b"about to trap"


def test_a_call_that_waited_costs_less_than_one_that_worked() -> None:
    wait, work = threading.Event(), FakeGuest(hello)

    def waiting(environment: dict[str, str], body: bytes) -> bytes:
        wait.wait(0.05)
        return hello(environment, body)

    waited = call_in_thread(FakeGuest(waiting), (), b"")
    assert waited.ms > 40
    assert waited.cost_ms < waited.ms / 2
    assert call(FakeGuest(waiting), (), b"").cost_ms >= 2 * INLINE_GUEST_MS
    assert call_in_thread(work, (), b"").output == call(work, (), b"").output
