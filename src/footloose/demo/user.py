"""A user of the sample app: plain HTTP and one WebSocket, following where it is sent.

Run as a process on a user's host; prints one JSON line per thing that happens to it.
"""

import argparse
import asyncio
import json
import math
import random
import signal
import sys
import time
from contextlib import AsyncExitStack, suppress
from urllib.parse import urlsplit

import aiohttp
import msgspec

PING_EVERY_S = 0.25
PAGE_EVERY_S = 1.0
PATIENCE_S = 5.0
"""How long a user waits for anything before calling it an error."""
RETRY_S = 0.5
_ECHO_BYTES = 4096


class Sample(msgspec.Struct, frozen=True, tag=True):
    """A round trip over the WebSocket, to the host that serves now."""

    user: str
    at: float
    host: str
    rtt_ms: float


class Page(msgspec.Struct, frozen=True, tag=True):
    """A page fetched over HTTP; ``host`` answered in the end, after ``redirects``."""

    user: str
    at: float
    host: str
    status: int
    redirects: int
    took_ms: float


class Moved(msgspec.Struct, frozen=True, tag=True):
    """The WebSocket is now with another host. ``took_ms`` from being told to the first answer there."""

    user: str
    at: float
    host: str
    url: str
    took_ms: float


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Something a person would have seen as an error."""

    user: str
    at: float
    what: str


Happening = Sample | Page | Moved | Failed


class User:
    """One user, who starts at ``url`` and goes where the app sends it."""

    def __init__(self, name: str, url: str, session: aiohttp.ClientSession) -> None:
        self._name = name
        self._home = url
        self._base = url
        self._session = session
        self._pings = 0
        self._draw = random.Random(name)  # noqa: S311  where a dot moves is no secret

    async def run(self) -> None:
        """Use the app until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._visit())
            group.create_task(self._live())

    async def _visit(self) -> None:
        while True:
            await self._fetch()
            await asyncio.sleep(PAGE_EVERY_S)

    async def _fetch(self) -> None:
        started = time.perf_counter()
        try:
            async with self._session.get(self._base + "api/ping") as answer:
                await answer.read()
                took_ms = (time.perf_counter() - started) * 1000
                host = str(answer.url.host)
                self._say(Page(self._name, time.time(), host, answer.status, len(answer.history), took_ms))
                if answer.status >= 400:
                    self._fail(f"GET {answer.url} answered {answer.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            self._fail(f"GET {self._base}api/ping: {error or type(error).__name__}")
            self._base = self._home

    async def _live(self) -> None:
        """Keep a WebSocket; when it is lost, start again from where the app was first found."""
        while True:
            try:
                await self._live_from(_socket_url(self._home))
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                self._fail(f"WebSocket: {error or type(error).__name__}")
                self._base = self._home
                await asyncio.sleep(RETRY_S)

    async def _live_from(self, url: str) -> None:
        """Ping over one WebSocket after another, make before break: one is left only when the next has answered."""
        live = await self._session.ws_connect(url)
        try:
            while True:
                rtt_ms, nearer = await self._ping(live)
                self._say(Sample(self._name, time.time(), _host(url), rtt_ms))
                if nearer is not None and nearer != url:
                    told_at = time.perf_counter()
                    following = await self._session.ws_connect(nearer)
                    before, live, url = live, following, nearer
                    rtt_ms, _ = await self._ping(live)
                    took_ms = (time.perf_counter() - told_at) * 1000
                    self._base = _page_url(url)
                    self._say(Moved(self._name, time.time(), _host(url), url, took_ms))
                    self._say(Sample(self._name, time.time(), _host(url), rtt_ms))
                    await before.close()
                await live.send_str(json.dumps(self._position()))
                await asyncio.sleep(PING_EVERY_S)
        finally:
            await live.close()

    async def _ping(self, live: aiohttp.ClientWebSocketResponse) -> tuple[float, str | None]:
        """One round trip in milliseconds, and where to move to if that was said meanwhile."""
        self._pings += 1
        sent_at = time.perf_counter()
        await live.send_str(json.dumps({"ping": self._pings}))
        nearer = None
        async with asyncio.timeout(PATIENCE_S):
            async for message in live:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                said = json.loads(message.data)
                if said.get("footloose") == "migrate":
                    nearer = str(said["url"])
                if said.get("pong") == self._pings:
                    return (time.perf_counter() - sent_at) * 1000, nearer
        raise ConnectionError("the WebSocket was closed")

    def _position(self) -> dict[str, object]:
        angle = time.time() / 5 + self._draw.random()
        return {
            "id": self._name,
            "name": self._name,
            "x": 0.5 + 0.4 * math.cos(angle),
            "y": 0.5 + 0.4 * math.sin(angle),
        }

    def _fail(self, what: str) -> None:
        self._say(Failed(self._name, time.time(), what))

    def _say(self, happening: Happening) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(happening) + b"\n")
        sys.stdout.buffer.flush()


def _socket_url(page: str) -> str:
    return page.replace("http", "ws", 1) + "live"


def _page_url(live: str) -> str:
    return live.replace("ws", "http", 1).removesuffix("live")


def _host(url: str) -> str:
    return str(urlsplit(url).hostname)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give back what is sent."""
    with suppress(ConnectionError):
        while data := await reader.read(_ECHO_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _use(given: argparse.Namespace) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101  we are in it
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    connector = aiohttp.TCPConnector(local_addr=(given.source, 0) if given.source else None)
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    with suppress(asyncio.CancelledError):
        async with AsyncExitStack() as stack:
            if given.echo_port:
                await stack.enter_async_context(await asyncio.start_server(_echo, given.source, given.echo_port))
            session = aiohttp.ClientSession(connector=connector, timeout=timeout)
            await User(given.name, given.url, await stack.enter_async_context(session)).run()


def main() -> None:
    """Be a user until told to stop (SIGTERM)."""
    parser = argparse.ArgumentParser(description="A user of the sample app.")
    parser.add_argument("--from", dest="source", metavar="ADDRESS", help="connect from this address")
    parser.add_argument("--echo-port", type=int, help="offer an echo there, to be measured by")
    parser.add_argument("name")
    parser.add_argument("url")
    asyncio.run(_use(parser.parse_args()))


if __name__ == "__main__":
    main()
