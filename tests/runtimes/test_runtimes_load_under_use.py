"""Many calls: from several threads at once, and for long."""

import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from runtimes_guests import REQUEST, Workshop, outcome

from footloose.model.app import Limits
from footloose.model.guest import GuestAnswer, GuestError, GuestFault
from footloose.runtimes.wasm import wasi
from footloose.runtimes.wasm.runtime import WasmRuntime

THREADS = 4


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_threads_get_their_own_answers(runtime: WasmRuntime, workshop: Workshop) -> None:
    """Half the calls fail, in ways that pass through host functions, while the others must stay whole."""
    echo = {name: workshop.load(runtime, name) for name in ("echo_handler", "echo_command")}
    failing = {
        name: (workshop.load(runtime, name), fault)
        for name, fault in (
            ("exit_command", GuestFault.EXIT),
            ("bad_log_handler", GuestFault.TRAP),
            ("deep_recursion_handler", GuestFault.TRAP),
            ("bad_pointer_handler", GuestFault.ANSWER),
        )
    }
    together = threading.Barrier(THREADS)

    def work(number: int) -> None:
        together.wait()
        for turn in range(25):
            for guest in echo.values():
                body = f"thread {number}, turn {turn}".encode() * 50
                answer = guest.call((("NUMBER", str(number)),), body)
                assert answer.output.endswith(b"\0" + body)
                assert b"NUMBER=%d\0" % number in answer.output
            for guest, fault in failing.values():
                failure = outcome(guest)
                assert isinstance(failure, GuestError)
                assert failure.fault is fault

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work, number) for number in range(THREADS)]:
            done.result()


def test_an_endless_guest_does_not_hold_up_the_others(runtime: WasmRuntime, workshop: Workshop) -> None:
    """The others answer while it runs; only its own time limit ends it."""
    endless = workshop.load(runtime, "endless_loop_handler", Limits(time_ms=1_500.0))
    hello = workshop.load(runtime, "hello/hello_handler")
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(outcome, endless)
        answers = [hello.call(REQUEST, b"") for _ in range(20)]
        assert not stuck.done()
        assert len(answers) == 20
        failure = stuck.result()
    assert isinstance(failure, GuestError)
    assert failure.fault is GuestFault.TIME


def test_time_limits_hold_after_a_pause(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ticker sleeps when no guest has run for a while, and wakes for the next."""
    monkeypatch.setattr("footloose.runtimes.wasm.ticker.IDLE_TICKS", 1)
    runtime = WasmRuntime()
    try:
        guest = workshop.load(runtime, "endless_loop_handler", Limits(time_ms=20.0))
        parked = threading.Event()
        for _ in range(5):
            while not runtime._ticker._parked:
                parked.wait(0.001)
            failure = outcome(guest)
            assert isinstance(failure, GuestError)
            assert failure.fault is GuestFault.TIME
    finally:
        runtime.close()


def test_thousands_of_calls_leave_no_memory_behind(runtime: WasmRuntime, workshop: Workshop) -> None:
    names = ("hello/hello_handler", "hello/hello_command", "trap_handler", "exit_command", "growing_handler")
    guests = [workshop.load(runtime, name) for name in (*names, "memory_bomb_handler")]

    def calls(rounds: int) -> None:
        for _ in range(rounds):
            for guest in guests:
                outcome(guest)

    calls(200)
    before = resident_bytes()
    calls(1000)
    assert resident_bytes() < before * 1.1


def test_a_mistake_of_ours_in_a_host_function_is_raised_and_not_swallowed(
    runtime: WasmRuntime, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = workshop.load(runtime, "confined_command")

    class Mistake(Exception):
        pass

    def broken(_length: int) -> bytes:
        raise Mistake

    with monkeypatch.context() as patch:
        patch.setattr(wasi.os, "urandom", broken)
        with pytest.raises(Mistake):
            guest.call(REQUEST, b"")
    assert guest.call(REQUEST, b"") == GuestAnswer(b"\r\nI am guest\n")
