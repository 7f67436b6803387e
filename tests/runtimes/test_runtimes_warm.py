"""Warm instances: what they keep, and when another takes their place. Both paths."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from runtimes_guests import LIMITS, REQUEST, Workshop

from footloose.core.limits import WARM_CALLS, WARM_IDLE_S
from footloose.model.app import Instances, Limits
from footloose.model.guest import GuestError, GuestFault
from footloose.runtimes.wasm.call import Call
from footloose.runtimes.wasm.guest import WasmGuest
from footloose.runtimes.wasm.memory import GuestMemory
from footloose.runtimes.wasm.runtime import WasmRuntime
from footloose.runtimes.wasm.warm import Resting, WarmInstances

Load = Callable[[str], WasmGuest]


@pytest.fixture
def load(runtime: WasmRuntime, workshop: Workshop) -> Iterator[Load]:
    yield lambda name: workshop.load(runtime, name, LIMITS, Instances.WARM)


def count(guest: WasmGuest) -> str:
    """What a guest that counts its requests answers."""
    return guest.call(REQUEST, b"").output[2:].decode("latin-1")


def moody_after(guest: WasmGuest, requests: int) -> None:
    """Ask a guest so often, whatever it answers."""
    for _ in range(requests):
        count(guest)


def test_a_warm_instance_remembers_what_it_was_asked_before(load: Load) -> None:
    guest = load("counter_handler")
    assert [count(guest) for _ in range(5)] == ["11", "22", "33", "44", "55"]


def test_two_services_never_share_an_instance_though_their_code_is_the_same(load: Load) -> None:
    one, other = load("counter_handler"), load("counter_handler")
    assert [count(one), count(other), count(one), count(other)] == ["11", "11", "22", "22"]


def test_an_instance_that_trapped_answers_no_more(load: Load) -> None:
    guest = load("moody_handler")
    moody_after(guest, 2)
    with pytest.raises(GuestError) as caught:
        count(guest)
    assert caught.value.fault is GuestFault.TRAP
    assert count(guest) == "1"


def test_each_request_of_a_warm_instance_has_its_own_log(load: Load) -> None:
    guest = load("logging_handler")
    assert [guest.call(REQUEST, b"").log for _ in range(3)] == [b"said\n"] * 3


def test_time_is_counted_for_each_request_anew(runtime: WasmRuntime, workshop: Workshop) -> None:
    guest = workshop.load(runtime, "logging_handler", Limits(time_ms=300.0), Instances.WARM)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        assert guest.call(REQUEST, b"").log


def test_a_request_that_takes_too_long_ends_its_instance(runtime: WasmRuntime, workshop: Workshop) -> None:
    guest = workshop.load(runtime, "endless_loop_handler", Limits(time_ms=20.0), Instances.WARM)
    for _ in range(2):
        with pytest.raises(GuestError) as caught:
            guest.call(REQUEST, b"")
        assert caught.value.fault is GuestFault.TIME


def test_an_instance_that_has_grown_over_half_of_its_memory_is_replaced(
    runtime: WasmRuntime, workshop: Workshop
) -> None:
    small = Limits(memory_bytes=100 * 65536, time_ms=LIMITS.time_ms)
    large = Limits(memory_bytes=1000 * 65536, time_ms=LIMITS.time_ms)
    for limits, again in ((small, "1"), (large, "2")):
        guest = workshop.load(runtime, "growing_counter_handler", limits, Instances.WARM)
        assert [count(guest), count(guest)] == ["1", again]


def test_many_threads_share_the_instances_of_a_service(load: Load) -> None:
    guest = load("counter_handler")
    counts: list[str] = []

    def ask() -> None:
        counts.extend([count(guest) for _ in range(50)])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == 200
    assert counts.count("11") <= 4  # as many instances as threads, at most


# What rests


class Fake:
    """An instance that can only be thrown away."""

    def __init__(self) -> None:
        self.closed = 0

    def allocate(self, length: int) -> int:
        """Not asked of it."""
        raise NotImplementedError

    def handle(self, at: int, length: int) -> int:
        """Not asked of it."""
        raise NotImplementedError

    def start(self) -> None:
        """Not asked of it."""
        raise NotImplementedError

    def memory(self) -> GuestMemory:
        """Not asked of it."""
        raise NotImplementedError

    def renew(self, call: Call, ticks: int) -> None:
        """Not asked of it."""
        raise NotImplementedError

    def close(self) -> None:
        """Thrown away."""
        self.closed += 1


def test_the_instance_used_last_is_taken_first_and_the_idle_are_thrown_away() -> None:
    now = 0.0
    warm = WarmInstances(clock=lambda: now)
    first, second = Fake(), Fake()
    warm.put("a", Resting(first, 1))
    now = 1.0
    warm.put("a", Resting(second, 1))
    now = WARM_IDLE_S + 0.5
    warm.tidy()
    assert (first.closed, second.closed) == (1, 0)
    taken = warm.take("a")
    assert taken is not None
    assert taken.instance is second
    assert warm.take("a") is None


def test_one_of_another_owner_is_never_taken() -> None:
    warm = WarmInstances()
    warm.put("a", Resting(Fake(), 1))
    assert warm.take("b") is None
    assert warm.take("a") is not None


def test_of_too_many_the_one_that_rested_longest_goes() -> None:
    warm = WarmInstances(most=2)
    instances = [Fake() for _ in range(3)]
    for owner, instance in zip("abc", instances, strict=True):
        warm.put(owner, Resting(instance, 1))
    assert [one.closed for one in instances] == [1, 0, 0]
    assert len(warm) == 2


def test_after_so_many_requests_an_instance_is_thrown_away() -> None:
    warm, instance = WarmInstances(), Fake()
    resting = Resting(instance, 1)
    resting.calls = WARM_CALLS - 2
    warm.put("a", resting)
    assert warm.take("a") is resting
    warm.put("a", resting)
    assert instance.closed == 1
    assert warm.take("a") is None


def test_closed_it_keeps_nothing() -> None:
    warm, before, after = WarmInstances(), Fake(), Fake()
    warm.put("a", Resting(before, 1))
    warm.close()
    warm.put("a", Resting(after, 1))
    assert (before.closed, after.closed, len(warm)) == (1, 1, 0)
