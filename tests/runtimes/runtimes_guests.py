"""The guests of these tests: by name, as WebAssembly bytes and compiled."""

import functools
from pathlib import Path

import wasmtime

from footloose.core.digest import digest_of
from footloose.model.app import GuestKind, Instances, Limits
from footloose.model.guest import GuestAnswer, GuestError
from footloose.runtimes.wasm.cache import compiled_path, write_compiled
from footloose.runtimes.wasm.engine import compiling_engine
from footloose.runtimes.wasm.guest import WasmGuest
from footloose.runtimes.wasm.runtime import WasmRuntime

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "src" / "footloose" / "samples"
GUESTS = ROOT / "tests" / "guests"

REQUEST = (("REQUEST_METHOD", "GET"), ("PATH_INFO", "/a/path"), ("QUERY_STRING", "x=1"))
LIMITS = Limits(time_ms=2000.0)
"""Long enough for a busy machine."""


@functools.cache
def wasm(name: str) -> bytes:
    """A guest of ``tests/guests``, or a sample as ``sample/guest``."""
    if "/" in name:
        return (SAMPLES / f"{name}.wasm").read_bytes()
    binary = GUESTS / f"{name}.wasm"
    if binary.exists():
        return binary.read_bytes()
    return bytes(wasmtime.wat2wasm((GUESTS / f"{name}.wat").read_text()))


def kind_of(name: str) -> GuestKind:
    """The kind its name ends with."""
    return GuestKind(name.rpartition("_")[2])


class Workshop:
    """Compiles guests (each once) and loads them into a runtime."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._engine = compiling_engine()

    def compile(self, content: bytes) -> Path:
        """Compile in this process, without the checks that come before."""
        target = compiled_path(self._folder, digest_of(content))
        if not target.exists():
            write_compiled(target, bytes(wasmtime.Module(self._engine, content).serialize()))
        return target

    def load(
        self, runtime: WasmRuntime, name: str, limits: Limits = LIMITS, instances: Instances = Instances.FRESH
    ) -> WasmGuest:
        """A guest, ready to be called."""
        return runtime.load(self.compile(wasm(name)), kind_of(name), limits, instances)


def outcome(guest: WasmGuest, body: bytes = b"") -> GuestAnswer | GuestError:
    """What comes of a call, good or bad."""
    try:
        return guest.call(REQUEST, body)
    except GuestError as error:
        return error
