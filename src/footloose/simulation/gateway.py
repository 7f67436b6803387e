"""The gateway of a simulated site: a process of its own that serves users by the table, as a worker does.

Where a user is sent is decided by the very :class:`footloose.gateway.front.Front`, what is counted by the very
:class:`footloose.gateway.reporting.Reporter`; connections, and what guests do, are left out.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from footloose.core.clock import Clock
from footloose.core.digest import Digest
from footloose.core.limits import WEBSOCKET_PING_S, WEBSOCKET_REPORT_S
from footloose.gateway.counts import Counts, Seen
from footloose.gateway.front import Call, Farewell, Front, User
from footloose.gateway.http1 import Request
from footloose.gateway.reporting import Reporter
from footloose.gateway.responses import Response
from footloose.gateway.routes import Authority
from footloose.gateway.services import Served, Services
from footloose.model.app import GuestKind, Instances, Limits, ServiceId
from footloose.model.guest import Exchange, GuestAnswer
from footloose.model.network import prefix_of
from footloose.model.routing import RoutingTable, WorkerReport
from footloose.simulation.process import ProcessLoop

_TABLE_S = 0.001
"""How long a table, or a report, is on its way between node and worker."""
_ANSWER_BYTES = 2_000


class Kind(Enum):
    """What a user wants."""

    REQUEST = "request"
    MESSAGE = "message"
    """Say something on its WebSocket, which is opened with the first."""
    CLOSE = "close"


class UserRequest(msgspec.Struct, frozen=True):
    """``user`` asks for ``path``. ``rtt_ms`` is what the kernel would measure on its connection."""

    kind: Kind
    user: str
    address: str
    path: str
    host: str
    rtt_ms: float


class UserAnswer(msgspec.Struct, frozen=True):
    """What it gets: a status, which service answered, and where to go: for a redirect, or if it had better move."""

    status: int
    location: str = ""
    service: ServiceId | None = None


class _Nothing:
    """A guest that is never called."""

    streams = False

    def call(self, environment: Sequence[tuple[str, str]], body: bytes) -> GuestAnswer:  # noqa: ARG002  the interface
        """An empty answer."""
        return GuestAnswer(b"", b"")

    def stream(self, environment: Sequence[tuple[str, str]], exchange: Exchange) -> bytes:  # noqa: ARG002
        """The same."""
        return b""


class _Runtime:
    """Loads anything."""

    def load(self, _compiled: Path, _kind: GuestKind, _limits: Limits, _instances: Instances) -> _Nothing:
        """A guest."""
        return _Nothing()

    def tidy(self) -> None:
        """Nothing rests here."""


class _Connection:
    """Where a request came from."""

    def __init__(self, rtt_ms: float) -> None:
        self._rtt_ms = rtt_ms

    def rtt_ms(self) -> float | None:
        """The round trip to the user."""
        return self._rtt_ms


class _WebSocket(msgspec.Struct):
    """One that is open."""

    seen: Seen
    connection: _Connection
    heard_s: float


class SimulatedGateway:
    """What :class:`footloose.node.workers.Workers` is to a real site: one worker, ``process``, for the ``node``.

    ``report`` is called in the node with what it saw; ``changed`` with each table it obeys.
    """

    def __init__(
        self,
        node: ProcessLoop,
        process: ProcessLoop,
        address: str,
        clock: Clock,
        report: Callable[[WorkerReport], None],
        changed: Callable[[RoutingTable], None],
    ) -> None:
        self.process = process
        self._node = node
        self._here = Authority(address, 80)
        self._clock = clock
        self._report = report
        self._changed = changed
        self._services = Services(_Runtime(), lambda *_: None)
        self._front = Front(self._services, clock)
        self._reporter: Reporter | None = None
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._open: dict[str, _WebSocket] = {}

    # For the node

    def push(self, table: RoutingTable, compiled: Mapping[Digest, str]) -> None:
        """Serve by ``table``, soon."""
        paths = {digest: Path(path) for digest, path in compiled.items()}
        self._node.call_later(_TABLE_S, self.process.enter, self._install, table, paths)

    async def applied(self, version: int) -> None:
        """Return when it does. One that does not run yet will have the table when it does."""
        if self._reporter is not None and self._services.version < version:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((version, waiter))
            await waiter

    def start(self) -> None:
        """Serve users from now on."""
        self.process.enter(self._started)

    @property
    def serving(self) -> tuple[ServiceId, ...]:
        """The services users are served."""
        return tuple(self._services.by_id)

    # In the worker

    def _started(self) -> None:
        self._reporter = Reporter(0, self._clock, lambda: self._services.version, self._send)
        self._keep_house()

    def _keep_house(self) -> None:
        """Close WebSockets that are silent, and report those that are open, as often as a worker does."""
        assert self._reporter is not None  # noqa: S101  it was started
        silent_since_s = self.process.time() - 2 * WEBSOCKET_PING_S
        for user in [user for user, socket in self._open.items() if socket.heard_s < silent_since_s]:
            self._close(user)
        self._reporter.repeat_open()
        self.process.call_later(WEBSOCKET_REPORT_S, self._keep_house)

    def _close(self, user: str) -> None:
        socket = self._open.pop(user, None)
        if socket is not None and self._reporter is not None:
            self._reporter.counts.closed(socket.seen, socket.connection)

    def _send(self, report: WorkerReport) -> None:
        self.process.call_later(_TABLE_S, self._node.enter, self._report, report)

    def _install(self, table: RoutingTable, compiled: Mapping[Digest, Path]) -> None:
        if self._services.install(table, compiled):
            self._changed(table)
            self._node.enter(self._obeyed, table.version)

    def _obeyed(self, version: int) -> None:
        done = [waiter for wanted, waiter in self._waiting if wanted <= version]
        self._waiting = [(wanted, waiter) for wanted, waiter in self._waiting if wanted > version]
        for waiter in done:
            if not waiter.done():
                waiter.set_result(None)

    def handle(self, asked: UserRequest, answer: Callable[[Any, int], None]) -> None:
        """Answer a user."""
        answer(self._answer(asked), _ANSWER_BYTES)

    def _answer(self, asked: UserRequest) -> UserAnswer:
        if self._reporter is None:
            return UserAnswer(503)
        if asked.kind is Kind.CLOSE:
            self._close(asked.user)
            return UserAnswer(200)
        user = User(asked.address, prefix_of(asked.address), self._here)
        upgrade = asked.kind is Kind.MESSAGE
        request = Request(
            "GET", asked.path, asked.path, "", asked.host, "1.1", {}, b"", keep_alive=True, upgrade=upgrade
        )
        admitted = self._front.admit(request, user)
        match admitted:
            case Call():
                return self._served(asked, user, admitted.served, self._reporter.counts)
            case Farewell():
                self._close(asked.user)
                return UserAnswer(302, location=admitted.url)
        self._close(asked.user)
        return UserAnswer(admitted.status, location=_location(admitted))

    def _served(self, asked: UserRequest, user: User, served: Served, counts: Counts) -> UserAnswer:
        socket = self._open.get(asked.user)
        connection = socket.connection if socket is not None else _Connection(asked.rtt_ms)
        seen = counts.request(served.service, user.prefix, user.address, connection)
        if asked.kind is Kind.REQUEST:
            return UserAnswer(200, service=served.service)
        if socket is None:
            counts.opened(seen, connection, user.address)
        self._open[asked.user] = _WebSocket(seen, connection, self.process.time())
        nearer = self._front.nearer(served, user, asked.host, "", "")
        return UserAnswer(200, location=nearer or "", service=served.service)


def _location(response: Response) -> str:
    for line in response.lines.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(": ")
        if name == "Location":
            return value
    return ""
