"""The demo: builds everything, deploys the sample app, starts users, and watches what happens to them."""

import asyncio
import contextlib
import json
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import IO

import msgspec

from footloose.core.errors import LocalError
from footloose.demo.bridge import bridge, claim
from footloose.demo.ground import Box, Ground
from footloose.demo.plan import Plan
from footloose.demo.story import SiteStory, Story, UserStory
from footloose.demo.user import Failed, Happening
from footloose.model.decision import Decision
from footloose.testbed import Role
from footloose.testbed.sites import API_PORT, SiteProcess, Sites, command_line
from footloose.testbed.zones import DNS_PORT, EdgeService, serve, zones_of

APP = Path("samples") / "pulse" / "compose.yaml"
Say = Callable[[str], None]


class Demo:
    """One run of the demo. ``say`` tells of each step, ``changed`` is called whenever there is news in the story."""

    def __init__(self, plan: Plan, ground: Ground, say: Say, changed: Callable[[Story], None]) -> None:
        self._plan = plan
        self._ground = ground
        self._say = say
        self._changed = changed
        self._watching = False
        self._ended = asyncio.Event()

    def end(self) -> bool:
        """End it now. False if it has not come so far that there is anything to tell: then cancel :meth:`run`."""
        self._ended.set()
        return self._watching

    async def run(self) -> Story:
        """Run it until every user has settled at its nearest site, or time is up, or :meth:`end` is called.

        Nothing is left behind, however it ends. Raises :class:`LocalError` if something cannot be started.
        """
        plan = self._plan
        with contextlib.ExitStack() as stack:
            page = stack.enter_context(claim(plan.page_port)) if plan.page_port else None
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footloose-demo-")))
            self._say(f"building an internet: {len(plan.topology.routers)} routers, {len(plan.topology.hosts)} hosts")
            stack.enter_context(self._ground.up())
            sites = stack.enter_context(Sites(directory))
            running = self._start_sites(stack, sites)
            await asyncio.gather(*(asyncio.to_thread(site.wait_ready) for site in running))
            home = running[0]
            await self._deploy(home)
            users_log = stack.enter_context((directory / "users.log").open("wb"))
            story = self._begin_story(running)
            try:
                async with asyncio.TaskGroup() as group:
                    await self._watch(group, home, story, users_log, page)
            except* LocalError as errors:
                raise _first(errors) from errors
        return story

    # Setting up

    def _start_sites(self, stack: contextlib.ExitStack, sites: Sites) -> list[SiteProcess]:
        """The home first; the others may join the DHT through it, and know nothing else of anybody."""
        plan = self._plan
        providers = plan.named(Role.SITE)
        resolver = self._start_dns(stack) if plan.dns_only else None
        self._say(f"starting {plan.home} and {_count(len(providers), 'provider site')} that know nothing of the app")
        if resolver is not None:
            self._say(f"{_listed(sorted(plan.dns_only))} does not join the DHT: only the DNS knows of it")
        running = []
        for name in (plan.home, *providers):
            joins = resolver is None or name not in plan.dns_only
            options = self._ground.options(name, joins=joins, resolver=resolver)
            running.append(sites.start(self._ground.place(name), options))
        return running

    def _start_dns(self, stack: contextlib.ExitStack) -> str | None:
        """The DNS that knows the sites in ``dns_only``; where there can be none, they join the DHT as all others do."""
        if not isinstance(self._ground, Box):
            return None
        services = [EdgeService(name, API_PORT) for name in sorted(self._plan.dns_only)]
        try:
            zones = zones_of(self._plan.topology, services)
            server = stack.enter_context(serve(self._ground.net, self._plan.home, zones))
        except LocalError as error:
            self._say(f"without DNS, so that all sites join the DHT: {error}")
            return None
        return f"{server.address}:{DNS_PORT}"

    async def _deploy(self, home: SiteProcess) -> None:
        compose = Path(str(files("footloose"))) / APP
        done = await asyncio.to_thread(command_line, home.admin_socket, "deploy", str(compose))
        if done.returncode != 0:
            raise LocalError(f"deploying the sample app failed: {done.stderr.strip()}", where=home.name)
        self._say(f"deployed the sample app at {home.name} only: {home.url}")
        self._say(f"ask it why: footloose explain pulse --socket {home.admin_socket}")

    def _begin_story(self, running: Sequence[SiteProcess]) -> Story:
        home, *_ = running
        rtt_ms, sites, users = self._ground.rtt_ms, [], []
        for site in running:
            assert site.node is not None  # noqa: S101  it is ready
            sites.append(SiteStory(site.name, site.node, site.place.address))
        for user in self._plan.named(Role.USER):
            nearest = min((site.name for site in running), key=lambda site: rtt_ms(user, site))
            users.append(UserStory(user, nearest, rtt_ms(user, nearest), rtt_ms(user, home.name)))
        return Story(sites, users, {user.name: self._ground.place(user.name).address for user in users})

    # Watching

    async def _watch(
        self,
        group: asyncio.TaskGroup,
        home: SiteProcess,
        story: Story,
        users_log: IO[bytes],
        page: socket.socket | None,
    ) -> None:
        heard = asyncio.Event()
        watchers = [group.create_task(self._watch_decisions(home, story, heard))]
        await heard.wait()  # so that no decision is missed
        self._say(f"starting {_count(len(story.users), 'user')}")
        watchers += [group.create_task(self._watch_user(user, home.url, story, users_log)) for user in story.users]
        if page is not None:
            watchers.append(group.create_task(self._show_page(page, home)))
        self._watching = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if self._plan.stay else self._plan.seconds):
                await self._until_over(story)
        self._watching = False
        for watcher in watchers:
            watcher.cancel()

    async def _until_over(self, story: Story) -> None:
        settled = asyncio.create_task(story.until_settled())
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait([settled, ended], return_when=asyncio.FIRST_COMPLETED)
            if settled.done() and self._plan.stay:
                self._say("all users have settled; Ctrl-C ends it")
                await ended
        finally:
            settled.cancel()
            ended.cancel()

    async def _watch_user(self, user: str, url: str, story: Story, log: IO[bytes]) -> None:
        async for line in _lines_of(self._ground.user(user, url), log):
            story.happened(msgspec.json.decode(line, type=Happening))
            self._changed(story)
        story.happened(Failed(user, 0.0, "its process ended by itself"))

    async def _watch_decisions(self, home: SiteProcess, story: Story, heard: asyncio.Event) -> None:
        command = [sys.executable, "-m", "footloose", "events", "--json", "--socket", str(home.admin_socket)]
        async for line in _lines_of(command, None):
            heard.set()
            event = json.loads(line)
            if event.get("event") == "decision":
                story.decided(msgspec.convert(event["data"], type=Decision, strict=False))
                self._changed(story)
        *_, last = home.last_words().splitlines() or ["nothing"]
        raise LocalError(f"no more is heard of its decisions; the last it logged: {last}", where=home.name)

    async def _show_page(self, listener: socket.socket, home: SiteProcess) -> None:
        async with bridge(listener, home.state / "run" / "console.sock"):
            self._say(f"the page: http://127.0.0.1:{self._plan.page_port}/")
            await asyncio.Event().wait()


async def _lines_of(command: Sequence[str], log: IO[bytes] | None) -> AsyncIterator[bytes]:
    """What a process prints, line by line; it is ended when nobody reads on."""
    # In a session of its own: Ctrl-C at the terminal is for the owner.
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True
    )
    assert process.stdout is not None  # noqa: S101  it was asked for
    try:
        async for line in process.stdout:
            yield line
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()  # to the end of its output, or its pipe would stay open


def _first(errors: BaseExceptionGroup[LocalError]) -> LocalError:
    """One of the errors, however deep in the group."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, LocalError)  # noqa: S101  the group holds nothing else
    return error


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
