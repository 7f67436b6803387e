"""What the loop remembers of users, routes, sites and copies."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from footloose.core.codec import Signed
from footloose.core.identity import NodeId
from footloose.core.limits import (
    PREFIXES_PER_SERVICE,
    REDISCOVER_S,
    REFUSAL_MEMORY_MOST_S,
    REFUSAL_MEMORY_S,
    SITES_PER_PREFIX,
    UNREACHED_MEMORY_MOST_S,
    UNREACHED_MEMORY_S,
    USER_MEMORY_S,
)
from footloose.migration.switch import State, Switch
from footloose.model.app import Service, ServiceId
from footloose.model.network import Observation, Prefix, Route
from footloose.model.routing import Redirect
from footloose.model.site import Endpoint, Sighting, Source
from footloose.orchestrator.messages import Parent
from footloose.placement.interface import Placement

DEMAND_HALF_LIFE_S = 30.0
"""How fast past requests stop counting as demand."""

RTTS_KEPT = 16
"""Sites that served a user whose round trip to it is remembered."""

LOOK_AGAIN_FIRST_S = 2.0
"""How soon sites near new users are looked for a second time; each further wait is twice as long."""

MISSES = 2
"""Measurements in a row that must fail before the last figure is given up: one may just have been lost."""

NOWHERE = Placement((), {})
"""All users stay here."""


@dataclass
class User:
    """One prefix's use of one service: requests, halved every ``DEMAND_HALF_LIFE_S``, and WebSockets.

    ``decided`` is where it was last decided to send them, None before anything was decided; ``rtt_at_ms`` what the
    kernels of the sites that served them measured, last of all.
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
    decided: NodeId | None = None
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


SiteAsked = tuple[Endpoint, NodeId | None]
"""Whom a question "who are you?" is put to: an endpoint, and the node that is said to be there. Each claim is asked
about by itself, so that a false one hides nobody."""


@dataclass
class Asked:
    """Sightings that wait until the site is known, by the prefix they are for."""

    at: float
    waiting: dict[Prefix, Sighting] = field(default_factory=dict)


@dataclass
class Located:
    """One user prefix on the map: its route, and how far finding sites near it has come.

    ``rtt_ms`` are round trips as measured by the sites themselves, this one among them. ``silent`` are sites that could
    not be reached when asked to measure.
    """

    prefix: Prefix
    address: str
    looked_at: float
    route: Route | None = None
    tracing: bool = True
    discovering: bool = False
    discovered: bool = False
    settle_at: float | None = None
    look_again_s: float = LOOK_AGAIN_FIRST_S
    sightings: dict[NodeId, Sighting] = field(default_factory=dict)
    identifying: set[SiteAsked] = field(default_factory=set)
    measuring: set[NodeId] = field(default_factory=set)
    rtt_ms: dict[NodeId, float] = field(default_factory=dict)
    silent: set[NodeId] = field(default_factory=set)
    _missed: dict[NodeId, int] = field(default_factory=dict)
    _settled: bool = False

    def settled(self, now: float) -> bool:
        """Whether what can be known of the sites near it is known, or has been waited for long enough.

        Once it is, it stays so: looking again later adds to what is known and does not put it in doubt.
        """
        waited = self.settle_at is not None and now >= self.settle_at
        complete = self.discovered and not (self.discovering or self.identifying or self.measuring)
        self._settled = self._settled or waited or complete
        return self._settled

    def sight(self, node: NodeId, sighting: Sighting) -> bool:
        """Take in that a site was sighted; whether that was news. A full table makes room only by a silent site.

        To be found on the way says more than to be a member that may be near.
        """
        known = self.sightings.get(node)
        if known is None and len(self.sightings) >= SITES_PER_PREFIX and not self._drop_silent():
            return False
        nominated = known is not None and known.source is Source.MEMBERS is not sighting.source
        if known is not None and not nominated and (sighting.rtt_ms is None or sighting == known):
            return False
        self.sightings[node] = sighting
        return True

    def _drop_silent(self) -> bool:
        site = next((one for one in self.sightings if one in self.silent), None)
        if site is None:
            return False
        del self.sightings[site]
        self.silent.discard(site)
        self._missed.pop(site, None)
        return True

    def measured(self, site: NodeId, rtt_ms: float | None, *, answered: bool) -> bool:
        """Take in what came of a measurement; ``answered`` says whether the site itself did.

        Whether it is news: the first outcome for this site, a figure where there was none, or none any more.
        """
        before = (site in self.rtt_ms, site in self.rtt_ms or site in self._missed)
        self._take_measured(site, rtt_ms, answered=answered)
        return before != (site in self.rtt_ms, True)

    def _take_measured(self, site: NodeId, rtt_ms: float | None, *, answered: bool) -> None:
        self.measuring.discard(site)
        if answered:
            self.silent.discard(site)
        else:
            self.silent.add(site)
        if rtt_ms is not None:
            self.rtt_ms[site] = rtt_ms
            self._missed.pop(site, None)
            return
        missed = self._missed.get(site, 0) + 1
        if site in self.rtt_ms and missed >= MISSES:
            del self.rtt_ms[site]
        self._missed[site] = min(missed, MISSES)

    def look_anew(self, now: float) -> None:
        """Begin another look, and no longer wait for what the last one left unanswered."""
        self.looked_at = now
        self.look_again_s = min(2 * self.look_again_s, REDISCOVER_S)
        self.discovering = False
        self.identifying.clear()
        self.measuring.clear()


class Refusal(msgspec.Struct, frozen=True):
    """A site did not take a copy, so many times in a row; it is not asked again before ``until``."""

    times: int
    until: float


class Customer(msgspec.Struct, frozen=True):
    """A site that leases a copy here and was heard of lately, so that it runs the service: users can go back there.

    ``hold`` says that it wants the users it sends to stay.
    """

    url: str
    heard_at: float
    hold: bool


@dataclass
class Running:
    """One service that runs here, its users, and the copies this site leased.

    ``placement`` is where users are to be served, ``meanwhile`` where those go whose site does not serve yet. Users are
    in the order they were last seen in.
    """

    service: ServiceId
    spec: Service
    app: Signed
    parent: Parent | None
    users: dict[Prefix, User] = field(default_factory=dict)
    copies: dict[NodeId, Switch] = field(default_factory=dict)
    customers: dict[NodeId, Customer] = field(default_factory=dict)
    placement: Placement = NOWHERE
    meanwhile: Placement = NOWHERE
    redirects: tuple[Redirect, ...] = ()
    refusals: dict[NodeId, Refusal] = field(default_factory=dict)
    excluded: dict[NodeId, str] = field(default_factory=dict)
    busy_at: dict[NodeId, float] = field(default_factory=dict)
    requests_at: dict[NodeId, int] = field(default_factory=dict)
    pinned: NodeId | None = None
    choose_at: float | None = None
    rested_at: float = 0.0
    placer_failure: str | None = None

    # Users

    def see(self, seen: Observation, site: NodeId, now: float) -> Prefix | None:
        """Take in an observation; the prefix that had to make room for a new one, if any: the longest unseen."""
        dropped = None
        user = self.users.pop(seen.prefix, None)
        if user is None:
            user = User(seen.prefix, seen.address, site, now)
            if len(self.users) >= PREFIXES_PER_SERVICE:
                dropped = next(iter(self.users))
                del self.users[dropped]
        self.users[seen.prefix] = user
        user.see(seen, site, now)
        return dropped

    def forget_users(self, now: float) -> list[Prefix]:
        """Drop users not seen for long; their prefixes."""
        gone = []
        for user in self.users.values():
            if now - user.seen_at <= USER_MEMORY_S:
                break
            gone.append(user.prefix)
        for prefix in gone:
            del self.users[prefix]
        return gone

    # Sites

    def refuses(self, site: NodeId, now: float) -> bool:
        """Whether a site refused so lately that it is not asked again yet."""
        refusal = self.refusals.get(site)
        return refusal is not None and refusal.until > now

    def refused(self, site: NodeId, now: float, *, unreached: bool = False) -> None:
        """Take in that a site took no copy, or gave one up. Each time in a row it is left alone for twice as long.

        That is not so long for one that could not be reached: it may just be starting again.
        """
        before = self.refusals.get(site)
        times = before.times + 1 if before is not None else 1
        first_s, most_s = REFUSAL_MEMORY_S, REFUSAL_MEMORY_MOST_S
        if unreached:
            first_s, most_s = UNREACHED_MEMORY_S, UNREACHED_MEMORY_MOST_S
        wait_s = min(first_s * 2 ** min(times - 1, 30), most_s)
        self.refusals[site] = Refusal(times, now + wait_s)

    def forget_refusals(self, now: float) -> None:
        """Drop what happened too long ago to matter."""
        for site in [one for one, refusal in self.refusals.items() if now > refusal.until + REFUSAL_MEMORY_MOST_S]:
            del self.refusals[site]

    def is_customer(self, site: NodeId) -> bool:
        """Whether users can be sent to ``site`` because it leases a copy here. At home all users are our own."""
        return self.parent is not None and site in self.customers

    def serves(self, site: NodeId) -> bool:
        """Whether ``site`` can take users now."""
        copy = self.copies.get(site)
        return (copy is not None and copy.state is State.SERVING) or self.is_customer(site)

    def way_to(self, site: NodeId, now: float) -> tuple[str, float] | None:
        """The URL of the service at ``site`` and until when users may be sent there, or None if they may not."""
        copy = self.copies.get(site)
        if copy is not None and copy.lease is not None and (copy.usable_until or 0.0) > now:
            return copy.lease.url, copy.lease.ends_at
        if self.is_customer(site):
            # In steps, or every look would change the workers' table. It is taken back when nothing is heard.
            return self.customers[site].url, (now // REDISCOVER_S + 2) * REDISCOVER_S
        return None

    def belongs(self, prefix: Prefix, site: NodeId, here: NodeId) -> bool:
        """Whether users seen at the copy at ``site``, or at a copy of that one, are rightly there: as far as is known
        here, no other site that can take them now is better."""
        user = self.users[prefix]
        elsewhere = user.decided not in (None, site) and (user.decided == here or self.serves(user.decided))
        return user.site != site or not elsewhere

    def to_be_kept(self) -> set[NodeId]:
        """The sites that users are to be at, now or as soon as they serve."""
        return {*self.placement.assignment.values(), *self.meanwhile.assignment.values()}

    def superfluous(self) -> list[NodeId]:
        """Copies that have to go, those that are missed least first: as many as stand in the way of those chosen; and
        all others once the site that was asked for by hand serves."""
        chosen = [choice.site for choice in self.placement.choices]
        ending = [site for site, copy in self.copies.items() if copy.state is State.RETIRING]
        others = [site for site in self.copies if site not in chosen and site not in ending]
        if (self.pinned is not None or self.held) and all(self.serves(site) for site in chosen):
            return others
        wanted = [site for site in chosen if site not in self.copies and not self.is_customer(site)]
        surplus = len(self.copies) - len(ending) + len(wanted) - self.spec.budget.copies
        used = self.meanwhile.assignment.values()
        others.sort(key=lambda site: (site in used, self.serves(site), self.busy_at.get(site, 0.0), site))
        return others[: max(0, surplus)]

    def stood_still(self, seconds: float) -> None:
        """This site did nothing for so long: nobody counts as gone for not having been heard of meanwhile."""
        for user in self.users.values():
            user.seen_at += seconds
        for site in self.busy_at:
            self.busy_at[site] += seconds
        for node, customer in self.customers.items():
            self.customers[node] = msgspec.structs.replace(customer, heard_at=customer.heard_at + seconds)
        for copy in self.copies.values():
            copy.stood_still(seconds)

    @property
    def held(self) -> bool:
        """Whether a customer wants its users to stay here."""
        return self.parent is not None and any(customer.hold for customer in self.customers.values())


def oldest(places: Sequence[Located], most: int) -> list[Located]:
    """The places looked at longest ago."""
    return sorted(places, key=lambda place: (place.looked_at, place.prefix))[:most]
