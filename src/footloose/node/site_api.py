"""What this site answers other sites: who it is, probes, leases, artifacts (``docs/reference/site-api.yaml``)."""

import logging
from http import HTTPStatus

from aiohttp import web

from footloose.core.clock import Clock
from footloose.core.codec import decode, encode, sign
from footloose.core.digest import Digest, parse_digest
from footloose.core.errors import RemoteError
from footloose.core.identity import Identity
from footloose.core.limits import ARTIFACT_BYTES, READING_PREFIXES, TERMS_TEXT_CHARS
from footloose.core.printable import printable
from footloose.market.desk import NoSuchLease
from footloose.model.terms import LeaseAnswer, LeaseEnd, LeasePoll, LeaseRequest, ProbeAnswer, ProbeRequest
from footloose.node.host import Host
from footloose.node.probes import Probes
from footloose.node.profile import Profile
from footloose.state.artifacts import ArtifactStore
from footloose.transport.problems import Refused
from footloose.transport.server import EVIDENCE, body_chunks, caller_of, public, site_application, upload

log = logging.getLogger(__name__)


class SiteApi:
    """The handlers. ``host`` starts and ends copies, ``profile`` makes this site's record, ``probes`` measures."""

    def __init__(
        self,
        identity: Identity,
        clock: Clock,
        profile: Profile,
        host: Host,
        artifacts: ArtifactStore,
        probes: Probes,
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._profile = profile
        self._host = host
        self._artifacts = artifacts
        self._probes = probes

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
        return _json(sign(self._profile.record(self._clock.now()), self._identity))

    async def probe(self, request: web.Request) -> web.Response:
        """Measure the round trip to a user of the caller's service."""
        wanted = decode(await request.read(), ProbeRequest)
        return _json(ProbeAnswer(await self._probes.measure(wanted.address, caller_of(request))))

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
        wanted = decode(await request.read(), LeaseRequest)
        try:
            answer = await self._host.lease(wanted, caller_of(request), request[EVIDENCE])
        except RemoteError as error:
            log.info("lease refused: %s", error)
            answer = LeaseAnswer(refused=str(error))
        return _json(answer)

    async def poll_lease(self, request: web.Request) -> web.Response:
        """How a copy fares, and another term if asked for."""
        wanted = decode(await request.read(), LeasePoll)
        lease_id, caller = request.match_info["lease"], caller_of(request)
        try:
            polled = self._host.poll(lease_id, caller, renew=wanted.renew, hold=wanted.hold, prefixes=READING_PREFIXES)
        except NoSuchLease as error:
            raise _not_found(error) from error
        return _json(polled)

    async def end_lease(self, request: web.Request) -> web.Response:
        """The caller wants its copy no more."""
        wanted = decode(await request.read(), LeaseEnd)
        reason = printable(wanted.reason, TERMS_TEXT_CHARS)
        try:
            self._host.release(request.match_info["lease"], caller_of(request), reason)
        except NoSuchLease as error:
            raise _not_found(error) from error
        return web.Response(status=HTTPStatus.NO_CONTENT)


def _not_found(error: NoSuchLease) -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, error.what, where=error.where, fix=error.fix)


def _json(value: object) -> web.Response:
    return web.Response(body=encode(value), content_type="application/json")
