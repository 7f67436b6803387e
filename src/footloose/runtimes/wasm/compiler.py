"""Compiling apart from everything else: a process of its own, started with the node and again whenever it dies.

What it compiled stays in a folder of the site. The same artifact is compiled once per engine version, settings and
processor.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from footloose.core.digest import Digest, digest_of
from footloose.core.errors import LocalError
from footloose.core.limits import ARTIFACT_BYTES, COMPILE_MEMORY_BYTES, COMPILE_TIME_S
from footloose.runtimes.wasm import compiler_process
from footloose.runtimes.wasm.cache import FileState, compiled_path, file_state, verify_compiled
from footloose.runtimes.wasm.compiler_process import CompileJob, CompileResult


class Compiler:
    """Compiles artifacts, one at a time. Start it early: a cold compilation then need not wait for a new process."""

    def __init__(self, *, time_s: float = COMPILE_TIME_S, memory_bytes: int = COMPILE_MEMORY_BYTES) -> None:
        self._time_s = time_s
        self._memory_bytes = memory_bytes
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._verified: set[FileState] = set()

    async def start(self) -> None:
        """Start the process."""
        async with self._turn:
            await self._running()

    @property
    def pid(self) -> int | None:
        """The process at work, if there is one."""
        return self._process.pid if self._process is not None else None

    async def compile(self, wasm: Path, out_dir: Path) -> Path:
        """The compiled form of the module in ``wasm``, for ``WasmRuntime.load``; from ``out_dir`` if it is there.

        Raises :class:`LocalError` if it is no guest, does not compile, or takes more time or memory than allowed.
        """
        target = compiled_path(out_dir, await asyncio.to_thread(_digest_of_file, wasm))
        if await self._is_there(target):
            return target
        async with self._turn:
            if not await self._is_there(target):  # another caller may have had it compiled meanwhile
                await self._compile(wasm, out_dir)
        return target

    async def close(self) -> None:
        """End the process and wait for it."""
        async with self._turn:
            await self._end()

    async def _is_there(self, target: Path) -> bool:
        try:
            state = file_state(target)
            if state not in self._verified:
                await asyncio.to_thread(verify_compiled, target)
                self._verified.add(state)
        except (LocalError, OSError):  # not there, or damaged: either way it is compiled anew
            return False
        return True

    async def _compile(self, wasm: Path, out_dir: Path) -> None:
        job = _job(wasm, out_dir)
        try:
            async with asyncio.timeout(self._time_s):
                # Once more if the process dies: that may have been chance, or have happened before this job.
                result = await self._ask(job) or await self._ask(job)
        except TimeoutError:
            await self._restart()
            raise LocalError(f"took longer than {self._time_s:g} s to compile", where=str(wasm)) from None
        except asyncio.CancelledError:  # nobody waits for the job's answer any more
            await self._end()
            raise
        if result is None:
            await self._restart()
            limit = self._memory_bytes // 1024**2
            raise LocalError("the compiler died of it", where=str(wasm), fix=f"it may need more than {limit} MiB")
        if result.error:
            raise LocalError(result.error, where=str(wasm), fix=result.fix or None)

    async def _ask(self, job: CompileJob) -> CompileResult | None:
        """The answer to one job, or None if the process died."""
        process = await self._running()
        if process.stdin is None or process.stdout is None:
            raise LocalError("the compiler has no pipes", where="compiler")
        try:
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
        except ConnectionError:
            line = b""
        if line.endswith(b"\n"):
            return msgspec.json.decode(line, type=CompileResult)
        self._process = None
        await process.communicate()  # its output has ended, so it is ending
        return None

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            # A fresh interpreter, not a fork: the engine's threads would not survive one. In a session of its own, as
            # an interrupt at the terminal is the node's to handle; when the node dies, its standard input ends.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                compiler_process.__name__,
                str(self._memory_bytes),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        return self._process

    async def _restart(self) -> None:
        await self._end()
        await self._running()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _job(wasm: Path, out_dir: Path) -> CompileJob:
    return CompileJob(str(wasm.absolute()), str(out_dir.absolute()))


def _digest_of_file(path: Path) -> Digest:
    try:
        size = path.stat().st_size
        if size > ARTIFACT_BYTES:
            raise LocalError(f"{size} bytes, more than the {ARTIFACT_BYTES} an artifact may have", where=str(path))
        return digest_of(path.read_bytes())
    except OSError as error:
        raise LocalError(f"cannot be read: {error.strerror}", where=str(path)) from error
