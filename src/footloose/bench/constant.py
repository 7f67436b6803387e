"""A server that answers the same to everything, unread: what is left of a request when nothing is done for it."""

import asyncio
import socket
import sys
from typing import cast

import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n"


class _Constant(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(_ANSWER * data.count(b"\r\n\r\n"))


async def main(descriptor: int) -> None:
    """Serve on an inherited socket until killed."""
    server = await asyncio.get_running_loop().create_server(_Constant, sock=socket.socket(fileno=descriptor))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
