"""Copies of pulse without sites around them: the real module behind the HTTP and WebSocket a gateway speaks.

Each copy can be made to seem far away, and the copies of one service pass published messages on to each other.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import WSMsgType, web
from samples_guest import PULSE, Answer, Handler

from served import Served


class Pulse:
    """The service: its module, and the copies that share its topic."""

    def __init__(self) -> None:
        self.guest = Handler(PULSE / "pulse_handler.wasm")
        self.copies: list[Copy] = []

    def publish(self, text: str) -> None:
        """Have every copy tell its users."""
        for copy in self.copies:
            copy.tell(text)


class Copy:
    """One copy, at ``url``; a round trip to it takes at least ``rtt_ms``."""

    def __init__(self, service: Pulse, name: str, rtt_ms: float, prefix: str = "/") -> None:
        self.name = name
        self.heard: list[dict[str, object]] = []
        self.opened = 0
        self.closes: list[int | None] = []
        self.refusing = False
        self.refused = 0
        self.redirect: str | None = None
        self.onward: str | None = None
        self.service = service
        self._half_s = rtt_ms / 2000
        self._prefix = prefix
        self._users: set[Line] = set()
        self.server = Served(self._app)
        service.copies.append(self)

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__(None, None, None)

    @property
    def url(self) -> str:
        return self.server.url.rstrip("/") + self._prefix

    @property
    def live(self) -> str:
        return self.url.replace("http:", "ws:") + "live"

    @property
    def users(self) -> int:
        """Open lines."""
        return len(self._users)

    def tell(self, text: str) -> None:
        """Send ``text`` to every open line; from any thread."""
        self.server.post(self._tell, text)

    def migrate(self, url: str) -> None:
        """Ask every user to move, as a gateway does."""
        self.tell(_migrate(url))

    def hang_up(self) -> None:
        """Break every line without a word."""
        self.server.post(self._hang_up)

    def _tell(self, text: str) -> None:
        for user in self._users:
            user.send(text)

    def _hang_up(self) -> None:
        for user in self._users:
            user.abort()

    def _app(self) -> web.Application:
        inner = web.Application()
        inner.router.add_get("/live", self._live)
        inner.router.add_get("/{path:.*}", self._get)
        if self._prefix == "/":
            return inner
        outer = web.Application()
        outer.add_subapp(self._prefix, inner)
        return outer

    async def _get(self, request: web.Request) -> web.Response:
        await asyncio.sleep(2 * self._half_s)  # the distance is made of waiting, so it cannot be waited for otherwise
        path = "/" + request.match_info["path"]
        if self.redirect is not None:
            raise web.HTTPTemporaryRedirect(self.redirect + path[1:], headers={"Access-Control-Allow-Origin": "*"})
        answer = self.service.guest.get(path, request.query_string, request.method, FOOTLOOSE_SITE=self.name)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        answer = self.service.guest.event("open")
        if self.refusing or answer.status >= 400:
            self.refused += 1
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        assert answer.headers["footloose-subscribe"] == "pulse"
        self.opened += 1
        user = Line(socket, self._half_s, request.transport, self._take)
        self._users.add(user)
        if self.onward is not None:
            user.send(_migrate(self.onward))
        try:
            async for message in socket:
                assert message.type == WSMsgType.TEXT
                user.receive(message.data)
        finally:
            self._users.discard(user)
            user.close()
            self.closes.append(socket.close_code)
        return socket

    def _take(self, user: "Line", text: str) -> None:
        answer: Answer = self.service.guest.event("message", text.encode())
        if "footloose-publish" in answer.headers:
            self.heard.append(json.loads(text))
            self.service.publish(answer.body.decode())
        else:
            user.send(answer.body.decode())


def _migrate(url: str) -> str:
    return json.dumps({"footloose": "migrate", "url": url, "reason": "nearer"})


class Line:
    """A user's WebSocket on which everything takes half a round trip, in order, either way."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        half_s: float,
        transport: asyncio.Transport | None,
        take: Callable[["Line", str], None],
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._take = take
        self._out = Pipe(half_s, self._send)
        self._in = Pipe(half_s, self._taken)

    def send(self, text: str) -> None:
        """Let ``text`` be on its way to the user."""
        self._out.put(text)

    def receive(self, text: str) -> None:
        """Let ``text`` be on its way from the user."""
        self._in.put(text)

    def abort(self) -> None:
        """Break it without a word."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Drop what is still on its way."""
        self._out.close()
        self._in.close()

    async def _send(self, text: str) -> None:
        if not self._socket.closed:
            with contextlib.suppress(ConnectionError):  # the user left while it was on its way
                await self._socket.send_str(text)

    async def _taken(self, text: str) -> None:
        self._take(self, text)


class Pipe:
    """Hands on text in order, each some time after it was put in."""

    def __init__(self, delay_s: float, deliver: Callable[[str], Awaitable[None]]) -> None:
        self._delay_s = delay_s
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[float, str]] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())

    def put(self, text: str) -> None:
        """Let ``text`` set out."""
        self._queue.put_nowait((self._loop.time() + self._delay_s, text))

    def close(self) -> None:
        """Lose what is on its way."""
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            due, text = await self._queue.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await self._deliver(text)
