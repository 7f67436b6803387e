"""Checks an artifact before it is accepted: is it a WebAssembly module, of which kind, does it import only what it may.

Reads the binary format's outer sections and never runs or compiles anything; function bodies are left to the engine.
Source: WebAssembly Core Specification 2.0, chapter 5.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec

from footloose.core.errors import LocalError
from footloose.core.limits import ARTIFACT_BYTES
from footloose.model.app import GuestKind
from footloose.runtimes.wasm.contract import EXPORTS, HANDLE, IMPORTS, MEMORY, START, Signature

T = TypeVar("T")

_MAGIC = b"\0asm"
_MODULE_VERSION = b"\1\0\0\0"
_COMPONENT_LAYER = b"\1\0"
"""Second half of the version field of a component (WebAssembly/component-model, ``Binary.md``)."""

_TYPES, _IMPORTS, _FUNCTIONS, _EXPORTS = 1, 2, 3, 7
_FUNCTION, _TABLE, _MEMORY, _GLOBAL, _TAG = range(5)
_KIND_NAMES = ("function", "table", "memory", "global", "tag")
_VALUE_TYPES = {0x7F: "i", 0x7E: "I", 0x7D: "?", 0x7C: "?", 0x7B: "?", 0x70: "?", 0x6F: "?"}
_FUNCTION_TYPE = 0x60
_LIMITS_WITH_MAXIMUM, _LIMITS_64_BIT = 1, 4
_WHERE = "WebAssembly module"


class Import(msgspec.Struct, frozen=True):
    """``module``.``name``; ``signature`` is None unless it is a function."""

    module: str
    name: str
    kind: str
    signature: Signature | None = None


class Export(msgspec.Struct, frozen=True):
    """Something exported; ``signature`` is None unless it is a function."""

    kind: str
    signature: Signature | None = None


class Outline(msgspec.Struct, frozen=True):
    """A module's imports and exports."""

    imports: tuple[Import, ...]
    exports: dict[str, Export]


def detect_kind(wasm: bytes) -> GuestKind:
    """Which kind of guest an artifact is.

    Raises :class:`LocalError`, which says what is wrong, if it is neither: not WebAssembly, a component, malformed,
    without the exports of either kind, or with an import that its kind may not have.
    """
    outline = read_outline(wasm)
    kind = _kind(outline)
    for name, wanted in EXPORTS[kind].items():
        _check_function_export(outline, kind, name, wanted)
    memory = outline.exports.get(MEMORY)
    if memory is None or memory.kind != _KIND_NAMES[_MEMORY]:
        raise LocalError(f"is a {kind.value}, but does not export its memory", where=_WHERE, fix="export it as memory")
    _check_imports(outline, kind)
    return kind


def read_outline(wasm: bytes) -> Outline:
    """The imports and exports of a module. Raises :class:`LocalError` if it is not one or is malformed."""
    _check_header(wasm)
    reader = _Reader(wasm, 8, len(wasm))
    types: list[Signature] = []
    imports: list[Import] = []
    functions: list[int] = []
    exports: list[tuple[str, int, int]] = []
    while not reader.at_end():
        section = reader.byte()
        body = reader.part(reader.u32())
        if section == _TYPES:
            types = body.vector(_read_type)
        elif section == _IMPORTS:
            imports = body.vector(partial(_read_import, types=types))
        elif section == _FUNCTIONS:
            functions = body.vector(_Reader.u32)
        elif section == _EXPORTS:
            exports = body.vector(_read_export)
    signatures = [item.signature for item in imports if item.signature is not None]
    signatures += [_nth(types, index) for index in functions]
    return Outline(
        tuple(imports),
        {
            name: Export(_nth(_KIND_NAMES, kind), _nth(signatures, index) if kind == _FUNCTION else None)
            for name, kind, index in exports
        },
    )


# ---- What a guest must be --------------------------------------------------------------------------------------------


def _check_header(wasm: bytes) -> None:
    if len(wasm) > ARTIFACT_BYTES:
        raise LocalError(f"{len(wasm)} bytes, more than the {ARTIFACT_BYTES} an artifact may have", where=_WHERE)
    if wasm[:4] != _MAGIC or len(wasm) < 8:
        raise LocalError(
            f"not WebAssembly: begins with {bytes(wasm[:8])!r}", where=_WHERE, fix="give a .wasm file in binary form"
        )
    if wasm[6:8] == _COMPONENT_LAYER:
        raise LocalError(
            "a component; guests are core modules",
            where=_WHERE,
            fix="build for wasm32-wasip1 (a command) or as a handler, without the component step",
        )
    if wasm[4:8] != _MODULE_VERSION:
        raise LocalError(f"of an unknown version {wasm[4:8].hex()}", where=_WHERE, fix="version 01000000 is known")


def _kind(outline: Outline) -> GuestKind:
    if HANDLE in outline.exports:
        return GuestKind.HANDLER
    if START in outline.exports:
        return GuestKind.COMMAND
    names = ", ".join(sorted(outline.exports)[:8]) or "nothing"
    raise LocalError(
        f"exports neither {START} (a command) nor {HANDLE} (a handler), but {names[:200]}",
        where=_WHERE,
        fix="build it as a WASI command, or export what a handler must",
    )


def _check_function_export(outline: Outline, kind: GuestKind, name: str, wanted: Signature) -> None:
    found = outline.exports.get(name)
    if found is None:
        raise LocalError(f"is a {kind.value}, but does not export {name} {wanted}", where=_WHERE)
    if found.signature != wanted:
        given = f"a function {found.signature}" if found.signature is not None else f"a {found.kind}"
        raise LocalError(f"exports {name} as {given} where {wanted} is wanted", where=_WHERE)


def _check_imports(outline: Outline, kind: GuestKind) -> None:
    allowed = IMPORTS[kind]
    forbidden = [item for item in outline.imports if (item.module, item.name) not in allowed]
    if forbidden:
        names = ", ".join(f"{item.module}.{item.name}" for item in forbidden[:5])
        more = f" and {len(forbidden) - 5} more" if len(forbidden) > 5 else ""
        raise LocalError(
            f"imports what a {kind.value} may not: {names[:300]}{more}", where=_WHERE, fix=_import_advice(kind)
        )
    for item in outline.imports:
        function = allowed[item.module, item.name]
        if item.signature != Signature(function.parameters, function.results):
            raise LocalError(f"imports {item.module}.{item.name} with another type than it has", where=_WHERE)


def _import_advice(kind: GuestKind) -> str:
    modules = sorted({module for module, _name in IMPORTS[kind]})
    return f"a {kind.value} may import functions of {', '.join(modules)} only"


# ---- The binary format -----------------------------------------------------------------------------------------------


class _Reader:
    """Reads from ``at`` up to ``end``. Every method raises :class:`LocalError` where the bytes do not last."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data = data
        self._at = at
        self._end = end

    def at_end(self) -> bool:
        return self._at >= self._end

    def byte(self) -> int:
        if self._at >= self._end:
            raise self.malformed("it ends too early")
        self._at += 1
        return self._data[self._at - 1]

    def part(self, length: int) -> "_Reader":
        """The next ``length`` bytes by themselves."""
        start, end = self._at, self._at + length
        if end > self._end:
            raise self.malformed("a part is longer than what is left")
        self._at = end
        return _Reader(self._data, start, end)

    def leb128(self, bits: int) -> int:
        """An unsigned number in LEB128 form (§5.2.2)."""
        value = 0
        for shift in range(0, bits, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> bits:
                    break
                return value
        raise self.malformed(f"a number does not fit {bits} bits")

    def u32(self) -> int:
        return self.leb128(32)

    def name(self) -> str:
        part = self.part(self.u32())
        try:
            return self._data[part._at : part._end].decode()
        except UnicodeDecodeError:
            raise self.malformed("a name is not UTF-8") from None

    def vector(self, read: Callable[["_Reader"], T]) -> list[T]:
        """Elements that fill the rest, after their number (§5.1.3)."""
        items = [read(self) for _ in range(self.u32())]
        if not self.at_end():
            raise self.malformed("a section is longer than what it holds")
        return items

    def malformed(self, reason: str) -> LocalError:
        return LocalError(f"malformed at byte {self._at}: {reason}", where=_WHERE, fix="build it again")


def _nth(items: "list[T] | tuple[T, ...]", index: int) -> T:
    if index >= len(items):
        raise LocalError(f"malformed: it refers to entry {index} of {len(items)}", where=_WHERE, fix="build it again")
    return items[index]


def _read_type(reader: _Reader) -> Signature:
    form = reader.byte()
    if form != _FUNCTION_TYPE:
        raise LocalError(
            f"uses a type of form {form:#x}", where=_WHERE, fix="build for WebAssembly 2.0, without garbage collection"
        )
    parameters = [_value_type(reader) for _ in range(reader.u32())]
    return Signature("".join(parameters), "".join([_value_type(reader) for _ in range(reader.u32())]))


def _value_type(reader: _Reader) -> str:
    code = reader.byte()
    if code not in _VALUE_TYPES:
        raise LocalError(f"uses a value type {code:#x}", where=_WHERE, fix="build for WebAssembly 2.0")
    return _VALUE_TYPES[code]


def _read_import(reader: _Reader, types: list[Signature]) -> Import:
    module, name, kind = reader.name(), reader.name(), reader.byte()
    signature = None
    if kind == _FUNCTION:
        signature = _nth(types, reader.u32())
    elif kind == _TABLE:
        _value_type(reader)
        _skip_limits(reader)
    elif kind == _MEMORY:
        _skip_limits(reader)
    elif kind == _GLOBAL:
        _value_type(reader)
        reader.byte()
    elif kind == _TAG:
        reader.byte()
        reader.u32()
    return Import(module, name, _nth(_KIND_NAMES, kind), signature)


def _skip_limits(reader: _Reader) -> None:
    flags = reader.byte()
    bits = 64 if flags & _LIMITS_64_BIT else 32
    reader.leb128(bits)
    if flags & _LIMITS_WITH_MAXIMUM:
        reader.leb128(bits)


def _read_export(reader: _Reader) -> tuple[str, int, int]:
    return reader.name(), reader.byte(), reader.u32()
