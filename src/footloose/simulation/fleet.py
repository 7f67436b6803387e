"""Any number of whole sites in virtual time, as light as can be: the real membership, DHT, loop and desk of each.

Sites stand in groups around routers, the routers on a plane. Every site is home of one app with one prefix of users;
for some, those users are at another router, so that the app follows them. What a node's shell does (sockets, workers,
guests) is left out, what it does between the machines is done in a few lines each.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from random import Random

from footloose.core.codec import Signed, sign
from footloose.core.digest import digest_of
from footloose.core.identity import NodeId
from footloose.core.limits import RECORD_LIFETIME_S
from footloose.discovery.dht import events as dht
from footloose.discovery.dht.keys import public_bytes
from footloose.discovery.dht.machine import Dht
from footloose.discovery.dht.notary import TrustingNotary
from footloose.discovery.dht.records import Nearness
from footloose.market.desk import Desk, Held, Policy
from footloose.membership.card import Facts
from footloose.membership.config import WAN, Config
from footloose.migration.switch import Ask, Poll, Release, Send
from footloose.model.app import App, GuestKind, Service, ServiceId
from footloose.model.network import Hop, Observation, Prefix, Route, RouterId, prefix_of, router_id
from footloose.model.routing import Redirect
from footloose.model.site import Endpoint, ProviderId, SiteRecord
from footloose.model.terms import Lease
from footloose.orchestrator.loop import Loop
from footloose.orchestrator.messages import (
    CopyEnded,
    Discover,
    DiscoveryFinished,
    Effect,
    Event,
    Identify,
    Measure,
    RouteTraced,
    RttMeasured,
    ServiceStarted,
    SetRedirects,
    SiteIdentified,
    SiteSighted,
    Trace,
    UsersObserved,
)
from footloose.placement.registry import placer
from footloose.simulation.engine import Engine, Wakeup
from footloose.simulation.fleet_leases import Leases
from footloose.simulation.members import Member, Members, identity_of
from footloose.simulation.network import Conditions, Network

DHT_PORT, API_PORT = 4000, 7443
SITES_PER_ROUTER = 10
ACCESS_MS = 1.0
"""Round trip from a site, or from a user, to its router and back."""
PLANE_MS = 80
SEEN_EVERY_S = 5.0
"""How often the users of an app are seen."""


class FleetSite:
    """The machines of one site, and what is known at it."""

    def __init__(self, member: Member, dht_node: Dht, loop: Loop, desk: Desk) -> None:
        self.member = member
        self.number = member.number
        self.node = member.node
        self.host = member.address.host
        self.dht = dht_node
        self.loop = loop
        self.desk = desk
        self.runs: set[ServiceId] = set()
        self.redirects: dict[ServiceId, tuple[Redirect, ...]] = {}
        self.artifacts: set[str] = set()
        self.held: dict[str, Held] = {}
        self.given: dict[str, Lease] = {}
        self.seen: dict[str, list[Observation]] = {}
        self.look_ups: dict[int, Prefix] = {}

    @property
    def gateway(self) -> str:
        """Where its users come."""
        return f"http://{self.host}"

    @property
    def api(self) -> Endpoint:
        """Where other sites come."""
        return Endpoint(self.host, API_PORT)


class Users:
    """One prefix of users of one app: at which router, and at which site they were served last."""

    __slots__ = ("address", "at", "home", "prefix", "router", "service")

    def __init__(self, number: int, router: int, home: FleetSite, service: ServiceId) -> None:
        self.address = f"{100 + number // 65536}.{number // 256 % 256}.{number % 256}.7"
        self.prefix = prefix_of(self.address)
        self.router = router
        self.home = self.at = home
        self.service = service


class Fleet:
    """All sites, on one engine. ``following`` is the part of apps whose users are elsewhere."""

    def __init__(
        self, seed: int, *, config: Config = WAN, conditions: Conditions | None = None, following: float = 0.1
    ) -> None:
        self.engine = Engine(seed)
        self.following = following
        self.members = Members(seed, config=config, conditions=conditions, delay_s=self.delay_s, engine=self.engine)
        self.dht_network = Network(self.engine, self.delay_s, conditions)
        self.sites: list[FleetSite] = []
        self.users: list[Users] = []
        self.by_node: dict[NodeId, FleetSite] = {}
        self.done: Counter[str] = Counter()
        self._by_host: dict[str, FleetSite] = {}
        self._users_at: dict[str, Users] = {}
        self._wakeups: list[tuple[Wakeup, Wakeup]] = []
        self._look_ups = 0
        self._leases = Leases(self)
        self._digest = hashlib.sha256()

    # Where all is

    def delay_s(self, one: int, other: int) -> float:
        """One-way delay between two sites."""
        return self.rtt_ms(one // SITES_PER_ROUTER, other // SITES_PER_ROUTER) / 2000

    @staticmethod
    def rtt_ms(one: int, other: int) -> float:
        """Round trip between what hangs on two routers."""
        x = one * 37 % PLANE_MS - other * 37 % PLANE_MS
        y = one * 53 % (PLANE_MS - 1) - other * 53 % (PLANE_MS - 1)
        return float((x * x + y * y) ** 0.5 + 2 * ACCESS_MS)

    # Building and running

    def grow(self, count: int, *, over_s: float) -> None:
        """``count`` sites, one after the other; afterwards each gets its app, and the app its users."""
        for _ in range(count):
            self._add()
            self.run(over_s / count)
        routers = -(-count // SITES_PER_ROUTER)
        for site in self.sites[-count:]:
            self._announce(site)
            away = site.number % 100 < 100 * self.following
            here = site.number // SITES_PER_ROUTER
            self._deploy(site, (here + routers // 2) % routers if away else here)

    def run(self, duration_s: float) -> None:
        """Let time pass."""
        self.engine.run(self.engine.now + duration_s)

    def copies(self) -> int:
        """How many copies run away from home."""
        return sum(len(site.held) for site in self.sites)

    def digest(self) -> str:
        """Of what all loops wanted done and when, and of what all machines came to."""
        told = self._digest.copy()
        for site in self.sites:
            told.update(repr((site.member.machine.coordinate, len(site.dht.table), site.dht.storage.records)).encode())
        told.update(repr((self.engine.events, self.members.network.sent, self.dht_network.sent_bytes)).encode())
        return told.hexdigest()

    def _add(self) -> None:
        member = self.members.add(facts=Facts(region=f"region-{len(self.sites) // 100 % 8}", capacity=10))
        number, now = member.number, self.engine.now
        api = Endpoint(member.address.host, API_PORT)
        random = Random(self.engine.random.random())  # noqa: S311  a simulation must be replayable
        desk = Desk(member.node, Policy(provider=ProviderId(member.node)))
        # Blank signatures on datagrams and records: nobody forges here, and most of the time would go to them.
        dht_node = Dht(TrustingNotary(public_bytes(identity_of(number))), api, random, now)
        site = FleetSite(member, dht_node, Loop(member.node, placer, now), desk)
        site_wakeup = Wakeup(self.engine, lambda: self._wake(site))
        dht_wakeup = Wakeup(self.engine, lambda: self._dht_do(site, site.dht.wake(self.engine.now)))
        self._wakeups.append((site_wakeup, dht_wakeup))
        self.sites.append(site)
        self.by_node[site.node] = self._by_host[site.host] = site
        self.dht_network.attach(number, lambda source, datagram: self._dht_received(site, source, datagram))
        seeds = (Endpoint(self.sites[0].host, DHT_PORT),) if number else ()
        self._dht_do(site, dht_node.receive(dht.Bootstrap(seeds), now))

    def _announce(self, site: FleetSite) -> None:
        near = Nearness(router_at(site.number // SITES_PER_ROUTER), ACCESS_MS, 1)
        self._dht_do(site, site.dht.receive(dht.Announce((near,)), self.engine.now))

    def _deploy(self, site: FleetSite, users_at: int) -> None:
        name = f"app-{site.number}"
        service = Service("web", digest_of(name.encode()), GuestKind.HANDLER)
        app = App(name, site.node, (service,))
        signed = sign(app, identity_of(site.number))
        service_id = app.service_id(service)
        site.artifacts.add(service.artifact)
        site.runs.add(service_id)
        self.start(site, service_id, service, signed)
        users = Users(site.number, users_at, site, service_id)
        self.users.append(users)
        self._users_at[users.address] = users
        self.engine.after(SEEN_EVERY_S * self.engine.random.random(), self._seen, users)

    def start(self, site: FleetSite, service_id: ServiceId, service: Service, app: Signed) -> None:
        """Tell a loop that a service runs at its site, as its home."""
        self.tell(site, ServiceStarted(service_id, service, app))

    # Users

    def _seen(self, users: Users) -> None:
        self.engine.after(SEEN_EVERY_S, self._seen, users)
        users.at = site = self._served_at(users)
        rtt_ms = self.rtt_ms(site.number // SITES_PER_ROUTER, users.router)
        seen = Observation(users.service, users.prefix, users.address, 1, rtt_ms=rtt_ms, site=site.node)
        self._leases.used(site, seen)
        self.tell(site, UsersObserved((seen,)))

    def _served_at(self, users: Users) -> FleetSite:
        """Where they end up: where they were, or where that site sends them."""
        site = users.at if users.service in users.at.runs else users.home
        for redirect in site.redirects.get(users.service, ()):
            if redirect.prefix == users.prefix and redirect.until > self.engine.now:
                onward = self._by_host[redirect.url.split("/")[2]]
                return onward if users.service in onward.runs else site
        return site

    # The machines of one site

    def tell(self, site: FleetSite, event: Event) -> None:
        """Give an event to a loop."""
        self.carry_out(site, site.loop.receive(event, self.engine.now))

    def tell_after(self, delay_s: float, site: FleetSite, event: Event) -> None:
        """Give an event to a loop, later."""
        self.engine.after(delay_s, lambda _: self.tell(site, event))

    def _wake(self, site: FleetSite) -> None:
        self._leases.carry_out(site, site.desk.wake(self.engine.now))
        self.carry_out(site, site.loop.wake(self.engine.now))

    def plan_wake(self, site: FleetSite) -> None:
        """After the loop or the desk was given anything."""
        due = [at for at in (site.loop.next_deadline(), site.desk.next_deadline()) if at is not None]
        self._wakeups[site.number][0].set(min(due, default=None))

    def carry_out(self, site: FleetSite, effects: Iterable[Effect]) -> None:
        """Do what a loop wants done."""
        for effect in effects:
            kind = type(effect).__name__
            self.done[kind] += 1
            self._digest.update(f"{self.engine.now:.9f} {site.number} {kind}\n".encode())
            match effect:
                case Ask() | Send() | Poll() | Release():
                    self._leases.send(site, effect)
                case Trace():
                    self._trace(site, effect)
                case Discover():
                    self._discover(site, effect)
                case Identify():
                    self._identify(site, effect)
                case Measure():
                    self._measure(site, effect)
                case SetRedirects():
                    site.redirects[effect.service] = effect.redirects
                case CopyEnded():
                    site.given.pop(effect.lease_id or "", None)
        self.plan_wake(site)

    def _trace(self, site: FleetSite, effect: Trace) -> None:
        users = self._users_at[effect.address]
        here = site.number // SITES_PER_ROUTER
        end_ms = self.rtt_ms(here, users.router)
        hops = [Hop(1, router_address(here), ACCESS_MS)]
        if users.router != here:
            hops.append(Hop(2, router_address(users.router), end_ms - ACCESS_MS))
        self.tell_after(end_ms / 1000, site, RouteTraced(effect.prefix, Route(effect.address, tuple(hops), end_ms)))

    def _discover(self, site: FleetSite, effect: Discover) -> None:
        for hop in effect.route.hops:
            self._look_ups += 1
            site.look_ups[self._look_ups] = effect.prefix
            look_up = dht.LookUp(self._look_ups, router_id(hop.address or ""))
            self._dht_do(site, site.dht.receive(look_up, self.engine.now))

    def _identify(self, site: FleetSite, effect: Identify) -> None:
        other, now = self._by_host[effect.endpoint.host], self.engine.now
        record = SiteRecord(
            node=other.node,
            provider=ProviderId(other.node),
            name=f"site-{other.number}",
            api=other.api,
            gateway=other.gateway,
            issued_at=now,
            expires_at=now + RECORD_LIFETIME_S,
        )
        found = SiteIdentified(effect.endpoint, record, claimed=effect.node)
        self.tell_after(4 * self.delay_s(site.number, other.number), site, found)

    def _measure(self, site: FleetSite, effect: Measure) -> None:
        by, users = self.by_node[effect.by], self._users_at[effect.address]
        rtt_ms = self.rtt_ms(by.number // SITES_PER_ROUTER, users.router)
        after_s = 2 * self.delay_s(site.number, by.number) + rtt_ms / 1000
        self.tell_after(after_s, site, RttMeasured(by.node, effect.prefix, rtt_ms))

    # The DHT

    def _dht_received(self, site: FleetSite, source: int, datagram: bytes) -> None:
        address = Endpoint(self.sites[source].host, DHT_PORT)
        self._dht_do(site, site.dht.receive(dht.Received(datagram, address), self.engine.now))

    def _dht_do(self, site: FleetSite, effects: Iterable[dht.Effect]) -> None:
        for effect in effects:
            match effect:
                case dht.SendDatagram():
                    other = self._by_host.get(effect.to.host)
                    if other is not None:
                        self.dht_network.send(site.number, other.number, effect.datagram, len(effect.datagram))
                case dht.Found():
                    sighting = effect.record.sighting()
                    if sighting.node != site.node:
                        self.tell(site, SiteSighted(site.look_ups[effect.lookup], sighting))
                case dht.LookupDone():
                    prefix = site.look_ups.pop(effect.lookup)
                    if prefix not in site.look_ups.values():
                        self.tell(site, DiscoveryFinished(prefix))
        self._wakeups[site.number][1].set(site.dht.next_deadline())


def router_address(number: int) -> str:
    """One interface of a router."""
    return f"10.{200 + number // 8192}.{number // 32 % 256}.{number % 32 * 8 + 1}"


def router_at(number: int) -> RouterId:
    """The id of a router."""
    return router_id(router_address(number))
