"""What is accepted as a guest, and how everything else is refused."""

import contextlib

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st
from runtimes_guests import GUESTS, kind_of, wasm
from runtimes_modules import leb128, section

from footloose.core.errors import LocalError
from footloose.model.app import GuestKind
from footloose.runtimes.wasm.inspect import detect_kind, read_outline

HEADER = b"\0asm\1\0\0\0"
OURS = sorted(path.stem for path in GUESTS.glob("*.wa*") if path.stem.endswith(("_handler", "_command")))
GOOD = ["hello/hello_handler", "hello/hello_command", *OURS]


@pytest.mark.parametrize("name", GOOD)
def test_the_kind_of_a_guest_is_seen_from_its_exports(name: str) -> None:
    assert detect_kind(wasm(name)) is kind_of(name)


@pytest.mark.parametrize("name", GOOD)
def test_the_outline_is_what_the_engine_sees(name: str) -> None:
    module = wasmtime.Module(wasmtime.Engine(), wasm(name))
    outline = read_outline(wasm(name))
    assert [(item.module, item.name) for item in outline.imports] == [
        (item.module, item.name) for item in module.imports
    ]
    assert list(outline.exports) == [item.name for item in module.exports]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("refused_no_alloc", "does not export footloose_alloc (i32) -> (i32)"),
        ("refused_no_memory", "does not export its memory"),
        ("refused_no_guest", "exports neither _start (a command) nor footloose_handle (a handler), but add, memory"),
        ("refused_signature", "exports footloose_handle as a function (i32, i32) -> (i32) where (i32, i32) -> (i64)"),
        ("refused_import", "imports what a handler may not: wasi_snapshot_preview1.path_open, env.system"),
        ("refused_import_kind", "imports footloose.log with another type"),
        ("refused_import_type", "imports footloose.log with another type"),
        ("refused_old_wasi", "imports what a command may not: wasi_unstable.proc_exit"),
    ],
)
def test_a_module_that_is_no_guest_is_told_why(name: str, says: str) -> None:
    with pytest.raises(LocalError) as refusal:
        detect_kind(wasm(name))
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not WebAssembly"),
        (b"\0as", "not WebAssembly"),
        (b"\0asm", "not WebAssembly"),
        (b"#!/bin/sh\necho hello\n", "begins with b'#!/bin/s'"),
        (b"\x7fELF\2\1\1\0", "not WebAssembly"),
        (b"(module)", "give a .wasm file in binary form"),
        (b"\0asm\x0d\0\1\0", "a component; guests are core modules"),
        (b"\0asm\2\0\0\0", "unknown version 02000000"),
        (HEADER, "exports neither"),
        (HEADER + b"\1", "it ends too early"),
        (HEADER + b"\1\x80\x80\x80\x80\x80\x80", "does not fit 32 bits"),
        (HEADER + b"\1\xff\xff\xff\xff\x7f", "does not fit 32 bits"),
        (HEADER + b"\1\x20", "longer than what is left"),
        (HEADER + section(1, b"\1\x5f\0"), "a type of form 0x5f"),
        (HEADER + section(1, b"\1\x60\1\x11\0"), "a value type 0x11"),
        (HEADER + section(1, b"\1\x60\0\0\0"), "longer than what it holds"),
        (HEADER + section(2, b"\1\1a\1b\0\7"), "refers to entry 7 of 0"),
        (HEADER + section(2, b"\1\1a\1b\x09"), "refers to entry 9 of 5"),
        (HEADER + section(3, b"\1\3"), "refers to entry 3 of 0"),
        (HEADER + section(7, b"\1\1\xff\0\0"), "not UTF-8"),
        (HEADER + section(7, b"\1\1a\0\0"), "refers to entry 0 of 0"),
        (HEADER + section(7, leb128(2**32 - 1)), "it ends too early"),
    ],
)
def test_what_is_not_a_module_is_told_why(content: bytes, says: str) -> None:
    with pytest.raises(LocalError) as refusal:
        detect_kind(content)
    assert says in str(refusal.value)


def test_other_imports_are_read_and_refused_by_name() -> None:
    content = HEADER + section(1, b"\1\x60\1\x7d\1\x7b")
    content += section(2, b"\4" + b"\1m\1t\1\x70\1\1\2" + b"\1m\1m\2\0\1" + b"\1m\1g\3\x7f\0" + b"\1m\1x\4\0\0")
    outline = read_outline(content)
    assert [(item.name, item.kind) for item in outline.imports] == [
        ("t", "table"),
        ("m", "memory"),
        ("g", "global"),
        ("x", "tag"),
    ]


def test_an_artifact_larger_than_allowed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footloose.runtimes.wasm.inspect.ARTIFACT_BYTES", 1000)
    with pytest.raises(LocalError, match="more than the 1000"):
        detect_kind(wasm("hello/hello_handler"))


@given(st.binary(max_size=200))
def test_garbage_is_refused(content: bytes) -> None:
    with pytest.raises(LocalError):
        detect_kind(content)


@given(st.binary(max_size=200))
def test_garbage_after_a_good_header_is_refused(content: bytes) -> None:
    with pytest.raises(LocalError):
        detect_kind(HEADER + content)


@given(st.sampled_from(["hello/hello_command", "hello/hello_handler"]), st.data())
def test_a_module_cut_short_is_refused_or_lost_only_what_is_not_read(name: str, data: st.DataObject) -> None:
    whole = wasm(name)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with contextlib.suppress(LocalError):
        assert detect_kind(whole[:cut]) is kind_of(name)


@given(st.sampled_from(GOOD), st.data())
def test_a_module_with_bytes_changed_never_breaks_the_reader(name: str, data: st.DataObject) -> None:
    content = bytearray(wasm(name))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 400) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(LocalError):
        assert detect_kind(bytes(content)) in GuestKind
