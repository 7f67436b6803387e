"""How users' connections come in: plain or by TLS, straight or by way of a proxy that says who they are."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable

from footloose.core.limits import CONNECTIONS_PER_WORKER, TLS_HANDSHAKE_S
from footloose.gateway.forwarded import Trusted
from footloose.gateway.proxyproto import Behind, Garbage, ProxyHeader

_log = logging.getLogger(__name__)
_BACKLOG = 1024
_ACCEPTED_IN_A_ROW = 64
_PEEKED_BYTES = 1024

Protocols = Callable[[Behind | None], asyncio.BaseProtocol]


def plain_address(address: str) -> str:
    """An address as users know it: IPv4 stays IPv4 on a socket that takes both, and a zone is not part of it."""
    return address.removeprefix("::ffff:").partition("%")[0]


class Arrivals:
    """One listening socket. ``protocol`` makes what speaks with a user, from who a proxy says it is."""

    def __init__(self, listening: socket.socket, protocol: Protocols, tls: ssl.SSLContext | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._protocol = protocol
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._slow: SlowArrivals | None = None

    async def start(self, announced_by: Trusted | None) -> None:
        """Take users. Those who come from ``announced_by``, if given, begin with a header of the PROXY protocol."""
        if announced_by or self._tls is not None:
            self._slow = SlowArrivals(self._listening, self._protocol, self._tls, announced_by)
            return
        self._server = await self._loop.create_server(
            lambda: self._protocol(None),
            sock=self._listening,
            backlog=_BACKLOG,
        )

    def close(self) -> None:
        """Take no more; who is arriving still does."""
        if self._server is not None:
            self._server.close()
        if self._slow is not None:
            self._slow.close()

    async def settled(self) -> None:
        """Return when nobody is arriving any more."""
        if self._slow is not None:
            await self._slow.settled()

    def abort(self) -> None:
        """Let go of who is arriving, too."""
        self.close()
        if self._slow is not None:
            self._slow.abort()


class SlowArrivals:
    """Connections that begin with more than an accept: a proxy's header, a handshake, or one after the other.

    They are counted while they arrive, so that a worker that is to end does not end under them.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Protocols,
        tls: ssl.SSLContext | None,
        announced_by: Trusted | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._listening.setblocking(False)
        self._protocol = protocol
        self._tls = tls
        self._announced_by = announced_by
        self._arriving: set[asyncio.Task[None]] = set()
        listening.listen(_BACKLOG)
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Take no more."""
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
            self._listening.close()

    async def settled(self) -> None:
        """Return when nobody is arriving any more."""
        if self._arriving:
            await asyncio.wait(self._arriving)

    def abort(self) -> None:
        """Let go of who is arriving."""
        for task in self._arriving:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_IN_A_ROW):
            try:
                accepted, peer = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                _log.exception("users cannot be taken in")  # out of descriptors, say: those who are here go on
                return
            if len(self._arriving) >= CONNECTIONS_PER_WORKER:
                accepted.close()
                continue
            task = self._loop.create_task(self._arrive(accepted, plain_address(peer[0])))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    async def _arrive(self, accepted: socket.socket, address: str) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(accepted.close)
            accepted.setblocking(False)
            try:
                async with asyncio.timeout(TLS_HANDSHAKE_S):
                    announced = self._announced_by is not None and address in self._announced_by
                    behind = await self._announced(accepted) if announced else None
                await self._loop.connect_accepted_socket(
                    lambda: self._protocol(behind),
                    accepted,
                    ssl=self._tls,
                    ssl_handshake_timeout=TLS_HANDSHAKE_S if self._tls is not None else None,
                )
            except Garbage as garbage:
                _log.warning("%s did not begin with a PROXY protocol header: %s", address, garbage)
                return
            except (OSError, TimeoutError):
                return  # who does not finish arriving is not here
            stack.pop_all()

    async def _announced(self, accepted: socket.socket) -> Behind | None:
        header = ProxyHeader()
        while not header.done:
            await self._readable(accepted)
            try:
                # Looked at first, so that not a byte of what is behind the header is taken.
                used = header.feed(seen := accepted.recv(_PEEKED_BYTES, socket.MSG_PEEK))
                if not seen:
                    raise ConnectionResetError
                accepted.recv(used)
            except BlockingIOError:
                continue
        return header.behind

    async def _readable(self, accepted: socket.socket) -> None:
        ready = self._loop.create_future()
        self._loop.add_reader(accepted, _wake, ready)
        try:
            await ready
        finally:
            self._loop.remove_reader(accepted)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
