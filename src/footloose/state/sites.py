"""Sites this one has met: the last record of each, to start from when the network is cut or the node restarts."""

import msgspec

from footloose.core.codec import Signed, encode
from footloose.core.identity import NodeId
from footloose.core.limits import SITES_KNOWN
from footloose.model.site import SiteRecord, open_site_record
from footloose.state.database import Database
from footloose.state.rows import stored

_PUT = """
    INSERT INTO sites (node, seen_at, issued_at, signed) VALUES (?, ?, ?, ?)
    ON CONFLICT (node) DO UPDATE SET
        seen_at = max(seen_at, excluded.seen_at),
        signed = CASE WHEN excluded.issued_at >= issued_at THEN excluded.signed ELSE signed END,
        issued_at = max(issued_at, excluded.issued_at)
"""
_FORGET = "DELETE FROM sites WHERE node NOT IN (SELECT node FROM sites ORDER BY seen_at DESC, node LIMIT ?)"


class KnownSite(msgspec.Struct, frozen=True):
    """A site's last record, which may have expired since, and when it was last seen (seconds)."""

    record: SiteRecord
    signed: Signed
    seen_at: float


class SiteBook:
    """The last ``kept`` sites seen."""

    def __init__(self, database: Database, *, kept: int = SITES_KNOWN) -> None:
        self._database = database
        self._kept = kept

    def put(self, signed: Signed, now: float) -> SiteRecord:
        """Remember a site's record unless a newer one is known.

        Raises :class:`RemoteError` if the record is not genuine and current.
        """
        record = open_site_record(signed, now)
        with self._database.note() as connection:
            connection.execute(_PUT, (record.node, now, record.issued_at, encode(signed)))
            connection.execute(_FORGET, (self._kept,))
        return record

    def get(self, node: NodeId) -> KnownSite | None:
        """What is known of a site."""
        return next(iter(self._select("WHERE node = ?", node)), None)

    def list(self) -> tuple[KnownSite, ...]:
        """All known sites, the last seen first."""
        return self._select("ORDER BY seen_at DESC, node")

    def forget(self, node: NodeId) -> bool:
        """Forget a site; whether it was known."""
        with self._database.note() as connection:
            return connection.execute("DELETE FROM sites WHERE node = ?", (node,)).rowcount > 0

    def _select(self, where: str, *parameters: str) -> tuple[KnownSite, ...]:
        found = []
        for node, seen_at, value in self._database.rows(
            f"SELECT node, seen_at, signed FROM sites {where}",  # noqa: S608  ``where`` is one of ours
            parameters,
        ):
            signed = stored(value, Signed, f"site {node}")
            record = stored(signed.payload, SiteRecord, f"site {node}") if signed else None
            if signed and record:
                found.append(KnownSite(record, signed, seen_at))
        return tuple(found)
