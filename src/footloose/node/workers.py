"""The node's workers: started, told what to serve, listened to, and replaced when they die or hang."""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from footloose.core.clock import OwnTime
from footloose.core.codec import encode
from footloose.core.digest import Digest
from footloose.core.errors import LocalError, RemoteError
from footloose.core.limits import DRAIN_S, RETIRE_S, STOOD_STILL_S, WORKER_RESTART_S, WORKER_SILENT_S, WORKER_START_S
from footloose.gateway.redirects import authority_of
from footloose.gateway.routes import Authority
from footloose.gateway.running import new_page, number_of, read_page
from footloose.gateway.tls import Certificate
from footloose.model.app import ServiceId
from footloose.model.network import Observation, Prefix
from footloose.model.routing import RoutingTable, WorkerReport
from footloose.model.site import Endpoint
from footloose.node.control import (
    Applied,
    Confined,
    FrameReader,
    FromWorker,
    Present,
    Reported,
    Retire,
    Sandbox,
    TableUpdate,
    ToWorker,
    UserConfig,
    WorkerConfig,
    frame,
    from_worker,
)
from footloose.node.dialing import Dialer, dialing_pair
from footloose.sandbox import confine

_log = logging.getLogger(__name__)
_COMMAND = (sys.executable, "-P", "-m", "footloose.node.worker")
_BACKLOG = 1024
_FIRST_RESTART_S = 0.05
_CHECK_S = 0.5
_EXIT_S = 0.2
_STOP_MARGIN_S = 1.0

Report = Callable[[WorkerReport], None]


class WorkerStatus(msgspec.Struct, frozen=True):
    """One worker as it stands. ``pid`` is None while it is being replaced; ``version`` is that of its table.

    ``confined`` is how, as the worker said; None if it is not, or has not said so yet.
    """

    index: int
    pid: int | None
    restarts: int
    serving: bool
    version: int
    confined: confine.Confined | None = None


class RestartPace:
    """When to start a worker again: at once, unless it keeps dying young. Times in seconds."""

    def __init__(self) -> None:
        self._wait_s = _FIRST_RESTART_S

    def after(self, lived_s: float) -> float:
        """How long to wait after one that lived so long."""
        if lived_s >= WORKER_RESTART_S:
            self._wait_s = _FIRST_RESTART_S
        wait_s, self._wait_s = self._wait_s, min(WORKER_RESTART_S, self._wait_s * 2)
        return wait_s


class Levels:
    """Open WebSockets are a level, and each worker knows only its own: this makes them the site's."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, Prefix], dict[int, int]] = {}
        self._address: dict[tuple[str, Prefix], str] = {}

    def of_site(self, life: int, report: WorkerReport) -> WorkerReport:
        """``report`` of the process ``life`` with the levels of all together."""
        observations = tuple(self._merged(life, observation) for observation in report.observations)
        return msgspec.structs.replace(report, observations=observations)

    def without(self, life: int) -> tuple[Observation, ...]:
        """A process is gone and its WebSockets with it: the levels that this changed."""
        gone = [key for key, by_life in self._open.items() if life in by_life]
        return tuple(
            self._merged(life, Observation(service, prefix, self._address[service, prefix])) for service, prefix in gone
        )

    def _merged(self, life: int, observation: Observation) -> Observation:
        key = (observation.service, observation.prefix)
        by_life = self._open.get(key)
        if by_life is None and not observation.open_websockets:
            return observation
        by_life = self._open.setdefault(key, {})
        by_life[life] = observation.open_websockets
        if not observation.open_websockets:
            del by_life[life]
        self._address[key] = observation.address
        level = sum(by_life.values())
        if not by_life:
            del self._open[key], self._address[key]
        return msgspec.structs.replace(observation, open_websockets=level)


class Workers:
    """All workers of a site, on the same listening sockets. ``report`` is called on the loop with what they see.

    Users who come to ``tls`` speak TLS, by the certificates that are presented.
    """

    def __init__(
        self,
        listen: Endpoint,
        count: int,
        run_dir: Path,
        report: Report,
        *,
        tls: Endpoint | None = None,
        users: UserConfig | None = None,
        source: str | None = None,
        sandbox: Sandbox | None = None,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self._listen = listen
        self._count = count
        self._run_dir = run_dir
        self._report = report
        self._levels = Levels()
        self._tls = tls
        self._users = users if users is not None else UserConfig()
        self.source = source
        self._sandbox = sandbox
        self._command = command
        self._socket: socket.socket | None = None
        self._tls_socket: socket.socket | None = None
        self._certificates = Present(())
        self._retiring: dict[_Slot, asyncio.Task[None]] = {}
        self._replacing = asyncio.Lock()
        self._update = TableUpdate(RoutingTable(version=0))
        self._slots: list[_Slot] = []
        self._changed = asyncio.Event()
        # What a worker did not say while this process stood still itself must not count.
        self.time = OwnTime(time.monotonic, STOOD_STILL_S)

    @property
    def port(self) -> int:
        """The port users come to, also where port 0 was asked for. Raises :class:`LocalError` before the start."""
        port: int = self._bound().getsockname()[1]
        return port

    @property
    def statuses(self) -> tuple[WorkerStatus, ...]:
        """How each worker stands."""
        return tuple(slot.status for slot in self._slots)

    @property
    def running(self) -> list[ServiceId]:
        """The services whose guests run at this moment."""
        return self.named(frozenset().union(*(slot.running for slot in self._slots)))

    def begin(self) -> None:
        """Bind the gateway's socket and start the processes, which take a while to load; none serves before the start.

        Raises :class:`LocalError` if the address cannot be had.
        """
        self._socket = listening_socket(self._listen)
        if self._tls is not None:
            self._tls_socket = listening_socket(self._tls)
        self._run_dir.mkdir(parents=True, exist_ok=True)
        if self._sandbox is not None and self._sandbox.user is not None and os.getuid() == 0:
            os.chown(self._run_dir, self._sandbox.user, self._sandbox.user)
        self._slots = [self._slot(index) for index in range(self._count)]
        for slot in self._slots:
            slot.start()

    async def start(self) -> None:
        """Have all workers serve by the table of now, and any later one; returns when each does.

        Raises :class:`LocalError` if the address cannot be had, or a worker does not come up.
        """
        if self._socket is None:
            self.begin()
        for slot in self._slots:
            slot.serve(self._update)
        try:
            await asyncio.gather(*(slot.first_ready() for slot in self._slots))
        except LocalError:
            await self.stop()
            raise

    def push(self, table: RoutingTable, compiled: Mapping[Digest, str]) -> None:
        """Have every worker obey ``table``, now and after any restart; one no newer than the last is ignored.

        ``compiled`` is where the compiled artifact of each digest in the table lies.
        """
        if table.version > self._update.table.version:
            self._update = TableUpdate(table, dict(compiled))
            for slot in (*self._slots, *self._retiring):
                slot.push(self._update)

    def present(self, certificates: Sequence[Certificate]) -> None:
        """Have every worker present these to users of TLS, now and after any restart."""
        self._certificates = Present(tuple(certificates))
        for slot in self._slots:
            slot.present(self._certificates)

    async def replace(self, index: int) -> None:
        """Start another worker in the place of ``index``; once it serves, the old one finishes what it has begun.

        Both are on the same sockets, so no user notices. Raises :class:`LocalError` if there is no such worker or the
        other does not come up; the old one then goes on.
        """
        async with self._replacing:
            if not 0 <= index < len(self._slots):
                raise LocalError(f"there is no worker {index}", where="gateway", fix="see `footloose status`")
            old = self._slots[index]
            new = self._slot(index)
            new.restarts = old.restarts + 1
            new.start()
            new.serve(self._update)
            try:
                await new.first_ready()
            except BaseException:
                await new.stop(0.0)
                raise
            self._slots[index] = new
            new.push(self._update)  # there may be a newer one by now
            retiring = asyncio.create_task(old.stop(RETIRE_S, retire=True))
            self._retiring[old] = retiring
            retiring.add_done_callback(lambda _: self._retiring.pop(old))

    async def applied(self, version: int) -> None:
        """Return when every worker that serves users does so by the table of ``version``, or a later one.

        A worker being replaced does not count: it will not serve before it has the table.
        """
        while any(slot.status.serving and slot.status.version < version for slot in self._slots):
            self._changed.clear()
            await self._changed.wait()

    async def stop(self, drain_s: float = DRAIN_S) -> None:
        """Have them finish what they have begun, for so long, then end them, and close the socket."""
        await asyncio.gather(*(slot.stop(drain_s) for slot in self._slots))
        retiring = list(self._retiring.values())
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)
        for one in (self._socket, self._tls_socket):
            if one is not None:
                one.close()
        self._socket = self._tls_socket = None

    def _bound(self) -> socket.socket:
        if self._socket is None:
            raise LocalError("the workers are not started", where="gateway")
        return self._socket

    def _slot(self, index: int) -> "_Slot":
        config = WorkerConfig(
            listen_fds=(self._bound().fileno(),),
            control_fd=-1,
            index=index,
            workers=self._count,
            run_dir=str(self._run_dir),
            source=self.source,
            tls_fds=(self._tls_socket.fileno(),) if self._tls_socket is not None else (),
            users=self._users,
            sandbox=self._sandbox,
        )
        return _Slot(config, self._command, self)

    # What the slots ask and tell.

    def names_parent(self, host: str, port: int) -> bool:
        """Whether a copy that runs here by the table of now has its parent there."""
        uplinks = [route.uplink for route in self._update.table.services if route.uplink is not None]
        return Authority(host, port) in [authority_of(uplink.url) for uplink in uplinks]

    def named(self, numbers: frozenset[int]) -> list[ServiceId]:
        """The services of the table of now that have these numbers (:func:`~footloose.gateway.running.number_of`)."""
        return [route.service for route in self._update.table.services if number_of(route.service) in numbers]

    @property
    def certificates(self) -> Present:
        """What every worker is to present to users of TLS."""
        return self._certificates

    def reported(self, life: int, report: WorkerReport) -> None:
        """The worker process ``life`` has seen something."""
        self._report(self._levels.of_site(life, report))

    def changed(self) -> None:
        """A worker has come, gone, or obeyed a table."""
        self._changed.set()

    def lost(self, life: int, worker: int, version: int) -> None:
        """A worker process is gone."""
        observations = self._levels.without(life)
        if observations:
            self._report(WorkerReport(worker, version, observations))
        self._changed.set()


def listening_socket(listen: Endpoint) -> socket.socket:
    """A socket bound to ``listen``; ``::`` takes IPv4 too. Raises :class:`LocalError` if it cannot be had."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    dual = listen.host == "::" and socket.has_dualstack_ipv6()
    try:
        made = socket.create_server((listen.host, listen.port), family=family, backlog=_BACKLOG, dualstack_ipv6=dual)
    except OSError as error:
        raise LocalError(
            f"the gateway cannot listen here: {error.strerror or error}",
            where=str(listen),
            fix="stop what uses the address, or give the gateway another one",
        ) from error
    made.setblocking(False)
    return made


class _Slot:
    """One worker's place: whoever holds it now, and who comes after."""

    def __init__(self, config: WorkerConfig, command: Sequence[str], site: Workers) -> None:
        self._config = config
        self._command = command
        self._update: TableUpdate | None = None
        """What to serve by; None before anything is to be served."""
        self._site = site
        self._pace = RestartPace()
        self._life: _Life | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.restarts = 0
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def status(self) -> WorkerStatus:
        life = self._life
        if life is None:
            return WorkerStatus(self._config.index, None, self.restarts, serving=False, version=-1)
        return WorkerStatus(self._config.index, life.pid, self.restarts, life.version >= 0, life.version, life.confined)

    @property
    def running(self) -> frozenset[int]:
        return self._life.running() if self._life is not None else frozenset()

    def start(self) -> None:
        self._task = asyncio.create_task(self._supervise(), name=f"worker-{self._config.index}")

    async def first_ready(self) -> None:
        """Return when the first worker serves. Raises :class:`LocalError` if it does not come up."""
        await self._first

    def serve(self, update: TableUpdate) -> None:
        self._update = update
        if self._life is not None:
            self._life.push(update)

    def push(self, update: TableUpdate) -> None:
        if self._update is not None:
            self.serve(update)

    def present(self, certificates: Present) -> None:
        if self._life is not None:
            self._life.send(certificates)

    async def stop(self, drain_s: float, *, retire: bool = False) -> None:
        self._stopping = True
        if self._task is None:
            return
        if self._life is not None:
            if retire:
                self._life.send(Retire())
            else:
                self._life.terminate()
            await asyncio.wait([self._task], timeout=drain_s + _STOP_MARGIN_S)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if not self._first.cancel() and not self._first.cancelled():
            self._first.exception()  # whoever waits for the start has seen it, or never will

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            born_s = loop.time()
            reason = await self._live()
            if self._stopping:
                return
            if not self._first.done():
                self._first.set_exception(
                    LocalError(f"a worker did not come up: {reason}", where="gateway", fix="see what it said above")
                )
            wait_s = self._pace.after(loop.time() - born_s)
            _log.error("worker %d is replaced in %.2f s: %s", self._config.index, wait_s, reason)
            self.restarts += 1
            await asyncio.sleep(wait_s)

    async def _live(self) -> str:
        """One worker's whole life; returns why it ended."""
        life = _Life(self._site, self._obeyed)
        try:
            await life.begin(self._config, self._command)
            self._life = life
            if self._update is not None:
                life.push(self._update)
            reason = await life.end()
            return f"{reason}{self._while_running(life)}"
        except OSError as error:
            return f"it could not be started: {error}"
        finally:
            self._life = None
            await life.bury()
            self._site.lost(life.number, self._config.index, life.version)

    def _while_running(self, life: "_Life") -> str:
        services = self._site.named(life.running())
        return f", while it ran {' and '.join(services)}" if services else ""

    def _obeyed(self) -> None:
        if not self._first.done():
            self._first.set_result(None)
        self._site.changed()


_numbers = itertools.count()


class _Life:
    """One worker process and the socket to it. ``version`` is the table it serves by, -1 before it serves."""

    def __init__(self, site: Workers, obeyed: Callable[[], None]) -> None:
        self._update: TableUpdate | None = None
        self._site = site
        self.number = next(_numbers)
        self._obeyed = obeyed
        self._loop = asyncio.get_running_loop()
        self._process: asyncio.subprocess.Process | None = None
        self._control: asyncio.Transport | None = None
        self._heard_s = site.time.now()
        self._sent: int | None = None
        """Version of the table it was sent and has not yet obeyed."""
        self._sent_s = 0.0
        self.hung_up: asyncio.Future[str] = self._loop.create_future()
        self.version = -1
        self.confined: confine.Confined | None = None
        self._dialer: Dialer | None = None
        self._page: int | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def begin(self, config: WorkerConfig, command: Sequence[str]) -> None:
        """Start the process. Raises :class:`OSError`."""
        ours, theirs = socket.socketpair()
        our_dialing, their_dialing = dialing_pair()
        with theirs, their_dialing:
            ours.setblocking(False)
            transport, _ = await self._loop.create_unix_connection(lambda: _Control(self), sock=ours)
            self._control = transport
            self._dialer = Dialer(our_dialing, self._site.names_parent, self._site.source)
            self._page = new_page()
            inherited = (theirs.fileno(), their_dialing.fileno(), self._page)
            config = msgspec.structs.replace(
                config, control_fd=inherited[0], dial_fd=inherited[1], running_fd=inherited[2]
            )
            self._process = await asyncio.create_subprocess_exec(
                *command,
                encode(config).decode(),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(*config.listen_fds, *config.tls_fds, *inherited),
            )
        self.send(self._site.certificates)

    def send(self, message: ToWorker) -> None:
        """Send something that is not answered."""
        if self._control is not None:
            self._control.write(frame(message))

    def running(self) -> frozenset[int]:
        """The numbers of the services whose guests it runs, or ran at its end."""
        return read_page(self._page) if self._page is not None else frozenset()

    def push(self, update: TableUpdate) -> None:
        """Have the worker obey ``update``: once it has obeyed the one before, so that they do not pile up."""
        self._update = update
        if self._sent is None and self.version < update.table.version and self._control is not None:
            self._sent = update.table.version
            self._sent_s = self._site.time.now()
            self._control.write(frame(update))

    async def end(self) -> str:
        """Wait until the worker has ended, or must be ended; returns why."""
        assert self._process is not None  # noqa: S101  begun
        exited = asyncio.create_task(self._process.wait())
        ends: list[asyncio.Future[Any]] = [exited, self.hung_up]
        try:
            while True:
                await asyncio.wait(ends, timeout=_CHECK_S, return_when=asyncio.FIRST_COMPLETED)
                if exited.done():
                    return _how_it_ended(exited.result())
                reason = self.hung_up.result() if self.hung_up.done() else self._overdue()
                if reason is not None:
                    await asyncio.wait([exited], timeout=_EXIT_S)  # one that hung up is mostly about to exit
                    return _how_it_ended(exited.result()) if exited.done() else reason
        finally:
            exited.cancel()

    def _overdue(self) -> str | None:
        now_s = self._site.time.now()
        if self.version < 0:
            late = self._sent is not None and now_s - self._sent_s > WORKER_START_S
            return "it took too long to start" if late else None
        if now_s - self._heard_s > WORKER_SILENT_S:
            return "it gives no sign of life"
        if self._sent is not None and now_s - self._sent_s > WORKER_SILENT_S:
            return "it does not obey its table"
        return None

    def terminate(self) -> None:
        """Have it finish and exit."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    async def bury(self) -> None:
        """End what is left of it."""
        if self._control is not None:
            self._control.abort()
        if self._dialer is not None:
            await self._dialer.close()
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if self._page is not None:
            os.close(self._page)
            self._page = None

    def received(self, message: FromWorker) -> None:
        """The worker said something."""
        self._heard_s = self._site.time.now()
        if isinstance(message, Reported):
            self._site.reported(self.number, message.report)
        elif isinstance(message, Confined):
            self.confined = message.how
            for lack in message.how.lacks:
                _log.warning("a worker is not confined in %s", lack)
        elif isinstance(message, Applied):
            self.version = message.version
            self._sent = None
            self._obeyed()
            if self._update is not None:
                self.push(self._update)


class _Control(asyncio.Protocol):
    """The node's end of one control socket."""

    def __init__(self, life: _Life) -> None:
        self._life = life
        self._frames = FrameReader()

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.feed(data):
                self._life.received(from_worker(message))
        except RemoteError as error:
            self._hang_up(str(error))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._hang_up("it closed its control socket")

    def _hang_up(self, reason: str) -> None:
        if not self._life.hung_up.done():
            self._life.hung_up.set_result(reason)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"it exited with code {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"
