"""A small internet in virtual time: sites with real loops and real desks, users who follow redirects, and faults.

Routers form a tree, so there is one path between any two places and its round trip is the sum of its links'. What a
node's shell does (host, errands, gateway, meter) is done here in a few lines each; all that decides is the real thing.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import msgspec

from footloose.core.codec import Signed, encode, sign
from footloose.core.digest import digest_of
from footloose.core.errors import RemoteError
from footloose.core.identity import Identity, NodeId
from footloose.core.limits import ANNOUNCED_WITHIN_MS, LEASE_TERM_S, RECORD_LIFETIME_S
from footloose.market.desk import Desk, DeskEffect, EndCopy, Held, LeaseChanged, Policy
from footloose.market.desk import State as LeaseState
from footloose.migration.switch import (
    ArtifactSent,
    Ask,
    LeaseAnswered,
    LeaseReleased,
    Poll,
    PollAnswered,
    PollFailed,
    Release,
    Send,
    State,
    SwitchEvent,
)
from footloose.model.app import App, GuestKind, Service, ServiceId
from footloose.model.decision import Decision
from footloose.model.network import Hop, Observation, Prefix, Route, prefix_of, router_id
from footloose.model.routing import Redirect
from footloose.model.site import Endpoint, ProviderId, Sighting, SiteRecord, Source
from footloose.model.terms import Lease, LeaseRequest
from footloose.orchestrator.loop import Loop
from footloose.orchestrator.messages import (
    CopyEnded,
    CopyEvent,
    CustomerHeard,
    CustomerLeft,
    Discover,
    DiscoveryFinished,
    Effect,
    Event,
    Identify,
    Measure,
    Parent,
    Remember,
    RouteTraced,
    RttMeasured,
    ServiceStarted,
    ServiceStopped,
    SetRedirects,
    SiteIdentified,
    SiteSighted,
    Trace,
    UsersObserved,
)
from footloose.placement.registry import placer
from footloose.simulation.engine import Engine, Wakeup

TIMEOUT_S = 5.0
ASK_TIMEOUT_S = 30.0
POLL_TIMEOUT_S = 3.0
START_S = 0.05
REPORT_S = 0.25
MOVED_FOR_S = 60.0
FOLLOWED = 10

Place = str
"""The name of a router, a site or a user."""


@cache
def identity(name: str) -> Identity:
    return Identity.from_seed(hashlib.sha256(name.encode()).digest())


def node(name: str) -> NodeId:
    return identity(name).node_id


def an_app(owner: str, name: str = "shop", **service: object) -> App:
    web = Service("web", digest_of(name.encode()), GuestKind.HANDLER)
    return App(name, node(owner), (msgspec.structs.replace(web, **service),))


class Internet:
    """A tree of places. Each hangs on another by a link with a round trip in ms."""

    def __init__(self, root: Place) -> None:
        self._up: dict[Place, tuple[Place, float]] = {root: ("", 0.0)}
        self.routers: list[Place] = [root]

    def add(self, place: Place, at: Place, rtt_ms: float, *, router: bool = False) -> None:
        self._up[place] = (at, rtt_ms)
        if router:
            self.routers.append(place)

    def move(self, place: Place, at: Place, rtt_ms: float) -> None:
        self._up[place] = (at, rtt_ms)

    def rtt_ms(self, a: Place, b: Place) -> float:
        return sum(link for _, link in self.path(a, b))

    def path(self, a: Place, b: Place) -> list[tuple[Place, float]]:
        """The places after ``a`` on the way to ``b``, each with the round trip of the link to it."""
        up, down = self._to_root(a), self._to_root(b)
        while len(up) > 1 and len(down) > 1 and up[-2] == down[-2]:
            up.pop()
            down.pop()
        climbed = [(above, self._up[under][1]) for under, above in pairwise(up)]
        return climbed + [(place, self._up[place][1]) for place in reversed(down[:-1])]

    def _to_root(self, place: Place) -> list[Place]:
        way = [place]
        while (above := self._up[way[-1]][0]) != "":
            way.append(above)
        return way

    def address(self, router: Place) -> str:
        number = self.routers.index(router)
        return f"10.1.{number // 32}.{number % 32 * 8 + 1}"


@dataclass
class Site:
    """A site: its loop, its desk, and what its host, gateway and meter know."""

    name: Place
    loop: Loop
    desk: Desk
    address: str
    policy: Policy
    up: bool = True
    mute: bool = False
    code: set[str] = field(default_factory=set)
    runs: dict[ServiceId, App] = field(default_factory=dict)
    homes: dict[ServiceId, App] = field(default_factory=dict)
    redirects: dict[ServiceId, tuple[Redirect, ...]] = field(default_factory=dict)
    moved: dict[ServiceId, tuple[str, float]] = field(default_factory=dict)
    given: dict[str, Lease] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    meter: dict[str, list[Observation]] = field(default_factory=dict)
    seen: list[Observation] = field(default_factory=list)
    wakeup: Wakeup | None = None

    @property
    def node(self) -> NodeId:
        return node(self.name)

    @property
    def gateway(self) -> str:
        return f"http://{self.address}"


@dataclass
class User:
    """Asks for one service once in a while, follows redirects, and stays where it was served; or comes home anew."""

    name: Place
    address: str
    service: ServiceId
    home: Place
    at: Place
    every_s: float
    comes_home: bool = False
    stays_put: bool = False
    active: bool = True
    served: list[tuple[float, Place]] = field(default_factory=list)
    failed: list[tuple[float, str]] = field(default_factory=list)

    @property
    def prefix(self) -> Prefix:
        return prefix_of(self.address)


class World:
    """Everything, and the faults.

    ``lies_ms`` is what sites claim to be away from any router; ``hidden`` says who cannot find whom, ``listed`` who is
    found without a path too, ``slow_s`` how long a site takes to start a copy. ``silent_users`` answer no probes.
    ``lossy`` is the part of outcomes that never come, ``late_s`` how much later than usual others may.
    """

    def __init__(self, seed: int = 1, net: Internet | None = None) -> None:
        self.engine = Engine(seed)
        self.net = net or Internet("core")
        self.sites: dict[Place, Site] = {}
        self.users: dict[Place, User] = {}
        self.effects: list[tuple[float, Place, Effect]] = []
        self.decisions: list[Decision] = []
        self.lies_ms: dict[Place, float] = {}
        self.hidden: set[tuple[Place, Place]] = set()
        self.listed: set[Place] = set()
        self.slow_s: dict[Place, float] = {}
        self.silent_users: set[str] = set()
        self.untraceable: set[str] = set()
        self.cut: set[frozenset[Place]] = set()
        self.lossy = 0.0
        self.late_s = 0.0
        self.noise_ms = 0.0
        self.watchers: list[Callable[[Site, Effect], None]] = []

    @property
    def now(self) -> float:
        return self.engine.now

    # Building

    def router(self, name: Place, at: Place = "core", rtt_ms: float = 10.0) -> None:
        self.net.add(name, at, rtt_ms, router=True)

    def site(self, name: Place, at: Place, rtt_ms: float = 0.5, **policy: object) -> Site:
        self.net.add(name, at, rtt_ms)
        terms = msgspec.structs.replace(Policy(provider=ProviderId(node(name))), **policy)
        address = f"198.51.{len(self.sites) // 200}.{len(self.sites) % 200 + 1}"
        loop = Loop(node(name), placer, self.now)
        site = self.sites[name] = Site(name, loop, Desk(node(name), terms), address, terms)
        site.wakeup = Wakeup(self.engine, lambda: self._wake(site))
        return site

    def user(self, name: Place, at: Place, service: ServiceId, home: Place = "home", **options: object) -> User:
        rtt_ms = float(options.pop("rtt_ms", 1.0))  # type: ignore[arg-type]
        every_s = float(options.pop("every_s", 1.0))  # type: ignore[arg-type]
        self.net.add(name, at, rtt_ms)
        address = f"100.{64 + len(self.users) // 200}.{len(self.users) % 200}.7"
        user = self.users[name] = User(name, address, service, home, home, every_s, **options)  # type: ignore[arg-type]
        self.engine.after(self.engine.random.random() * 0.5, self._ask_service, user)
        return user

    def deploy(self, app: App, home: Place = "home") -> ServiceId:
        """Make ``home`` the home of an app with one service."""
        site, (service,) = self.sites[home], app.services
        service_id = app.service_id(service)
        site.code.add(service.artifact)
        site.homes[service_id] = site.runs[service_id] = app
        leases = tuple(one for one in site.given.values() if one.service == service_id)
        self.tell(site, ServiceStarted(service_id, service, _signed(app), None, leases))
        return service_id

    def remove(self, service: ServiceId, home: Place = "home") -> None:
        site = self.sites[home]
        del site.homes[service]
        self._stop(site, service, "the app was removed", None)

    # Running

    def run(self, seconds: float) -> None:
        self.engine.run(self.now + seconds)

    def run_until(self, true: Callable[[], bool], within_s: float = 60.0, step_s: float = 0.05) -> float:
        """Run until something is so; when that was. Fails if it does not come true."""
        end = self.now + within_s
        while not true():
            assert self.now < end, f"not so within {within_s} s"
            self.run(step_s)
        return self.now

    def tell(self, site: Site, event: Event) -> None:
        if site.up:
            self._carry_out(site, site.loop.receive(event, self.now))

    def _carry_out(self, site: Site, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self.effects.append((self.now, site.name, effect))
            self._do(site, effect)
            for watch in self.watchers:
                watch(site, effect)
        self._plan_wake(site)

    def _plan_wake(self, site: Site) -> None:
        assert site.wakeup is not None
        due = [at for at in (site.loop.next_deadline(), site.desk.next_deadline()) if at is not None]
        site.wakeup.set(min(due, default=None))

    def _wake(self, site: Site) -> None:
        if site.up:
            self._desk(site, site.desk.wake(self.now))
            self._carry_out(site, site.loop.wake(self.now))

    # Faults

    def lose(self, name: Place) -> None:
        """The site is gone: it neither answers nor acts."""
        self.sites[name].up = False

    def restart(self, name: Place, *, forgets: bool = False) -> None:
        """The site is back with what its disk holds (nothing, if it ``forgets``)."""
        site = self.sites[name]
        if forgets:
            site.given, site.held, site.homes, site.code = {}, {}, {}, set()
        known = dict(site.loop.sites)
        site.loop = Loop(site.node, placer, self.now)
        site.desk = Desk(site.node, site.policy, site.held.values(), self.now)
        site.runs, site.redirects, site.moved, site.seen, site.up = {}, {}, {}, [], True
        for record in known.values():
            self.tell(site, SiteIdentified(record.api, record))
        for service_id, app in list(site.homes.items()):
            assert self.deploy(app, name) == service_id
        for held in list(site.held.values()):
            self._run_copy(site, held.request, held.app, held.lease.service)
        self._desk(site, site.desk.wake(self.now))

    def cut_off(self, a: Place, b: Place) -> None:
        self.cut.add(frozenset((a, b)))

    def heal(self) -> None:
        self.cut.clear()
        self.lossy = self.late_s = 0.0

    def reachable(self, a: Site, b: Site) -> bool:
        return b.up and not b.mute and frozenset((a.name, b.name)) not in self.cut

    # What the loop wants done

    def _do(self, site: Site, effect: Effect) -> None:
        match effect:
            case Trace():
                self._trace(site, effect)
            case Discover():
                self._discover(site, effect)
            case Identify():
                self._identify(site, effect)
            case Measure():
                self._measure(site, effect)
            case Ask():
                self._for_copy(site, effect, ASK_TIMEOUT_S, self._asked, LeaseAnswered(refused="no answer"))
            case Send():
                self._for_copy(site, effect, TIMEOUT_S, self._sent, ArtifactSent(failed="no answer"))
            case Poll():
                self._for_copy(site, effect, POLL_TIMEOUT_S, self._polled, PollFailed("no answer"))
            case Release():
                self._for_copy(site, effect, 3 * TIMEOUT_S, self._released, LeaseReleased())
            case SetRedirects():
                if effect.service in site.runs:
                    site.redirects[effect.service] = effect.redirects
            case CopyEnded():
                if effect.lease_id is not None:
                    site.given.pop(effect.lease_id, None)
            case Remember():
                self.decisions.append(effect.decision)

    def _answer(self, site: Site, after_s: float, event: Event) -> None:
        """Tell the loop of an outcome, unless it is lost or its site has been restarted meanwhile.

        That the code was sent is never lost: it is waited for very long.
        """
        sending = isinstance(event, CopyEvent) and isinstance(event.event, ArtifactSent)
        if self.engine.random.random() < self.lossy and not sending:
            return
        loop = site.loop

        def arrive(_: object) -> None:
            if site.loop is loop and site.up:
                self._keep_lease(site, event)
                self.tell(site, event)

        self.engine.after(after_s + self.engine.random.random() * self.late_s, arrive)

    def _keep_lease(self, site: Site, event: Event) -> None:
        """A lease granted is on the disk before the loop hears of it."""
        if isinstance(event, CopyEvent) and isinstance(event.event, LeaseAnswered) and event.event.lease is not None:
            site.given[event.event.lease.lease_id] = event.event.lease

    def _user_at(self, address: str) -> User | None:
        return next((user for user in self.users.values() if user.address == address), None)

    def measured_ms(self, site: Place, user: Place) -> float:
        return self.net.rtt_ms(site, user) + self.engine.random.random() * self.noise_ms

    def _trace(self, site: Site, effect: Trace) -> None:
        user = self._user_at(effect.address)
        if user is None or user.address in self.untraceable:
            self._answer(site, 0.01, RouteTraced(effect.prefix, None, "no permission to trace"))
            return
        rtt_ms, hops = 0.0, []
        for ttl, (place, link_ms) in enumerate(self.net.path(site.name, user.name)[:-1], start=1):
            rtt_ms += link_ms
            hops.append(Hop(ttl, self.net.address(place), rtt_ms))
        end_ms = None if user.address in self.silent_users else self.measured_ms(site.name, user.name)
        after_s = self.net.rtt_ms(site.name, user.name) / 1000 if end_ms is not None else 0.5
        self._answer(site, after_s, RouteTraced(effect.prefix, Route(effect.address, tuple(hops), end_ms)))

    def _discover(self, site: Site, effect: Discover) -> None:
        findable = [one for one in self.sites.values() if one is not site and (site.name, one.name) not in self.hidden]
        for other in findable:
            api = Endpoint(other.address, 7443)
            if other.name in self.listed:
                self._answer(site, 0.02, SiteSighted(effect.prefix, Sighting(api, Source.STATIC)))
            for hop in effect.route.hops:
                router = next(one for one in self.net.routers if self.net.address(one) == hop.address)
                told_ms = self.lies_ms.get(other.name, self.net.rtt_ms(other.name, router))
                if told_ms > ANNOUNCED_WITHIN_MS:
                    continue
                sighting = Sighting(api, Source.DHT, other.node, None, router_id(hop.address or ""), told_ms)
                self._answer(site, 0.03, SiteSighted(effect.prefix, sighting))
        self._answer(site, 0.05, DiscoveryFinished(effect.prefix))

    def _identify(self, site: Site, effect: Identify) -> None:
        other = next((one for one in self.sites.values() if one.address == effect.endpoint.host), None)
        if other is None or not self.reachable(site, other):
            self._answer(site, TIMEOUT_S, SiteIdentified(effect.endpoint, None, "no answer", effect.node))
            return
        found = SiteIdentified(effect.endpoint, self.record(other), claimed=effect.node)
        self._answer(site, 2 * self.net.rtt_ms(site.name, other.name) / 1000, found)

    def record(self, site: Site) -> SiteRecord:
        return SiteRecord(
            node=site.node,
            provider=site.policy.provider,
            name=site.name,
            api=Endpoint(site.address, 7443),
            gateway=site.gateway,
            issued_at=self.now,
            expires_at=self.now + RECORD_LIFETIME_S,
            region=site.policy.region,
            price_per_hour=site.policy.price_per_hour,
        )

    def _measure(self, site: Site, effect: Measure) -> None:
        by = self._named(effect.by)
        user = self._user_at(effect.address)
        if by is not site and not self.reachable(site, by):
            lost = RttMeasured(by.node, effect.prefix, None, "no answer", answered=False)
            self._answer(site, TIMEOUT_S, lost)
        elif user is None or user.address in self.silent_users:
            self._answer(site, 1.0, RttMeasured(by.node, effect.prefix, None, "the users did not answer its probes"))
        else:
            rtt_ms = self.measured_ms(by.name, user.name)
            took_s = (self.net.rtt_ms(site.name, by.name) + rtt_ms) / 1000
            self._answer(site, took_s, RttMeasured(by.node, effect.prefix, rtt_ms))

    def _named(self, wanted: NodeId) -> Site:
        return next(site for site in self.sites.values() if site.node == wanted)

    # Copies: the customer's errand, and the provider's host

    def _for_copy(
        self,
        site: Site,
        effect: Ask | Send | Poll | Release,
        timeout_s: float,
        at_provider: Callable[..., SwitchEvent],
        unanswered: SwitchEvent,
    ) -> None:
        """Half a round trip there, what the provider does, half a round trip back."""
        provider, half_s = self._named(effect.site), self.net.rtt_ms(site.name, node_name(self, effect.site)) / 2000
        lost = self.engine.random.random() < self.lossy
        half_s += self.engine.random.random() * self.late_s

        def arrive(_: object) -> None:
            outcome = unanswered
            after_s = timeout_s - half_s
            if self.reachable(site, provider) and not lost:
                outcome, after_s = at_provider(site, provider, effect), half_s
            event = CopyEvent(effect.service, effect.site, effect.request_id, outcome)
            self._answer(site, max(0.0, after_s), event)

        starting_s = self.slow_s.get(provider.name, 0.0) if isinstance(effect, Ask) else 0.0
        self.engine.after(half_s + starting_s, arrive)

    def _asked(self, site: Site, provider: Site, ask: Ask) -> LeaseAnswered:
        running, known = site.loop.services.get(ask.service), site.loop.sites.get(ask.site)
        if running is None or known is None:
            return LeaseAnswered(refused="the service stopped before the site was asked")
        budget = running.spec.budget.price_per_hour
        request = LeaseRequest(
            request_id=ask.request_id,
            customer=site.node,
            app=running.app,
            service=running.spec.name,
            term_s=LEASE_TERM_S,
            parent_url=f"{site.gateway}/{ask.service}/",
            relay_token="token",
            price_per_hour=known.price_per_hour if budget is None else budget,
        )
        try:
            return self._lease(provider, request)
        except RemoteError as error:
            return LeaseAnswered(refused=str(error))

    def _lease(self, provider: Site, request: LeaseRequest) -> LeaseAnswered:
        service_id = ServiceId(f"{_opened(request.app).app_id}/{request.service}")
        running = provider.loop.services.get(service_id)
        asking, copies = (State.ASKING, State.SENDING), running.copies if running is not None else {}
        own = {site for site, copy in copies.items() if copy.state not in asking or provider.node < site}
        own.discard(_opened(request.app).owner)
        accepted = provider.desk.consider(request, request.customer, frozenset(own))
        if accepted.service.artifact not in provider.code:
            return LeaseAnswered(needs_artifact=True)
        url = f"{provider.gateway}/{service_id}/"
        lease, effects = provider.desk.grant(request, accepted, url, self.now)
        self._run_copy(provider, request, accepted.app, service_id)
        self._desk(provider, effects)
        return LeaseAnswered(lease=lease)

    def _run_copy(self, site: Site, request: LeaseRequest, app: App, service_id: ServiceId) -> None:
        for lease_id, held in site.held.items():
            if held.lease.service == service_id:
                site.meter.setdefault(lease_id, [])
        if service_id in site.runs:
            return
        site.runs[service_id] = app
        site.moved.pop(service_id, None)
        service = app.service(request.service)
        assert service is not None
        leases = tuple(one for one in site.given.values() if one.service == service_id)
        parent = Parent(request.customer, request.parent_url)
        self.tell(site, ServiceStarted(service_id, service, request.app, parent, leases))

    def _sent(self, site: Site, provider: Site, send: Send) -> ArtifactSent:
        running = site.loop.services.get(send.service)
        if running is None:
            return ArtifactSent(failed="the service stopped before its code was sent")
        provider.code.add(running.spec.artifact)
        return ArtifactSent()

    def _polled(self, site: Site, provider: Site, poll: Poll) -> SwitchEvent:
        running = site.loop.services.get(poll.service)
        try:
            held, effects = provider.desk.poll(poll.lease_id, site.node, renew=poll.renew, now=self.now)
        except RemoteError as error:
            return PollFailed(str(error), gone=True)
        self._desk(provider, effects)
        hold = running is not None and running.pinned == poll.site
        customer = Parent(site.node, held.request.parent_url)
        self.tell(provider, CustomerHeard(poll.service, customer, hold))
        lease = held.lease if poll.renew and held.ending is None else None
        if lease is not None and lease.lease_id in site.given:
            site.given[lease.lease_id] = lease
        seen = tuple(provider.meter.get(poll.lease_id, ()))
        provider.meter[poll.lease_id] = []
        self._used(site, seen)
        return PollAnswered(seen, lease, held.ending)

    def _released(self, site: Site, provider: Site, release: Release) -> LeaseReleased:
        with contextlib.suppress(RemoteError):  # it may have ended by itself before
            self._desk(provider, provider.desk.release(release.lease_id, site.node, release.reason))
        return LeaseReleased()

    def _desk(self, site: Site, effects: Iterable[DeskEffect]) -> None:
        for effect in effects:
            match effect:
                case LeaseChanged():
                    self._lease_changed(site, effect.held)
                case EndCopy():
                    if effect.service not in site.homes:
                        self._stop(site, effect.service, effect.reason, effect.parent_url)
        self._plan_wake(site)

    def _lease_changed(self, site: Site, held: Held) -> None:
        lease_id = held.lease.lease_id
        if held.state is LeaseState.ENDED:
            site.held.pop(lease_id, None)
            site.meter.pop(lease_id, None)
            self._customer_left(site, held.lease)
            self._follow_another(site, held.lease.service)
        else:
            site.held[lease_id] = held
            site.meter.setdefault(lease_id, [])

    def _customer_left(self, site: Site, lease: Lease) -> None:
        if lease.customer not in [held.lease.customer for held in site.desk.leases_of(lease.service)]:
            self.tell(site, CustomerLeft(lease.service, lease.customer))

    def _follow_another(self, site: Site, service: ServiceId) -> None:
        """A copy's customer has gone: if another leases the copy too, that one is its parent now."""
        running, others = site.loop.services.get(service), site.desk.leases_of(service)
        if running is None or running.parent is None or not others:
            return
        if running.parent.node not in [held.request.customer for held in others]:
            heir = others[0].request
            parent = Parent(heir.customer, heir.parent_url)
            self.tell(site, ServiceStarted(service, running.spec, heir.app, parent))

    def _stop(self, site: Site, service: ServiceId, reason: str, moved_to: str | None) -> None:
        site.runs.pop(service, None)
        site.redirects.pop(service, None)
        if moved_to is not None:
            site.moved[service] = (moved_to, self.now + MOVED_FOR_S)
        self.tell(site, ServiceStopped(service, reason))

    def drain(self, name: Place) -> None:
        self._desk(self.sites[name], self.sites[name].desk.drain("maintenance", self.now))

    # Users

    def _ask_service(self, user: User) -> None:
        if user.active:
            self._visit(user)
        self.engine.after(user.every_s, self._ask_service, user)

    def _visit(self, user: User) -> None:
        start = user.home if user.comes_home or not self.sites[user.at].up else user.at
        at: Place | None = start
        for _ in range(FOLLOWED):
            assert at is not None
            onward = self._served_or_sent_on(user, self.sites[at])
            if onward == at:
                user.at = at
                user.served.append((self.now, at))
                return
            if onward is None:
                break
            at = onward
        user.failed.append((self.now, "sent on for ever" if onward is not None else f"nobody serves at {at}"))
        user.at = user.home

    def _served_or_sent_on(self, user: User, site: Site) -> Place | None:
        """The site itself if it serves the user, the one it sends it to, or None if there is neither."""
        if not site.up:
            return None
        if user.service in site.runs:
            onward = self.redirect_of(site, user)
            if onward is None or user.stays_put:
                self._serve(user, site)
                return site.name
            return onward
        moved = site.moved.get(user.service)
        return self.site_at(moved[0]).name if moved is not None and moved[1] > self.now else None

    def redirect_of(self, site: Site, user: User) -> Place | None:
        """Where a site would send a user now."""
        for one in site.redirects.get(user.service, ()):
            if one.prefix == user.prefix and one.until > self.now:
                return self.site_at(one.url).name
        return None

    def site_at(self, url: str) -> Site:
        return next(site for site in self.sites.values() if url.startswith(f"{site.gateway}/"))

    def _serve(self, user: User, site: Site) -> None:
        rtt_ms = self.measured_ms(site.name, user.name)
        seen = Observation(user.service, user.prefix, user.address, requests=1, rtt_ms=rtt_ms)
        if not site.seen:
            self.engine.after(REPORT_S, self._report, site)
        site.seen.append(seen)

    def _report(self, site: Site) -> None:
        seen, site.seen = tuple(site.seen), []
        if site.up and seen:
            self._used(site, tuple(msgspec.structs.replace(one, site=site.node) for one in seen))
            self.tell(site, UsersObserved(seen))

    def _used(self, site: Site, seen: tuple[Observation, ...]) -> None:
        """What the node does on the way: its meters count, and its desk knows that copies are in use."""
        for one in seen:
            site.desk.users_seen(ServiceId(one.service), self.now)
            for lease_id, readings in site.meter.items():
                held = site.held.get(lease_id)
                if held is not None and held.lease.service == one.service:
                    readings.append(one)

    # Looking at it

    def decided(self, *, step: str, at: Place | None = None, subject: str | None = None) -> list[Decision]:
        wanted = [one for one in self.decisions if one.step == step]
        return [
            one
            for one in wanted
            if (at is None or one.site == node(at)) and (subject is None or one.subject in (subject, node(subject)))
        ]

    def told(self, kind: type[Effect], at: Place | None = None) -> Iterator[tuple[float, Effect]]:
        """The effects of one kind, and when they came."""
        return ((when, one) for when, name, one in self.effects if isinstance(one, kind) and at in (None, name))

    def asked(self, name: Place, by: Place | None = None) -> list[float]:
        """When a site was asked for a lease; being asked again after it was sent the code is the same request."""
        asked: dict[str, float] = {}
        for when, one in self.told(Ask, by):
            if isinstance(one, Ask) and one.site == node(name):
                asked.setdefault(one.request_id, when)
        return list(asked.values())

    def served_at(self, user: User, since: float) -> set[Place]:
        return {place for when, place in user.served if when >= since}

    def best(self, user: User, allowed: Iterable[Place]) -> float:
        return min(self.net.rtt_ms(name, user.name) for name in allowed)

    def copies(self, name: Place) -> dict[Place, State]:
        """The copies a site leased, of all its services."""
        running = self.sites[name].loop.services.values()
        return {self._named(one).name: copy.state for service in running for one, copy in service.copies.items()}

    def digest(self) -> str:
        """All that happened, in one line."""
        told = hashlib.sha256()
        for when, name, effect in self.effects:
            told.update(f"{when:.9f} {name} {type(effect).__name__} ".encode())
            told.update(encode(effect))
        for user in self.users.values():
            told.update(repr((user.served, user.failed)).encode())
        return told.hexdigest()


def node_name(world: World, wanted: NodeId) -> Place:
    return next(site.name for site in world.sites.values() if site.node == wanted)


@cache
def _signed_by(app: bytes, owner: str) -> Signed:
    return sign(msgspec.json.decode(app, type=App), next(one for one in _OWNERS if one.node_id == owner))


_OWNERS = [identity("home"), identity("office")]


def _signed(app: App) -> Signed:
    return _signed_by(encode(app), app.owner)


def _opened(envelope: Signed) -> App:
    return msgspec.json.decode(envelope.payload, type=App)
