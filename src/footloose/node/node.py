"""One real site: its state on this machine's disk, its workers, its sockets. No algorithms here."""

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from aiohttp import web

from footloose.core.clock import Clock, SystemClock
from footloose.core.errors import LocalError
from footloose.core.limits import VIEW_EVERY_S
from footloose.discovery.dht.finder import DhtFinder
from footloose.discovery.dht.node import DhtNode
from footloose.discovery.interface import Finder
from footloose.discovery.static import StaticFinder, StaticSite
from footloose.model.routing import WorkerReport
from footloose.model.site import Endpoint
from footloose.node.admin_api import AdminApi, admin_application
from footloose.node.announcer import Announcer
from footloose.node.answers import Answers
from footloose.node.certificates import Certificates
from footloose.node.config import NodeConfig
from footloose.node.control import Sandbox, UserConfig
from footloose.node.driver import Tasks, again_and_again
from footloose.node.events import as_event
from footloose.node.probes import Probes
from footloose.node.site import AFTER_FAILURE_S, Site
from footloose.node.site_api import SiteApi
from footloose.node.surroundings import Surroundings
from footloose.node.workers import Workers
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
        state = stack.enter_context(StateDirectory.open(config.state, self._clock))
        own = config.own_address
        listen = Endpoint(own, config.gateway_port)
        self._workers = Workers(
            listen,
            config.workers,
            state.run / "workers",
            self._reported,
            tls=Endpoint(own, config.tls_port) if config.certificates else None,
            users=UserConfig(config.access_log, config.server_timing, config.trusted_proxies, config.proxy_protocol),
            source=config.bind,
            sandbox=Sandbox(config.worker_user, (str(state.compiled),)) if config.sandbox else None,
        )
        self.certificates = Certificates(config.certificates, self._workers.present)
        self.certificates.load()
        compiler = Compiler()
        stack.push_async_callback(compiler.close)
        client = await stack.enter_async_context(PeerClient(state.identity, self._clock, config.bind))
        dht = DhtNode(state.identity, Endpoint(config.address, config.api_port), clock=self._clock)
        stack.push_async_callback(dht.close)
        tracer = Tracer(trace_one=self._echo.route) if self._echo is not None else Tracer()
        around = Surroundings(
            clock=self._clock,
            state=state,
            peers=client,
            tracer=tracer,
            finders=self._finders(dht),
            compiler=compiler,
            workers=self._workers,
            probe=self._probe,
        )
        site = self.site = Site(config, around)
        stack.push_async_callback(site.members.leave)  # once nothing answers here any more, so that it is true
        stack.push_async_callback(site.close)
        stack.push_async_callback(self._workers.stop)
        self._workers.begin()  # what they take to load is time in which all else is made ready
        await dht.start(Endpoint(own, config.dht_port), config.bootstrap)
        await site.recover()
        await self._workers.start()
        await compiler.start()  # not before users are served: what ran has been compiled
        await self._serve_sites(stack, state)
        await self._serve_operator(stack, state)
        site.start()
        seeds = [Endpoint(known.host, config.membership_port) for known in config.bootstrap]
        await site.members.start(Endpoint(own, config.membership_port), seeds)
        self._start_tasks(stack, Announcer(tracer, dht, site.user_routes))
        log.info("site %s is up: users at %s, sites at %s", config.name, site.profile.gateway, site.profile.api)

    def _start_tasks(self, stack: AsyncExitStack, announcer: Announcer) -> None:
        tasks = Tasks()
        stack.push_async_callback(tasks.close)
        if self._config.certificates:
            tasks.start(self.certificates.watch(), "watching the certificates")
        for name, work in (("announcing this site", announcer.announce), ("showing the view", self._show_view)):
            tasks.start(again_and_again(work, name, AFTER_FAILURE_S), name)

    def _reported(self, report: WorkerReport) -> None:
        if self._echo is not None:
            corrected = tuple(self._echo.corrected(one) for one in report.observations)
            report = msgspec.structs.replace(report, observations=corrected)
        self.site.reported(report)

    async def _show_view(self) -> float:
        if self.site.events.watched:
            self.site.events.show(as_event(self.site.view()))
        return VIEW_EVERY_S

    def _finders(self, dht: DhtNode) -> list[Finder]:
        finders: list[Finder] = [DhtFinder(dht)]
        if self._config.resolvers:
            from footloose.discovery.dns import DnsFinder  # noqa: PLC0415 - a site that asks no DNS starts sooner without

            finders.append(DnsFinder(self._config.resolvers))
        if self._config.sites:
            finders.append(StaticFinder([StaticSite(endpoint) for endpoint in self._config.sites]))
        return finders

    async def _serve_sites(self, stack: AsyncExitStack, state: StateDirectory) -> None:
        probes = Probes(self._probe, self._clock)
        answers = Answers(state.identity, self._clock, self.site.profile, self.site.host, probes)
        api = SiteApi(state.identity, self._clock, self.site.host, state.artifacts, answers)
        config = self._config
        served = await serve(api.application(), config.own_address, config.api_port, state.identity)
        await stack.enter_async_context(served)

    async def _serve_operator(self, stack: AsyncExitStack, state: StateDirectory) -> None:
        api = AdminApi(
            profile=self.site.profile,
            state=state,
            host=self.site.host,
            loop=self.site.loop,
            workers=self._workers,
            journal=self.site.journal,
            events=self.site.events,
            logged=self.site.logged,
            orders=self.site.orders,
            view=self.site.view,
            members=self.site.members,
        )
        pages = [self._pages] if self._pages is not None else []
        admin = await self._runner(stack, [api.add_to, *pages])
        await _listen(admin, state.run / "admin.sock")
        # The page by itself can look at everything and change nothing, so that others may be given it.
        console = await self._runner(stack, [api.add_views_to, *pages])
        await _listen(console, state.run / "console.sock")
        if self._config.console is not None:
            await self._serve_console(console, self._config.console)
        stack.callback(self.site.events.close)
        stack.callback(self.site.logged.close)

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


async def _listen(runner: web.AppRunner, path: Path) -> None:
    try:
        _remove_left_over(path)
        await web.UnixSite(runner, str(path)).start()
    except OSError as error:
        raise LocalError(f"cannot listen: {error}", where=str(path), fix="use a shorter --state path") from error


def _remove_left_over(path: Path) -> None:
    """A socket left by a node that was killed is in nobody's use: the directory is locked by this one."""
    path.unlink(missing_ok=True)
