"""The API for other sites over HTTP (``docs/reference/site-api.yaml``): artifacts, and all of :class:`Answers`."""

from http import HTTPStatus

from aiohttp import web

from footloose.core.clock import Clock
from footloose.core.codec import encode
from footloose.core.digest import Digest, parse_digest
from footloose.core.identity import Identity
from footloose.core.limits import ARTIFACT_BYTES
from footloose.node.answers import Answers
from footloose.node.host import Host
from footloose.state.artifacts import ArtifactStore
from footloose.transport.problems import Refused
from footloose.transport.server import EVIDENCE, body_chunks, caller_of, public, site_application, upload


class SiteApi:
    """The handlers."""

    def __init__(
        self, identity: Identity, clock: Clock, host: Host, artifacts: ArtifactStore, answers: Answers
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._host = host
        self._artifacts = artifacts
        self._answers = answers

    def application(self) -> web.Application:
        """The routes, behind checks of who is calling."""
        application = site_application(self._identity, self._clock)
        application.router.add_get("/v1/site", self.site)
        application.router.add_post("/v1/probes", self.probe)
        application.router.add_put("/v1/artifacts/{digest}", self.put_artifact)
        application.router.add_post("/v1/leases", self.ask_lease)
        application.router.add_post("/v1/leases/{lease}/poll", self.poll_lease)
        application.router.add_delete("/v1/leases/{lease}", self.end_lease)
        return application

    @public
    async def site(self, _request: web.Request) -> web.Response:
        """This site's signed record."""
        return _json(self._answers.site())

    async def probe(self, request: web.Request) -> web.Response:
        """Measure the round trip to a user of the caller's service."""
        return _json(await self._answers.probe(await request.read(), caller_of(request)))

    @upload(ARTIFACT_BYTES)
    async def put_artifact(self, request: web.Request) -> web.Response:
        """Store an artifact this site asked for, if it is what its digest says; a body cut off leaves nothing."""
        digest = parse_digest(request.match_info["digest"])
        if not self._host.awaits(caller_of(request), digest):
            what = "this artifact was not asked for"
            raise Refused(HTTPStatus.CONFLICT, what, where=digest, fix="ask for a lease first")
        if self._artifacts.renew(digest):
            return web.Response(status=HTTPStatus.NO_CONTENT)
        await self._receive(request, digest)
        return web.Response(status=HTTPStatus.CREATED)

    async def _receive(self, request: web.Request, digest: Digest) -> None:
        async with self._artifacts.begin(digest, request.content_length or 0) as writer:
            async for chunk in body_chunks(request):
                await writer.write(chunk)
            await writer.commit()

    async def ask_lease(self, request: web.Request) -> web.Response:
        """Run a service for the caller, answer with the signed lease once it serves."""
        return _json(await self._answers.lease(await request.read(), caller_of(request), request[EVIDENCE]))

    async def poll_lease(self, request: web.Request) -> web.Response:
        """How a copy fares, and another term if asked for."""
        return _json(self._answers.poll(request.match_info["lease"], await request.read(), caller_of(request)))

    async def end_lease(self, request: web.Request) -> web.Response:
        """The caller wants its copy no more."""
        self._answers.end(request.match_info["lease"], await request.read(), caller_of(request))
        return web.Response(status=HTTPStatus.NO_CONTENT)


def _json(value: object) -> web.Response:
    return web.Response(body=encode(value), content_type="application/json")
