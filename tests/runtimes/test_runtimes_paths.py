"""Every guest, good and bad, on both paths: what comes of it, and that the paths agree to the letter."""

import dataclasses

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st
from runtimes_guests import LIMITS, REQUEST, Workshop, outcome, wasm

from footloose.core.errors import LocalError
from footloose.core.limits import GUEST_LOG_BYTES
from footloose.model.app import Limits
from footloose.model.guest import GuestAnswer, GuestError, GuestFault
from footloose.runtimes.wasm.inspect import detect_kind
from footloose.runtimes.wasm.runtime import WasmRuntime

SHORT = Limits(time_ms=50.0)


@dataclasses.dataclass(frozen=True)
class Case:
    """What is to come of a call: an answer's output or a fault, and what the failure's message says."""

    guest: str
    output: bytes | None = None
    fault: GuestFault | None = None
    says: str = ""
    log: bytes = b""
    limits: Limits = LIMITS
    body: bytes = b""


CASES = [
    Case(
        "hello/hello_handler",
        b"Content-Type: text/plain; charset=utf-8\r\n\r\nHello from a handler: GET /a/path\nYou sent 4 bytes.\n",
        body=b"body",
    ),
    Case(
        "hello/hello_command",
        b"Content-Type: text/plain; charset=utf-8\r\n\r\nHello from a command: GET /a/path\nYou sent 4 bytes.\n",
        body=b"body",
    ),
    Case("counter_handler", b"\r\n11"),
    Case("growing_handler", b"\r\n"),
    Case("greedy_handler", b"\r\n"),
    Case("logging_start_handler", b"\r\n", log=b"begun\n"),
    Case("log_flood_handler", b"\r\n", log=(bytes(1000) + b"\n") * 8 + bytes(GUEST_LOG_BYTES - 8 * 1001)),
    Case("wild_command", b"\r\n"),
    Case("after_exit_command", b"\r\n"),
    Case("confined_command", b"\r\nI am guest\n"),
    Case("trap_handler", fault=GuestFault.TRAP, says="unreachable"),
    Case("trapping_start_handler", fault=GuestFault.TRAP, says="unreachable"),
    Case("divide_by_zero_handler", fault=GuestFault.TRAP, says="integer division by zero"),
    Case("deep_recursion_handler", fault=GuestFault.TRAP, says="stack overflow"),
    Case("abort_command", fault=GuestFault.TRAP, says="unreachable"),
    Case("bad_log_handler", fault=GuestFault.TRAP, says="memory the guest does not have", log=b"good\n"),
    Case("endless_loop_handler", fault=GuestFault.TIME, says="more than 50 ms", limits=SHORT),
    Case("endless_alloc_handler", fault=GuestFault.TIME, says="more than 50 ms", limits=SHORT),
    Case("endless_start_handler", fault=GuestFault.TIME, says="more than 50 ms", limits=SHORT),
    Case("endless_command", fault=GuestFault.TIME, says="more than 50 ms", limits=SHORT),
    Case("memory_bomb_handler", fault=GuestFault.MEMORY, says="16777216 of 16777216 bytes of memory"),
    Case("memory_bomb_command", fault=GuestFault.MEMORY, says="bytes of memory in use"),
    Case("no_room_handler", fault=GuestFault.MEMORY, says="no room for a request"),
    Case("output_flood_handler", fault=GuestFault.OUTPUT, says="2097152 bytes"),
    Case("flood_command", fault=GuestFault.OUTPUT, says="more than 1048576 bytes"),
    Case("bad_pointer_handler", fault=GuestFault.ANSWER, says="outside its memory"),
    Case("bad_length_handler", fault=GuestFault.ANSWER, says="outside its memory"),
    Case("bad_alloc_handler", fault=GuestFault.ANSWER, says="footloose_alloc gave 4294967280"),
    Case("exit_command", fault=GuestFault.EXIT, says="status 3", log=b"something is missing\n"),
]


def described(found: GuestAnswer | GuestError) -> tuple[object, ...]:
    """All there is to see of what came of a call."""
    if isinstance(found, GuestError):
        return found.fault, found.what, found.log
    return found.output, found.log


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.guest)
def test_every_guest_comes_to_its_own_end(case: Case, runtime: WasmRuntime, workshop: Workshop) -> None:
    found = outcome(workshop.load(runtime, case.guest, case.limits), case.body)
    if isinstance(found, GuestAnswer):
        assert (found.output, found.log) == (case.output, case.log)
    else:
        assert (found.fault, found.log) == (case.fault, case.log), found
        assert case.says in str(found)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.guest)
def test_both_paths_agree(case: Case, fast: WasmRuntime, portable: WasmRuntime, workshop: Workshop) -> None:
    found = [outcome(workshop.load(path, case.guest, case.limits), case.body) for path in (fast, portable)]
    assert described(found[0]) == described(found[1])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.guest)
def test_a_guest_leaves_nothing_behind(case: Case, runtime: WasmRuntime, workshop: Workshop) -> None:
    """A failed call harms neither the next call of the same guest nor a call of another."""
    bystander = workshop.load(runtime, "counter_handler")
    guest = workshop.load(runtime, case.guest, case.limits)
    first = outcome(guest, case.body)
    assert outcome(bystander) == GuestAnswer(b"\r\n11")
    second = outcome(guest, case.body)
    assert str(first) == str(second)
    assert first.log == second.log


def test_output_may_be_exactly_as_long_as_allowed(runtime: WasmRuntime, workshop: Workshop) -> None:
    for name in ("hello/hello_handler", "hello/hello_command"):
        full = workshop.load(runtime, name).call(REQUEST, b"").output
        exact = Limits(time_ms=LIMITS.time_ms, output_bytes=len(full))
        short = Limits(time_ms=LIMITS.time_ms, output_bytes=len(full) - 1)
        assert workshop.load(runtime, name, exact).call(REQUEST, b"").output == full
        with pytest.raises(GuestError) as failure:
            workshop.load(runtime, name, short).call(REQUEST, b"")
        assert failure.value.fault is GuestFault.OUTPUT


def test_a_smaller_memory_limit_is_kept(runtime: WasmRuntime, workshop: Workshop) -> None:
    limits = Limits(time_ms=LIMITS.time_ms, memory_bytes=1024 * 1024)
    with pytest.raises(GuestError, match="1048576 of 1048576 bytes") as failure:
        workshop.load(runtime, "memory_bomb_handler", limits).call(REQUEST, b"")
    assert failure.value.fault is GuestFault.MEMORY


def test_a_body_too_large_for_the_guest_is_the_guests_failure(runtime: WasmRuntime, workshop: Workshop) -> None:
    limits = Limits(time_ms=LIMITS.time_ms, memory_bytes=1024 * 1024)
    with pytest.raises(GuestError):
        workshop.load(runtime, "hello/hello_handler", limits).call(REQUEST, bytes(2 * 1024 * 1024))


MUTATED = ("echo_handler", "hello/hello_handler", "hello/hello_command", "header_handler", "wild_command")


@given(st.sampled_from(MUTATED), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=3))
def test_both_paths_agree_on_modules_with_bytes_changed(
    fast: WasmRuntime, portable: WasmRuntime, workshop: Workshop, name: str, changes: list[tuple[float, int]]
) -> None:
    """Most such modules are refused; those that are not do whatever they do, and harm nothing."""
    content = bytearray(wasm(name))
    for place, value in changes:
        content[int(place * len(content))] = value
    try:
        kind = detect_kind(bytes(content))
        compiled = workshop.compile(bytes(content))
        guests = [path.load(compiled, kind, Limits(time_ms=500.0)) for path in (fast, portable)]
    except (LocalError, wasmtime.WasmtimeError):
        return
    assert described(outcome(guests[0], b"body")) == described(outcome(guests[1], b"body"))
