"""What all connections of one worker share."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Protocol

import msgspec

from footloose.core.clock import Clock
from footloose.core.limits import (
    BODY_WINDOW_S,
    CONNECTIONS_PER_ADDRESS,
    CONNECTIONS_PER_WORKER,
    IDLE_CONNECTION_S,
    LEAVE_S,
    REQUEST_HEAD_TIMEOUT_S,
    TELL_AGAIN_S,
    WRITE_STALL_S,
)
from footloose.gateway.calls import Kept, Outcome, call, call_in_thread, call_streaming
from footloose.gateway.crowd import Crowd
from footloose.gateway.dial import Dial
from footloose.gateway.exchange import Whole
from footloose.gateway.forwarded import Trusted
from footloose.gateway.front import Front
from footloose.gateway.lanes import Job, Lanes
from footloose.gateway.reporting import Reporter
from footloose.gateway.responses import date_line
from footloose.gateway.running import Running
from footloose.gateway.services import Served, Services
from footloose.gateway.topics import Topics
from footloose.model.app import ServiceId


class GatewayConfig(msgspec.Struct, frozen=True):
    """How one worker's gateway runs. ``index`` counts from 0 to ``workers`` - 1; the sockets lie in ``run_dir``.

    ``access_log`` writes one JSON line per request to standard error; with ``server_timing`` users are told what took
    how long. The proxies in the networks ``trusted_proxies``
    are believed who their users are; with ``proxy_protocol`` they say so before anything else. Links to other copies
    are made from the address ``source``, or from one the kernel chooses. The times, in seconds, default to the limits.
    """

    run_dir: Path
    index: int = 0
    workers: int = 1
    access_log: bool = False
    source: str | None = None
    connections: int = CONNECTIONS_PER_WORKER
    connections_per_address: int = CONNECTIONS_PER_ADDRESS
    trusted_proxies: tuple[str, ...] = ()
    proxy_protocol: bool = False
    server_timing: bool = True
    request_s: float = REQUEST_HEAD_TIMEOUT_S
    body_window_s: float = BODY_WINDOW_S
    idle_s: float = IDLE_CONNECTION_S
    write_stall_s: float = WRITE_STALL_S
    tell_again_s: float = TELL_AGAIN_S
    leave_s: float = LEAVE_S
    sweep_s: float = 1.0


class Swept(Protocol):
    """A connection, as far as time and the end of the worker go."""

    def sweep(self, now_s: float) -> None:
        """See what has fallen due at ``now_s`` of the loop's clock."""
        ...

    def drain(self) -> None:
        """The worker stops: finish what has begun, then close."""
        ...

    def abort(self) -> None:
        """The worker ends: drop the connection."""
        ...

    def table_changed(self) -> None:
        """Another table is in force."""
        ...


class Shared:
    """The worker's one of everything. ``tick_s`` (the loop's time) and ``date`` (a header) are of the last sweep."""

    def __init__(
        self,
        config: GatewayConfig,
        clock: Clock,
        services: Services,
        reporter: Reporter,
        topics: Topics,
        lanes: Lanes,
        dial: Dial,
        running: Running,
    ) -> None:
        self.config = config
        self.clock = clock
        self.services = services
        self.reporter = reporter
        self.counts = reporter.counts
        self.topics = topics
        self.lanes = lanes
        self.dial = dial
        self.running = running
        self.front = Front(services, clock)
        self.trusted = Trusted(config.trusted_proxies)
        self.crowd = Crowd(config.connections_per_address)
        self.connections: dict[Swept, None] = {}
        self.draining = False
        self.retiring = False
        """Draining is no hurry: another worker is there already."""
        self.slow_readers_dropped = 0
        self._emptied = asyncio.Event()
        self.tick()

    def tick(self) -> None:
        """Read the clocks that need not be read for every request."""
        self.tick_s = asyncio.get_running_loop().time()
        self.date = date_line(self.clock.now())

    def join(self, connection: Swept) -> None:
        """A connection is there to be looked after."""
        self.connections[connection] = None

    def leave(self, connection: Swept) -> None:
        """It is gone, or another's."""
        self.connections.pop(connection, None)
        if not self.connections:
            self._emptied.set()

    async def emptied(self) -> None:
        """Return when no connection is left."""
        while self.connections:
            self._emptied.clear()
            await self._emptied.wait()

    def run(
        self,
        served: Served,
        environment: dict[str, str],
        body: bytes,
        done: Callable[[Outcome], None],
        *,
        must: bool = False,
    ) -> Outcome | Job | None:
        """Call the service's guest: the outcome, or the job that will call ``done`` with it, None if there is no room.

        ``must`` as in :meth:`Lanes.submit`.
        """
        outcome = self.call_now(served, environment, body)
        return outcome if outcome is not None else self.call_later(served, environment, body, done, must=must)

    def call_now(self, served: Served, environment: dict[str, str], body: bytes) -> Outcome | None:
        """What comes of calling the service's guest on the loop; None if it has to be called in a thread."""
        guest, pace = served.guest, served.pace
        if guest is None or not pace.fast(perf_counter()):
            return None
        running = self.running.page
        running[0] = served.number
        outcome = call(guest, tuple(environment.items()), body)
        running[0] = 0
        if outcome.waits:
            pace.waits()
            return None
        pace.took(outcome.cost_ms, outcome.ended_s)
        if outcome.log:
            self._log(served, outcome)
        return outcome

    def call_later(
        self,
        served: Served,
        environment: dict[str, str],
        body: bytes,
        done: Callable[[Outcome], None],
        exchange: Callable[[], Kept] | None = None,
        *,
        must: bool = False,
    ) -> Job | None:
        """Have the service's guest called in a thread, and ``done`` with what comes of it; None if there is no room.

        A guest that can read and write as it goes on does so through what ``exchange`` makes.
        """
        guest = served.guest
        if guest is None:
            return None
        pairs = tuple(environment.items())
        if guest.streams:
            work = partial(call_streaming, guest, pairs, exchange() if exchange is not None else Whole(body))
        else:
            work = partial(call_in_thread, guest, pairs, body)
        return self.lanes.submit(
            served.service,
            partial(self.running.in_thread, served.number, work),
            partial(self._finished, served, done, perf_counter()),
            must=must,
        )

    def slow_reader(self, service: ServiceId) -> None:
        """A WebSocket of ``service`` was dropped as its reader was too slow."""
        self.slow_readers_dropped += 1
        self.reporter.log(service, f"a WebSocket was dropped: too slow a reader ({self.slow_readers_dropped} so far)")

    def _finished(self, served: Served, done: Callable[[Outcome], None], asked_s: float, outcome: Outcome) -> None:
        served.pace.took(outcome.cost_ms, outcome.ended_s)
        if outcome.log:
            self._log(served, outcome)
        queue_ms = max(0.0, (outcome.ended_s - asked_s) * 1000.0 - outcome.ms)
        done(msgspec.structs.replace(outcome, queue_ms=queue_ms))

    def _log(self, served: Served, outcome: Outcome) -> None:
        self.reporter.log(served.service, outcome.log.decode(errors="replace"))
