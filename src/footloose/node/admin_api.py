"""What this site answers its operator, on a Unix socket that only the operator can open."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from http import HTTPStatus

import msgspec
from aiohttp import web

from footloose import __version__
from footloose.core.codec import decode, encode
from footloose.core.digest import parse_digest
from footloose.core.errors import FootlooseError, LimitExceeded, LocalError, RemoteError
from footloose.core.identity import NodeId
from footloose.core.limits import ARTIFACT_BYTES, EXPLAINED, GUEST_LOGS_PER_SERVICE, WRITE_STALL_S
from footloose.model.app import AppId, Service, ServiceId
from footloose.model.routing import GuestLog
from footloose.model.view import View
from footloose.node import workers as processes
from footloose.node.events import Feed, as_event
from footloose.node.host import Host
from footloose.node.journal import Journal
from footloose.node.members import Members
from footloose.node.orders import Orders
from footloose.node.profile import Profile
from footloose.orchestrator.loop import Loop
from footloose.state.directory import StateDirectory


class AppWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An app to deploy; its owner is this node."""

    name: str
    services: tuple[Service, ...]


class Move(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All users of a service to a site (node id or name), or None: leave it to the loop."""

    service: ServiceId
    site: str | None = None


class Drain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No more copies at a site (node id or name; None: at this one, for others), or, with ``resume``, again."""

    site: str | None = None
    resume: bool = False


class WorkerStatus(msgspec.Struct, frozen=True):
    """One worker process. ``sandbox`` is how it is confined, ``lacks`` what of that is not to be had here, and why."""

    index: int
    pid: int | None
    restarts: int
    sandbox: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """How the node fares.

    ``loss`` is what it found lost of its state when it started, if anything; ``conflict`` says what to do if another
    process runs with its identity.
    """

    node: NodeId
    name: str
    version: str
    uptime_s: float
    gateway: str
    api: str
    workers: tuple[WorkerStatus, ...]
    draining: str | None = None
    loss: str | None = None
    conflict: str | None = None


class AdminApi:
    """The handlers. ``events`` has what happens as server-sent events, ``logged`` what guests write."""

    def __init__(
        self,
        *,
        profile: Profile,
        state: StateDirectory,
        host: Host,
        loop: Loop,
        workers: processes.Workers,
        journal: Journal,
        events: Feed[bytes],
        logged: Feed[GuestLog],
        orders: Orders,
        view: Callable[[], View],
        members: Members,
    ) -> None:
        self._profile = profile
        self._state = state
        self._host = host
        self._loop = loop
        self._workers = workers
        self._journal = journal
        self._events = events
        self._logged = logged
        self._orders = orders
        self._view = view
        self._members = members
        self._started_at = time.monotonic()

    def add_to(self, application: web.Application) -> None:
        """Add all routes."""
        self.add_views_to(application)
        router = application.router
        router.add_put("/v1/artifacts/{digest}", self.put_artifact)
        router.add_post("/v1/apps", self.deploy)
        router.add_delete("/v1/apps/{app}", self.remove)
        router.add_post("/v1/move", self.move)
        router.add_post("/v1/drain", self.drain)
        router.add_post("/v1/workers/{index}/replace", self.replace_worker)

    def add_views_to(self, application: web.Application) -> None:
        """Add the routes that change nothing: all that the page on a TCP port may ask."""
        router = application.router
        router.add_get("/v1/status", self.status)
        router.add_get("/v1/view", self.view)
        router.add_get("/v1/members", self.members)
        router.add_get("/v1/explain/{app}", self.explain)
        router.add_get("/v1/logs/{app}", self.logs)
        router.add_get("/v1/events", self.events)

    async def status(self, _request: web.Request) -> web.Response:
        """How the node fares."""
        workers = tuple(_worker_status(one) for one in self._workers.statuses)
        uptime_s = time.monotonic() - self._started_at
        status = Status(
            node=self._profile.node,
            name=self._view().name,
            version=__version__,
            uptime_s=round(uptime_s, 1),
            gateway=self._profile.gateway,
            api=str(self._profile.api),
            workers=workers,
            draining=self._host.draining,
            loss=self._state.loss,
            conflict=self._members.conflict,
        )
        return _json(status)

    async def put_artifact(self, request: web.Request) -> web.Response:
        """Store an artifact of an app about to be deployed."""
        digest = parse_digest(request.match_info["digest"])
        if (request.content_length or 0) > ARTIFACT_BYTES:
            raise LimitExceeded(f"{request.content_length} bytes, more than the {ARTIFACT_BYTES} allowed", where=digest)
        known = self._state.artifacts.renew(digest)
        if not known:
            async with self._state.artifacts.begin(digest, request.content_length or 0) as writer:
                async for piece in request.content.iter_any():
                    await writer.write(piece)
                await writer.commit()
        return web.Response(status=HTTPStatus.OK if known else HTTPStatus.CREATED)

    async def deploy(self, request: web.Request) -> web.Response:
        """Make this site the home of an app."""
        wanted = decode(await request.read(), AppWanted, where="app")
        app_id, urls = await self._host.deploy(wanted.name, wanted.services)
        return _json({"app_id": app_id, "urls": urls}, HTTPStatus.CREATED)

    async def remove(self, request: web.Request) -> web.Response:
        """End an app everywhere."""
        app_id = self._app_id(request.match_info["app"])
        services = self._services_of(app_id)
        self._host.remove(app_id)
        for service in services:
            self._orders.forget(service)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def view(self, _request: web.Request) -> web.Response:
        """What the node sees now."""
        return _json(self._view())

    async def members(self, _request: web.Request) -> web.Response:
        """Who is alive as this site sees it."""
        return _json(self._members.seen())

    async def explain(self, request: web.Request) -> web.Response:
        """The latest decisions about an app, the newest last."""
        limit = min(_number(request.query.get("limit"), 100), EXPLAINED)
        named = request.query.get("service")
        decisions = [
            decision
            for service in self._services_of(request.match_info["app"])
            if named in (None, service, service.split("/")[-1])
            for decision in reversed(self._journal.decisions(service, limit))  # those of one moment in order
        ]
        return _json(sorted(decisions, key=lambda one: one.at)[-limit:])

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """What an app's guests logged, oldest first, and on with ``follow=1``."""
        services = frozenset(self._services_of(request.match_info["app"]))
        if request.query.get("follow") != "1":
            return await _stream(request, "application/x-ndjson", _lines(self._logged_before(services)))
        with self._logged.watch() as coming:
            # No wait between these two, so that nothing is missed or told twice.
            before = self._logged_before(services)
            return await _stream(request, "application/x-ndjson", _lines(before, services, coming))

    def _logged_before(self, services: frozenset[ServiceId]) -> list[GuestLog]:
        """The last entries of these services together, oldest first, and of each in the order they were made."""
        entries = [one for name in services for one in reversed(self._journal.logs(name, GUEST_LOGS_PER_SERVICE))]
        return sorted(entries, key=lambda one: one.at)[-GUEST_LOGS_PER_SERVICE:]

    async def move(self, request: web.Request) -> web.Response:
        """Send all users of a service to one site, or leave it to the loop again."""
        wanted = decode(await request.read(), Move)
        if wanted.service not in self._loop.services:
            raise LocalError("no such service here", where=wanted.service, fix="see `footloose ps`")
        self._orders.move(wanted.service, None if wanted.site is None else self._site(wanted.site))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def drain(self, request: web.Request) -> web.Response:
        """Empty a site of copies."""
        wanted = decode(await request.read(), Drain)
        if wanted.site is not None and self._site(wanted.site) != self._profile.node:
            self._orders.avoid(self._site(wanted.site), avoid=not wanted.resume)
        elif wanted.resume:
            self._orders.resume()
        else:
            self._orders.drain("drained by its operator")
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def replace_worker(self, request: web.Request) -> web.Response:
        """Another worker in the place of one; 204 once it serves."""
        index = request.match_info["index"]
        await self._workers.replace(int(index) if index.isdecimal() else -1)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Decisions as they are made and a view twice a second, as server-sent events."""
        with self._events.watch() as coming:
            return await _stream(request, "text/event-stream", self._happening(coming))

    async def _happening(self, coming: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        yield as_event(self._view())
        async for event in coming:
            yield event

    def _site(self, name: str) -> NodeId:
        if name in (self._profile.node, self._view().name):
            return self._profile.node
        found = [node for node, record in self._loop.sites.items() if name in (node, record.name)]
        if len(found) != 1:
            what = f"{len(found)} sites are called {name!r}" if found else f"no site {name!r} is known here"
            raise LocalError(what, fix="see `footloose sites`, or give its node id")
        return found[0]

    def _app_id(self, name: str) -> AppId:
        """The app of that id, or the only one of that name."""
        known = {AppId(service.split("/")[0]) for service in self._loop.services}
        known |= {stored.app.app_id for stored in self._state.apps.list()}
        found = [app_id for app_id in known if name in (app_id, app_id.rsplit("-", 1)[0])]
        if len(found) != 1:
            raise LocalError(f"{len(found) or 'no'} apps are called {name!r} here", fix="see `footloose ps`")
        return found[0]

    def _services_of(self, name: str) -> list[ServiceId]:
        app_id = self._app_id(name)
        return sorted(service for service in self._loop.services if service.split("/")[0] == app_id)


class Problem(msgspec.Struct, frozen=True):
    """What went wrong, as RFC 9457 has it, with ``fix`` added."""

    title: str
    detail: str
    fix: str | None = None


@web.middleware
async def problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Errors as problem documents."""
    try:
        return await handler(request)
    except FootlooseError as error:
        detail = f"{error.where}: {error.what}" if error.where else error.what
        status = HTTPStatus.BAD_REQUEST if isinstance(error, RemoteError) else HTTPStatus.CONFLICT
        return _problem(Problem(status.phrase, detail, error.fix), status)
    except web.HTTPException as error:
        return _problem(Problem(error.reason, f"{request.method} {request.path}: {error.reason}"), error.status)


def admin_application(add_routes: Iterable[Callable[[web.Application], None]]) -> web.Application:
    """An application with the routes that each of ``add_routes`` adds."""
    application = web.Application(middlewares=[problems])
    for add in add_routes:
        add(application)
    return application


async def _lines(
    before: Iterable[GuestLog],
    services: frozenset[ServiceId] = frozenset(),
    coming: AsyncIterable[GuestLog] | None = None,
) -> AsyncGenerator[bytes, None]:
    """A line of JSON for each entry."""
    for one in before:
        yield encode(one) + b"\n"
    if coming is not None:
        async for one in coming:
            if one.service in services:
                yield encode(one) + b"\n"


async def _stream(request: web.Request, kind: str, pieces: AsyncGenerator[bytes, None]) -> web.StreamResponse:
    """Send ``pieces`` as they come, until there are no more or nobody reads them."""
    response = web.StreamResponse(headers={"Content-Type": kind, "Cache-Control": "no-store"})
    await response.prepare(request)
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                async with asyncio.timeout(WRITE_STALL_S):
                    await response.write(piece)
    except (ConnectionError, TimeoutError):  # the watcher went away, or does not read
        if request.transport is not None:
            request.transport.abort()
    return response


def _worker_status(worker: processes.WorkerStatus) -> WorkerStatus:
    confined = worker.confined
    holds, lacks = (confined.holds, confined.lacks) if confined is not None else ((), ())
    return WorkerStatus(worker.index, worker.pid, worker.restarts, holds, lacks)


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default


def _json(value: object, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status, body=encode(value), content_type="application/json")


def _problem(problem: Problem, status: int) -> web.Response:
    return web.Response(status=status, body=encode(problem), content_type="application/problem+json")
