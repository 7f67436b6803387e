"""A site for the tests of transport: it tells what it saw, and has a few handlers a real one might have."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from footloose.core.clock import SystemClock
from footloose.core.identity import Identity
from footloose.model.site import Endpoint
from footloose.transport.listener import RunningSite
from footloose.transport.server import EVIDENCE, body_chunks, caller_of, public, site_application, upload
from footloose.transport.signatures import Evidence

ERRORS: dict[str, Callable[[], BaseException]] = {}


class Clock:
    """A clock a test can move."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self.ahead_s = 0.0

    def now(self) -> float:
        return self._system.now() + self.ahead_s


class Site:
    """Tells what it saw. ``ERRORS`` are what its ``/v1/error/{kind}`` raises."""

    UPLOAD_LIMIT = 3 * 1024 * 1024

    def __init__(self) -> None:
        self.identity = Identity.generate()
        self.clock = Clock()
        self.evidence: list[Evidence] = []
        self.uploaded: list[bytes] = []
        self.failures: list[BaseException] = []
        self.failed = asyncio.Event()
        self.released = asyncio.Event()
        self.running: RunningSite | None = None

    @property
    def endpoint(self) -> Endpoint:
        assert self.running is not None
        return self.running.endpoint

    def application(self) -> web.Application:
        application = site_application(self.identity, self.clock)
        application.router.add_get("/v1/open", self.open)
        application.router.add_route("*", "/v1/echo", self.echo)
        application.router.add_put("/v1/artifacts/{digest}", self.store)
        application.router.add_get("/v1/wait", self.wait)
        application.router.add_get("/v1/flood", self.flood)
        application.router.add_get("/v1/error/{kind}", self.error)
        return application

    @public
    async def open(self, _request: web.Request) -> web.Response:
        return web.json_response({"open": True})

    async def echo(self, request: web.Request) -> web.Response:
        self.evidence.append(request[EVIDENCE])
        body = await request.read()
        return web.Response(body=body, headers={"X-Caller": caller_of(request)})

    @upload(UPLOAD_LIMIT)
    async def store(self, request: web.Request) -> web.Response:
        received = bytearray()
        try:
            async for chunk in body_chunks(request):
                received += chunk
        except BaseException as error:
            self.failures.append(error)
            self.failed.set()
            raise
        self.uploaded.append(bytes(received))
        self.evidence.append(request[EVIDENCE])
        return web.Response(status=201)

    async def wait(self, _request: web.Request) -> web.Response:
        await self.released.wait()
        return web.Response()

    async def flood(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(64):
            await response.write(bytes(64 * 1024))
        return response

    async def error(self, request: web.Request) -> web.Response:
        raise ERRORS[request.match_info["kind"]]()
