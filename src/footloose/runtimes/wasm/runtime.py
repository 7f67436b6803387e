"""The way in: loads what this site compiled, and gives guests that answer requests."""

import logging
import threading
from pathlib import Path
from weakref import WeakValueDictionary

import wasmtime

from footloose.core.errors import LocalError
from footloose.model.app import GuestKind, Instances, Limits
from footloose.runtimes.wasm import capi
from footloose.runtimes.wasm.cache import FileState, file_state, verify_compiled
from footloose.runtimes.wasm.engine import running_engine
from footloose.runtimes.wasm.guest import WasmGuest, check_limits
from footloose.runtimes.wasm.interface import check_module
from footloose.runtimes.wasm.portable import PortableLinker
from footloose.runtimes.wasm.ticker import Ticker
from footloose.runtimes.wasm.warm import WarmInstances

_log = logging.getLogger(__name__)


class WasmRuntime:
    """Runs WebAssembly guests in this process (:class:`footloose.model.guest.Runtime`). Safe to use from threads.

    ``portable`` keeps to the engine's public interface; otherwise that happens only where the fast path is not
    available. Close it when its guests have stopped.
    """

    def __init__(self, *, portable: bool = False) -> None:
        self._engine = running_engine()
        self._linker: capi.FastLinker | PortableLinker
        reason = capi.unavailable()
        if not portable and reason is not None:
            _log.warning("guests run on the slower, portable path: %s", reason)
        self.fast = not portable and reason is None
        self._linker = capi.FastLinker(self._engine) if self.fast else PortableLinker(self._engine)
        self._ticker = Ticker(self._engine)
        self._modules: WeakValueDictionary[FileState, wasmtime.Module] = WeakValueDictionary()
        """Those that some guest is made of; several may be of one."""
        self._warm = WarmInstances()
        self._lock = threading.Lock()
        self._closed = False

    def load(
        self, compiled: Path, kind: GuestKind, limits: Limits, instances: Instances = Instances.FRESH
    ) -> WasmGuest:
        """A guest from a file that :class:`~footloose.runtimes.wasm.compiler.Compiler` of this site wrote.

        Loading runs no code of the guest, but makes code in the file executable: never load a file from elsewhere.
        Raises :class:`LocalError` if it cannot be loaded or is not a guest of this kind.
        """
        check_limits(limits)
        module = self._module(compiled)
        check_module(module, kind, limits, where=str(compiled))
        try:
            warm = self._warm if instances is Instances.WARM else None
            return WasmGuest(self._linker.link(module, kind), kind, limits, self._ticker, warm)
        except wasmtime.WasmtimeError as error:
            raise LocalError(f"cannot be linked: {error}", where=str(compiled)) from error

    def tidy(self) -> None:
        """Throw away warm instances that have been idle for long. To be called every second or so."""
        self._warm.tidy()

    def close(self) -> None:
        """Forget all modules and stop the ticker. No guest may be called any more."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._modules.clear()
        self._warm.close()
        self._ticker.close()

    def _module(self, compiled: Path) -> wasmtime.Module:
        with self._lock:
            if self._closed:
                raise LocalError("the runtime is closed", where=str(compiled))
            state = _state(compiled)
            module = self._modules.get(state)
            if module is None:
                module = self._modules[state] = self._deserialized(compiled)
            return module

    def _deserialized(self, compiled: Path) -> wasmtime.Module:
        verify_compiled(compiled)
        try:
            return wasmtime.Module.deserialize_file(self._engine, str(compiled))
        except wasmtime.WasmtimeError as error:
            raise LocalError(
                f"the engine refuses it: {error}", where=str(compiled), fix="compile the artifact again"
            ) from error


def _state(path: Path) -> FileState:
    try:
        return file_state(path)
    except OSError as error:
        raise LocalError(f"cannot be read: {error.strerror}", where=str(path), fix="compile the artifact") from error
