"""The process that compiles: ``python -m footloose.runtimes.wasm.compiler_process MEMORY_BYTES``.

Reads one JSON line per job from standard input and answers each with one on standard output; ends with its input.
A module that brings this process down harms nothing else.
"""

import os
import resource
import sys
from pathlib import Path

import msgspec
import wasmtime

from footloose.core.digest import digest_of
from footloose.core.errors import FootlooseError, LocalError
from footloose.runtimes.wasm.cache import compiled_path, write_compiled
from footloose.runtimes.wasm.engine import compiling_engine
from footloose.runtimes.wasm.inspect import detect_kind


class CompileJob(msgspec.Struct, frozen=True):
    """Compile the module in the file ``wasm`` into the folder ``out_dir``."""

    wasm: str
    out_dir: str


class CompileResult(msgspec.Struct, frozen=True):
    """Where the code is, or what was wrong."""

    compiled: str = ""
    error: str = ""
    fix: str = ""


def compile_module(engine: wasmtime.Engine, wasm: bytes, out_dir: Path) -> Path:
    """Check and compile a module; returns the file. Raises :class:`LocalError`; :class:`OSError` from the folder."""
    detect_kind(wasm)
    try:
        code = wasmtime.Module(engine, wasm).serialize()
    except wasmtime.WasmtimeError as error:
        raise LocalError(f"does not compile: {error}", where="WebAssembly module") from error
    target = compiled_path(out_dir, digest_of(wasm))
    out_dir.mkdir(parents=True, exist_ok=True)
    write_compiled(target, bytes(code))
    return target


def _answer(engine: wasmtime.Engine, job: CompileJob) -> CompileResult:
    try:
        compiled = compile_module(engine, Path(job.wasm).read_bytes(), Path(job.out_dir))
    except FootlooseError as error:
        return CompileResult(error=error.what, fix=error.fix or "")
    except OSError as error:
        return CompileResult(error=f"{error.filename}: {error.strerror}")
    return CompileResult(compiled=str(compiled))


def main() -> None:
    """Serve until standard input ends, or nobody reads the answers any more."""
    memory_bytes = int(sys.argv[1])
    # Not RLIMIT_AS: the engine reserves far more addresses than it uses.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    engine = compiling_engine()
    for line in sys.stdin.buffer:
        answer = _answer(engine, msgspec.json.decode(line, type=CompileJob))
        try:
            os.write(sys.stdout.fileno(), msgspec.json.encode(answer) + b"\n")
        except BrokenPipeError:  # the node was killed
            return


if __name__ == "__main__":
    main()
