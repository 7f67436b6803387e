"""Brings the page of a site inside the testbed to a port of this machine's loopback address.

A Unix socket has no network namespace, so a node in one can be reached through it from outside.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from footloose.core.errors import LocalError

_CHUNK_BYTES = 64 * 1024


@contextlib.asynccontextmanager
async def bridge(unix_socket: Path, port: int) -> AsyncIterator[str]:
    """Pass connections to the loopback ``port`` on to ``unix_socket``. Raises :class:`LocalError` if it is taken."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_unix_connection(str(unix_socket))
        except OSError:
            writer.close()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(reader, inner_writer))
            group.create_task(_pump(inner_reader, writer))

    try:
        server = await asyncio.start_server(accept, "127.0.0.1", port)
    except OSError as error:
        raise LocalError("the port of the page is taken", where=f"127.0.0.1:{port}", fix="choose another") from error
    async with server:
        yield f"http://127.0.0.1:{port}/"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    writer.close()
