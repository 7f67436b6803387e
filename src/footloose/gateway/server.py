"""One worker's gateway: listening sockets, the table in force, and the end of it all."""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import SystemRandom

from footloose.core.clock import Clock, SystemClock
from footloose.core.digest import Digest
from footloose.core.errors import RemoteError
from footloose.core.limits import WEBSOCKET_REPORT_S
from footloose.gateway import topics
from footloose.gateway.arrivals import Arrivals
from footloose.gateway.connection import HttpConnection
from footloose.gateway.dial import Dial, connected
from footloose.gateway.fanout import Fanout
from footloose.gateway.lanes import Lanes
from footloose.gateway.relay import Uplinks
from footloose.gateway.reporting import Reporter
from footloose.gateway.running import Running
from footloose.gateway.services import Services
from footloose.gateway.shared import GatewayConfig, Shared
from footloose.gateway.tls import Certificate, Names
from footloose.gateway.topics import Origin, Topics
from footloose.model.app import ServiceId
from footloose.model.guest import Runtime
from footloose.model.routing import RoutingTable, WorkerReport

_log = logging.getLogger(__name__)


class Gateway:
    """Serves users by the table in force. Make it inside a running loop; ``report`` gets what the node is to know.

    ``dial`` makes connections to other sites, by default directly. ``running`` is where it says whose guests run.
    """

    def __init__(
        self,
        config: GatewayConfig,
        runtime: Runtime,
        report: Callable[[WorkerReport], None],
        clock: Clock | None = None,
        dial: Dial | None = None,
        running: Running | None = None,
    ) -> None:
        clock = clock if clock is not None else SystemClock()
        self._config = config
        self._services = Services(runtime, self._complain)
        self._reporter = Reporter(config.index, clock, lambda: self._services.version, report)
        self._fanout = Fanout(config.run_dir, config.index, config.workers, self._from_sibling)
        self._topics = Topics(secrets.token_hex(8), self._fanout.send)
        self._lanes = Lanes()
        self._shared = Shared(
            config,
            clock,
            self._services,
            self._reporter,
            self._topics,
            self._lanes,
            dial or partial(connected, source=config.source),
            running or Running(),
        )
        # One worker of a site holds the links to parents: two would bring every publication twice.
        self._uplinks = Uplinks(self._shared, SystemRandom()) if config.index == 0 else None
        self._closed = False
        self._arrivals: list[Arrivals] = []
        self._names = Names()
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def version(self) -> int:
        """Version of the table in force; -1 before the first."""
        return self._services.version

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._shared.connections)

    def install(self, table: RoutingTable, compiled: Mapping[Digest, Path]) -> None:
        """Obey ``table`` if it is newer than the one in force; ``compiled`` is where its artifacts lie, by digest."""
        if not self._services.install(table, compiled):
            return
        if self._uplinks is not None:
            self._uplinks.table_changed()
        for connection in list(self._shared.connections):
            connection.table_changed()

    def present(self, certificates: Sequence[Certificate]) -> None:
        """Present these certificates to users of TLS from now on; who is connected stays so."""
        self._names.replace(certificates)

    async def start(self, sockets: Sequence[socket.socket], tls_sockets: Sequence[socket.socket] = ()) -> None:
        """Take users from bound sockets; those who come to ``tls_sockets`` speak TLS."""
        plain, secure = partial(HttpConnection, self._shared), partial(HttpConnection, self._shared, secure=True)
        self._arrivals = [Arrivals(listening, plain, None) for listening in sockets]
        self._arrivals += [Arrivals(listening, secure, self._names.context) for listening in tls_sockets]
        for arrivals in self._arrivals:
            await arrivals.start(self._shared.trusted if self._config.proxy_protocol else None)
        self._sweeper = asyncio.create_task(self._sweep())

    def retire(self) -> None:
        """Another worker takes over: from now on draining leaves quiet connections some time for a last request."""
        self._shared.retiring = True
        self._fanout.stop_listening()

    async def drain(self, timeout_s: float) -> None:
        """Take no more users; give those who are here so long to be done with what has begun."""
        self._shared.draining = True
        for arrivals in self._arrivals:
            arrivals.close()
        for connection in list(self._shared.connections):
            connection.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for arrivals in self._arrivals:
                    await arrivals.settled()
                await self._shared.emptied()

    async def close(self) -> None:
        """Let go of everything at once. Closing twice does nothing more."""
        if self._closed:
            return
        self._closed = True
        for arrivals in self._arrivals:
            arrivals.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        if self._uplinks is not None:
            await self._uplinks.close()
        for connection in list(self._shared.connections):
            connection.abort()
        await self._shared.emptied()
        self._reporter.flush()
        self._lanes.close()
        self._fanout.close()

    def _complain(self, service: ServiceId, text: str) -> None:
        self._reporter.log(service, text)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        reported_s = loop.time()
        dropped = 0
        while True:
            await asyncio.sleep(self._config.sweep_s)
            self._shared.tick()
            self._services.tidy()
            now_s = self._shared.tick_s
            for connection in list(self._shared.connections):
                connection.sweep(now_s)
            if self._fanout.dropped > dropped:
                dropped = self._fanout.dropped
                _log.warning("%d messages to other workers did not fit their queues so far", dropped)
            if now_s - reported_s >= WEBSOCKET_REPORT_S:
                reported_s = now_s
                self._reporter.repeat_open()

    def _from_sibling(self, data: bytes) -> None:
        try:
            publication = topics.decode(data)
        except RemoteError:
            _log.exception("a datagram from another worker was no publication")
            return
        self._topics.spread(publication, Origin.SITE)
