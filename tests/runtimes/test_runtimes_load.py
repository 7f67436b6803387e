"""Loading: what is refused, and what a runtime keeps and lets go."""

import os
import threading
from pathlib import Path

import pytest
import wasmtime
from runtimes_guests import LIMITS, REQUEST, Workshop, wasm
from runtimes_modules import heavy_command

from footloose.core.errors import LocalError
from footloose.core.limits import GUEST_INSTANCES, GUEST_MEMORY_BYTES, GUEST_MEMORY_MOST_BYTES
from footloose.model.app import GuestKind, Limits
from footloose.model.guest import Guest, GuestAnswer, Runtime
from footloose.runtimes.wasm import capi, engine
from footloose.runtimes.wasm.cache import write_compiled
from footloose.runtimes.wasm.call import Call
from footloose.runtimes.wasm.engine import engine_key, running_engine
from footloose.runtimes.wasm.runtime import WasmRuntime

HELLO = "hello/hello_handler"


def refusal(runtime: WasmRuntime, compiled: Path, kind: GuestKind, limits: Limits = LIMITS) -> str:
    with pytest.raises(LocalError) as refused:
        runtime.load(compiled, kind, limits)
    return str(refused.value)


def test_the_runtime_is_one_and_its_guests_are_guests(runtime: WasmRuntime, workshop: Workshop) -> None:
    typed: Runtime = runtime
    guest: Guest = typed.load(workshop.compile(wasm(HELLO)), GuestKind.HANDLER, LIMITS)
    assert guest.call(REQUEST, b"").output


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("hello/hello_handler", GuestKind.COMMAND, "does not export _start"),
        ("hello/hello_command", GuestKind.HANDLER, "does not export footloose_alloc"),
        ("refused_no_alloc", GuestKind.HANDLER, "does not export footloose_alloc (i32) -> (i32), as a handler must"),
        ("refused_no_memory", GuestKind.HANDLER, "does not export a 32-bit memory"),
        ("refused_signature", GuestKind.HANDLER, "does not export footloose_handle (i32, i32) -> (i64)"),
        ("refused_import", GuestKind.HANDLER, "imports wasi_snapshot_preview1.path_open, which a handler may not"),
        ("refused_import_kind", GuestKind.HANDLER, "imports footloose.log, which a handler may not"),
        ("refused_import_type", GuestKind.HANDLER, "imports footloose.log with another type"),
        ("refused_old_wasi", GuestKind.COMMAND, "imports wasi_unstable.proc_exit, which a command may not"),
        ("large_handler", GuestKind.HANDLER, "needs 33554432 bytes of memory to begin with"),
    ],
)
def test_a_module_that_is_not_the_guest_it_should_be_is_refused(
    name: str, kind: GuestKind, says: str, runtime: WasmRuntime, workshop: Workshop
) -> None:
    assert says in refusal(runtime, workshop.compile(wasm(name)), kind)


def test_a_larger_memory_limit_lets_a_large_guest_in(runtime: WasmRuntime, workshop: Workshop) -> None:
    workshop.load(runtime, "large_handler", Limits(memory_bytes=2 * GUEST_MEMORY_BYTES))


@pytest.mark.parametrize(
    "limits",
    [
        Limits(memory_bytes=0),
        Limits(memory_bytes=GUEST_MEMORY_MOST_BYTES + 1),
        Limits(time_ms=0.0),
        Limits(time_ms=float("inf")),
        Limits(time_ms=float("nan")),
        Limits(output_bytes=-1),
    ],
)
def test_limits_nobody_can_keep_are_refused(limits: Limits, runtime: WasmRuntime, workshop: Workshop) -> None:
    assert "limit" in refusal(runtime, workshop.compile(wasm(HELLO)), GuestKind.HANDLER, limits)


def test_a_file_that_is_not_there_is_refused(runtime: WasmRuntime, tmp_path: Path) -> None:
    assert "No such file" in refusal(runtime, tmp_path / "nothing.cwasm", GuestKind.HANDLER)


def test_a_damaged_file_is_refused(runtime: WasmRuntime, workshop: Workshop, tmp_path: Path) -> None:
    code = bytearray(workshop.compile(wasm(HELLO)).read_bytes())
    target = tmp_path / "damaged.cwasm"
    write_compiled(target, bytes(code))
    code[len(code) // 2] ^= 1
    target.write_bytes(code)
    assert "damaged" in refusal(runtime, target, GuestKind.HANDLER)


def test_a_file_without_its_digest_is_refused(runtime: WasmRuntime, workshop: Workshop, tmp_path: Path) -> None:
    target = tmp_path / "alone.cwasm"
    target.write_bytes(workshop.compile(wasm(HELLO)).read_bytes())
    assert "cannot be read" in refusal(runtime, target, GuestKind.HANDLER)


@pytest.mark.parametrize("content", [b"", b"no code at all", b"\x7fELF" + bytes(200), wasm(HELLO)])
def test_a_file_that_is_no_compiled_code_is_refused(content: bytes, runtime: WasmRuntime, tmp_path: Path) -> None:
    target = tmp_path / "strange.cwasm"
    write_compiled(target, content)
    assert "the engine refuses it" in refusal(runtime, target, GuestKind.HANDLER)


def test_code_compiled_with_other_settings_is_refused(runtime: WasmRuntime, tmp_path: Path) -> None:
    target = tmp_path / "other.cwasm"
    write_compiled(target, bytes(wasmtime.Module(wasmtime.Engine(), wasm(HELLO)).serialize()))
    assert "the engine refuses it" in refusal(runtime, target, GuestKind.HANDLER)


def test_the_engine_key_changes_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    key = engine_key()
    assert key == engine_key.__wrapped__()
    monkeypatch.setattr(engine, "CODE_SETTINGS", {**engine.CODE_SETTINGS, "cranelift_opt_level": "none"})
    assert engine_key.__wrapped__() != key


def test_compiling_twice_gives_the_same_code(workshop: Workshop) -> None:
    code = [bytes(wasmtime.Module(engine.compiling_engine(), wasm(HELLO)).serialize()) for _ in range(2)]
    assert code[0] == code[1]


def test_a_file_is_read_once_and_again_when_it_has_changed(
    runtime: WasmRuntime, workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "module.cwasm"
    write_compiled(target, workshop.compile(wasm(HELLO)).read_bytes())
    runtime.load(target, GuestKind.HANDLER, LIMITS)
    with monkeypatch.context() as patch:
        patch.setattr("footloose.runtimes.wasm.runtime.verify_compiled", pytest.fail)
        runtime.load(target, GuestKind.HANDLER, Limits(time_ms=5.0))
    write_compiled(target, workshop.compile(wasm("counter_handler")).read_bytes())
    os.utime(target, ns=(1, 1))
    assert runtime.load(target, GuestKind.HANDLER, LIMITS).call(REQUEST, b"") == GuestAnswer(b"\r\n11")


def test_a_closed_runtime_loads_nothing(workshop: Workshop) -> None:
    runtime = WasmRuntime()
    compiled = workshop.compile(wasm(HELLO))
    runtime.load(compiled, GuestKind.HANDLER, LIMITS)
    runtime.close()
    runtime.close()
    assert "closed" in refusal(runtime, compiled, GuestKind.HANDLER)


def test_an_engine_it_was_not_tested_with_gets_the_portable_path(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(capi, "ENGINE_VERSION", "99.0.0")
    runtime = WasmRuntime()
    try:
        assert not runtime.fast
        assert workshop.load(runtime, HELLO).call(REQUEST, b"").output
    finally:
        runtime.close()
    assert "99.0.0" in caplog.text


def test_threads_with_too_little_stack_are_noticed_before_a_guest_runs() -> None:
    usual = threading.stack_size(512 * 1024)
    try:
        with pytest.raises(LocalError, match="too little for guests"):
            WasmRuntime()
    finally:
        threading.stack_size(usual)


def test_more_instances_than_there_is_room_for_are_an_error_not_a_crash(workshop: Workshop) -> None:
    own = running_engine()
    module = wasmtime.Module.deserialize_file(own, str(workshop.compile(heavy_command(1, 1))))
    linked = capi.FastLinker(own).link(module, GuestKind.COMMAND)
    instances = [linked.instantiate(Call((), b"", 0), LIMITS, 100) for _ in range(GUEST_INSTANCES)]
    try:
        with pytest.raises(LocalError, match="limit"):
            linked.instantiate(Call((), b"", 0), LIMITS, 100)
    finally:
        for instance in instances:
            instance.close()
    instance = linked.instantiate(Call((), b"", 0), LIMITS, 100)
    instance.start()
    instance.close()
