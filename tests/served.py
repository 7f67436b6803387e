"""A real aiohttp server on a thread of its own, for tests that themselves wait on a browser."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

T = TypeVar("T")


class LoopThread:
    """An event loop on a thread of its own, between entering and leaving."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = 20) -> T:
        """Run ``work`` on the loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=timeout_s)

    def post(self, work: Callable[..., object], *arguments: object) -> None:
        """Have the loop call ``work`` soon, in the order posted, without waiting; from any thread."""
        self._loop.call_soon_threadsafe(work, *arguments)


class Served(LoopThread):
    """Serves what ``make_app`` gives, on loopback, between entering and leaving; can be stopped and started again."""

    def __init__(self, make_app: Callable[[], web.Application]) -> None:
        super().__init__()
        self._make_app = make_app
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is served, with a slash at the end."""
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        super().__enter__()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        super().__exit__(kind, error, trace)

    def start(self) -> None:
        """Listen, at the same port as before if there was one."""
        self.run(self._start())

    def stop(self) -> None:
        """Close the listening socket and every connection."""
        self.run(self._stop())

    async def _start(self) -> None:
        runner = web.AppRunner(self._make_app(), handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        assert runner.server is not None
        self._listening = await self._loop.create_server(runner.server, "127.0.0.1", self.port, reuse_address=True)
        self._runner = runner
        self.port = self._listening.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is None:
            return
        # A user accepted in the very moment asyncio closes a server is leaked by it, so accepting ends first.
        for listening in self._listening.sockets:
            self._loop.remove_reader(listening.fileno())
        await _settled()
        self._listening.close()
        await runner.cleanup()
        await _settled()


async def _settled() -> None:
    """Let what asyncio has put off to its next turns (accepting, closing) be done; it takes three at most."""
    for _ in range(5):
        await asyncio.sleep(0)
