"""The demo: builds everything, deploys the sample app, starts users, and watches what happens to them."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from pathlib import Path

import msgspec

from footloose.core.errors import LocalError
from footloose.demo.bridge import bridge
from footloose.demo.story import Story
from footloose.demo.user import Happening
from footloose.model.decision import Decision
from footloose.testbed import Role, Testbed, Topology
from footloose.testbed.sites import API_PORT, DHT_PORT, SiteOptions, SiteProcess, Sites, command_line
from footloose.testbed.zones import DNS_PORT, EdgeService, serve, zones_of

Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True):
    """What the demo shows: at most for ``seconds``; the page at ``page_port`` of the loopback address (0: none)."""

    topology: Topology
    seconds: float
    page_port: int = 0
    stay: bool = False
    dns_only: frozenset[str] = frozenset()


class Demo:
    """One run of the demo. ``say`` tells of each step, ``changed`` is called whenever a user's figures change."""

    def __init__(self, plan: Plan, say: Say, changed: Callable[[Story], None]) -> None:
        self._plan = plan
        self._say = say
        self._changed = changed
        self._home: SiteProcess | None = None

    async def run(self) -> Story:
        """Run it to the end: every user at its nearest site, or time is up."""
        topology = self._plan.topology
        self._say(f"building an internet: {len(topology.routers)} routers, {len(topology.hosts)} hosts")
        with contextlib.ExitStack() as stack:
            net = stack.enter_context(Testbed(topology))
            sites = stack.enter_context(Sites())
            running = await asyncio.to_thread(self._start_sites, stack, net, sites)
            home = next(site for site in running if site.name == self._named(Role.HOME)[0])
            story = Story(net, [site.place for site in running], self._named(Role.USER), home.name)
            self._deploy(home)
            async with asyncio.TaskGroup() as group:
                watchers = [group.create_task(self._watch_decisions(home, story))]
                watchers += [group.create_task(self._watch_user(net, user, home.url, story)) for user in story.users]
                watchers.append(group.create_task(self._show_page(home)))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._plan.seconds):
                        await story.until_settled(stay=self._plan.stay)
                for watcher in watchers:
                    watcher.cancel()
        return story

    def _named(self, role: Role) -> list[str]:
        return [host.name for host in self._plan.topology.hosts if host.role is role]

    def _start_sites(self, stack: contextlib.ExitStack, net: Testbed, sites: Sites) -> list[SiteProcess]:
        """The home first: the others join the DHT through it, and know nothing else of anybody."""
        (home,), providers = self._named(Role.HOME), self._named(Role.SITE)
        regions = {host.name: host.region for host in self._plan.topology.hosts}
        resolver = self._start_dns(stack, net, home, providers)
        self._say(f"starting {home} and {len(providers)} provider sites that know nothing of the app")
        options = SiteOptions(region=regions[home], resolver=resolver)
        running = [sites.start(net.host(home), options)]
        join = f"{net.host(home).address}:{DHT_PORT}"
        for name in providers:
            # A provider that is found by DNS alone does not join the DHT.
            joins = None if name in self._plan.dns_only else join
            running.append(sites.start(net.host(name), SiteOptions(regions[name], joins, resolver)))
        for site in running:
            site.wait_ready()
        return running

    def _start_dns(self, stack: contextlib.ExitStack, net: Testbed, home: str, providers: list[str]) -> str | None:
        services = [EdgeService(name, API_PORT) for name in providers]
        try:
            server = stack.enter_context(serve(net, home, zones_of(self._plan.topology, services)))
        except LocalError as error:
            self._say(f"without DNS discovery: {error}")
            return None
        return f"{server.address}:{DNS_PORT}"

    def _deploy(self, home: SiteProcess) -> None:
        compose = Path(str(files("footloose"))) / "samples" / "pulse" / "compose.yaml"
        done = command_line(home.admin_socket, "deploy", str(compose))
        if done.returncode != 0:
            raise LocalError(f"deploying the sample app failed: {done.stderr.strip()}", where=home.name)
        self._say(f"deployed the sample app at {home.name} only: {home.url}")

    async def _watch_user(self, net: Testbed, user: str, url: str, story: Story) -> None:
        command = net.host(user).argv([sys.executable, "-m", "footloose.demo.user", user, url])
        async for line in _lines_of(command):
            story.happened(msgspec.json.decode(line, type=Happening))
            self._changed(story)

    async def _watch_decisions(self, home: SiteProcess, story: Story) -> None:
        command = [sys.executable, "-m", "footloose", "events", "--json", "--socket", str(home.admin_socket)]
        async for line in _lines_of(command):
            event = json.loads(line)
            if event.get("event") == "decision":
                story.decided(msgspec.convert(event["data"], type=Decision, strict=False))
                self._changed(story)

    async def _show_page(self, home: SiteProcess) -> None:
        if self._plan.page_port:
            async with bridge(home.state / "run" / "console.sock", self._plan.page_port) as url:
                self._say(f"the page: {url}")
                await asyncio.Event().wait()


async def _lines_of(command: list[str]) -> AsyncIterator[bytes]:
    """What a process prints, line by line; it is ended when nobody reads on."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None  # noqa: S101  it was asked for
    try:
        async for line in process.stdout:
            yield line
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
