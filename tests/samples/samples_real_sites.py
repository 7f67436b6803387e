"""Pulse on two real gateways (each a worker process running the module): its home, made to seem far, and a copy."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
from samples_guest import PULSE

from footloose.core.clock import SystemClock
from footloose.core.digest import digest_of
from footloose.model.app import GuestKind, HttpRoute, ServiceId
from footloose.model.network import Prefix
from footloose.model.routing import Redirect, RelayUplink, RoutingTable, ServiceRoute
from footloose.model.site import Endpoint
from footloose.node.workers import Workers
from footloose.runtimes.wasm.compiler import Compiler
from served import LoopThread

SERVICE = ServiceId("pulse-abcdefghijklmnop/web")
_TOKEN = "a token that the lease agreed"
_MODULE = PULSE / "pulse_handler.wasm"
_ROUTE = ServiceRoute(SERVICE, digest_of(_MODULE.read_bytes()), GuestKind.HANDLER)


class RealSites(LoopThread):
    """Two sites on loopback. Users reach the home over a line that takes ``rtt_ms`` longer than it would."""

    def __init__(self, directory: Path, rtt_ms: float) -> None:
        super().__init__()
        self._directory = directory
        self._half_s = rtt_ms / 2000
        self._stack = AsyncExitStack()
        self._version = 0
        self.far_port = 0

    def __enter__(self) -> "RealSites":
        super().__enter__()
        self.run(self._start(), timeout_s=60)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run(self._stack.aclose(), timeout_s=60)
        finally:
            super().__exit__(None, None, None)

    @property
    def home_url(self) -> str:
        """The home, far away."""
        return f"http://127.0.0.1:{self.far_port}/"

    @property
    def copy_url(self) -> str:
        return f"http://127.0.0.1:{self._copy.port}/{SERVICE}/"

    def send_users_on(self) -> None:
        """Have the home send all users to the copy."""
        self.run(self._send_users_on())

    def say(self, text: str) -> None:
        """Publish ``text`` at the home, as a user who stays there."""
        self.run(self._user.send_str(text))

    async def _start(self) -> None:
        try:
            await self._start_all()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start_all(self) -> None:
        compiler = Compiler()
        self._stack.push_async_callback(compiler.close)
        compiled = await compiler.compile(_MODULE, self._directory / "compiled")
        self._compiled = {_ROUTE.artifact: str(compiled)}
        self._home = await self._stack.enter_async_context(self._site("home"))
        self._copy = await self._stack.enter_async_context(self._site("copy"))
        self._push_home(())
        relay = f"ws://127.0.0.1:{self._home.port}/.well-known/footloose/relay/{SERVICE}"
        uplink = RelayUplink(relay, _TOKEN)
        self._copy.push(RoutingTable(1, (msgspec.structs.replace(_ROUTE, uplink=uplink),)), self._compiled)
        await asyncio.gather(self._home.applied(1), self._copy.applied(1))
        self.far_port = await self._stack.enter_async_context(slow_line(self._home.port, self._half_s))
        session = await self._stack.enter_async_context(aiohttp.ClientSession())
        live = f"http://127.0.0.1:{self._home.port}/{SERVICE}/live"
        self._user = await self._stack.enter_async_context(session.ws_connect(live))

    async def _send_users_on(self) -> None:
        self._push_home((Redirect(Prefix("127.0.0.0/24"), self.copy_url, SystemClock().now() + 600),))
        await self._home.applied(self._version)

    def _push_home(self, redirects: tuple[Redirect, ...]) -> None:
        self._version += 1
        route = msgspec.structs.replace(_ROUTE, route=HttpRoute("*", "/"), relay_tokens=(_TOKEN,), redirects=redirects)
        self._home.push(RoutingTable(self._version, (route,)), self._compiled)

    @asynccontextmanager
    async def _site(self, name: str) -> AsyncIterator[Workers]:
        workers = Workers(Endpoint("127.0.0.1", 0), 1, self._directory / name, lambda _report: None)
        await workers.start()
        try:
            yield workers
        finally:
            await workers.stop(drain_s=0.2)


@asynccontextmanager
async def slow_line(port: int, half_s: float) -> AsyncIterator[int]:
    """A port from which bytes take ``half_s`` to ``port`` and as long back."""
    tasks: set[asyncio.Task[None]] = set()

    def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(join(reader, writer, port, half_s))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, half_s: float) -> None:
    """Carry one connection's bytes both ways."""
    with contextlib.closing(writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(there_writer):
            await asyncio.gather(carry(reader, there_writer, half_s), carry(there_reader, writer, half_s))


async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter, half_s: float) -> None:
    """Pass on all bytes, in order, each ``half_s`` after it came, until there are no more."""
    loop = asyncio.get_running_loop()
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, data = await on_the_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                return
            target.write(data)
            await target.drain()

    delivering = asyncio.create_task(deliver())
    try:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                on_the_way.put_nowait((loop.time() + half_s, data))
            on_the_way.put_nowait((loop.time() + half_s, b""))
            await delivering
            target.write_eof()
    finally:
        delivering.cancel()
