"""One site, whatever is around it: builds the rooms that decide, and brings back what ran. No algorithms here."""

import asyncio
import logging

from footloose.core.clock import WatchedClock
from footloose.core.errors import LocalError, RemoteError
from footloose.core.limits import ARTIFACT_UNUSED_S, REDISCOVER_S, SILENT_AFTER_S, STOOD_STILL_S
from footloose.discovery.interface import Discovery
from footloose.market.desk import Desk, Policy
from footloose.migration.switch import Ask, Poll, PollAnswered, Release, Send
from footloose.model.network import Observation, Route
from footloose.model.routing import GuestLog, WorkerReport
from footloose.model.site import SiteRecord, check_site_record
from footloose.model.view import View
from footloose.node.config import NodeConfig
from footloose.node.copies import Copies
from footloose.node.driver import Driver, Tasks, again_and_again
from footloose.node.errands import Errands
from footloose.node.events import Feed, as_event
from footloose.node.finding import Finding
from footloose.node.host import Host
from footloose.node.journal import Journal
from footloose.node.leases import GivenLeases, HeldLeases
from footloose.node.members import Members
from footloose.node.meter import Meter
from footloose.node.orders import Orders
from footloose.node.profile import Profile
from footloose.node.services import Services
from footloose.node.surroundings import Surroundings
from footloose.node.view import view_of
from footloose.orchestrator.loop import Loop
from footloose.orchestrator.messages import (
    CopyEnded,
    CopyEvent,
    Discover,
    Effect,
    Event,
    Identify,
    Measure,
    Remember,
    ServiceStarted,
    SetRedirects,
    SiteIdentified,
    StoodStill,
    Trace,
    UsersObserved,
)
from footloose.placement.registry import placer

log = logging.getLogger(__name__)

AFTER_FAILURE_S = 10.0
"""How soon something done again and again is tried again after it failed."""
FIRST_MEETING_S = 0.25
"""How soon a site of the configuration that did not answer is asked again; each further wait is twice as long."""


class Site:
    """The parts of a site, wired together: :meth:`recover`, then :meth:`start`; :meth:`close` ends nothing it runs.

    It takes part in the membership once its ``members`` were started.
    Raises :class:`LocalError` if other sites would refuse this one's record.
    """

    def __init__(self, config: NodeConfig, around: Surroundings) -> None:
        self._config = config
        self._clock = WatchedClock(around.clock, STOOD_STILL_S)
        self._state = around.state
        self._peers = around.peers
        self._workers = around.workers
        self._artifacts = around.state.artifacts
        identity = around.state.identity
        self.profile = Profile(config, identity.node_id)
        self._check_profile()
        self.events: Feed[bytes] = Feed()
        self.logged: Feed[GuestLog] = Feed()
        self.journal = Journal(around.state.decisions, around.state.guest_logs)
        self._meter = Meter()
        self._meet_again_s = FIRST_MEETING_S
        self._tasks = Tasks()
        self.loop = Loop(identity.node_id, placer, self._clock.now())
        self._driver: Driver[Effect] = Driver(self.loop, self._clock, self._carry_out)
        self._given = GivenLeases(around.state.leases, self._clock)
        self.services = Services(config.name, around.workers.push)
        self.host = self._host(around)
        self.orders = Orders(around.state.orders, self.host, self.tell)
        self.members = Members(
            config=config,
            identity=identity,
            clock=self._clock,
            host=self.host,
            services=self.services,
            given=self._given,
            loop=self.loop,
            tell=self.tell,
            identify=self._identify,
            rng=around.rng,
        )
        self._copies = self._copies_elsewhere()
        self._errands = Errands(self._finding(around), self._copies, self.tell)

    def _check_profile(self) -> None:
        try:
            check_site_record(self.record())
        except RemoteError as error:
            fix = "give another --name, --region, --price, --address or port"
            raise LocalError(f"no other site would deal with this one: {error.what}", fix=fix) from error

    def _host(self, around: Surroundings) -> Host:
        config, state = self._config, around.state
        policy = Policy(
            provider=self.profile.provider,
            region=config.region,
            price_per_hour=config.price_per_hour,
            max_leases=config.max_leases,
            denied_customers=config.denied_customers,
        )
        held = HeldLeases(state.leases, state.identity, self._clock)
        return Host(
            identity=state.identity,
            clock=self._clock,
            desk=Desk(self.profile.node, policy, held.all(), self._clock.now()),
            services=self.services,
            compiler=around.compiler,
            compiled=state.compiled,
            artifacts=self._artifacts,
            apps=state.apps,
            held=held,
            given=self._given,
            meter=self._meter,
            loop=self.loop,
            tell=self.tell,
            applied=lambda: self._workers.applied(self.services.version),
            gateway=lambda: self.profile.gateway,
        )

    def _copies_elsewhere(self) -> Copies:
        return Copies(
            here=self.profile.node,
            clock=self._clock,
            client=self._peers,
            artifacts=self._artifacts,
            given=self._given,
            host=self.host,
            loop=self.loop,
        )

    def _finding(self, around: Surroundings) -> Finding:
        return Finding(
            clock=self._clock,
            client=self._peers,
            tracer=around.tracer,
            discovery=Discovery([*around.finders, self.members.finder], self.profile.node, [self.profile.api]),
            book=around.state.sites,
            probe=around.probe,
            tell=self.tell,
        )

    async def recover(self) -> None:
        """Run again all that ran, before the first user or another site can come; with no network."""
        for known in self._state.sites.list():
            self.tell(SiteIdentified(known.record.api, known.record))
        self.orders.recover()
        await self.host.recover()
        for service in self._given.services():
            if service not in self.services:
                for lease in self._given.leases_of(service):
                    self._given.give_back(lease.lease_id, "its service does not run here any more")

    def start(self) -> None:
        """Begin what is done again and again."""
        self._clock.stood_still = self._stood_still
        for name, work in (
            ("watching the clock", self._watch),
            ("meeting known sites", self._meet_sites),
            ("giving leases back", self._copies.give_back),
            ("removing unused artifacts", self._collect_garbage),
        ):
            self._tasks.start(again_and_again(work, name, AFTER_FAILURE_S), name)

    async def close(self) -> None:
        """Do nothing more. What is agreed is on the disk and runs again at the next start."""
        await self._tasks.close()
        self.host.close()
        self._driver.close()
        await self._errands.close()
        self.journal.write()

    # What happens

    def tell(self, event: Event) -> None:
        """Give the loop an event and carry out what follows."""
        if isinstance(event, CopyEvent) and isinstance(event.event, PollAnswered):
            self.host.users_seen(event.event.observations, event.site, pass_on=not event.event.shared)
        if isinstance(event, SiteIdentified) and event.record is not None:
            self.members.met(event.record)
        self._driver.carry_out(self.loop.receive(event, self._clock.now()))
        if isinstance(event, ServiceStarted):
            self.orders.started(event.service)

    def _identify(self, errand: Identify) -> None:
        self._errands.run(errand)

    def reported(self, report: WorkerReport) -> None:
        """A worker has seen something."""
        # Apart from the worker's socket: what goes wrong here must not look like a fault of the worker.
        asyncio.get_running_loop().call_soon(self._take_in, report)

    def _take_in(self, report: WorkerReport) -> None:
        if report.observations:
            self._users_seen(report.observations)
        if report.logs:
            self.journal.logged(report.logs)
            for one in report.logs:
                self.logged.publish(one)

    def _users_seen(self, seen: tuple[Observation, ...]) -> None:
        self.host.users_seen(seen, self.profile.node)
        self.tell(UsersObserved(seen))

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Trace() | Discover() | Identify() | Measure() | Ask() | Send() | Poll() | Release():
                self._errands.run(effect)
            case SetRedirects():
                self.services.set_redirects(effect.service, effect.redirects)
            case CopyEnded():
                self.host.copy_ended(effect.service, effect.site, effect.lease_id, effect.reason)
            case Remember():
                self.journal.decided(effect.decision)
                if self.events.watched:
                    self.events.publish(as_event(effect.decision))

    # What is seen of it

    def record(self) -> SiteRecord:
        """What this site says of itself now."""
        return self.profile.record(self._clock.now())

    def view(self) -> View:
        """What a person sees of this site now."""
        return view_of(self.loop, self.record(), self.services.started_at, self._clock.now())

    def user_routes(self) -> list[Route]:
        """The routes to users that were traced."""
        return [one.route for one in self.loop.located.values() if one.route is not None]

    # What is done again and again

    async def _watch(self) -> float:
        self._clock.now()
        return STOOD_STILL_S / 2

    def _stood_still(self, seconds: float) -> None:
        """Before anything else happens: everybody gets as much more time as this site was away."""
        level = logging.WARNING if seconds > SILENT_AFTER_S else logging.INFO
        log.log(level, "this site stood still for %.1f s, or its clock leapt: nobody is given up for that", seconds)
        self.host.stood_still(seconds)
        self.tell(StoodStill(seconds))

    async def _meet_sites(self) -> float:
        """Ask the sites of the configuration who they are, so that people can name them before users come."""
        now = self._clock.now()
        unknown = [endpoint for endpoint in self._config.sites if not self.loop.knows(endpoint, now)]
        for endpoint in unknown:
            self._errands.run(Identify(endpoint, None))
        self._meet_again_s = min(2 * self._meet_again_s, REDISCOVER_S) if unknown else FIRST_MEETING_S
        return self._meet_again_s if unknown else REDISCOVER_S

    async def _collect_garbage(self) -> float:
        self.host.collect_garbage()
        return ARTIFACT_UNUSED_S
