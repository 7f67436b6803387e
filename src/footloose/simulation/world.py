"""Everything in one run: machines and users on a map, what befalls them, and what is seen of it all.

Start with :func:`footloose.simulation.run.run`.
"""

import hashlib
from collections import deque
from collections.abc import Sequence
from math import inf
from pathlib import Path
from random import Random

import msgspec

from footloose.core.digest import digest_of
from footloose.core.errors import LocalError
from footloose.core.limits import LEASES_PER_SITE
from footloose.model.app import App, Budget, GuestKind, Service, ServiceId, Slo, Where
from footloose.model.decision import Decision
from footloose.model.routing import RoutingTable
from footloose.model.site import Endpoint
from footloose.node.config import NodeConfig
from footloose.simulation.clock import MachineClock
from footloose.simulation.engine import Engine
from footloose.simulation.faults import (
    ClockJump,
    Crash,
    CutOneWay,
    DiskFull,
    DiskSlow,
    Fault,
    Heal,
    LossBurst,
    Mend,
    Partition,
    Pause,
    PowerLoss,
    Start,
)
from footloose.simulation.ground import Ground
from footloose.simulation.internet import Internet
from footloose.simulation.life import API_PORT, DHT_PORT, GATEWAY_PORT, MEMBERSHIP_PORT, Life
from footloose.simulation.machine import Machine
from footloose.simulation.motion import Steps, steps
from footloose.simulation.network import Network
from footloose.simulation.outcome import Happening
from footloose.simulation.recording import Record
from footloose.simulation.scenario import AppSpec, Scenario, SiteSpec, Users
from footloose.simulation.users import Trouble, User

SITE_LINK_MS, USER_LINK_MS = 0.5, 1.0
"""Round trips of the links between a machine and the router of its place."""
HAPPENINGS_KEPT = 400
"""How many lines of the trace are kept for the story."""


class SimSite:
    """One site of the run: its machine, and its life if it has one."""

    def __init__(self, machine: Machine, config: NodeConfig) -> None:
        self.machine = machine
        self.config = config
        self.life: Life | None = None
        self.assignments: frozenset[ServiceId] = frozenset()
        """What it had agreed to run when it last went down."""

    @property
    def name(self) -> str:
        """Its name in the scenario."""
        return self.machine.name

    @property
    def serving(self) -> frozenset[ServiceId]:
        """The services it serves users."""
        life = self.life
        if life is None or not life.up or life.gateway is None:
            return frozenset()
        return frozenset(life.gateway.serving)


class World:
    """Built from a scenario and a seed; :meth:`apply` faults, :meth:`run` on."""

    def __init__(self, scenario: Scenario, seed: int, ground: Ground, record: Record | None = None) -> None:
        self.scenario = scenario
        self._record = record
        self.engine = Engine(seed)
        self.ground = ground
        self.happenings: deque[Happening] = deque(maxlen=HAPPENINGS_KEPT)
        self.troubles: list[tuple[User, Trouble]] = []
        self.healed_s = 0.0
        """When the last fault with a length of its own is over."""
        self._digest = hashlib.sha256()
        self._places: list[int] = []
        self._links_ms: list[float] = []
        self.network = Network(self.engine, self._delay_s, scenario.network)
        self.internet = Internet(self.engine, self.network, lambda a, b: 2 * self._delay_s(a, b))
        self._hosts: dict[str, int] = {}
        self.sites: dict[str, SimSite] = {}
        self._of_address: dict[str, SimSite] = {}
        self.users: list[User] = []
        self._lives: list[Life] = []
        """All there ever were: nothing of a process that was killed may be finalised in the middle of a run."""
        self.services: dict[str, ServiceId] = {}
        self._spots = Random(seed)  # noqa: S311  a simulation must be replayable
        for spec in scenario.sites:
            self._add_site(spec)

    # Building

    def _add_site(self, spec: SiteSpec) -> None:
        number = len(self.sites)
        place = self._place(spec.at)
        address = f"10.{100 + number // 200}.{number % 200}.10"
        draw, clocks = self._spots, self.scenario.clocks
        offset_s = draw.uniform(-clocks.skew_s, clocks.skew_s)
        drift = draw.uniform(-clocks.drift, clocks.drift)
        clock = MachineClock(self.engine, offset_s=offset_s, drift=drift)
        self._stand(address, place, SITE_LINK_MS)
        machine = Machine(spec.name, self._hosts[address], place, address, clock, Random(draw.random()))  # noqa: S311
        first = next(iter(self.sites.values()), None)
        bootstrap = (Endpoint(first.machine.address, DHT_PORT),) if first is not None else ()
        config = NodeConfig(
            state=Path(spec.name),
            name=spec.name,
            address=address,
            gateway_port=GATEWAY_PORT,
            api_port=API_PORT,
            dht_port=DHT_PORT,
            membership_port=MEMBERSHIP_PORT,
            membership=self.scenario.membership.value,
            region=spec.region,
            price_per_hour=spec.price_per_hour,
            bootstrap=bootstrap,
            max_leases=LEASES_PER_SITE if spec.max_leases is None else spec.max_leases,
        )
        site = self.sites[spec.name] = self._of_address[address] = SimSite(machine, config)
        self.start(site)

    def _place(self, at: str) -> int:
        """A place by its name or that of a site there; drawn if that is empty.

        Raises :class:`LocalError` if there is none such.
        """
        if not at:
            return self._spots.randrange(len(self.ground.places))
        if at in self.sites:
            return self.sites[at].machine.place
        if at not in self.ground.places:
            raise LocalError(f"the map has no place called {at!r}", where=self.scenario.name, fix="name another")
        return self.ground.places.index(at)

    def _stand(self, address: str, place: int, link_ms: float) -> None:
        self._hosts[address] = self.internet.add(address)
        self._places.append(place)
        self._links_ms.append(link_ms)

    def _delay_s(self, a: int, b: int) -> float:
        rtt_ms = self.ground.rtt_ms(self._places[a], self._places[b]) + self._links_ms[a] + self._links_ms[b]
        return rtt_ms / 2000

    def rtt_ms(self, a: str, b: str) -> float:
        """The round trip between two addresses."""
        return 2000 * self._delay_s(self._hosts[a], self._hosts[b])

    def deploy(self, spec: AppSpec) -> None:
        """Deploy an app at its home, as its owner would."""
        site = self.sites[spec.home]
        service = Service(
            "web",
            digest_of(spec.name.encode()),
            GuestKind.HANDLER,
            slo=Slo(spec.slo_ms),
            budget=Budget(spec.copies, spec.price_per_hour),
            where=Where(spec.regions),
            placement=spec.placement,
            follow_users=spec.follow_users,
        )
        app = App(spec.name, site.machine.identity.node_id, (service,))
        self.services[spec.name] = app.service_id(service)
        site.machine.artifacts.add(service.artifact)
        assert site.life is not None and site.life.site is not None  # noqa: S101  nothing befell it yet
        site.life.node.run(site.life.site.host.deploy(spec.name, (service,)))

    def add_users(self, group: Users) -> None:
        """Users come, each a little after the other."""
        for _ in range(group.count):
            self._add_user(group, self._place(group.at))
        if group.crowd is not None:
            self.engine.at(group.crowd.at_s, self._crowd, group)

    def _crowd(self, group: Users) -> None:
        crowd = group.crowd
        assert crowd is not None  # noqa: S101  it is why this was planned
        place = self._place(crowd.at)
        self.note("", "crowd", f"{crowd.count} users come to {self.ground.places[place]} for {crowd.for_s:g} s")
        for _ in range(crowd.count):
            self.engine.after(crowd.for_s, self._add_user(group, place).end)

    def _add_user(self, group: Users, place: int) -> User:
        app = next(app for app in self.scenario.apps if app.name == group.app)
        user = User(
            f"user-{len(self.users)}",
            self.services[app.name],
            self.sites[app.home].machine.address,
            group.every_s,
            self.engine,
            self.internet,
            self.rtt_ms,
            self._user_troubled,
            websocket=group.websocket,
        )
        self._move(user, len(self.users), place)
        motion = steps(group.motion, len(self.users), place, self.ground, self._spots)
        self._go_on((user, len(self.users), motion))
        self.users.append(user)
        user.begin(self._spots.random() * group.every_s)
        return user

    def _move(self, user: User, which: int, place: int) -> None:
        address = f"100.{64 + place // 250}.{place % 250}.{which % 250 + 1}"
        if address not in self._hosts:
            self._stand(address, place, USER_LINK_MS)
        user.stand(place, address, self._hosts[address])

    def _go_on(self, walking: tuple[User, int, Steps]) -> None:
        """Plan the next step of a user."""
        user, which, motion = walking
        step = next(motion, None)
        if step is not None:
            stays_s, place = step
            self.engine.after(stays_s, self._arrive, (user, which, place, motion))

    def _arrive(self, arrival: tuple[User, int, int, Steps]) -> None:
        user, which, place, motion = arrival
        if user.active:
            self._move(user, which, place)
            self._go_on((user, which, motion))

    # Running

    def run(self, until_s: float) -> None:
        """Let time pass."""
        self.engine.run(until_s)

    def start(self, site: SimSite) -> None:
        """The machine's node starts."""
        self.internet.down.discard(site.machine.number)
        site.life = Life(
            site.machine,
            site.config,
            self.engine,
            self.internet,
            self._hops,
            lambda table: self._table(site, table),
            lambda decision: self.decided(site.name, decision),
        )
        self._lives.append(site.life)
        self.note(site.name, "start", f"serves again what it had agreed to: {len(site.assignments)} services")

    def apply(self, fault: Fault) -> None:
        """Do what is to befall the sites."""
        self.note(getattr(fault, "site", ""), "fault", repr(fault))
        self.healed_s = max(self.healed_s, self.engine.now)
        match fault:
            case Crash() | PowerLoss():
                self._crash(self.sites[fault.site], power=isinstance(fault, PowerLoss))
            case Start():
                if self.sites[fault.site].life is None:
                    self.start(self.sites[fault.site])
            case Pause():
                life = self.sites[fault.site].life
                if life is not None:
                    life.pause(fault.for_s)
                    self.healed_s = max(self.healed_s, self.engine.now + fault.for_s)
            case Partition():
                self._partition(fault.groups)
            case CutOneWay():
                self.network.cut(self._number(fault.source), self._number(fault.target))
            case Mend():
                self.network.heal(self._number(fault.source), self._number(fault.target))
            case Heal():
                self.network.partition()
            case LossBurst():
                self._lose(fault)
            case ClockJump():
                self.sites[fault.site].machine.clock.jump(fault.by_s)
            case DiskFull():
                disk = self.sites[fault.site].machine.disk
                disk.capacity_bytes = max(1, disk.used_bytes) if fault.on else 0
            case DiskSlow():
                self.sites[fault.site].machine.disk.slow_s = fault.slow_s

    def _crash(self, site: SimSite, *, power: bool) -> None:
        if site.life is None:
            return
        site.assignments = self.assigned(site)
        site.life.kill()
        site.life = None
        if power:
            self.internet.down.add(site.machine.number)
            site.machine.disk.crash()

    def assigned(self, site: SimSite) -> frozenset[ServiceId]:
        """What a site has agreed to run: apps whose home it is, and leases it holds."""
        life = site.life
        if life is None or life.site is None:
            return site.assignments
        return self.homes(site) | {held.lease.service for held in life.site.host.leases_held()}

    def homes(self, site: SimSite) -> frozenset[ServiceId]:
        """The services whose home a site is."""
        life = site.life
        apps = life.memory.apps.list() if life is not None else ()
        return frozenset(known.app.service_id(service) for known in apps for service in known.app.services)

    def nearest_ms(self, user: User) -> float:
        """The round trip from a user to the nearest site that is up and may serve it."""
        wanted = next(app for app in self.scenario.apps if self.services.get(app.name) == user.service)
        able = [site for site in self.sites.values() if self._may_serve(site, wanted)]
        return min((self.rtt_ms(user.address, site.machine.address) for site in able), default=inf)

    def _may_serve(self, site: SimSite, app: AppSpec) -> bool:
        if site.name == app.home:
            return True
        cheap = app.price_per_hour is None or site.config.price_per_hour <= app.price_per_hour
        allowed = not app.regions or site.config.region in app.regions
        return site.life is not None and cheap and allowed and app.follow_users and site.config.max_leases > 0

    def copies_are_few(self, service: ServiceId) -> bool:
        """Whether the owner of a service pays for fewer copies than there are sites to have one."""
        copies = next(app.copies for app in self.scenario.apps if self.services.get(app.name) == service)
        return copies < len(self.sites) - 1

    def slo_ms(self, service: ServiceId) -> float | None:
        """What the owner of a service wants its users to have."""
        return next(app.slo_ms for app in self.scenario.apps if self.services.get(app.name) == service)

    def _partition(self, groups: Sequence[Sequence[str]]) -> None:
        """Sites in the groups; users are with the site nearest to them."""
        sides = [{self._number(name) for name in group} for group in groups]
        side_of = {name: side for side, group in enumerate(groups) for name in group}
        for user in self.users:
            nearest = min(self.sites.values(), key=lambda site: self.rtt_ms(user.address, site.machine.address))
            sides[side_of.get(nearest.name, 0)].add(user.number)
        self.network.partition(*sides)

    def _lose(self, burst: LossBurst) -> None:
        before = self.network.conditions
        self.network.conditions = msgspec.structs.replace(before, loss=max(burst.loss, before.loss))
        self.healed_s = max(self.healed_s, self.engine.now + burst.for_s)
        self.engine.after(burst.for_s, self._lose_no_more)

    def _lose_no_more(self, _: object) -> None:
        self.network.conditions = self.scenario.network

    @property
    def faulty(self) -> bool:
        """Whether something is wrong just now."""
        lasting = self.network.cuts or any(
            site.life is None or site.machine.disk.capacity_bytes or site.machine.disk.slow_s
            for site in self.sites.values()
        )
        return bool(lasting) or self.engine.now < self.healed_s

    def _number(self, name: str) -> int:
        return self.sites[name].machine.number

    # What is seen of it

    def note(self, site: str, kind: str, text: str) -> None:
        """Something happened: it goes into the trace, and so into the digest."""
        self._digest.update(f"{self.engine.now:.6f} {site} {kind} {text}\n".encode())
        self.happenings.append(Happening(self.engine.now, site, kind, text))

    def logged(self, process: str, text: str) -> None:
        """A process logged something: that is told, but texts of errors may differ from machine to machine."""
        self.happenings.append(Happening(self.engine.now, process.partition(" ")[0], "log", text))

    def digest(self) -> str:
        """Of all that happened so far."""
        counted = f"{self.engine.events} {self.network.sent} {self.network.sent_bytes} {self.network.lost}"
        self._digest.update(counted.encode())
        return self._digest.hexdigest()

    def decided(self, site: str, decision: Decision) -> None:
        """A site decided something."""
        text = f"{decision.service} {decision.subject}: {decision.outcome} — {decision.reason}"
        self.note(site, decision.step, text)
        if self._record is not None:
            self._record(self.engine.now, site, decision)

    def show(self) -> None:
        """Have all sites that are up show themselves, if somebody records it."""
        if self._record is None:
            return
        for site in self.sites.values():
            if site.life is not None and site.life.up and site.life.site is not None:
                self._record(self.engine.now, site.name, site.life.site.view())

    def site_at(self, address: str) -> SimSite | None:
        """The site with an address."""
        return self._of_address.get(address)

    def _table(self, site: SimSite, table: RoutingTable) -> None:
        served = ", ".join(sorted(route.service for route in table.services)) or "nothing"
        self.note(site.name, "table", f"version {table.version}: serves {served}")

    def _user_troubled(self, user: User, trouble: Trouble) -> None:
        self.troubles.append((user, trouble))
        names = [site.name if (site := self.site_at(address)) else address for address in trouble.way]
        self.note("", "user", f"{user.name} had no answer by way of {' → '.join(names)}: {trouble.why}")

    def _hops(self, machine: Machine, address: str) -> tuple[list[tuple[str, float]], float | None]:
        """Routers on the way from a machine, each with its round trip, and the round trip to the end if reached."""
        target = self._hosts.get(address)
        if target is None or not self.network.reaches(machine.number, target):
            return [(_router(machine.place), SITE_LINK_MS)], None
        places = self.ground.path(machine.place, self._places[target])
        routers = [(_router(place), SITE_LINK_MS + self.ground.rtt_ms(machine.place, place)) for place in places]
        down = target in self.internet.down
        return routers, None if down else self.rtt_ms(machine.address, address)

    def close(self) -> None:
        """Throw everything away."""
        for life in self._lives:
            life.dispose()
        for site in self.sites.values():
            site.machine.close()


def _router(place: int) -> str:
    """The address of a place's router, in a /29 of its own."""
    return f"10.{1 + place // 8192}.{place // 32 % 256}.{place % 32 * 8 + 1}"
