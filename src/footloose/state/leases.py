"""Leases on both sides: those this site holds as a provider, and those it was given as a customer, with their proof."""

from enum import Enum

import msgspec

from footloose.core.codec import Signed, encode, open_signed
from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import NodeId
from footloose.core.limits import ENDED_LEASES_KEPT
from footloose.model.terms import Lease, LeaseRequest
from footloose.state.database import Database
from footloose.state.rows import stored
from footloose.transport.signatures import Evidence


class Side(Enum):
    """Which end of a lease this site is."""

    PROVIDER = "provider"
    """The copy runs here."""
    CUSTOMER = "customer"
    """The copy runs at another site, for us."""


class StoredLease(msgspec.Struct, frozen=True):
    """A lease as agreed (``signed``, by the site that hosts) and as it stands.

    ``evidence`` proves the customer's request; ``state`` is a word of the market's; ``ending`` says why it ends or
    ended. ``ends_by`` is set once notice was given, ``ended_at`` at the end (both in seconds).
    """

    side: Side
    lease: Lease
    signed: Signed
    request: LeaseRequest
    state: str
    evidence: Evidence | None = None
    ending: str | None = None
    ends_by: float | None = None
    ended_at: float | None = None


_COLUMNS = "lease_id, signed, request, state, evidence, ending, ends_by, ended_at"
_PUT = """
    INSERT INTO leases
        (side, lease_id, customer, request_id, starts_at, signed, request, evidence, state, ending, ends_by)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (side, lease_id) DO UPDATE SET
        starts_at = excluded.starts_at, signed = excluded.signed, state = excluded.state, ending = excluded.ending,
        ends_by = excluded.ends_by, evidence = coalesce(excluded.evidence, evidence)
    WHERE ended_at IS NULL
"""
_FORGET = """
    DELETE FROM leases WHERE side = ? AND ended_at IS NOT NULL AND lease_id NOT IN (
        SELECT lease_id FROM leases WHERE side = ? AND ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT ?)
"""


class LeaseStore:
    """All leases of a site. What a method wrote is on the disk when it returns, unless it was told not to wait."""

    def __init__(self, database: Database, *, ended_kept: int = ENDED_LEASES_KEPT) -> None:
        self._database = database
        self._ended_kept = ended_kept

    def put(
        self,
        side: Side,
        signed: Signed,
        request: LeaseRequest,
        *,
        state: str,
        evidence: Evidence | None = None,
        ending: str | None = None,
        ends_by: float | None = None,
        durable: bool = True,
    ) -> Lease:
        """Keep a lease as it stands now, new or known (renewed, under notice). Evidence once given is kept.

        ``durable`` False is for another term of a known lease: losing that with the power makes it a lease whose term
        is over, and such a one goes on for its grace and is renewed.
        Raises :class:`RemoteError` if the hosting site did not sign it, :class:`LocalError` if it has ended already
        or cannot be written.
        """
        lease = open_signed(signed, Lease, where="lease")
        where = f"lease {lease.lease_id[:40]}"
        if lease.provider_node != signed.signer:
            raise RemoteError("not signed by the site that hosts", where=where)
        row = (
            side.value,
            lease.lease_id,
            lease.customer,
            request.request_id,
            lease.starts_at,
            encode(signed),
            encode(request),
            encode(evidence) if evidence else None,
            state,
            ending,
            ends_by,
        )
        with self._database.promise() if durable else self._database.note() as connection:
            if connection.execute(_PUT, row).rowcount == 0:
                raise LocalError("has ended already", where=where, fix="ask for a new one")
        return lease

    def end(self, side: Side, lease_id: str, reason: str, now: float, *, state: str = "ended") -> bool:
        """Note why a lease ended; whether it was open. Of the ended ones the newest are kept as proof."""
        with self._database.promise() as connection:
            ended = connection.execute(
                "UPDATE leases SET state = ?, ending = ?, ended_at = ? "
                "WHERE side = ? AND lease_id = ? AND ended_at IS NULL",
                (state, reason, now, side.value, lease_id),
            ).rowcount
            connection.execute(_FORGET, (side.value, side.value, self._ended_kept))
        return ended > 0

    def get(self, side: Side, lease_id: str) -> StoredLease | None:
        """A lease, open or ended."""
        return next(iter(self._select(side, "AND lease_id = ?", lease_id)), None)

    def by_request(self, side: Side, customer: NodeId, request_id: str) -> StoredLease | None:
        """The newest lease agreed on a request, so that asking again gives the same."""
        where = "AND customer = ? AND request_id = ? ORDER BY starts_at DESC LIMIT 1"
        return next(iter(self._select(side, where, customer, request_id)), None)

    def open(self, side: Side) -> tuple[StoredLease, ...]:
        """The leases that have not ended, oldest first: what a site restarts from."""
        return self._select(side, "AND ended_at IS NULL ORDER BY starts_at, lease_id")

    def ended(self, side: Side, limit: int = 100) -> tuple[StoredLease, ...]:
        """Leases that have ended, the last one first."""
        return self._select(side, "AND ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT ?", limit)

    def _select(self, side: Side, where: str, *parameters: str | int) -> tuple[StoredLease, ...]:
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM leases WHERE side = ? {where}",  # noqa: S608  ``where`` is one of ours
            (side.value, *parameters),
        )
        return tuple(lease for row in rows if (lease := _lease_of(side, *row)) is not None)


def _lease_of(
    side: Side,
    lease_id: str,
    signed: bytes,
    request: bytes,
    state: str,
    evidence: bytes | None,
    ending: str | None,
    ends_by: float | None,
    ended_at: float | None,
) -> StoredLease | None:
    what = f"lease {lease_id}"
    envelope, asked = stored(signed, Signed, what), stored(request, LeaseRequest, what)
    lease = stored(envelope.payload, Lease, what) if envelope else None
    proof = stored(evidence, Evidence, what) if evidence else None
    if envelope is None or asked is None or lease is None:
        return None
    return StoredLease(side, lease, envelope, asked, state, proof, ending, ends_by, ended_at)
