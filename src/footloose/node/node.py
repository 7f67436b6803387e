"""One site: builds the rooms, starts them, and brings back what ran. No algorithms here."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

from footloose.core.clock import Clock, SystemClock
from footloose.core.errors import LocalError
from footloose.discovery.dht.finder import DhtFinder
from footloose.discovery.dht.node import DhtNode
from footloose.discovery.dns import DnsFinder
from footloose.discovery.interface import Discovery, Finder
from footloose.discovery.static import StaticFinder, StaticSite
from footloose.market.desk import Desk, Policy
from footloose.migration.switch import Ask, Poll, PollAnswered, Release, Send
from footloose.model.routing import WorkerReport
from footloose.model.site import Endpoint, SiteRecord
from footloose.model.view import View
from footloose.node.admin_api import VIEW_EVERY_S, AdminApi, admin_application
from footloose.node.announcer import Announcer
from footloose.node.config import NodeConfig
from footloose.node.driver import Driver, Tasks
from footloose.node.errands import Errands
from footloose.node.events import Feed
from footloose.node.host import Host
from footloose.node.leases import GivenLeases, HeldLeases
from footloose.node.meter import Meter
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


class Node:
    """``async with Node(config)``: a running site. ``pages`` adds the operators' page to an application."""

    def __init__(self, config: NodeConfig, *, pages: Pages | None = None, clock: Clock | None = None) -> None:
        self._config = config
        self._pages = pages
        self._clock = clock or SystemClock()
        self._stack = AsyncExitStack()
        self._logged = asyncio.Condition()
        self._feed = Feed()
        self._meter = Meter()
        self._echo = Echo(config.echo_port, config.own_address) if config.echo_port is not None else None

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
        if state.loss is not None:
            log.error("the site's database was damaged: %s", state.loss)
        self.profile = Profile(config, state.identity.node_id)
        tasks = Tasks()
        own = config.own_address
        listen = Endpoint(own, config.gateway_port)
        self._workers = Workers(listen, config.workers, state.run, self._reported, source=config.bind)
        await self._workers.start()
        stack.push_async_callback(self._workers.stop)
        compiler = Compiler()
        stack.push_async_callback(compiler.close)
        await compiler.start()
        client = await stack.enter_async_context(PeerClient(state.identity, self._clock, config.bind))
        dht = DhtNode(state.identity, self.profile.api, clock=self._clock)
        await dht.start(Endpoint(own, config.dht_port), config.bootstrap)
        stack.push_async_callback(dht.close)
        self._build_loop(state)
        await self._build_host(state, compiler)
        tracer = Tracer(trace_one=self._echo.route) if self._echo is not None else Tracer()
        self._errands = Errands(
            here=self.profile.node,
            clock=self._clock,
            client=client,
            tracer=tracer,
            discovery=Discovery(self._finders(dht), self.profile.node, [self.profile.api]),
            artifacts=state.artifacts,
            given=self._given,
            book=state.sites,
            host=self.host,
            loop=self.loop,
            tell=self.tell,
        )
        stack.push_async_callback(self._errands.close)
        stack.callback(self._driver.close)
        stack.callback(self.host.close)
        await self._serve_sites(stack, state)
        for known in state.sites.list():
            self.tell(SiteIdentified(known.record.api, known.record))
        await self.host.recover()
        await self._serve_operator(stack, state)
        announcer = Announcer(tracer, dht, lambda: [one.route for one in self.loop.located.values() if one.route])
        tasks.start(announcer.run(), "announce")
        tasks.start(self._publish_views(), "views")
        stack.push_async_callback(tasks.close)
        log.info("site %s is up: users at %s, sites at %s", config.name, self.profile.gateway, self.profile.api)

    def _build_loop(self, state: StateDirectory) -> None:
        self.loop = Loop(state.identity.node_id, placer, self._clock.now())
        self._driver: Driver[Effect] = Driver(self.loop, self._clock, self._carry_out)
        self._given = GivenLeases(state.leases, self._clock)
        self._services = Services(self._config.name, self._workers.push)

    async def _build_host(self, state: StateDirectory, compiler: Compiler) -> None:
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
            desk=Desk(self.profile.node, policy, held.all()),
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
        probe = self._echo.measure if self._echo is not None else measure
        api = SiteApi(state.identity, self._clock, self.profile, self.host, state.artifacts, probe)
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
            feed=self._feed,
            tell=self.tell,
            view=self.view,
            logged=self._logged,
        )
        pages = [self._pages] if self._pages is not None else []
        admin = await self._runner(stack, [api.add_to, *pages])
        await _listen(admin, state.run / "admin.sock")
        # The page by itself can look at everything and change nothing, so that others may be given it.
        console = await self._runner(stack, [api.add_views_to, *pages])
        await _listen(console, state.run / "console.sock")
        if self._config.console is not None:
            await self._serve_console(console, self._config.console)

    async def _runner(self, stack: AsyncExitStack, routes: list[Pages]) -> web.AppRunner:
        runner = web.AppRunner(admin_application(routes), access_log=None, shutdown_timeout=0.5)
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
            self.host.users_seen(event.event.observations, event.site)
        self._driver.carry_out(self.loop.receive(event, self._clock.now()))

    def _reported(self, report: WorkerReport) -> None:
        if seen := report.observations:
            if self._echo is not None:
                seen = tuple(self._echo.corrected(one) for one in seen)
            self.host.users_seen(seen, self.profile.node)
            self.tell(UsersObserved(seen))
        if report.logs:
            self._state.guest_logs.add(report.logs)
            asyncio.get_running_loop().create_task(self._tell_followers())

    async def _tell_followers(self) -> None:
        async with self._logged:
            self._logged.notify_all()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Trace() | Discover() | Identify() | Measure() | Ask() | Send() | Poll() | Release():
                self._errands.run(effect)
            case SetRedirects():
                self._services.set_redirects(effect.service, effect.redirects)
            case CopyEnded():
                self.host.copy_ended(effect.service, effect.site, effect.reason)
            case Remember():
                self._state.decisions.add([effect.decision])
                self._feed.publish(effect.decision)

    # What is seen of it

    def record(self) -> SiteRecord:
        """What this site says of itself now."""
        return self.profile.record(self._clock.now())

    def view(self) -> View:
        """What a person sees of this site now."""
        return view_of(self.loop, self.record(), self._services.started_at, self._clock.now())

    async def _publish_views(self) -> None:
        while True:
            await asyncio.sleep(VIEW_EVERY_S)
            if self._feed.watched:
                self._feed.publish(self.view())


async def _listen(runner: web.AppRunner, path: Path) -> None:
    try:
        _remove_left_over(path)
        await web.UnixSite(runner, str(path)).start()
    except OSError as error:
        raise LocalError(f"cannot listen: {error}", where=str(path), fix="use a shorter --state path") from error


def _remove_left_over(path: Path) -> None:
    """A socket left by a node that was killed is in nobody's use: the directory is locked by this one."""
    path.unlink(missing_ok=True)
