"""The provider's side of leases: what this site agrees to run, until when, and why it ends (sans-IO).

Every copy here runs under one or more leases; it stops when the last one has ended. Both sides compute from the signed
lease when it ends, so nothing needs to be said when the network is cut: a copy then goes on for its grace, as long as
it has users.
"""

import hashlib
from collections.abc import Iterable
from enum import Enum

import msgspec

from footloose.core.errors import RemoteError
from footloose.core.identity import NodeId, short
from footloose.core.limits import IDLE_BEFORE_RETIRE_S, LEASE_GRACE_S, LEASE_TERM_S, LEASES_PER_SITE
from footloose.core.table import TransitionTable
from footloose.model.app import App, Service, ServiceId, open_app
from footloose.model.site import ProviderId
from footloose.model.terms import Lease, LeaseRequest, check_request


class State(Enum):
    """Where a lease stands on the provider's side."""

    ACTIVE = "active"
    GRACE = "grace"
    ENDING = "ending"
    ENDED = "ended"


class Step(Enum):
    """What can happen to a lease on the provider's side."""

    RENEWED = "renewed"
    LAPSED = "lapsed"
    NOTICE = "notice"
    OVER = "over"


TABLE = TransitionTable(
    "lease",
    {
        (State.ACTIVE, Step.RENEWED): State.ACTIVE,
        (State.ACTIVE, Step.LAPSED): State.GRACE,
        (State.ACTIVE, Step.NOTICE): State.ENDING,
        (State.ACTIVE, Step.OVER): State.ENDED,
        (State.GRACE, Step.RENEWED): State.ACTIVE,
        (State.GRACE, Step.NOTICE): State.ENDING,
        (State.GRACE, Step.OVER): State.ENDED,
        (State.ENDING, Step.OVER): State.ENDED,
    },
)


class Policy(msgspec.Struct, frozen=True):
    """On what terms a site takes copies. ``max_leases`` 0 means it hosts nothing for others."""

    provider: ProviderId
    region: str = ""
    price_per_hour: float = 0.0
    max_leases: int = LEASES_PER_SITE
    term_s: float = LEASE_TERM_S
    grace_s: float = LEASE_GRACE_S
    denied_customers: frozenset[str] = frozenset()


class Held(msgspec.Struct, frozen=True):
    """A lease this site holds. ``ends_by`` is set once notice was given."""

    lease: Lease
    request: LeaseRequest
    app: App
    state: State = State.ACTIVE
    ending: str | None = None
    ends_by: float | None = None


class Accepted(msgspec.Struct, frozen=True):
    """The request is acceptable: start ``service`` of ``app``, then :meth:`Desk.grant`."""

    app: App
    service: Service
    service_id: ServiceId


class EndCopy(msgspec.Struct, frozen=True):
    """Effect: the last lease of a copy has ended; stop it and send its users to ``parent_url``."""

    service: ServiceId
    parent_url: str
    reason: str


class LeaseChanged(msgspec.Struct, frozen=True):
    """Effect: remember on disk how a lease now stands."""

    held: Held


DeskEffect = EndCopy | LeaseChanged

NOTICE_S = 10.0
"""How long a customer has to fetch its users back once the site has given notice."""


class NoSuchLease(RemoteError):
    """The caller has no such lease here, or has it no more."""


class Desk:
    """All leases this site holds as a provider. ``held`` are those from before a restart, at ``now``.

    While the site was down nobody could use its copies, so the restart counts as their last use.
    """

    def __init__(self, node: NodeId, policy: Policy, held: Iterable[Held] = (), now: float = 0.0) -> None:
        self.node = node
        self.policy = policy
        self.draining: str | None = None
        self._held: dict[str, Held] = {one.lease.lease_id: one for one in held if one.state is not State.ENDED}
        self._last_user_at: dict[ServiceId, float] = {one.lease.service: now for one in self._held.values()}

    def leases_of(self, service: ServiceId) -> list[Held]:
        """The leases a copy runs under, oldest first."""
        return sorted(
            (one for one in self._held.values() if one.lease.service == service), key=lambda one: one.lease.starts_at
        )

    def all_held(self) -> list[Held]:
        """Every lease that has not ended."""
        return list(self._held.values())

    def consider(self, request: LeaseRequest, caller: NodeId, own_copies: frozenset[NodeId]) -> Accepted:
        """Whether this site would run what is asked. Raises :class:`RemoteError` with the reason if not.

        ``own_copies`` are the sites this site itself leased that service at: leasing to one of them would send users
        in a circle.
        """
        where = f"lease request of {short(caller)}"
        if request.customer != caller:
            raise RemoteError("made for another customer than the one who signed it", where=where)
        app = open_app(request.app, f"{where}: app")
        service = app.service(request.service)
        if service is None:
            raise RemoteError(f"the app has no service {request.service[:60]!r}", where=where)
        check_request(request, app.service_id(service), where)
        self._check_policy(request, caller, app, service, where)
        if caller in own_copies:
            raise RemoteError("this site leases that service from the asker already", where=where)
        for held in self.leases_of(app.service_id(service)):
            if held.app.version > app.version and held.app.service(service.name) != service:
                raise RemoteError("a newer version of the app runs here", where=where, fix="deploy the app again")
        return Accepted(app, service, app.service_id(service))

    def _check_policy(self, request: LeaseRequest, caller: NodeId, app: App, service: Service, where: str) -> None:
        if self.draining is not None:
            raise RemoteError(f"this site takes no new copies: {self.draining}", where=where)
        if caller in self.policy.denied_customers or app.owner in self.policy.denied_customers:
            raise RemoteError("this site does not deal with this customer", where=where)
        if self.policy.price_per_hour > request.price_per_hour:
            price, offered = self.policy.price_per_hour, request.price_per_hour
            raise RemoteError(f"the price here is {price:g} an hour, more than the {offered:g} offered", where=where)
        allowed = service.where
        if allowed.regions and self.policy.region not in allowed.regions:
            raise RemoteError(f"the owner does not allow region {self.policy.region!r}", where=where)
        provider = self.policy.provider
        if provider in allowed.not_providers or (allowed.providers and provider not in allowed.providers):
            raise RemoteError("the owner does not allow this provider", where=where)
        known = _lease_id(self.node, request) in self._held
        if not known and len(self._held) >= self.policy.max_leases:
            raise RemoteError(f"all {self.policy.max_leases} places here are taken", where=where)

    def grant(self, request: LeaseRequest, accepted: Accepted, url: str, now: float) -> tuple[Lease, list[DeskEffect]]:
        """The lease, once the copy runs at ``url``. The same request gets the same lease."""
        lease_id = _lease_id(self.node, request)
        known = self._held.get(lease_id)
        if known is not None:
            return known.lease, []
        term_s = min(request.term_s, self.policy.term_s)
        lease = Lease(
            lease_id=lease_id,
            provider_node=self.node,
            customer=request.customer,
            service=accepted.service_id,
            artifact=accepted.service.artifact,
            starts_at=now,
            ends_at=now + term_s,
            grace_s=self.policy.grace_s,
            price_per_hour=self.policy.price_per_hour,
            url=url,
        )
        held = Held(lease, request, accepted.app)
        self._held[lease_id] = held
        self._last_user_at[accepted.service_id] = now
        return lease, [LeaseChanged(held)]

    def poll(self, lease_id: str, caller: NodeId, *, renew: bool, now: float) -> tuple[Held, list[DeskEffect]]:
        """How a lease stands, with another term if asked for. Raises :class:`NoSuchLease`."""
        held = self._of(lease_id, caller)
        if not renew or not TABLE.allows(held.state, Step.RENEWED):
            return held, []
        term_s = min(held.request.term_s, self.policy.term_s)
        renewed = msgspec.structs.replace(held.lease, starts_at=now, ends_at=now + term_s)
        held = self._put(msgspec.structs.replace(held, lease=renewed, state=TABLE.next(held.state, Step.RENEWED)))
        return held, [LeaseChanged(held)]

    def release(self, lease_id: str, caller: NodeId, reason: str) -> list[DeskEffect]:
        """The customer ends its lease. Raises :class:`NoSuchLease`."""
        return self._end(self._of(lease_id, caller), f"released: {reason}")

    def give_up(self, service: ServiceId, reason: str) -> list[DeskEffect]:
        """End all leases of a copy that cannot be run."""
        return [effect for held in self.leases_of(service) for effect in self._end(held, reason)]

    def drain(self, reason: str, now: float) -> list[DeskEffect]:
        """Give notice of all leases and take no new ones."""
        self.draining = reason
        effects: list[DeskEffect] = []
        for held in self.all_held():
            if TABLE.allows(held.state, Step.NOTICE):
                state = TABLE.next(held.state, Step.NOTICE)
                ending = msgspec.structs.replace(held, state=state, ending=reason, ends_by=now + NOTICE_S)
                effects.append(LeaseChanged(self._put(ending)))
        return effects

    def resume(self) -> None:
        """Take new leases again."""
        self.draining = None

    def users_seen(self, service: ServiceId, now: float) -> None:
        """A copy has users: it may use its grace."""
        if service in self._last_user_at:
            self._last_user_at[service] = now

    def stood_still(self, seconds: float) -> None:
        """This site did nothing for so long: that nobody used a copy meanwhile does not count."""
        for service in self._last_user_at:
            self._last_user_at[service] += seconds

    def wake(self, now: float) -> list[DeskEffect]:
        """End what has run out."""
        effects: list[DeskEffect] = []
        for held in self.all_held():
            if held.state is State.ACTIVE and now > held.lease.ends_at:
                lapsed = self._put(msgspec.structs.replace(held, state=TABLE.next(held.state, Step.LAPSED)))
                effects.append(LeaseChanged(lapsed))
        for held in self.all_held():
            over = self._why_over(held, now)
            if over is not None:
                effects += self._end(held, over)
        return effects

    def _why_over(self, held: Held, now: float) -> str | None:
        if held.state is State.ENDING and held.ends_by is not None and now >= held.ends_by:
            return f"notice ran out: {held.ending}"
        if held.state is not State.GRACE:
            return None
        if now > held.lease.ends_at + held.lease.grace_s:
            return "its customer was not heard of until the grace ran out"
        if now - self._last_user_at.get(held.lease.service, held.lease.starts_at) > IDLE_BEFORE_RETIRE_S:
            return "its customer is not heard of and it has no users"
        return None

    def next_deadline(self) -> float | None:
        """When :meth:`wake` may have something to end."""
        return min((self._due(held) for held in self._held.values()), default=None)

    def _due(self, held: Held) -> float:
        if held.state is State.ENDING and held.ends_by is not None:
            return held.ends_by
        if held.state is State.ACTIVE:
            return held.lease.ends_at + 0.001
        idle_from = self._last_user_at.get(held.lease.service, held.lease.starts_at)
        return min(held.lease.ends_at + held.lease.grace_s, idle_from + IDLE_BEFORE_RETIRE_S) + 0.001

    def _of(self, lease_id: str, caller: NodeId) -> Held:
        held = self._held.get(lease_id)
        if held is None or held.lease.customer != caller:
            raise NoSuchLease("no such lease", where=f"lease {lease_id[:40]}", fix="ask for a new one")
        return held

    def _put(self, held: Held) -> Held:
        self._held[held.lease.lease_id] = held
        return held

    def _end(self, held: Held, reason: str) -> list[DeskEffect]:
        state = TABLE.next(held.state, Step.OVER)
        del self._held[held.lease.lease_id]
        ended = msgspec.structs.replace(held, state=state, ending=reason)
        effects: list[DeskEffect] = [LeaseChanged(ended)]
        if not self.leases_of(held.lease.service):
            self._last_user_at.pop(held.lease.service, None)
            effects.append(EndCopy(held.lease.service, held.request.parent_url, reason))
        return effects


def _lease_id(node: NodeId, request: LeaseRequest) -> str:
    return hashlib.sha256(f"{node} {request.customer} {request.request_id}".encode()).hexdigest()[:32]
