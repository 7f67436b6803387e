"""Why the site did what it did: a ring of its last decisions."""

from collections.abc import Sequence

from footloose.core.codec import encode
from footloose.core.limits import DECISIONS_KEPT
from footloose.model.app import ServiceId
from footloose.model.decision import Decision
from footloose.state.database import Database
from footloose.state.rows import stored


class DecisionLog:
    """The last ``kept`` decisions."""

    def __init__(self, database: Database, *, kept: int = DECISIONS_KEPT) -> None:
        self._database = database
        self._kept = kept

    def add(self, decisions: Sequence[Decision]) -> None:
        """Note decisions, in their order; the oldest go."""
        with self._database.note() as connection:
            connection.executemany(
                "INSERT INTO decisions (service, decision) VALUES (?, ?)",
                [(decision.service, encode(decision)) for decision in decisions],
            )
            connection.execute(
                "DELETE FROM decisions WHERE id <= (SELECT id FROM decisions ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (self._kept,),
            )

    def recent(self, service: ServiceId | None = None, limit: int = 100) -> tuple[Decision, ...]:
        """The last decisions, of one service or all, newest first."""
        rows = self._database.rows(
            "SELECT id, decision FROM decisions WHERE ?1 IS NULL OR service = ?1 ORDER BY id DESC LIMIT ?2",
            (service, limit),
        )
        found = (stored(value, Decision, f"decision {number}") for number, value in rows)
        return tuple(decision for decision in found if decision is not None)
