"""What the loop remembers of users, routes, sites and copies."""

from dataclasses import dataclass, field

from footloose.core.codec import Signed
from footloose.core.identity import NodeId
from footloose.core.limits import PREFIXES_PER_SERVICE, USER_MEMORY_S
from footloose.migration.switch import Switch
from footloose.model.app import Service, ServiceId
from footloose.model.network import Observation, Prefix, Route
from footloose.model.routing import Redirect
from footloose.model.site import Endpoint, Sighting
from footloose.orchestrator.messages import Parent
from footloose.placement.interface import Placement

DEMAND_HALF_LIFE_S = 30.0
"""How fast past requests stop counting as demand."""

RTTS_KEPT = 16
"""Sites that served a user whose round trip to it is remembered."""

LOOK_AGAIN_FIRST_S = 2.0
"""How soon sites near new users are looked for a second time; each further wait is twice as long."""


@dataclass
class User:
    """One prefix's use of one service: requests, halved every ``DEMAND_HALF_LIFE_S``, and WebSockets.

    ``rtt_at_ms`` is what the kernels of the sites that served it measured, last of all.
    """

    prefix: Prefix
    address: str
    site: NodeId
    seen_at: float
    first_rtt_ms: float | None = None
    rtt_ms: float | None = None
    requests: int = 0
    errors: int = 0
    open_websockets: int = 0
    rtt_at_ms: dict[NodeId, float] = field(default_factory=dict)
    _weight: float = 0.0

    def see(self, seen: Observation, site: NodeId, now: float) -> None:
        """Take in what was seen of the prefix at ``site``."""
        decay = 0.5 ** ((now - self.seen_at) / DEMAND_HALF_LIFE_S)
        self._weight = self._weight * decay + seen.requests
        if site != self.site:
            self.rtt_ms = None  # measured to another site
        self.address, self.site, self.seen_at = seen.address, site, now
        self.requests += seen.requests
        self.errors += seen.errors
        self.open_websockets = seen.open_websockets
        if seen.rtt_ms is not None:
            self.rtt_ms = self.rtt_at_ms[site] = seen.rtt_ms
            if len(self.rtt_at_ms) > RTTS_KEPT:
                del self.rtt_at_ms[next(iter(self.rtt_at_ms))]
            if self.first_rtt_ms is None:
                self.first_rtt_ms = seen.rtt_ms

    def demand(self, now: float) -> float:
        """The weight of this prefix in placement; never nothing while it is remembered."""
        decay: float = 0.5 ** ((now - self.seen_at) / DEMAND_HALF_LIFE_S)
        return self._weight * decay + self.open_websockets + 0.1


@dataclass
class Located:
    """One user prefix on the map: its route, and how far finding sites near it has come."""

    prefix: Prefix
    address: str
    route: Route | None = None
    tracing: bool = True
    discovering: bool = False
    discovered_at: float | None = None
    settle_at: float | None = None
    look_again_s: float = LOOK_AGAIN_FIRST_S
    sightings: dict[NodeId, Sighting] = field(default_factory=dict)
    identifying: set[tuple[Endpoint, NodeId | None]] = field(default_factory=set)
    measuring: set[NodeId] = field(default_factory=set)
    rtt_ms: dict[NodeId, float] = field(default_factory=dict)
    _settled: bool = False

    def settled(self, now: float) -> bool:
        """Whether what can be known of the sites near it is known, or has been waited for long enough.

        Once it is, it stays so: looking again later adds to what is known and does not put it in doubt.
        """
        waited = self.settle_at is not None and now >= self.settle_at
        complete = self.discovered_at is not None and not (self.discovering or self.identifying or self.measuring)
        self._settled = self._settled or waited or complete
        return self._settled


@dataclass
class Running:
    """One service that runs here, its users, and the copies this site leased."""

    service: ServiceId
    spec: Service
    app: Signed
    parent: Parent | None
    users: dict[Prefix, User] = field(default_factory=dict)
    copies: dict[NodeId, Switch] = field(default_factory=dict)
    placement: Placement = field(default_factory=lambda: Placement((), {}))
    redirects: tuple[Redirect, ...] = ()
    refused_until: dict[NodeId, float] = field(default_factory=dict)
    busy_at: dict[NodeId, float] = field(default_factory=dict)
    requests_at: dict[NodeId, int] = field(default_factory=dict)
    pinned: NodeId | None = None
    placer_failure: str | None = None

    def user(self, seen: Observation, site: NodeId, now: float) -> User:
        """The user record of an observation, made if need be; the longest unseen makes room."""
        user = self.users.get(seen.prefix)
        if user is None:
            if len(self.users) >= PREFIXES_PER_SERVICE:
                oldest = min(self.users.values(), key=lambda one: one.seen_at)
                del self.users[oldest.prefix]
            user = self.users[seen.prefix] = User(seen.prefix, seen.address, site, now)
        return user

    def forget_users(self, now: float) -> list[Prefix]:
        """Drop users not seen for long; their prefixes."""
        gone = [one.prefix for one in self.users.values() if now - one.seen_at > USER_MEMORY_S]
        for prefix in gone:
            del self.users[prefix]
        return gone
