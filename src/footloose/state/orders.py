"""What the site's operator asked for by hand and wants to last: moves of services, sites to avoid, to be drained."""

from footloose.core.identity import NodeId
from footloose.model.app import ServiceId
from footloose.state.database import Database

_MOVE, _AVOID, _DRAIN = "move", "avoid", "drain"


class OrderStore:
    """The operator's standing orders. On the disk when a method returns, or :class:`LocalError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def moved_to(self, service: ServiceId) -> NodeId | None:
        """Where all users of a service are to be, if anywhere."""
        found = self._values(_MOVE).get(service)
        return NodeId(found) if found is not None else None

    def move(self, service: ServiceId, site: NodeId | None) -> None:
        """All users of ``service`` are to be at ``site``, or (None) wherever is best for them."""
        self._set(_MOVE, service, site)

    def avoided(self) -> tuple[NodeId, ...]:
        """The sites that are to get no copies."""
        return tuple(NodeId(site) for site in self._values(_AVOID))

    def avoid(self, site: NodeId, *, avoid: bool) -> None:
        """``site`` is to get no copies, or may again."""
        self._set(_AVOID, site, "" if avoid else None)

    def draining(self) -> str | None:
        """Why this site is to take no copies, if it is not."""
        return self._values(_DRAIN).get("")

    def drain(self, reason: str | None) -> None:
        """This site is to take no copies, or (None) may again."""
        self._set(_DRAIN, "", reason)

    def _values(self, kind: str) -> dict[str, str]:
        rows = self._database.rows("SELECT about, wanted FROM orders WHERE kind = ? ORDER BY about", (kind,))
        return dict(rows)

    def _set(self, kind: str, about: str, wanted: str | None) -> None:
        with self._database.promise() as connection:
            if wanted is None:
                connection.execute("DELETE FROM orders WHERE kind = ? AND about = ?", (kind, about))
            else:
                connection.execute("INSERT OR REPLACE INTO orders VALUES (?, ?, ?)", (kind, about, wanted))
