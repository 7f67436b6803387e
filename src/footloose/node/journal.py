"""Decisions and guests' logs on their way to the disk: many in one transaction, so that no event waits for it."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from footloose.core.errors import LocalError
from footloose.core.limits import NOTES_WAIT_S, NOTES_WAITING
from footloose.model.app import ServiceId
from footloose.model.decision import Decision
from footloose.model.routing import GuestLog
from footloose.state.decisions import DecisionLog
from footloose.state.guest_logs import GuestLogs

log = logging.getLogger(__name__)


class Journal:
    """Notes what it is told within ``NOTES_WAIT_S``. What cannot be written is lost, and the node goes on."""

    def __init__(self, decisions: DecisionLog, logs: GuestLogs) -> None:
        self._decisions = decisions
        self._logs = logs
        self._decided: list[Decision] = []
        self._logged: list[GuestLog] = []
        self._timer: asyncio.TimerHandle | None = None
        self._failing = False

    def decided(self, decision: Decision) -> None:
        """Note a decision."""
        self._decided.append(decision)
        self._soon()

    def logged(self, logs: Sequence[GuestLog]) -> None:
        """Note what guests wrote."""
        self._logged += logs
        self._soon()

    def decisions(self, service: ServiceId, limit: int) -> tuple[Decision, ...]:
        """The last decisions about a service, newest first, those not yet written among them."""
        self.write()
        return self._decisions.recent(service, limit)

    def logs(self, service: ServiceId, limit: int) -> tuple[GuestLog, ...]:
        """The last log entries of a service's guests, newest first, those not yet written among them."""
        self.write()
        return self._logs.recent(service, limit)

    def write(self) -> None:
        """Write all that waits. Does not raise: these are notes, and nothing may depend on them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        decided, self._decided = self._decided, []
        logged, self._logged = self._logged, []
        written = [self._written(lambda: self._decisions.add(decided))] if decided else []
        written += [self._written(lambda: self._logs.add(logged))] if logged else []
        if written:
            self._failing = not all(written)

    def _soon(self) -> None:
        if len(self._decided) + len(self._logged) >= NOTES_WAITING:
            self.write()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(NOTES_WAIT_S, self.write)

    def _written(self, write: Callable[[], None]) -> bool:
        try:
            write()
        except LocalError as error:
            if not self._failing:  # once, not ten times a second
                log.error("decisions and guests' logs are not kept: %s", error)
            return False
        return True
