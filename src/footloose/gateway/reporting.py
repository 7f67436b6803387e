"""What a worker tells its node: users and guests' logs, at once where a decision waits for it, otherwise in batches."""

import asyncio
from collections.abc import Callable

from footloose.core.clock import Clock
from footloose.core.limits import GUEST_LOG_BYTES, REPORT_INTERVAL_S, REPORT_LOGS
from footloose.gateway.counts import Counts
from footloose.model.app import ServiceId
from footloose.model.routing import GuestLog, WorkerReport


class Reporter:
    """Collects and sends. ``version`` says which table is in force."""

    def __init__(
        self, worker: int, clock: Clock, version: Callable[[], int], send: Callable[[WorkerReport], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._worker = worker
        self._clock = clock
        self._version = version
        self._send = send
        self._timer: asyncio.TimerHandle | None = None
        self._at_once: asyncio.Handle | None = None
        self._logs: list[GuestLog] = []
        self._logs_dropped = 0
        self.counts = Counts(self._soon, self._urgent)

    def log(self, service: ServiceId, text: str) -> None:
        """Report a line about ``service``."""
        if len(self._logs) >= REPORT_LOGS:
            self._logs_dropped += 1
        else:
            self._logs.append(GuestLog(self._clock.now(), service, text[:GUEST_LOG_BYTES]))
        self._soon()

    def repeat_open(self) -> None:
        """Report the open WebSockets again, so that the node knows they are still there."""
        if self.counts.mark_open():
            self.flush()

    def flush(self) -> None:
        """Send what there is now."""
        self._cancel()
        observations = self.counts.take()
        logs, self._logs = self._logs, []
        if self._logs_dropped:
            text = f"{self._logs_dropped} log lines were dropped"
            logs.append(GuestLog(self._clock.now(), logs[-1].service, text))
            self._logs_dropped = 0
        if observations or logs:
            self._send(WorkerReport(self._worker, self._version(), observations, tuple(logs)))

    def close(self) -> None:
        """Send the rest; nothing is sent by itself afterwards."""
        self.flush()

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(REPORT_INTERVAL_S, self.flush)

    def _urgent(self) -> None:
        if self._at_once is None:
            self._at_once = self._loop.call_soon(self.flush)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._at_once is not None:
            self._at_once.cancel()
            self._at_once = None
