"""Brings the page of a site inside the testbed to a port of this machine's loopback address.

A Unix socket has no network namespace, so a node in one can be reached through it from outside.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from footloose.core.errors import LocalError

_CHUNK_BYTES = 64 * 1024
_LOOPBACK = "127.0.0.1"


def claim(port: int) -> socket.socket:
    """A listening socket at ``port`` of the loopback address. Raises :class:`LocalError` if it cannot be had."""
    try:
        return socket.create_server((_LOOPBACK, port))
    except OSError as error:
        what = (
            "the port for the page is taken" if error.errno == errno.EADDRINUSE else f"no page there: {error.strerror}"
        )
        fix = "choose another with --page-port, or 0 for no page"
        raise LocalError(what, where=f"{_LOOPBACK}:{port}", fix=fix) from error


@contextlib.asynccontextmanager
async def bridge(listener: socket.socket, unix_socket: Path) -> AsyncIterator[None]:
    """Pass connections that come to ``listener`` on to ``unix_socket``."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_unix_connection(str(unix_socket))
        except OSError:
            writer.close()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(reader, inner_writer))
            group.create_task(_pump(inner_reader, writer))

    async with await asyncio.start_server(accept, sock=listener):
        yield


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    writer.close()
