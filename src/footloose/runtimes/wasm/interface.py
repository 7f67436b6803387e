"""The types of a compiled module, held against what its kind of guest must look like.

``inspect`` has read the same from the artifact; this is asked of the very code that will run, because the fast path
counts its slots by these types.
"""

import wasmtime

from footloose.core.errors import LocalError
from footloose.model.app import GuestKind, Limits
from footloose.runtimes.wasm.contract import EXPORTS, IMPORTS, MEMORY, Signature

_PAGE_BYTES = 65536
_LETTERS = {"i32": "i", "i64": "I"}


def function_type(parameters: str, results: str) -> wasmtime.FuncType:
    """The engine's form of a signature."""
    kinds = {"i": wasmtime.ValType.i32, "I": wasmtime.ValType.i64}
    return wasmtime.FuncType([kinds[letter]() for letter in parameters], [kinds[letter]() for letter in results])


def signature_of(kind: wasmtime.FuncType) -> Signature:
    """Our form of the engine's; types that guests do not exchange with the host are written ``?``."""
    parameters = [_LETTERS.get(str(value), "?") for value in kind.params]
    return Signature("".join(parameters), "".join([_LETTERS.get(str(value), "?") for value in kind.results]))


def check_module(module: wasmtime.Module, kind: GuestKind, limits: Limits, *, where: str) -> None:
    """Raises :class:`LocalError` unless the module is a guest of this kind and fits into the memory allowed."""
    exports = {export.name: export.type for export in module.exports}
    for name, wanted in EXPORTS[kind].items():
        found = exports.get(name)
        if not isinstance(found, wasmtime.FuncType) or signature_of(found) != wanted:
            raise LocalError(f"does not export {name} {wanted}, as a {kind.value} must", where=where)
    memory = exports.get(MEMORY)
    if not isinstance(memory, wasmtime.MemoryType) or memory.is_64:
        raise LocalError("does not export a 32-bit memory", where=where)
    if memory.limits.min * _PAGE_BYTES > limits.memory_bytes:
        needed = memory.limits.min * _PAGE_BYTES
        raise LocalError(
            f"needs {needed} bytes of memory to begin with, more than the {limits.memory_bytes} allowed",
            where=where,
            fix="raise the service's memory limit or link the module with less",
        )
    for item in module.imports:
        allowed = IMPORTS[kind].get((item.module, item.name or ""))
        if allowed is None or not isinstance(item.type, wasmtime.FuncType):
            raise LocalError(f"imports {item.module}.{item.name}, which a {kind.value} may not", where=where)
        if signature_of(item.type) != Signature(allowed.parameters, allowed.results):
            raise LocalError(f"imports {item.module}.{item.name} with another type than it has", where=where)
