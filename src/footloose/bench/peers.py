"""Servers that others made, and one that does nothing, to hold our gateway against. Each says hello on a port."""

import asyncio
import contextlib
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from footloose.core.errors import LocalError

START_S = 60.0
_AGAIN_S = 0.02

_WORKERD_CONFIG = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "hello.js", esModule = embed "hello.js")], compatibilityDate = "2024-01-01"))],
  sockets = [(name = "http", address = "127.0.0.1:%d", http = (), service = "main")]
);
"""
_WORKERD_SCRIPT = """export default {
  async fetch(request) {
    const url = new URL(request.url);
    return new Response(`Hello: ${request.method} ${url.pathname}\\n`);
  }
};
"""
_NODE_SCRIPT = """require("http").createServer((request, response) => {
  response.setHeader("Content-Type", "text/plain");
  response.end(`Hello: ${request.method} ${request.url}\\n`);
}).listen(%d, "127.0.0.1");
"""


@asynccontextmanager
async def constant() -> AsyncIterator[tuple[int, int]]:
    """The constant responder: its port and process id."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        command = [sys.executable, "-m", "footloose.bench.constant", str(listening.fileno())]
        async with _running(command, port, inherited=(listening.fileno(),)) as pid:
            yield port, pid


@asynccontextmanager
async def workerd(program: Path, folder: Path) -> AsyncIterator[tuple[int, int]]:
    """Cloudflare's workerd with a hello in JavaScript."""
    port = free_port()
    (folder / "hello.js").write_text(_WORKERD_SCRIPT)
    config = folder / "config.capnp"
    config.write_text(_WORKERD_CONFIG % port)
    async with _running([str(program), "serve", str(config)], port) as pid:
        yield port, pid


@asynccontextmanager
async def node_http(program: Path, folder: Path) -> AsyncIterator[tuple[int, int]]:
    """The server that comes with Node.js, with a hello."""
    port = free_port()
    script = folder / "hello.cjs"
    script.write_text(_NODE_SCRIPT % port)
    async with _running([str(program), str(script)], port) as pid:
        yield port, pid


def found(program: str, given: Path | None = None) -> Path | None:
    """Where a program is, if it is there; ``given`` is where it should be. Raises :class:`LocalError` if it is not."""
    if given is not None:
        if not given.is_file():
            raise LocalError("there is no such program", where=str(given))
        return given
    path = shutil.which(program)
    return Path(path) if path is not None else None


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@asynccontextmanager
async def _running(command: Sequence[str], port: int, inherited: tuple[int, ...] = ()) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, pass_fds=inherited
    )
    talk = asyncio.create_task(_last_words(process))
    try:
        await _answers(port, process)
        yield process.pid
    except TimeoutError:
        process.kill()
        raise LocalError(f"does not answer: {await talk}", where=command[0]) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await talk


async def _last_words(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None  # noqa: S101  asked for above
    return (await process.stderr.read())[-2000:].decode(errors="replace")


async def _answers(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(START_S):
        while process.returncode is None:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = await reader.read(1)
                writer.close()
            except OSError:
                answer = b""
            if answer:
                return
            await asyncio.sleep(_AGAIN_S)  # whether it listens already can only be tried
    raise TimeoutError
