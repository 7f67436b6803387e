"""What each kind of guest exports and may import: the list that checking a module and running it both go by.

Signatures name value types by a letter: ``i`` is i32, ``I`` is i64.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from footloose.model.app import GuestKind
from footloose.runtimes.wasm.call import Call, HostFunction
from footloose.runtimes.wasm.memory import GuestMemory
from footloose.runtimes.wasm.wasi import WASI_FUNCTIONS, WASI_MODULE

MEMORY = "memory"
ALLOC = "footloose_alloc"
HANDLE = "footloose_handle"
START = "_start"


class Signature(msgspec.Struct, frozen=True):
    """Parameters and results of an exported function."""

    parameters: str
    results: str

    def __str__(self) -> str:
        return f"({_spelt(self.parameters)}) -> ({_spelt(self.results)})"


def _spelt(letters: str) -> str:
    return ", ".join({"i": "i32", "I": "i64"}.get(letter, "another type") for letter in letters)


EXPORTS: Mapping[GuestKind, Mapping[str, Signature]] = MappingProxyType(
    {
        GuestKind.HANDLER: {ALLOC: Signature("i", "i"), HANDLE: Signature("ii", "I")},
        GuestKind.COMMAND: {START: Signature("", "")},
    }
)
"""The functions each kind of guest must export, besides its memory."""


def _log(call: Call, memory: GuestMemory, at: int, length: int) -> None:
    call.append_log(memory, at, length)
    if call.log_room() > 0 and not call.log.endswith(b"\n"):
        call.log += b"\n"


ImportName = tuple[str, str]
"""Module and name of an import."""

_FOOTLOOSE = {("footloose", "log"): HostFunction("ii", "", _log)}
_WASI = {(WASI_MODULE, name): function for name, function in WASI_FUNCTIONS.items()}

IMPORTS: Mapping[GuestKind, Mapping[ImportName, HostFunction]] = MappingProxyType(
    {GuestKind.HANDLER: _FOOTLOOSE, GuestKind.COMMAND: _WASI}
)
"""The functions each kind of guest may import. It may import nothing else."""
