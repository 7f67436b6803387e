"""A listening socket for a site's API, with limits on who may hold it."""

import asyncio
import errno
import os

from aiohttp import web
from aiohttp.typedefs import Handler

from footloose.core.errors import LocalError
from footloose.core.identity import Identity
from footloose.core.limits import IDLE_CONNECTION_S, REQUEST_HEAD_TIMEOUT_S, SITE_CONNECTIONS
from footloose.model.site import Endpoint
from footloose.transport.tls import server_context

_FIXES = {
    errno.EADDRINUSE: "another program listens there: stop it or choose another port",
    errno.EACCES: "choose a port above 1023 or give this program the right to bind it",
    errno.EADDRNOTAVAIL: "choose an address this machine has",
}
_LINGER_S = 2.0
"""How long a refused caller may go on sending before the connection is closed under it."""
_SHUTDOWN_S = 2.0
"""How long requests under way may take to finish when the site stops."""


class _Silence:
    """Ends connections that are opened and then never ask anything."""

    def __init__(self) -> None:
        self._timers: dict[object, asyncio.TimerHandle] = {}

    def watch(self, connection: web.RequestHandler) -> None:
        loop = asyncio.get_running_loop()
        self._timers[connection] = loop.call_later(REQUEST_HEAD_TIMEOUT_S, self._expire, connection)

    def _expire(self, connection: web.RequestHandler) -> None:
        del self._timers[connection]
        connection.force_close()

    @web.middleware
    async def heard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Middleware: a request came, so from here on the keep-alive limit is enough."""
        timer = self._timers.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()
        return await handler(request)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()


class _Full(asyncio.Protocol):
    """What a connection too many gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


class RunningSite:
    """A site's API, being served. ``endpoint`` is where; ``async with`` or :meth:`close` ends it."""

    def __init__(self, runner: web.AppRunner, server: asyncio.Server, silence: _Silence, host: str) -> None:
        self._runner = runner
        self._server = server
        self._silence = silence
        self.endpoint = Endpoint(host, server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, let requests under way finish for a moment, close all connections."""
        self._server.close()
        self._silence.close()
        await self._runner.cleanup()

    async def __aenter__(self) -> "RunningSite":
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()


async def serve(
    application: web.Application, host: str, port: int, identity: Identity, *, connections: int = SITE_CONNECTIONS
) -> RunningSite:
    """Serve ``application`` over TLS as ``identity``. Port 0 takes any free one.

    Raises :class:`LocalError` if the address cannot be had.
    """
    silence = _Silence()
    application.middlewares.insert(0, silence.heard)
    runner = web.AppRunner(
        application,
        access_log=None,
        keepalive_timeout=IDLE_CONNECTION_S,
        lingering_time=_LINGER_S,
        shutdown_timeout=_SHUTDOWN_S,
        auto_decompress=False,
    )
    await runner.setup()
    accepting = runner.server
    assert accepting is not None  # noqa: S101  setup() made it; the type says it might not have

    def accept() -> asyncio.Protocol:
        if len(accepting.connections) >= connections:
            return _Full()
        connection = accepting()
        silence.watch(connection)
        return connection

    try:
        server = await asyncio.get_running_loop().create_server(
            accept,
            host,
            port,
            ssl=server_context(identity),
            ssl_handshake_timeout=REQUEST_HEAD_TIMEOUT_S,
            backlog=128,
        )
    except OSError as error:
        await runner.cleanup()
        what = f"cannot listen: {os.strerror(error.errno or 0)}"
        raise LocalError(what, where=str(Endpoint(host, port)), fix=_FIXES.get(error.errno or 0)) from error
    return RunningSite(runner, server, silence, host)
