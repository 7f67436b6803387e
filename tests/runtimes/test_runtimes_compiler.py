"""The compiler process: what it makes, what it keeps, and what happens when it dies."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from runtimes_guests import LIMITS, REQUEST, kind_of, wasm
from runtimes_modules import heavy_command

from footloose.core.errors import LocalError
from footloose.runtimes.wasm.compiler import Compiler
from footloose.runtimes.wasm.runtime import WasmRuntime

HELLO = "hello/hello_handler"


@pytest.fixture
async def compiler() -> AsyncIterator[Compiler]:
    compiler = Compiler()
    await compiler.start()
    yield compiler
    await compiler.close()


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write(tmp_path, "hello.wasm", wasm(HELLO))


@pytest.fixture
def out_dir(tmp_path: Path) -> Path:
    return tmp_path / "compiled"


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def processor_time(pid: int) -> int:
    """Clock ticks a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def until_busy(pid: int) -> None:
    """Return once a process that was idle has been computing for a tenth of a second."""
    enough = processor_time(pid) + os.sysconf("SC_CLK_TCK") // 10
    while processor_time(pid) < enough:  # noqa: ASYNC110  the kernel tells no one when a process computes
        await asyncio.sleep(0.005)


async def test_what_it_compiles_runs_on_both_paths(compiler: Compiler, tmp_path: Path, out_dir: Path) -> None:
    for portable in (False, True):
        runtime = WasmRuntime(portable=portable)
        try:
            for name in (HELLO, "hello/hello_command"):
                artifact = write(tmp_path, f"{kind_of(name).value}.wasm", wasm(name))
                guest = runtime.load(await compiler.compile(artifact, out_dir), kind_of(name), LIMITS)
                assert b"Hello" in guest.call(REQUEST, b"").output
        finally:
            runtime.close()


async def test_the_same_artifact_is_compiled_once(compiler: Compiler, artifact: Path, out_dir: Path) -> None:
    compiled = await compiler.compile(artifact, out_dir)
    written = compiled.stat().st_mtime_ns
    copy = write(artifact.parent, "same.wasm", wasm(HELLO))
    assert await compiler.compile(copy, out_dir) == compiled
    assert compiled.stat().st_mtime_ns == written
    other = write(artifact.parent, "other.wasm", wasm("counter_handler"))
    assert await compiler.compile(other, out_dir) != compiled


async def test_what_is_there_already_needs_no_process(artifact: Path, out_dir: Path, compiler: Compiler) -> None:
    compiled = await compiler.compile(artifact, out_dir)
    idle = Compiler()
    assert await idle.compile(artifact, out_dir) == compiled
    assert idle.pid is None


async def test_callers_at_the_same_time_share_the_work(compiler: Compiler, artifact: Path, out_dir: Path) -> None:
    found = await asyncio.gather(*[compiler.compile(artifact, out_dir) for _ in range(5)])
    assert len(set(found)) == 1
    assert files_in(out_dir) == [found[0].name, found[0].name + ".sha256"]


@pytest.mark.parametrize("damage", ["changed", "cut", "gone", "no digest"])
async def test_a_damaged_file_is_compiled_anew(damage: str, compiler: Compiler, artifact: Path, out_dir: Path) -> None:
    compiled = await compiler.compile(artifact, out_dir)
    good = compiled.read_bytes()
    if damage == "changed":
        compiled.write_bytes(good[:-1] + b"\xff")
    elif damage == "cut":
        compiled.write_bytes(good[: len(good) // 2])
    elif damage == "gone":
        compiled.unlink()
    else:
        compiled.with_name(compiled.name + ".sha256").unlink()
        os.utime(compiled, ns=(1, 1))
    assert await compiler.compile(artifact, out_dir) == compiled
    assert compiled.read_bytes() == good


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"not a module", "not WebAssembly"),
        (b"\0asm\x0d\0\1\0", "a component"),
        (wasm("refused_import"), "path_open"),
        (heavy_command(1, 1)[:-1] + b"\x00", "does not compile"),
    ],
)
async def test_what_is_no_guest_is_refused_and_work_goes_on(
    content: bytes, says: str, compiler: Compiler, artifact: Path, out_dir: Path
) -> None:
    pid = compiler.pid
    with pytest.raises(LocalError) as refusal:
        await compiler.compile(write(artifact.parent, "bad.wasm", content), out_dir)
    assert says in str(refusal.value)
    assert "bad.wasm" in str(refusal.value)
    assert await compiler.compile(artifact, out_dir)
    assert compiler.pid == pid


async def test_files_that_cannot_be_read_or_written_are_errors(
    compiler: Compiler, artifact: Path, tmp_path: Path
) -> None:
    with pytest.raises(LocalError, match="No such file"):
        await compiler.compile(tmp_path / "nothing.wasm", tmp_path)
    in_the_way = write(tmp_path, "file", b"")
    with pytest.raises(LocalError, match="Not a directory"):
        await compiler.compile(artifact, in_the_way / "folder")


async def test_a_process_killed_at_rest_is_replaced(compiler: Compiler, artifact: Path, out_dir: Path) -> None:
    before = compiler.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    assert await compiler.compile(artifact, out_dir)
    assert compiler.pid != before


async def test_a_process_killed_at_work_is_replaced_and_the_work_done(
    compiler: Compiler, tmp_path: Path, out_dir: Path
) -> None:
    heavy = write(tmp_path, "heavy.wasm", heavy_command(1, 300_000))
    before = compiler.pid
    assert before is not None
    compiling = asyncio.create_task(compiler.compile(heavy, out_dir))
    await until_busy(before)
    os.kill(before, signal.SIGKILL)
    assert (await compiling).exists()
    assert compiler.pid != before


async def test_a_module_that_kills_the_process_is_an_error_and_work_goes_on(
    artifact: Path, out_dir: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYON_NUM_THREADS", "2")  # each thread takes memory, and other machines have more processors
    compiler = Compiler(memory_bytes=120 * 1024 * 1024)
    heavy = write(artifact.parent, "heavy.wasm", heavy_command(1, 300_000))
    try:
        with pytest.raises(LocalError) as failure:
            await compiler.compile(heavy, out_dir)
        assert "the compiler died of it (it may need more than 120 MiB)" in str(failure.value)
        assert await compiler.compile(artifact, out_dir)
    finally:
        await compiler.close()
    assert "memory allocation" in capfd.readouterr().err
    assert len(files_in(out_dir)) == 2


async def test_a_module_that_takes_too_long_is_an_error_and_work_goes_on(artifact: Path, out_dir: Path) -> None:
    compiler = Compiler(time_s=0.05)
    heavy = write(artifact.parent, "heavy.wasm", heavy_command(1, 300_000))
    await compiler.start()
    try:
        with pytest.raises(LocalError, match=r"took longer than 0\.05 s"):
            await compiler.compile(heavy, out_dir)
        assert compiler.pid is not None
        compiler._time_s = 60.0
        assert await compiler.compile(artifact, out_dir)
    finally:
        await compiler.close()


async def test_a_caller_that_gives_up_leaves_the_compiler_usable(
    compiler: Compiler, artifact: Path, out_dir: Path
) -> None:
    heavy = write(artifact.parent, "heavy.wasm", heavy_command(1, 300_000))
    pid = compiler.pid
    assert pid is not None
    compiling = asyncio.create_task(compiler.compile(heavy, out_dir))
    await until_busy(pid)
    compiling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await compiling
    assert b"ELF" in (await compiler.compile(artifact, out_dir)).read_bytes()[:8]


async def test_closing_ends_the_process(artifact: Path) -> None:
    compiler = Compiler()
    await compiler.start()
    pid = compiler.pid
    assert pid is not None
    await compiler.close()
    await compiler.close()
    assert compiler.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_the_process_ends_with_its_input(artifact: Path) -> None:
    """As when the node dies without a word."""
    compiler = Compiler()
    await compiler.start()
    process = compiler._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert await process.wait() == 0
    await compiler.close()
