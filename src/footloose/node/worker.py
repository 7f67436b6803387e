"""A worker: the process that carries users' traffic. Started by :mod:`footloose.node.workers`, one per core or so.

It owns nothing. What to serve it is told over its control socket; when that closes, the node is gone, and so is it.
"""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import uvloop

from footloose.core.errors import FootlooseError
from footloose.core.limits import DRAIN_S, ORPHAN_S, RELAY_UNSENT_BYTES, RETIRE_S, WORKER_BEAT_S
from footloose.gateway.running import Running
from footloose.gateway.server import Gateway
from footloose.gateway.shared import GatewayConfig
from footloose.model.guest import Runtime
from footloose.model.routing import WorkerReport
from footloose.node.control import (
    Applied,
    Beat,
    Confined,
    FrameReader,
    FromWorker,
    Present,
    Reported,
    Retire,
    TableUpdate,
    ToWorker,
    WorkerConfig,
    frame,
    to_worker,
)
from footloose.node.dialing import NodeDial
from footloose.runtimes.wasm.runtime import WasmRuntime
from footloose.sandbox import confine as sandbox

_log = logging.getLogger(__name__)
_PYTHON = (sys.prefix, sys.base_prefix, *(path for path in sys.path if path))
"""Where modules are that may be imported late."""
_SYSTEM = ("/usr/lib", "/lib", "/lib64", "/etc/ssl", "/usr/share/ca-certificates", "/proc/self", "/proc/cpuinfo")
"""Libraries of the system, whom to trust, and what a process may know of itself."""


class Worker:
    """One worker's life, from its first table to its end."""

    def __init__(self, config: WorkerConfig, runtime: Runtime, confined: sandbox.Confined | None) -> None:
        self._config = config
        self._runtime = runtime
        self._confined = confined
        self._dial: NodeDial | None = None
        self._gateway: Gateway
        self._control: asyncio.Transport
        self._serving = False
        self._updates: asyncio.Queue[ToWorker] = asyncio.Queue()
        self._drain_s: asyncio.Future[float]

    async def run(self) -> None:
        """Serve until told to stop (SIGTERM) or the node is gone."""
        loop = asyncio.get_running_loop()
        self._drain_s = loop.create_future()
        loop.add_signal_handler(signal.SIGTERM, self._stop, DRAIN_S)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C at a terminal is the node's to act on
        await self._connect(loop)
        config = GatewayConfig(
            Path(self._config.run_dir),
            self._config.index,
            self._config.workers,
            source=self._config.source,
            **msgspec.structs.asdict(self._config.users),
        )
        if self._config.dial_fd is not None:
            self._dial = NodeDial(socket.socket(fileno=self._config.dial_fd))
        running = Running(self._config.running_fd)
        self._gateway = Gateway(config, self._runtime, self._report, dial=self._dial, running=running)
        tasks = [asyncio.create_task(self._obey()), asyncio.create_task(self._beat())]
        try:
            drain_s = await self._until_stopped(tasks)
            if self._serving:
                await self._gateway.drain(drain_s)
        finally:
            for task in tasks:
                task.cancel()
            await self._gateway.close()
            if self._dial is not None:
                self._dial.close()
            self._control.close()

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        control = socket.socket(fileno=self._config.control_fd)
        transport, _ = await loop.create_unix_connection(lambda: _Control(self), sock=control)
        self._control = transport
        if self._confined is not None:
            self._send(Confined(self._confined))

    async def _until_stopped(self, tasks: Sequence[asyncio.Task[None]]) -> float:
        ends: list[asyncio.Future[Any]] = [*tasks, self._drain_s]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()  # raises what went wrong: neither ends by itself
        return self._drain_s.result()

    def received(self, message: ToWorker) -> None:
        """The node sent something."""
        self._updates.put_nowait(message)

    def orphaned(self) -> None:
        """The node is gone."""
        self._stop(ORPHAN_S)

    def _stop(self, drain_s: float) -> None:
        if not self._drain_s.done():
            self._drain_s.set_result(drain_s)

    async def _obey(self) -> None:
        """Act on tables as they come; the first is in force before the first user is let in."""
        while True:
            match await self._updates.get():
                case TableUpdate() as update:
                    await self._follow(update)
                case Present() as present:
                    self._gateway.present(present.certificates)
                case Retire():
                    self._gateway.retire()
                    self._stop(RETIRE_S)

    async def _follow(self, update: TableUpdate) -> None:
        self._gateway.install(update.table, {digest: Path(path) for digest, path in update.compiled.items()})
        if not self._serving:
            config = self._config
            plain, secure = ([socket.socket(fileno=fd) for fd in fds] for fds in (config.listen_fds, config.tls_fds))
            await self._gateway.start(plain, secure)
            self._serving = True
        self._send(Applied(self._gateway.version))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(WORKER_BEAT_S)
            self._send(Beat())

    def _report(self, report: WorkerReport) -> None:
        if self._control.get_write_buffer_size() > RELAY_UNSENT_BYTES:
            _log.warning("the node does not read: a report of %d observations is lost", len(report.observations))
        else:
            self._send(Reported(report))

    def _send(self, message: FromWorker) -> None:
        if not self._control.is_closing():
            self._control.write(frame(message))


class Receiver(Protocol):
    """Who is told what comes over the control socket."""

    def received(self, message: ToWorker) -> None:
        """A message of the node's."""
        ...

    def orphaned(self) -> None:
        """The other end is closed."""
        ...


class _Control(asyncio.Protocol):
    """The worker's end of the control socket."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._frames = FrameReader()

    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            self._receiver.received(to_worker(message))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._receiver.orphaned()


def raise_file_limit() -> None:
    """Allow as many open files as this process may: each user is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # then it stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(config: WorkerConfig, make_runtime: Callable[[], Runtime]) -> None:
    """Be a worker until it is over. ``make_runtime`` may start threads, and so comes after what concerns one only."""
    raise_file_limit()
    confinement = confined(config)
    runtime = make_runtime()
    gc.freeze()  # what is there now stays: the collector need not look at it again and again
    # Before the loop is made, which would else do its work through io_uring, past the filter.
    how = confinement.finish() if confinement is not None else None
    uvloop.run(Worker(config, runtime, how).run())


def confined(config: WorkerConfig) -> sandbox.Confinement | None:
    """Give up what this worker does not need, as far as its node wants it. Raises :class:`LocalError`."""
    if config.sandbox is None:
        return None
    readable = [Path(path) for path in (*config.sandbox.readable, *_PYTHON, *_SYSTEM)]
    return sandbox.Confinement(config.sandbox.user, readable, [Path(config.run_dir)])


def main(arguments: Sequence[str]) -> int:
    """``python -m footloose.node.worker CONFIG``, with the config as JSON. Not meant to be typed."""
    logging.basicConfig(format="%(levelname)s worker %(message)s", stream=sys.stderr)
    config = msgspec.json.decode(arguments[0], type=WorkerConfig)
    try:
        serve(config, WasmRuntime)
    except FootlooseError as error:
        _log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    # Not by way of the interpreter's own end: a guest may still run in a thread, in memory that would be taken away.
    os._exit(code)
