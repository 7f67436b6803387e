"""One site: builds the rooms, starts them, and brings back what ran. No algorithms here."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

from footloose.core.clock import Clock, SystemClock
from footloose.core.errors import LocalError, RemoteError
from footloose.core.limits import ARTIFACT_UNUSED_S, REDISCOVER_S, VIEW_EVERY_S
from footloose.discovery.dht.finder import DhtFinder
from footloose.discovery.dht.node import DhtNode
from footloose.discovery.dns import DnsFinder
from footloose.discovery.interface import Discovery, Finder
from footloose.discovery.static import StaticFinder, StaticSite
from footloose.market.desk import Desk, Policy
from footloose.migration.switch import Ask, Poll, PollAnswered, Release, Send
from footloose.model.network import Route
from footloose.model.routing import GuestLog, WorkerReport
from footloose.model.site import Endpoint, SiteRecord, check_site_record
from footloose.model.view import View
from footloose.node.admin_api import AdminApi, admin_application
from footloose.node.announcer import Announcer
from footloose.node.config import NodeConfig
from footloose.node.copies import Copies
from footloose.node.driver import Driver, Tasks, again_and_again
from footloose.node.errands import Errands
from footloose.node.events import Feed, as_event
from footloose.node.finding import Finding
from footloose.node.host import Host
from footloose.node.journal import Journal
from footloose.node.leases import GivenLeases, HeldLeases
from footloose.node.meter import Meter
from footloose.node.orders import Orders
from footloose.node.probes import Probes
from footloose.node.profile import Profile
from footloose.node.services import Services
from footloose.node.site_api import SiteApi
from footloose.node.view import view_of
from footloose.node.workers import Workers
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
    Trace,
    UsersObserved,
)
from footloose.placement.registry import placer
from footloose.runtimes.wasm.compiler import Compiler
from footloose.state.directory import StateDirectory
from footloose.topology.echo import Echo
from footloose.topology.probe import measure
from footloose.topology.traceroute import Tracer
from footloose.transport.client import PeerClient
from footloose.transport.listener import serve

log = logging.getLogger(__name__)

Pages = Callable[[web.Application], None]

AFTER_FAILURE_S = 10.0
"""How soon something done again and again is tried again after it failed."""
FIRST_MEETING_S = 0.25
"""How soon a site of the configuration that did not answer is asked again; each further wait is twice as long."""


class Node:
    """``async with Node(config)``: a running site. ``pages`` adds the operators' page to an application."""

    def __init__(self, config: NodeConfig, *, pages: Pages | None = None, clock: Clock | None = None) -> None:
        self._config = config
        self._pages = pages
        self._clock = clock or SystemClock()
        self._stack = AsyncExitStack()
        self._events: Feed[bytes] = Feed()
        self._logged: Feed[GuestLog] = Feed()
        self._meter = Meter()
        self._meet_again_s = FIRST_MEETING_S
        self._echo = Echo(config.echo_port, config.own_address) if config.echo_port is not None else None
        self._probe = self._echo.measure if self._echo is not None else measure

    async def __aenter__(self) -> "Node":
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        """Each part is closed in the reverse order of its start: users last in, users first out."""
        config = self._config
        state = self._state = stack.enter_context(StateDirectory.open(config.state, self._clock))
        self.profile = Profile(config, state.identity.node_id)
        self._check_profile()
        self._journal = Journal(state.decisions, state.guest_logs)
        stack.callback(self._journal.write)
        own = config.own_address
        listen = Endpoint(own, config.gateway_port)
        self._workers = Workers(listen, config.workers, state.run, self._reported, source=config.bind)
        compiler = Compiler()
        stack.push_async_callback(compiler.close)
        await compiler.start()
        client = await stack.enter_async_context(PeerClient(state.identity, self._clock, config.bind))
        dht = DhtNode(state.identity, self.profile.api, clock=self._clock)
        await dht.start(Endpoint(own, config.dht_port), config.bootstrap)
        stack.push_async_callback(dht.close)
        self._build_loop(state)
        self._build_host(state, compiler)
        tracer = Tracer(trace_one=self._echo.route) if self._echo is not None else Tracer()
        self._orders = Orders(state.orders, self.host, self.tell)
        self._build_errands(state, client, tracer, dht)
        stack.push_async_callback(self._errands.close)
        stack.callback(self._driver.close)
        stack.callback(self.host.close)
        await self._recover(state)
        stack.push_async_callback(self._workers.stop)
        await self._workers.start()
        await self._serve_sites(stack, state)
        await self._serve_operator(stack, state)
        self._start_tasks(stack, Announcer(tracer, dht, self._user_routes))
        log.info("site %s is up: users at %s, sites at %s", config.name, self.profile.gateway, self.profile.api)

    def _check_profile(self) -> None:
        """Raises :class:`LocalError` if other sites would refuse this one's record."""
        try:
            check_site_record(self.record())
        except RemoteError as error:
            fix = "give another --name, --region, --price, --address or port"
            raise LocalError(f"no other site would deal with this one: {error.what}", fix=fix) from error

    async def _recover(self, state: StateDirectory) -> None:
        """All that ran runs again before the first user, or another site, can come."""
        for known in state.sites.list():
            self.tell(SiteIdentified(known.record.api, known.record))
        self._orders.recover()
        await self.host.recover()
        for service in self._given.services():
            if service not in self._services:
                for lease in self._given.leases_of(service):
                    self._given.give_back(lease.lease_id, "its service does not run here any more")

    def _start_tasks(self, stack: AsyncExitStack, announcer: Announcer) -> None:
        tasks = Tasks()
        stack.push_async_callback(tasks.close)
        for name, work in (
            ("announcing this site", announcer.announce),
            ("meeting known sites", self._meet_sites),
            ("showing the view", self._show_view),
            ("giving leases back", self._copies.give_back),
            ("removing unused artifacts", self._collect_garbage),
        ):
            tasks.start(again_and_again(work, name, AFTER_FAILURE_S), name)

    def _build_errands(self, state: StateDirectory, client: PeerClient, tracer: Tracer, dht: DhtNode) -> None:
        finding = Finding(
            clock=self._clock,
            client=client,
            tracer=tracer,
            discovery=Discovery(self._finders(dht), self.profile.node, [self.profile.api]),
            book=state.sites,
            probe=self._probe,
            tell=self.tell,
        )
        self._copies = Copies(
            here=self.profile.node,
            clock=self._clock,
            client=client,
            artifacts=state.artifacts,
            given=self._given,
            host=self.host,
            loop=self.loop,
        )
        self._errands = Errands(finding, self._copies, self.tell)

    def _build_loop(self, state: StateDirectory) -> None:
        self.loop = Loop(state.identity.node_id, placer, self._clock.now())
        self._driver: Driver[Effect] = Driver(self.loop, self._clock, self._carry_out)
        self._given = GivenLeases(state.leases, self._clock)
        self._services = Services(self._config.name, self._workers.push)

    def _build_host(self, state: StateDirectory, compiler: Compiler) -> None:
        config = self._config
        policy = Policy(
            provider=self.profile.provider,
            region=config.region,
            price_per_hour=config.price_per_hour,
            max_leases=config.max_leases,
            denied_customers=config.denied_customers,
        )
        held = HeldLeases(state.leases, state.identity, self._clock)
        self.host = Host(
            identity=state.identity,
            clock=self._clock,
            desk=Desk(self.profile.node, policy, held.all(), self._clock.now()),
            services=self._services,
            compiler=compiler,
            compiled=state.compiled,
            artifacts=state.artifacts,
            apps=state.apps,
            held=held,
            given=self._given,
            meter=self._meter,
            loop=self.loop,
            tell=self.tell,
            applied=lambda: self._workers.applied(self._services.version),
            gateway=lambda: self.profile.gateway,
        )

    def _finders(self, dht: DhtNode) -> list[Finder]:
        finders: list[Finder] = [DhtFinder(dht)]
        if self._config.resolvers:
            finders.append(DnsFinder(self._config.resolvers))
        if self._config.sites:
            finders.append(StaticFinder([StaticSite(endpoint) for endpoint in self._config.sites]))
        return finders

    async def _serve_sites(self, stack: AsyncExitStack, state: StateDirectory) -> None:
        probes = Probes(self._probe, self._clock)
        api = SiteApi(state.identity, self._clock, self.profile, self.host, state.artifacts, probes)
        config = self._config
        served = await serve(api.application(), config.own_address, config.api_port, state.identity)
        await stack.enter_async_context(served)

    async def _serve_operator(self, stack: AsyncExitStack, state: StateDirectory) -> None:
        api = AdminApi(
            profile=self.profile,
            state=state,
            host=self.host,
            loop=self.loop,
            workers=self._workers,
            journal=self._journal,
            events=self._events,
            logged=self._logged,
            orders=self._orders,
            view=self.view,
        )
        pages = [self._pages] if self._pages is not None else []
        admin = await self._runner(stack, [api.add_to, *pages])
        await _listen(admin, state.run / "admin.sock")
        # The page by itself can look at everything and change nothing, so that others may be given it.
        console = await self._runner(stack, [api.add_views_to, *pages])
        await _listen(console, state.run / "console.sock")
        if self._config.console is not None:
            await self._serve_console(console, self._config.console)
        stack.callback(self._events.close)
        stack.callback(self._logged.close)

    async def _runner(self, stack: AsyncExitStack, routes: list[Pages]) -> web.AppRunner:
        # What was asked for is given up when who asked has gone: a stream would else wait for ever to be read.
        runner = web.AppRunner(
            admin_application(routes), access_log=None, shutdown_timeout=0.5, handler_cancellation=True
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        return runner

    async def _serve_console(self, runner: web.AppRunner, at: Endpoint) -> None:
        try:
            await web.TCPSite(runner, at.host, at.port).start()
        except OSError as error:
            what = f"cannot serve the page: {error.strerror}"
            raise LocalError(what, where=str(at), fix="choose another address or port") from error

    # What happens

    def tell(self, event: Event) -> None:
        """Give the loop an event and carry out what follows."""
        if isinstance(event, CopyEvent) and isinstance(event.event, PollAnswered):
            self.host.users_seen(event.event.observations, event.site, pass_on=not event.event.shared)
        self._driver.carry_out(self.loop.receive(event, self._clock.now()))
        if isinstance(event, ServiceStarted):
            self._orders.started(event.service)

    def _reported(self, report: WorkerReport) -> None:
        # Apart from the worker's socket: what goes wrong here must not look like a fault of the worker.
        asyncio.get_running_loop().call_soon(self._take_in, report)

    def _take_in(self, report: WorkerReport) -> None:
        if seen := report.observations:
            if self._echo is not None:
                seen = tuple(self._echo.corrected(one) for one in seen)
            self.host.users_seen(seen, self.profile.node)
            self.tell(UsersObserved(seen))
        if report.logs:
            self._journal.logged(report.logs)
            for one in report.logs:
                self._logged.publish(one)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Trace() | Discover() | Identify() | Measure() | Ask() | Send() | Poll() | Release():
                self._errands.run(effect)
            case SetRedirects():
                self._services.set_redirects(effect.service, effect.redirects)
            case CopyEnded():
                self.host.copy_ended(effect.service, effect.site, effect.lease_id, effect.reason)
            case Remember():
                self._journal.decided(effect.decision)
                if self._events.watched:
                    self._events.publish(as_event(effect.decision))

    # What is seen of it

    def record(self) -> SiteRecord:
        """What this site says of itself now."""
        return self.profile.record(self._clock.now())

    def view(self) -> View:
        """What a person sees of this site now."""
        return view_of(self.loop, self.record(), self._services.started_at, self._clock.now())

    async def _show_view(self) -> float:
        if self._events.watched:
            self._events.show(as_event(self.view()))
        return VIEW_EVERY_S

    # What is done again and again

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

    def _user_routes(self) -> list[Route]:
        return [one.route for one in self.loop.located.values() if one.route is not None]


async def _listen(runner: web.AppRunner, path: Path) -> None:
    try:
        _remove_left_over(path)
        await web.UnixSite(runner, str(path)).start()
    except OSError as error:
        raise LocalError(f"cannot listen: {error}", where=str(path), fix="use a shorter --state path") from error


def _remove_left_over(path: Path) -> None:
    """A socket left by a node that was killed is in nobody's use: the directory is locked by this one."""
    path.unlink(missing_ok=True)
