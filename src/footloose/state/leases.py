"""Leases on both sides: those this site holds as a provider, and those it was given as a customer, with their proof."""

import bisect
from collections.abc import Iterator
from enum import Enum

import msgspec

from footloose.core.codec import Signed, decode, encode, open_signed
from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import NodeId
from footloose.core.limits import ENDED_LEASES_BYTES, ENDED_LEASES_KEPT
from footloose.model.terms import Lease, LeaseRequest
from footloose.state.entries import Entry, Keeper
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


class LeaseKept(Entry, frozen=True, tag="lease"):
    """A lease with all that belongs to it: when it is new, and when the record is written anew."""

    side: Side
    lease_id: str
    signed: Signed
    request: LeaseRequest
    state: str
    evidence: Evidence | None
    ending: str | None
    ends_by: float | None
    ended_at: float | None = None


class LeaseStands(Entry, frozen=True, tag="lease stands"):
    """How a known lease stands now: renewed, lapsed, under notice. Its request, and its proof, are as before."""

    side: Side
    lease_id: str
    signed: Signed
    state: str
    evidence: Evidence | None
    ending: str | None
    ends_by: float | None


class LeaseOver(Entry, frozen=True, tag="lease over"):
    """A lease has ended."""

    side: Side
    lease_id: str
    state: str
    ending: str
    ended_at: float


class LeaseStore:
    """All leases of a site. What a method wrote is on the disk when it returns, unless it was told not to wait."""

    def __init__(
        self, keeper: Keeper, *, ended_kept: int = ENDED_LEASES_KEPT, ended_bytes: int = ENDED_LEASES_BYTES
    ) -> None:
        self._keeper = keeper
        self._sides = {side: _Leases(ended_kept, ended_bytes) for side in Side}

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
        lease_id, where = lease.lease_id, f"lease {lease.lease_id[:40]}"
        if lease.provider_node != signed.signer:
            raise RemoteError("not signed by the site that hosts", where=where)
        known = self._sides[side].get(lease_id)
        if known is not None and known.ended_at is not None:
            raise LocalError("has ended already", where=where, fix="ask for a new one")
        entry: Entry
        if known is None:
            entry = LeaseKept(side, lease_id, signed, request, state, evidence, ending, ends_by)
        else:
            proof = evidence if evidence != known.evidence else None
            entry = LeaseStands(side, lease_id, signed, state, proof, ending, ends_by)
        if durable:
            self._keeper.promise(entry)
        else:
            self._keeper.note(entry)
        return lease

    def end(self, side: Side, lease_id: str, reason: str, now: float, *, state: str = "ended") -> bool:
        """Note why a lease ended; whether it was open. Of the ended ones the newest are kept as proof.

        Raises :class:`LocalError` if it cannot be written.
        """
        if lease_id not in self._sides[side].open:
            return False
        self._keeper.promise(LeaseOver(side, lease_id, state, reason, now))
        return True

    def get(self, side: Side, lease_id: str) -> StoredLease | None:
        """A lease, open or ended."""
        return self._sides[side].get(lease_id)

    def by_request(self, side: Side, customer: NodeId, request_id: str) -> StoredLease | None:
        """The newest lease agreed on a request, so that asking again gives the same."""
        return max(self._sides[side].on(customer, request_id), key=lambda one: one.lease.starts_at, default=None)

    def open(self, side: Side) -> tuple[StoredLease, ...]:
        """The leases that have not ended, oldest first: what a site restarts from."""
        found = self._sides[side].open.values()
        return tuple(sorted(found, key=lambda one: (one.lease.starts_at, one.lease.lease_id)))

    def ended(self, side: Side, limit: int = 100) -> tuple[StoredLease, ...]:
        """Leases that have ended, the last one first."""
        return tuple(self._sides[side].last_ended(limit))

    # For the record

    def apply(self, entry: LeaseKept | LeaseStands | LeaseOver) -> None:
        """Take in what was written. Raises :class:`RemoteError` if it cannot be made out."""
        leases = self._sides[entry.side]
        match entry:
            case LeaseKept():
                leases.put(_stored(entry))
            case LeaseStands():
                leases.put(_changed(leases.get(entry.lease_id), entry))
            case LeaseOver():
                leases.end(entry)

    def live(self) -> Iterator[Entry]:
        """The entries that make what is kept now."""
        for leases in self._sides.values():
            yield from map(_entry, leases.all())


class _Leases:
    """The leases of one side, and where to find them."""

    def __init__(self, ended_kept: int, ended_bytes: int) -> None:
        self._ended_kept = ended_kept
        self._ended_bytes = ended_bytes
        self.open: dict[str, StoredLease] = {}
        self._ended: dict[str, StoredLease] = {}
        self._order: list[tuple[float, str, int]] = []
        """When each ended, its id and its size, the longest ended first."""
        self._bytes = 0
        self._on: dict[tuple[NodeId, str], set[str]] = {}

    def get(self, lease_id: str) -> StoredLease | None:
        return self.open.get(lease_id) or self._ended.get(lease_id)

    def on(self, customer: NodeId, request_id: str) -> Iterator[StoredLease]:
        """The leases agreed on a request."""
        for lease_id in self._on.get((customer, request_id), ()):
            known = self.get(lease_id)
            if known is not None:
                yield known

    def all(self) -> Iterator[StoredLease]:
        """The ended ones as they ended, so that of them the same are kept when they are read back; then the open."""
        for _, lease_id, _ in self._order:
            yield self._ended[lease_id]
        yield from self.open.values()

    def last_ended(self, limit: int) -> Iterator[StoredLease]:
        for _, lease_id, _ in reversed(self._order[-limit:] if limit > 0 else []):
            yield self._ended[lease_id]

    def put(self, stored: StoredLease) -> None:
        lease_id = stored.lease.lease_id
        if lease_id in self._ended:  # another by the same id was forgotten where this was written
            at = next(number for number, (_, known, _) in enumerate(self._order) if known == lease_id)
            self._forget(*self._order.pop(at))
        self._on.setdefault((stored.lease.customer, stored.request.request_id), set()).add(lease_id)
        if stored.ended_at is None:
            self.open[lease_id] = stored
        else:
            self._add_ended(stored, stored.ended_at)

    def end(self, entry: LeaseOver) -> None:
        known = self.open.pop(entry.lease_id, None)
        if known is not None:
            ended = msgspec.structs.replace(known, state=entry.state, ending=entry.ending, ended_at=entry.ended_at)
            self._add_ended(ended, entry.ended_at)

    def _add_ended(self, stored: StoredLease, ended_at: float) -> None:
        lease_id = stored.lease.lease_id
        size_bytes = len(encode(_entry(stored)))
        self._ended[lease_id] = stored
        bisect.insort(self._order, (ended_at, lease_id, size_bytes))
        self._bytes += size_bytes
        while len(self._order) > self._ended_kept or self._bytes > self._ended_bytes:
            self._forget(*self._order.pop(0))

    def _forget(self, _ended_at: float, lease_id: str, size_bytes: int) -> None:
        stored = self._ended.pop(lease_id)
        self._bytes -= size_bytes
        on = (stored.lease.customer, stored.request.request_id)
        self._on[on].discard(lease_id)
        if not self._on[on]:
            del self._on[on]


def _stored(entry: LeaseKept) -> StoredLease:
    return StoredLease(
        side=entry.side,
        lease=_lease(entry),
        signed=entry.signed,
        request=entry.request,
        state=entry.state,
        evidence=entry.evidence,
        ending=entry.ending,
        ends_by=entry.ends_by,
        ended_at=entry.ended_at,
    )


def _changed(known: StoredLease | None, entry: LeaseStands) -> StoredLease:
    if known is None:
        raise RemoteError("it was renewed or given notice of, and what was agreed is lost", where=_where(entry))
    return msgspec.structs.replace(
        known,
        lease=_lease(entry),
        signed=entry.signed,
        state=entry.state,
        evidence=entry.evidence or known.evidence,
        ending=entry.ending,
        ends_by=entry.ends_by,
    )


def _lease(entry: LeaseKept | LeaseStands) -> Lease:
    return decode(entry.signed.payload, Lease, where=_where(entry), limit=len(entry.signed.payload))


def _entry(stored: StoredLease) -> LeaseKept:
    return LeaseKept(
        side=stored.side,
        lease_id=stored.lease.lease_id,
        signed=stored.signed,
        request=stored.request,
        state=stored.state,
        evidence=stored.evidence,
        ending=stored.ending,
        ends_by=stored.ends_by,
        ended_at=stored.ended_at,
    )


def _where(entry: LeaseKept | LeaseStands) -> str:
    return f"{entry.side.value}'s lease {entry.lease_id}"
