"""Carries out what the loop wants done elsewhere, and tells it how that went."""

import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from footloose.core.clock import Clock
from footloose.core.codec import Signed, encode, open_signed
from footloose.core.errors import FootlooseError, RemoteError
from footloose.core.identity import NodeId, short
from footloose.core.limits import LEASE_TERM_S, SILENT_AFTER_S
from footloose.discovery.interface import Discovery
from footloose.migration.switch import (
    ArtifactSent,
    Ask,
    LeaseAnswered,
    LeaseReleased,
    Poll,
    PollAnswered,
    PollFailed,
    Release,
    Send,
    SwitchEvent,
)
from footloose.model.app import ServiceId
from footloose.model.site import Endpoint, Sighting, SiteRecord, open_site_record
from footloose.model.terms import Lease, LeaseAnswer, LeaseEnd, LeasePoll, LeaseRequest, ProbeAnswer, ProbeRequest
from footloose.node.driver import Tasks
from footloose.node.host import Host
from footloose.node.leases import GivenLeases
from footloose.orchestrator.loop import Loop
from footloose.orchestrator.messages import (
    CopyEvent,
    Discover,
    DiscoveryFinished,
    Event,
    Identify,
    Measure,
    RouteTraced,
    RttMeasured,
    SiteIdentified,
    SiteSighted,
    Trace,
)
from footloose.state.artifacts import ArtifactStore
from footloose.state.sites import SiteBook
from footloose.topology.traceroute import Tracer
from footloose.transport.client import PeerClient
from footloose.transport.problems import Refused

log = logging.getLogger(__name__)

LEASE_TIMEOUT_S = 30.0
"""How long a site may take to start a copy: it may have to compile the code first."""
RELEASE_TRIES = 3

Errand = Trace | Discover | Identify | Measure | Ask | Send | Poll | Release


class Errands:
    """One task per errand. ``tell`` feeds the loop."""

    def __init__(
        self,
        *,
        here: NodeId,
        clock: Clock,
        client: PeerClient,
        tracer: Tracer,
        discovery: Discovery,
        artifacts: ArtifactStore,
        given: GivenLeases,
        book: SiteBook,
        host: Host,
        loop: Loop,
        tell: Callable[[Event], None],
    ) -> None:
        self._here = here
        self._clock = clock
        self._client = client
        self._tracer = tracer
        self._discovery = discovery
        self._artifacts = artifacts
        self._given = given
        self._book = book
        self._host = host
        self._loop = loop
        self._tell = tell
        self._tasks = Tasks()

    def run(self, errand: Errand) -> None:
        """Set off; the loop is told the outcome when there is one."""
        match errand:
            case Trace():
                self._tasks.start(self._trace(errand), f"trace {errand.address}")
            case Discover():
                self._tasks.start(self._discover(errand), f"discover {errand.prefix}")
            case Identify():
                self._tasks.start(self._identify(errand), f"identify {errand.endpoint}")
            case Measure():
                self._tasks.start(self._measure(errand), f"measure {errand.site.name} to {errand.prefix}")
            case Ask():
                self._start_for_copy(errand, self._ask(errand))
            case Send():
                self._start_for_copy(errand, self._send(errand))
            case Poll():
                self._start_for_copy(errand, self._poll(errand))
            case Release():
                self._start_for_copy(errand, self._release(errand))

    async def close(self) -> None:
        """Give up all errands under way."""
        await self._tasks.close()

    # Finding sites

    async def _trace(self, errand: Trace) -> None:
        try:
            route = await self._tracer.trace(errand.address)
        except FootlooseError as error:
            self._tell(RouteTraced(errand.prefix, None, str(error)))
        else:
            self._tell(RouteTraced(errand.prefix, route))

    async def _discover(self, errand: Discover) -> None:
        failures = []
        async for found in self._discovery.find(errand.route):
            if isinstance(found, Sighting):
                self._tell(SiteSighted(errand.prefix, found))
            else:
                failures.append(str(found))
        self._tell(DiscoveryFinished(errand.prefix, tuple(failures)))

    async def _identify(self, errand: Identify) -> None:
        try:
            record = await self.site_record(errand.endpoint, errand.node)
        except FootlooseError as error:
            self._tell(SiteIdentified(errand.endpoint, None, str(error), errand.node))
        else:
            self._tell(SiteIdentified(errand.endpoint, record, claimed=errand.node))

    async def site_record(self, endpoint: Endpoint, node: NodeId | None) -> SiteRecord:
        """What the site at ``endpoint`` says of itself. Raises :class:`RemoteError` if it is not genuine."""
        answer = await self._client.request(endpoint, "GET", "/v1/site", node=node)
        signed = answer.value(Signed)
        record = open_site_record(signed, self._clock.now())
        if record.node != answer.node:
            raise RemoteError("shows the record of another site", where=str(endpoint))
        return self._book.put(signed, self._clock.now())

    async def _measure(self, errand: Measure) -> None:
        site = errand.site
        try:
            body = encode(ProbeRequest(errand.address))
            answer = await self._client.request(
                site.api, "POST", "/v1/probes", node=site.node, body=body, idempotent=True
            )
            rtt_ms = answer.value(ProbeAnswer).rtt_ms
        except FootlooseError as error:
            self._tell(RttMeasured(site.node, errand.prefix, None, str(error)))
        else:
            reason = "" if rtt_ms is not None else "the users did not answer its probes"
            self._tell(RttMeasured(site.node, errand.prefix, rtt_ms, reason))

    # Copies

    def _start_for_copy(self, errand: Ask | Send | Poll | Release, outcome: Coroutine[Any, Any, SwitchEvent]) -> None:
        async def work() -> None:
            self._tell(CopyEvent(errand.service, errand.site, await outcome))

        self._tasks.start(work(), f"{type(errand).__name__} {errand.service} at {short(errand.site)}")

    async def _ask(self, errand: Ask) -> SwitchEvent:
        running, site = self._loop.services.get(errand.service), self._loop.sites.get(errand.site)
        if running is None or site is None:
            return LeaseAnswered(refused="the service stopped before the site was asked")
        price = running.spec.budget.price_per_hour
        request = LeaseRequest(
            request_id=errand.request_id,
            customer=self._here,
            app=running.app,
            service=running.spec.name,
            term_s=LEASE_TERM_S,
            parent_url=self._host.url_of(errand.service),
            relay_token=self._host.relay_token(errand.service, errand.site),
            price_per_hour=site.price_per_hour if price is None else price,
        )
        try:
            answer = await self._client.request(
                site.api,
                "POST",
                "/v1/leases",
                node=site.node,
                body=encode(request),
                timeout_s=LEASE_TIMEOUT_S,
                idempotent=True,
            )
            return self._lease_answered(errand, request, answer.value(LeaseAnswer))
        except FootlooseError as error:
            return LeaseAnswered(refused=str(error))

    def _lease_answered(self, errand: Ask, request: LeaseRequest, answer: LeaseAnswer) -> LeaseAnswered:
        if answer.lease is not None:
            lease = self._opened(answer.lease, errand.service, errand.site)
            self._given.keep(answer.lease, lease, request)
            return LeaseAnswered(lease=lease)
        if answer.needs_artifact is not None:
            return LeaseAnswered(needs_artifact=True)
        return LeaseAnswered(refused=answer.refused or "refused without a reason")

    def _opened(self, envelope: Signed, service: ServiceId, site: NodeId) -> Lease:
        lease = open_signed(envelope, Lease, where="lease")
        if (envelope.signer, lease.provider_node, lease.customer, lease.service) != (site, site, self._here, service):
            raise RemoteError("the lease is not the one asked for", where=f"site {short(site)}")
        if lease.ends_at <= self._clock.now():
            raise RemoteError("the lease has run out already", where=f"site {short(site)}", fix="set the clocks")
        return lease

    async def _send(self, errand: Send) -> SwitchEvent:
        running, site = self._loop.services.get(errand.service), self._loop.sites.get(errand.site)
        if running is None or site is None:
            return ArtifactSent(failed="the service stopped before its code was sent")
        digest = running.spec.artifact
        try:
            answer = await self._client.upload(
                site.api, f"/v1/artifacts/{digest}", self._artifacts.path(digest), digest, node=site.node
            )
            answer.check()
        except FootlooseError as error:
            return ArtifactSent(failed=f"sending the code failed: {error}")
        return ArtifactSent()

    async def _poll(self, errand: Poll) -> SwitchEvent:
        site = self._loop.sites.get(errand.site)
        if site is None:
            return PollFailed("its address is not known")
        try:
            answer = await self._client.request(
                site.api,
                "POST",
                f"/v1/leases/{errand.lease_id}/poll",
                node=errand.site,
                body=encode(LeasePoll(errand.renew)),
                idempotent=True,
                timeout_s=SILENT_AFTER_S,
            )
            polled = answer.value(LeaseAnswer)
            lease = None
            if polled.lease is not None:
                lease = self._opened(polled.lease, errand.service, errand.site)
                self._given.renew(polled.lease, lease)
        except Refused as error:
            return PollFailed(str(error), gone=error.status == HTTPStatus.NOT_FOUND)
        except FootlooseError as error:
            return PollFailed(str(error))
        observations = polled.reading.observations if polled.reading is not None else ()
        return PollAnswered(observations, lease, polled.ending)

    async def _release(self, errand: Release) -> SwitchEvent:
        """Tell the site, a few times if need be; if it cannot be told, the lease runs out by itself."""
        site = self._loop.sites.get(errand.site)
        body = encode(LeaseEnd(errand.reason))
        path = f"/v1/leases/{errand.lease_id}"
        for _ in range(RELEASE_TRIES):
            if site is None:
                break
            try:
                await self._client.request(site.api, "DELETE", path, node=errand.site, body=body)
                break
            except RemoteError as error:
                log.warning("releasing %s at %s: %s", errand.lease_id, short(errand.site), error)
        return LeaseReleased()
