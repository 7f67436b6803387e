"""The leases of both sides, kept on disk as they change."""

import logging
import secrets

from footloose.core.clock import Clock
from footloose.core.codec import Signed, sign
from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import Identity, NodeId
from footloose.market.desk import Held, State
from footloose.model.app import ServiceId, open_app
from footloose.model.terms import Lease, LeaseRequest
from footloose.state.leases import LeaseStore, Side, StoredLease
from footloose.transport.signatures import Evidence

log = logging.getLogger(__name__)


class HeldLeases:
    """Leases this site holds as a provider."""

    def __init__(self, store: LeaseStore, identity: Identity, clock: Clock) -> None:
        self._store = store
        self._identity = identity
        self._clock = clock

    def keep(self, held: Held, evidence: Evidence | None = None, *, renewed: bool = False) -> None:
        """Remember how a lease stands; on the disk when this returns, if it is not just ``renewed``.

        ``evidence`` proves who asked for it. Raises :class:`LocalError` if it cannot be written, or has ended before.
        """
        lease = held.lease
        if held.state is State.ENDED:
            self._store.end(Side.PROVIDER, lease.lease_id, held.ending or "ended", self._clock.now())
            return
        self._store.put(
            Side.PROVIDER,
            sign(lease, self._identity),
            held.request,
            state=held.state.value,
            evidence=evidence,
            ending=held.ending,
            ends_by=held.ends_by,
            durable=not renewed,
        )

    def has_ended(self, request: LeaseRequest) -> bool:
        """Whether a lease was given on that request and is over."""
        known = self._store.by_request(Side.PROVIDER, request.customer, request.request_id)
        return known is not None and known.ended_at is not None

    def all(self) -> list[Held]:
        """The leases that have not ended. One that cannot be made out is left out, so that the others go on."""
        read = (_held(one) for one in self._store.open(Side.PROVIDER))
        return [one for one in read if one is not None]


def _held(stored: StoredLease) -> Held | None:
    try:
        app, state = open_app(stored.request.app), State(stored.state)
        if app.service(stored.request.service) is None:
            raise RemoteError(f"the app has no service {stored.request.service!r}")
    except (RemoteError, ValueError) as error:
        log.error("lease %s is left out, it cannot be made out: %s", stored.lease.lease_id, error)
        return None
    return Held(stored.lease, stored.request, app, state, stored.ending, stored.ends_by)


class GivenLeases:
    """Leases this site was given as a customer, and what its copies need to join a service's live topics.

    A lease that is given back is *returning* until its site has been told, or it has run out.
    """

    def __init__(self, store: LeaseStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._leases: dict[str, Lease] = {}
        self._returning: dict[str, tuple[Lease, str]] = {}
        self._tokens: dict[tuple[ServiceId, NodeId], str] = {}
        for one in store.open(Side.CUSTOMER):
            self._leases[one.lease.lease_id] = one.lease
            self._tokens[one.lease.service, one.lease.provider_node] = one.request.relay_token

    def token(self, service: ServiceId, site: NodeId) -> str:
        """The token with which the copy of ``service`` at ``site`` joins its topics; made when first asked for."""
        return self._tokens.setdefault((service, site), secrets.token_urlsafe(24))

    def tokens_of(self, service: ServiceId) -> tuple[str, ...]:
        """The tokens of all copies of a service."""
        return tuple(token for (known, _), token in self._tokens.items() if known == service)

    def services(self) -> set[ServiceId]:
        """The services that have copies."""
        return {lease.service for lease in self._leases.values()}

    def sites(self) -> set[NodeId]:
        """The sites that have copies."""
        return {lease.provider_node for lease in self._leases.values()}

    def leases_of(self, service: ServiceId) -> tuple[Lease, ...]:
        """The leases of a service's copies."""
        return tuple(lease for lease in self._leases.values() if lease.service == service)

    def request_of(self, lease_id: str) -> LeaseRequest | None:
        """What was asked when the lease was given."""
        known = self._store.get(Side.CUSTOMER, lease_id)
        return known.request if known is not None else None

    def keep(self, envelope: Signed, lease: Lease, request: LeaseRequest) -> None:
        """Remember a lease; on the disk when this returns. Raises :class:`LocalError` if it cannot be written."""
        self._store.put(Side.CUSTOMER, envelope, request, state=State.ACTIVE.value)
        self._leases[lease.lease_id] = lease

    def renew(self, envelope: Signed, lease: Lease, request: LeaseRequest) -> None:
        """Remember another term. If it cannot be written the copy is used all the same: we have promised nothing."""
        self._leases[lease.lease_id] = lease
        try:
            self._store.put(Side.CUSTOMER, envelope, request, state=State.ACTIVE.value, durable=False)
        except LocalError as error:
            log.error("the new term of lease %s is not kept: %s", lease.lease_id, error)

    def give_back(self, lease_id: str, reason: str) -> None:
        """A lease is wanted no more: its copy is none of ours from now on."""
        lease = self._leases.pop(lease_id, None)
        if lease is not None:
            self._returning[lease_id] = (lease, reason)

    def returning(self) -> tuple[tuple[Lease, str], ...]:
        """The leases whose sites have not been told yet, and the reason to tell."""
        return tuple(self._returning.values())

    def forget_token(self, service: ServiceId, site: NodeId) -> None:
        """There is no copy of a service at ``site`` any more."""
        self._tokens.pop((service, site), None)

    def ended(self, lease_id: str, reason: str) -> None:
        """The copy under a lease is no more. Raises :class:`LocalError` if that cannot be written."""
        if lease_id in self._leases:
            self.over(lease_id, reason)

    def over(self, lease_id: str, reason: str) -> None:
        """A lease has ended. Raises :class:`LocalError` if that cannot be written; it is over all the same."""
        known = self._leases.pop(lease_id, None), self._returning.pop(lease_id, None)
        if any(known):
            self._store.end(Side.CUSTOMER, lease_id, reason, self._clock.now())
