"""Connections that a worker needs made: to the parents of the copies it serves."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

Dial = Callable[[str, int], Awaitable[socket.socket]]
"""Makes a TCP connection to a host and a port. Raises :class:`OSError`."""


async def connected(host: str, port: int, source: str | None = None) -> socket.socket:
    """A connection to the first address of ``host`` that answers, made from ``source`` if given.

    Raises :class:`OSError`, of the last address that was tried.
    """
    loop = asyncio.get_running_loop()
    failure = OSError("the name has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        made = socket.socket(family, kind, protocol)
        try:
            made.setblocking(False)
            if source is not None:
                made.bind((source, 0))
            await loop.sock_connect(made, address)
        except OSError as error:
            made.close()
            failure = error
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise failure
