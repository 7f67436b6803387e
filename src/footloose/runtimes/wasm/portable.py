"""The portable path: the engine's public Python interface only. Several times slower than ``capi``."""

import ctypes

import wasmtime

from footloose.core.errors import LocalError
from footloose.model.app import GuestKind, Limits
from footloose.runtimes.wasm.call import Call, HostFunction, enter_host
from footloose.runtimes.wasm.contract import ALLOC, HANDLE, IMPORTS, MEMORY, START
from footloose.runtimes.wasm.instance import Trapped
from footloose.runtimes.wasm.interface import function_type
from footloose.runtimes.wasm.memory import GuestMemory

_U32, _U64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF


class PortableLinker:
    """Links modules of one engine."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine

    def link(self, module: wasmtime.Module, kind: GuestKind) -> "PortableModule":
        """The module, ready to instantiate; ``check_module`` must have accepted it."""
        return PortableModule(self._engine, module, kind)


class PortableModule:
    """A module and the host functions it imports (:class:`footloose.runtimes.wasm.guest.LinkedModule`)."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module, kind: GuestKind) -> None:
        self._engine = engine
        self._module = module
        self._functions = [IMPORTS[kind][item.module, item.name or ""] for item in module.imports]

    def instantiate(self, call: Call, limits: Limits, ticks: int) -> "PortableInstance":
        """A fresh instance, to be stopped after so many ticks. Raises :class:`Trapped` or :class:`LocalError`."""
        store = wasmtime.Store(self._engine)
        store.set_limits(memory_size=limits.memory_bytes, instances=1, memories=1)
        store.set_epoch_deadline(ticks)
        caller = _Caller(call)
        imports = [_import(store, function, caller) for function in self._functions]
        try:
            return PortableInstance(store, wasmtime.Instance(store, self._module, imports), caller)
        except wasmtime.Trap as trap:
            raise Trapped(trap.trap_code) from None
        except wasmtime.WasmtimeError as error:
            raise LocalError(str(error), where="wasmtime") from error


class _Caller:
    """Whose request an instance answers at present."""

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call = call


class PortableInstance:
    """One request's own instance (:class:`footloose.runtimes.wasm.guest.Instance`)."""

    def __init__(self, store: wasmtime.Store, instance: wasmtime.Instance, caller: _Caller) -> None:
        self._store = store
        self._caller = caller
        self._exports = instance.exports(store)

    def allocate(self, length: int) -> int:
        """Call ``footloose_alloc``. Raises :class:`Trapped`."""
        return self._run(ALLOC, length) & _U32

    def handle(self, at: int, length: int) -> int:
        """Call ``footloose_handle``. Raises :class:`Trapped`."""
        return self._run(HANDLE, at, length) & _U64

    def start(self) -> None:
        """Call ``_start``. Raises :class:`Trapped`."""
        self._run(START)

    def memory(self) -> GuestMemory:
        """Its memory, as large as it is now."""
        return _memory(self._store, self._exports[MEMORY])

    def renew(self, call: Call, ticks: int) -> None:
        """Use it for another call, to be stopped after so many ticks."""
        self._caller.call = call
        self._store.set_epoch_deadline(ticks)

    def close(self) -> None:
        """Throw it away."""
        self._store.close()

    def _run(self, name: str, *parameters: int) -> int:
        function = self._exports[name]
        if not isinstance(function, wasmtime.Func):
            raise LocalError(f"{name} is not a function", where="guest")
        try:
            return function(self._store, *parameters) or 0
        except wasmtime.Trap as trap:
            raise Trapped(trap.trap_code) from None


def _import(store: wasmtime.Store, function: HostFunction, instance: _Caller) -> wasmtime.Func:
    def run(caller: wasmtime.Caller, *parameters: int) -> int | None:
        call = instance.call
        unsigned = [
            value & (_U32 if letter == "i" else _U64)
            for letter, value in zip(function.parameters, parameters, strict=True)
        ]
        try:
            answer = enter_host(function, call, _memory(caller, caller.get(MEMORY)), tuple(unsigned))
        except BaseException as bug:  # noqa: BLE001  see below; it is raised afterwards
            call.bug = bug
            answer = 0
        if call.stop is not None or call.bug is not None:
            # Raising would end the guest too, but the engine's classes pass exceptions through one variable for all
            # threads. Out of time, it ends at its next loop or call, and the host does nothing for it until then.
            store.set_epoch_deadline(0)
        elif call.rearm:
            store.set_epoch_deadline(call.rearm)
            call.rearm = 0
        return answer if function.results else None

    return wasmtime.Func(store, function_type(function.parameters, function.results), run, access_caller=True)


def _memory(store: "wasmtime.Store | wasmtime.Caller", memory: object) -> GuestMemory:
    if not isinstance(memory, wasmtime.Memory):
        raise LocalError("the module exports no memory", where="guest")
    return GuestMemory(ctypes.addressof(memory.data_ptr(store).contents), memory.data_len(store))
