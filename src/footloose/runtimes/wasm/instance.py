"""What a guest asks of the path that runs it."""

from typing import Protocol

import wasmtime

from footloose.model.app import Limits
from footloose.runtimes.wasm.call import Call
from footloose.runtimes.wasm.memory import GuestMemory


class Trapped(Exception):
    """The engine stopped the guest, for ``code`` or, if its call says so, because a host function wanted it to."""

    def __init__(self, code: wasmtime.TrapCode | None) -> None:
        self.code = code
        super().__init__(code)


class Instance(Protocol):
    """An instance of a module, of one request at a time. What runs the guest raises :class:`Trapped`."""

    def allocate(self, length: int) -> int:
        """Call ``footloose_alloc``."""
        ...

    def handle(self, at: int, length: int) -> int:
        """Call ``footloose_handle``; the result is unsigned."""
        ...

    def start(self) -> None:
        """Call ``_start``."""
        ...

    def memory(self) -> GuestMemory:
        """Its memory, as large as it is now."""
        ...

    def renew(self, call: Call, ticks: int) -> None:
        """Use it on this thread for another call, to be stopped after so many ticks."""
        ...

    def close(self) -> None:
        """Throw it away."""
        ...


class LinkedModule(Protocol):
    """A module with its imports met, as one of the two paths holds it."""

    def instantiate(self, call: Call, limits: Limits, ticks: int) -> Instance:
        """A fresh instance, to be stopped after so many ticks.

        Raises :class:`Trapped`, or :class:`LocalError` if there is no room for it.
        """
        ...
