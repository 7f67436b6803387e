"""The gateway of a simulated site: a process of its own that serves users by the table, as a worker does.

Where a user is sent is decided by the very :class:`footloose.gateway.front.Front`, what is counted by the very
:class:`footloose.gateway.reporting.Reporter`; connections, and what guests do, are left out.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from footloose.core.clock import Clock
from footloose.core.digest import Digest
from footloose.gateway.front import Call, Farewell, Front, User
from footloose.gateway.http1 import Request
from footloose.gateway.reporting import Reporter
from footloose.gateway.responses import Response
from footloose.gateway.routes import Authority
from footloose.gateway.services import Services
from footloose.model.app import GuestKind, Limits, ServiceId
from footloose.model.guest import GuestAnswer
from footloose.model.network import prefix_of
from footloose.model.routing import RoutingTable, WorkerReport
from footloose.simulation.process import ProcessLoop

_TABLE_S = 0.001
"""How long a table, or a report, is on its way between node and worker."""
_ANSWER_BYTES = 2_000


class UserRequest(msgspec.Struct, frozen=True):
    """A user asks for ``path``. ``rtt_ms`` is what the kernel would measure on its connection."""

    address: str
    path: str
    host: str
    rtt_ms: float


class UserAnswer(msgspec.Struct, frozen=True):
    """What it gets: a status, for a redirect where to go, and which service answered."""

    status: int
    location: str = ""
    service: ServiceId | None = None


class _Nothing:
    """A guest that is never called."""

    def call(self, environment: Sequence[tuple[str, str]], body: bytes) -> GuestAnswer:  # noqa: ARG002  the interface
        """An empty answer."""
        return GuestAnswer(b"", b"")


class _Runtime:
    """Loads anything."""

    def load(self, compiled: Path, kind: GuestKind, limits: Limits) -> _Nothing:  # noqa: ARG002  the interface
        """A guest."""
        return _Nothing()


class _Connection:
    """Where a request came from."""

    def __init__(self, rtt_ms: float) -> None:
        self._rtt_ms = rtt_ms

    def rtt_ms(self) -> float | None:
        """The round trip to the user."""
        return self._rtt_ms


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
        user = User(asked.address, prefix_of(asked.address), self._here)
        request = Request("GET", asked.path, asked.path, "", asked.host, "1.1", {}, b"", keep_alive=True)
        admitted = self._front.admit(request, user)
        match admitted:
            case Call():
                service = admitted.served.service
                self._reporter.counts.request(service, user.prefix, user.address, _Connection(asked.rtt_ms))
                return UserAnswer(200, service=service)
            case Farewell():
                return UserAnswer(302, location=admitted.url)
        return UserAnswer(admitted.status, location=_location(admitted))


def _location(response: Response) -> str:
    for line in response.lines.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(": ")
        if name == "Location":
            return value
    return ""
