"""A process in virtual time: an asyncio event loop whose clock is the engine's, so that coroutines run in it unchanged.

It has no sockets of its own: datagrams go where ``network`` takes them. Killed, nothing of it ever runs again, not even
what would clean up; paused, it misses nothing and does all of it late, as a starved virtual machine would.
"""

import asyncio
import contextvars
import socket
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar, TypeVarTuple

from footloose.simulation.engine import Engine

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Address = tuple[str, int]


class Sockets(Protocol):
    """Opens sockets for a process."""

    def open(self, process: "ProcessLoop", protocol: asyncio.DatagramProtocol, local: Address) -> "Datagrams":
        """A UDP socket bound to ``local``. Raises :class:`OSError` if it is taken."""
        ...


class Datagrams(asyncio.DatagramTransport):
    """A UDP socket of a process in virtual time, as far as the shells of protocols use one."""

    def __init__(self, process: "ProcessLoop", local: Address, send: Callable[[bytes, Address], None]) -> None:
        super().__init__({"sockname": local, "socket": _Socket()})
        self._process = process
        self._send = send
        self._closed = False

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send a datagram, unless the process has ended."""
        if not self._closed and not self._process.killed:
            self._send(bytes(data), (addr[0], addr[1]))

    def get_write_buffer_size(self) -> int:
        """What is sent is gone at once."""
        return 0

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Send and receive no more."""
        self._closed = True

    def abort(self) -> None:
        """Likewise."""
        self._closed = True


class _Socket:
    """What shells set on their sockets has no meaning here."""

    family = socket.AF_INET

    def setsockopt(self, *_options: object) -> None:
        """Nothing to set."""


class ProcessLoop(asyncio.AbstractEventLoop):
    """The event loop of one process. ``faults`` are the errors nobody caught."""

    def __init__(self, engine: Engine, name: str, network: Sockets | None = None) -> None:
        self._engine = engine
        self._network = network
        self._paused_until = 0.0
        self.name = name
        self.killed = False
        self.faults: list[str] = []
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._last: deque[asyncio.Handle] | None = None
        """What is still to be run while it is disposed of."""

    @classmethod
    def begin(cls, engine: Engine, name: str, network: Sockets | None = None) -> "ProcessLoop":
        """A new process."""
        return cls(engine, name, network)

    # Life and death

    def kill(self) -> None:
        """Nothing of this process runs from now on, as after ``kill -9``."""
        self.killed = True

    def pause(self, for_s: float) -> None:
        """Nothing of it runs for so long; what falls due meanwhile is done afterwards, in its order."""
        self._paused_until = max(self._paused_until, self._engine.now + for_s)

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return self._paused_until > self._engine.now

    def run(self, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Begin ``coroutine`` in this process; it goes on as the engine runs."""
        return self.create_task(coroutine)

    def enter(self, callback: Callable[[*Ts], object], *arguments: *Ts) -> None:
        """Call ``callback`` inside this process now, or when it is no longer paused."""
        self.call_soon(callback, *arguments)

    def dispose(self) -> None:
        """When all is over: kill it, and let its coroutines come to their end with nobody to notice.

        Left to the garbage collector they would do so at some time, in some order, and complain.
        """
        self.killed = True
        self._last = deque()
        events._set_running_loop(self)
        try:
            for task in list(self._tasks):
                task.cancel()
            while self._last:
                self._last.popleft()._run()
        finally:
            events._set_running_loop(None)
            self._last = None

    @property
    def unfinished(self) -> list[str]:
        """The names of its tasks that have not ended."""
        return [task.get_name() for task in self._tasks if not task.done()]

    def _fire(self, handle: asyncio.Handle) -> None:
        if self.killed or handle.cancelled():
            return
        if self._paused_until > self._engine.now:
            self._engine.at(self._paused_until, self._fire, handle)
            return
        events._set_running_loop(self)
        try:
            handle._run()
        finally:
            events._set_running_loop(None)

    # What asyncio asks of an event loop

    def time(self) -> float:
        """Virtual time in seconds."""
        return self._engine.now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """After what is due already."""
        handle = asyncio.Handle(callback, args, self, context)
        if not self.killed:
            self._engine.after(0.0, self._fire, handle)
        elif self._last is not None:
            self._last.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """In ``delay`` seconds."""
        return self.call_at(self._engine.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """At ``when``."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if not self.killed:
            self._engine.at(when, self._fire, handle)
        return handle

    def create_future(self) -> "asyncio.Future[Any]":
        """A future of this process."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[T]":
        """A task of this process."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks[task] = None  # kept until it is done: one of a killed process must not be finalised at some time
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        del self._tasks[task]

    async def create_datagram_endpoint(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.DatagramProtocol], local_addr: Address | None = None, **_: Any
    ) -> tuple[Datagrams, asyncio.DatagramProtocol]:
        """A UDP socket on the simulated network."""
        if self._network is None or local_addr is None:
            raise OSError("this process has no network")
        protocol = protocol_factory()
        transport = self._network.open(self, protocol, local_addr)
        protocol.connection_made(transport)
        return transport, protocol

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what nobody caught."""
        if not self.killed:
            self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")

    def is_running(self) -> bool:
        """As long as it was not killed."""
        return not self.killed

    def is_closed(self) -> bool:
        """Whether it was killed."""
        return self.killed

    def get_debug(self) -> bool:
        """Never."""
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asyncio tells its loop; the plan passes unheeded."""
