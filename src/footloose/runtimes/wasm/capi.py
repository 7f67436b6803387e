"""The fast path: the engine's C API through raw function pointers, a fresh instance per request in some 10 µs.

Only what every request does is here; engines, modules and linkers are made with the public classes. What could end the
process rather than raise is kept out by construction:

* Prototypes are taken from the types that the ``wasmtime`` package declares; pointers become plain integers.
* The unchecked calls trust the number of slots they are given. It is counted from the function types of the loaded
  module and of the host functions, never written by hand, and ``check_module`` has refused other signatures.
* A frame holds all that C writes to. It is used by one call at a time and outlives it.
* Functions that may run guest code release the interpreter lock (so the ticker can end an endless loop); the others
  keep it, as letting go costs more than they do.
"""

import ctypes
import struct
import threading
from _ctypes import CFuncPtr
from collections.abc import Callable
from ctypes import POINTER, addressof
from typing import Any

import wasmtime
from wasmtime import _bindings as bindings

from footloose.core.errors import LocalError
from footloose.model.app import GuestKind, Limits
from footloose.runtimes.wasm.call import Call, HostFunction, enter_host
from footloose.runtimes.wasm.contract import ALLOC, EXPORTS, HANDLE, IMPORTS, MEMORY, START
from footloose.runtimes.wasm.engine import ENGINE_VERSION
from footloose.runtimes.wasm.instance import Trapped
from footloose.runtimes.wasm.interface import function_type
from footloose.runtimes.wasm.memory import GuestMemory

_TESTED_VERSIONS = ("50.",)
"""Versions of the engine whose C API this file was written against."""


def unavailable() -> str | None:
    """Why the fast path cannot be used here, or None if it can."""
    if not ENGINE_VERSION.startswith(_TESTED_VERSIONS):
        return f"wasmtime {ENGINE_VERSION} is not a version it is tested with"
    return None


# ---- Function pointers -----------------------------------------------------------------------------------------------


def _plain(kind: Any) -> Any:
    """A type as the fast prototypes have it: pointers of all sorts as integers."""
    pointer = isinstance(kind, type) and issubclass(kind, (ctypes._Pointer, CFuncPtr))
    return ctypes.c_void_p if pointer else kind


def _function(name: str, *, runs_guest: bool = False) -> Callable[..., Any]:
    declared = getattr(bindings, f"_{name}")
    prototype = ctypes.CFUNCTYPE if runs_guest else ctypes.PYFUNCTYPE
    kinds = [_plain(kind) for kind in (declared.restype, *declared.argtypes)]
    return prototype(*kinds)(_address(declared))


def _address(pointer: Any) -> int:
    address = ctypes.cast(pointer, ctypes.c_void_p).value
    if address is None:
        raise LocalError("a null pointer where the engine should have given an object", where="wasmtime")
    return address


_store_new = _function("wasmtime_store_new")
_store_delete = _function("wasmtime_store_delete")
_store_context = _function("wasmtime_store_context")
_store_limiter = _function("wasmtime_store_limiter")
_set_epoch_deadline = _function("wasmtime_context_set_epoch_deadline")
_instantiate = _function("wasmtime_instance_pre_instantiate", runs_guest=True)
_export_get = _function("wasmtime_instance_export_get")
_call_unchecked = _function("wasmtime_func_call_unchecked", runs_guest=True)
_memory_data = _function("wasmtime_memory_data")
_memory_data_size = _function("wasmtime_memory_data_size")
_caller_export_get = _function("wasmtime_caller_export_get")
_trap_new_code = _function("wasmtime_trap_new_code")
_define_func_unchecked = _function("wasmtime_linker_define_func_unchecked")

_SLOT_BYTES = ctypes.sizeof(bindings.wasmtime_val_raw_t)
_SLOT_FORMAT = {"i": f"I{_SLOT_BYTES - 4}x", "I": f"Q{_SLOT_BYTES - 8}x"}
_EXTERN_CONTENT = bindings.wasmtime_extern_t.of.offset
_MEMORY_NAME = MEMORY.encode()
_UNLIMITED = -1

_current = threading.local()
"""``_current.instance`` is the instance whose guest runs on this thread: the engine calls host functions there."""


# ---- Where C writes --------------------------------------------------------------------------------------------------


class _Frame:
    """What C writes to during one call, and the addresses of its parts."""

    def __init__(self, slots: int) -> None:
        self.trap = ctypes.c_void_p()
        self.trap_at = addressof(self.trap)
        self._instance = bindings.wasmtime_instance_t()
        self.instance_at = addressof(self._instance)
        self._memory = bindings.wasmtime_extern_t()
        self.memory_extern_at = addressof(self._memory)
        self.memory_at = self.memory_extern_at + _EXTERN_CONTENT
        self._function = bindings.wasmtime_extern_t()
        self.function_extern_at = addressof(self._function)
        self.function_at = self.function_extern_at + _EXTERN_CONTENT
        self._slots = (bindings.wasmtime_val_raw_t * slots)()
        self.slots_at = addressof(self._slots)
        self.u32s = [ctypes.c_uint32.from_buffer(self._slots, i * _SLOT_BYTES) for i in range(slots)]
        self.u64s = [ctypes.c_uint64.from_buffer(self._slots, i * _SLOT_BYTES) for i in range(slots)]


class _Export:
    """An exported function: its name for C, and how its parameters and result lie in slots."""

    def __init__(self, name: str, kind: wasmtime.FuncType) -> None:
        self.name = name.encode()
        self.name_length = len(self.name)
        self.slots = max(len(kind.params), len(kind.results))


# ---- Modules and instances -------------------------------------------------------------------------------------------


class FastLinker:
    """The host functions, defined once for an engine, to link modules with."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._callbacks: list[Any] = []  # C holds their addresses as long as a linked module lives
        self._linkers = {kind: self._linker(kind) for kind in GuestKind}

    def link(self, module: wasmtime.Module, kind: GuestKind) -> "FastModule":
        """The module, ready to instantiate; ``check_module`` must have accepted it.

        Raises :class:`wasmtime.WasmtimeError` if an import is not met.
        """
        before = self._linkers[kind].instantiate_pre(module)
        exports = {item.name: item.type for item in module.exports if item.name in EXPORTS[kind]}
        functions = {
            name: _Export(name, type_) for name, type_ in exports.items() if isinstance(type_, wasmtime.FuncType)
        }
        return FastModule(self, self._engine, module, before, functions)

    def _linker(self, kind: GuestKind) -> wasmtime.Linker:
        linker = wasmtime.Linker(self._engine)
        for (module, name), function in IMPORTS[kind].items():
            callback = _callback(function)
            self._callbacks.append(callback)
            type_ = function_type(function.parameters, function.results)
            names = (module.encode(), len(module), name.encode(), len(name))
            error = _define_func_unchecked(
                _address(linker.ptr()), *names, _address(type_.ptr()), _address(callback), None, None
            )
            if error:
                raise _error(error)
        return linker


class FastModule:
    """A linked module (:class:`footloose.runtimes.wasm.guest.LinkedModule`)."""

    def __init__(
        self,
        linker: FastLinker,
        engine: wasmtime.Engine,
        module: wasmtime.Module,
        before: wasmtime.InstancePre,
        functions: dict[str, _Export],
    ) -> None:
        self._keep_alive = (linker, module, before)
        self._engine = engine
        self._engine_at = _address(engine.ptr())
        self._before_at = _address(before.ptr())
        self._slots = max(export.slots for export in functions.values())
        self.functions = functions
        self.frames: list[_Frame] = []
        """Frames not in use. Lists are popped and appended to atomically."""

    def instantiate(self, call: Call, limits: Limits, ticks: int) -> "FastInstance":
        """A fresh instance, to be stopped after so many ticks. Raises :class:`Trapped` or :class:`LocalError`."""
        try:
            frame = self.frames.pop()
        except IndexError:
            frame = _Frame(self._slots)
        store = _store_new(self._engine_at, None, None)
        context = _store_context(store)
        _store_limiter(store, limits.memory_bytes, _UNLIMITED, 1, _UNLIMITED, 1)
        _set_epoch_deadline(context, ticks)
        instance = FastInstance(self, call, frame, store, context)
        _current.instance = instance  # a start function may call the host
        error = _instantiate(self._before_at, context, frame.instance_at, frame.trap_at)
        if error or frame.trap.value:
            failure = _failure(error, frame)
            instance.close()
            raise failure
        return instance


class FastInstance:
    """One request's own instance (:class:`footloose.runtimes.wasm.guest.Instance`), used on one thread at a time."""

    __slots__ = ("_complete", "_module", "_store", "call", "context", "frame")

    def __init__(self, module: FastModule, call: Call, frame: _Frame, store: int, context: int) -> None:
        self._module = module
        self.call = call
        self.frame = frame
        self._store = store
        self.context = context
        self._complete = False  # once True, ``frame`` has its memory

    def allocate(self, length: int) -> int:
        """Call ``footloose_alloc``. Raises :class:`Trapped`."""
        frame = self.frame
        frame.u32s[0].value = length
        self._run(self._module.functions[ALLOC])
        return frame.u32s[0].value

    def handle(self, at: int, length: int) -> int:
        """Call ``footloose_handle``. Raises :class:`Trapped`."""
        frame = self.frame
        frame.u32s[0].value = at
        frame.u32s[1].value = length
        self._run(self._module.functions[HANDLE])
        return frame.u64s[0].value

    def start(self) -> None:
        """Call ``_start``. Raises :class:`Trapped`."""
        self._run(self._module.functions[START])

    def memory(self) -> GuestMemory:
        """Its memory, as large as it is now."""
        if not self._complete:
            frame = self.frame
            _export_get(self.context, frame.instance_at, _MEMORY_NAME, len(_MEMORY_NAME), frame.memory_extern_at)
            self._complete = True
        return self._memory()

    def memory_of(self, caller: int) -> GuestMemory:
        """The same while a host function runs, which may be before the instance is complete."""
        if not self._complete:
            _caller_export_get(caller, _MEMORY_NAME, len(_MEMORY_NAME), self.frame.memory_extern_at)
        return self._memory()

    def renew(self, call: Call, ticks: int) -> None:
        """Use it on this thread for another call, to be stopped after so many ticks."""
        self.call = call
        _current.instance = self
        _set_epoch_deadline(self.context, ticks)

    def close(self) -> None:
        """Throw it away."""
        _store_delete(self._store)
        _current.instance = None
        self._module.frames.append(self.frame)

    def _memory(self) -> GuestMemory:
        at = self.frame.memory_at
        return GuestMemory(_memory_data(self.context, at), _memory_data_size(self.context, at))

    def _run(self, export: _Export) -> None:
        frame = self.frame
        context = self.context
        _export_get(context, frame.instance_at, export.name, export.name_length, frame.function_extern_at)
        error = _call_unchecked(context, frame.function_at, frame.slots_at, export.slots, frame.trap_at)
        if error or frame.trap.value:
            raise _failure(error, frame)


# ---- From the guest to the host --------------------------------------------------------------------------------------

_Callback = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_INTERRUPT = wasmtime.TrapCode.INTERRUPT.value


def _callback(function: HostFunction) -> Any:
    """A C function that runs a host function and returns a trap where it ended the guest."""
    parameters = struct.Struct("<" + "".join(_SLOT_FORMAT[letter] for letter in function.parameters))
    result = {"": None, "i": ctypes.c_uint32}[function.results]

    def run(_data: int | None, caller: int, slots: int, _count: int) -> int:
        instance: FastInstance = _current.instance
        call = instance.call
        try:
            values = parameters.unpack(ctypes.string_at(slots, parameters.size))
            answer = enter_host(function, call, instance.memory_of(caller), values)
        except BaseException as bug:  # noqa: BLE001  an exception must not unwind through C; it is raised afterwards
            call.bug = bug
        if call.stop is not None or call.bug is not None:
            return int(_trap_new_code(_INTERRUPT))  # ends the guest; why is in ``call``
        if call.rearm:
            _set_epoch_deadline(instance.context, call.rearm)
            call.rearm = 0
        if result is not None:
            result.from_address(slots).value = answer
        return 0

    return _Callback(run)


# ---- Failures --------------------------------------------------------------------------------------------------------


def _failure(error: int | None, frame: _Frame) -> Exception:
    if error:
        return _error(error)
    trap = wasmtime.Trap._from_ptr(ctypes.cast(frame.trap, POINTER(bindings.wasm_trap_t)))
    frame.trap.value = None
    return Trapped(trap.trap_code)


def _error(error: int) -> LocalError:
    text = wasmtime.WasmtimeError._from_ptr(ctypes.cast(error, POINTER(bindings.wasmtime_error_t)))
    return LocalError(str(text), where="wasmtime")
