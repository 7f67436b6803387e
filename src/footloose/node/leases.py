"""The leases of both sides, kept on disk as they change."""

import secrets

from footloose.core.clock import Clock
from footloose.core.codec import Signed, open_signed, sign
from footloose.core.identity import Identity, NodeId
from footloose.market.desk import Held, State
from footloose.model.app import App, ServiceId
from footloose.model.terms import Lease, LeaseRequest
from footloose.state.leases import LeaseStore, Side
from footloose.transport.signatures import Evidence


class HeldLeases:
    """Leases this site holds as a provider."""

    def __init__(self, store: LeaseStore, identity: Identity, clock: Clock) -> None:
        self._store = store
        self._identity = identity
        self._clock = clock

    def keep(self, held: Held, evidence: Evidence | None = None) -> None:
        """Remember how a lease stands; on the disk when this returns. ``evidence`` proves who asked for it."""
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
        )

    def all(self) -> list[Held]:
        """The leases that have not ended."""
        return [
            Held(one.lease, one.request, open_signed(one.request.app, App), State(one.state), one.ending, one.ends_by)
            for one in self._store.open(Side.PROVIDER)
        ]


class GivenLeases:
    """Leases this site was given as a customer, and what its copies need to join a service's live topics."""

    def __init__(self, store: LeaseStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._leases: dict[str, Lease] = {}
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

    def leases_of(self, service: ServiceId) -> tuple[Lease, ...]:
        """The leases of a service's copies."""
        return tuple(lease for lease in self._leases.values() if lease.service == service)

    def keep(self, envelope: Signed, lease: Lease, request: LeaseRequest) -> None:
        """Remember a lease, new or renewed; on the disk when this returns."""
        self._store.put(Side.CUSTOMER, envelope, request, state=State.ACTIVE.value)
        self._leases[lease.lease_id] = lease

    def renew(self, envelope: Signed, lease: Lease) -> None:
        """Remember another term of a known lease."""
        known = self._store.get(Side.CUSTOMER, lease.lease_id)
        if known is not None:
            self.keep(envelope, lease, known.request)

    def end(self, service: ServiceId, site: NodeId, reason: str) -> None:
        """The copy of a service at ``site`` has ended."""
        self._tokens.pop((service, site), None)
        for lease in self.leases_of(service):
            if lease.provider_node == site:
                del self._leases[lease.lease_id]
                self._store.end(Side.CUSTOMER, lease.lease_id, reason, self._clock.now())
