"""What guests wrote to their logs: a ring, shared so that a talkative service cannot push out the others."""

from collections.abc import Sequence

from footloose.core.limits import GUEST_LOG_BYTES, GUEST_LOGS_KEPT, GUEST_LOGS_PER_SERVICE
from footloose.model.app import ServiceId
from footloose.model.routing import GuestLog
from footloose.state.database import Database

_TRIM_SERVICE = """
    DELETE FROM guest_logs WHERE service = ?1 AND id <= (
        SELECT id FROM guest_logs WHERE service = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
"""


class GuestLogs:
    """The last log entries of guests: ``kept`` in all, ``per_service`` of each."""

    def __init__(
        self, database: Database, *, kept: int = GUEST_LOGS_KEPT, per_service: int = GUEST_LOGS_PER_SERVICE
    ) -> None:
        self._database = database
        self._kept = kept
        self._per_service = per_service

    def add(self, logs: Sequence[GuestLog]) -> None:
        """Note entries, in their order; the oldest go."""
        with self._database.note() as connection:
            connection.executemany(
                "INSERT INTO guest_logs (service, at, text) VALUES (?, ?, ?)",
                [(log.service, log.at, _shortened(log.text)) for log in logs],
            )
            for service in {log.service for log in logs}:
                connection.execute(_TRIM_SERVICE, (service, self._per_service))
            connection.execute(
                "DELETE FROM guest_logs WHERE id <= (SELECT id FROM guest_logs ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (self._kept,),
            )

    def recent(self, service: ServiceId | None = None, limit: int = 100) -> tuple[GuestLog, ...]:
        """The last entries, of one service or all, newest first."""
        rows = self._database.rows(
            "SELECT at, service, text FROM guest_logs WHERE ?1 IS NULL OR service = ?1 ORDER BY id DESC LIMIT ?2",
            (service, limit),
        )
        return tuple(GuestLog(at, ServiceId(service), text) for at, service, text in rows)


def _shortened(text: str) -> str:
    return text.encode(errors="replace")[:GUEST_LOG_BYTES].decode(errors="ignore")
