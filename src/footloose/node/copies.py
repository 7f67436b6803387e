"""Errands of copies at other sites: ask for a lease, send the code, poll, release."""

import logging
from http import HTTPStatus

from footloose.core.clock import Clock
from footloose.core.codec import Signed, encode, open_signed
from footloose.core.errors import FootlooseError, RemoteError
from footloose.core.identity import NodeId, short
from footloose.core.limits import LEASE_TERM_S, SILENT_AFTER_S
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
from footloose.model.site import SiteRecord
from footloose.model.terms import Lease, LeaseAnswer, LeaseEnd, LeasePoll, LeaseRequest, check_lease, check_reading
from footloose.node.host import Host
from footloose.node.leases import GivenLeases
from footloose.node.surroundings import Artifacts, Peers
from footloose.orchestrator.loop import Loop
from footloose.orchestrator.memory import Running
from footloose.transport.problems import Refused

log = logging.getLogger(__name__)

GIVE_BACK_AGAIN_S = 10.0
"""How often sites that could not be told are told again."""
LEASE_TIMEOUT_S = 30.0
"""How long a site may take to start a copy: it may have to compile the code first."""
RELEASE_TRIES = 3
"""How often a site is told at once that its copy is wanted no more, before that is left to later."""


class Copies:
    """Carries these errands out. All raise :class:`FootlooseError` where they fail, but for :meth:`release`."""

    def __init__(
        self,
        *,
        here: NodeId,
        clock: Clock,
        client: Peers,
        artifacts: Artifacts,
        given: GivenLeases,
        host: Host,
        loop: Loop,
    ) -> None:
        self._here = here
        self._clock = clock
        self._client = client
        self._artifacts = artifacts
        self._given = given
        self._host = host
        self._loop = loop

    async def ask(self, errand: Ask) -> SwitchEvent:
        """Ask for a lease; what was granted is on our disk when this returns."""
        running, site = self._parties(errand)
        request = self._request(errand, running, site)
        answer = await self._client.request(
            site.api,
            "POST",
            "/v1/leases",
            node=site.node,
            body=encode(request),
            timeout_s=LEASE_TIMEOUT_S,
            idempotent=True,
        )
        answered = answer.value(LeaseAnswer)
        if answered.lease is not None:
            return LeaseAnswered(lease=await self._taken(errand, request, answered.lease))
        if answered.needs_artifact is None:
            return LeaseAnswered(refused=answered.refused or "refused without a reason")
        if answered.needs_artifact != running.spec.artifact:
            raise RemoteError("wants another artifact than the service's", where=answer.where)
        return LeaseAnswered(needs_artifact=True)

    def _request(self, errand: Ask, running: Running, site: SiteRecord) -> LeaseRequest:
        price = running.spec.budget.price_per_hour
        return LeaseRequest(
            request_id=errand.request_id,
            customer=self._here,
            app=running.app,
            service=running.spec.name,
            term_s=LEASE_TERM_S,
            parent_url=self._host.url_of(errand.service),
            relay_token=self._host.relay_token(errand.service, errand.site),
            price_per_hour=site.price_per_hour if price is None else price,
        )

    async def _taken(self, errand: Ask, request: LeaseRequest, envelope: Signed) -> Lease:
        """A lease just granted, checked and kept; if it cannot be used it is given back."""
        lease = _signed_by(envelope, errand.site)
        try:
            check_lease(lease, request, errand.service, self._clock.now(), f"site {short(errand.site)}")
            self._given.keep(envelope, lease, request)
        except FootlooseError as error:
            await self.release(self._given_back(errand, lease, error))
            raise
        return lease

    def _given_back(self, errand: Ask, lease: Lease, error: FootlooseError) -> Release:
        return Release(errand.service, errand.site, errand.request_id, lease.lease_id, f"cannot be used: {error}")

    def _parties(self, errand: Ask | Send) -> tuple[Running, SiteRecord]:
        running, site = self._loop.services.get(errand.service), self._loop.sites.get(errand.site)
        if running is None or site is None:
            raise RemoteError("the service or the site is not known here any more", where=errand.service)
        return running, site

    async def send(self, errand: Send) -> SwitchEvent:
        """Send the service's code."""
        running, site = self._parties(errand)
        digest = running.spec.artifact
        path = f"/v1/artifacts/{digest}"
        answer = await self._client.upload(site.api, path, self._artifacts.path(digest), digest, node=site.node)
        answer.check()
        return ArtifactSent()

    async def poll(self, errand: Poll) -> SwitchEvent:
        """How a copy fares, and its new term if that was asked for."""
        running, site = self._loop.services.get(errand.service), self._loop.sites.get(errand.site)
        if site is None:
            return PollFailed("its address is not known")
        hold = running is not None and running.pinned == errand.site
        try:
            answer = await self._client.request(
                site.api,
                "POST",
                f"/v1/leases/{errand.lease_id}/poll",
                node=errand.site,
                body=encode(LeasePoll(errand.renew, hold)),
                idempotent=True,
                timeout_s=SILENT_AFTER_S,
            )
            polled = answer.value(LeaseAnswer)
        except Refused as error:
            return PollFailed(str(error), gone=error.status == HTTPStatus.NOT_FOUND)
        observations = polled.reading.observations if polled.reading is not None else ()
        check_reading(observations, errand.service, answer.where)
        lease = self._renewed(errand, polled.lease) if polled.lease is not None else None
        shared = polled.reading is not None and polled.reading.shared
        return PollAnswered(observations, lease, polled.ending, shared)

    def _renewed(self, errand: Poll, envelope: Signed) -> Lease:
        lease, request = _signed_by(envelope, errand.site), self._given.request_of(errand.lease_id)
        where = f"site {short(errand.site)}"
        if request is None or lease.lease_id != errand.lease_id:
            raise RemoteError("another lease than the one polled", where=where)
        check_lease(lease, request, errand.service, self._clock.now(), where)
        self._given.renew(envelope, lease, request)
        return lease

    def wanted_no_more(self, errand: Release) -> None:
        """At once: what comes next must not take the lease for one we use."""
        self._given.give_back(errand.lease_id, errand.reason)

    async def release(self, errand: Release) -> SwitchEvent:
        """Tell the site, a few times if need be; to the loop the copy is gone also if it cannot be told yet."""
        for _ in range(RELEASE_TRIES):
            if await self._told(errand):
                break
        return LeaseReleased()

    async def give_back(self) -> float:
        """Tell sites that could not be told that their copies are wanted no more. Returns when to do so again (s)."""
        for lease, reason in self._given.returning():
            if self._clock.now() > lease.ends_at + lease.grace_s:
                self._given.over(lease.lease_id, reason)
            else:
                await self._told(Release(lease.service, lease.provider_node, "", lease.lease_id, reason))
        return GIVE_BACK_AGAIN_S

    async def _told(self, errand: Release) -> bool:
        """Whether the site knows now that the lease is over."""
        site = self._loop.sites.get(errand.site)
        if site is None:
            return False
        path, body = f"/v1/leases/{errand.lease_id}", encode(LeaseEnd(errand.reason))
        try:
            (await self._client.request(site.api, "DELETE", path, node=errand.site, body=body)).check()
        except Refused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                log.warning("lease %s at %s is not released: %s", errand.lease_id, short(errand.site), error)
                return False
        except FootlooseError as error:
            log.info("lease %s at %s is not released yet: %s", errand.lease_id, short(errand.site), error)
            return False
        self._given.over(errand.lease_id, errand.reason)
        return True


def _signed_by(envelope: Signed, site: NodeId) -> Lease:
    lease = open_signed(envelope, Lease, where="lease")
    if (envelope.signer, lease.provider_node) != (site, site):
        raise RemoteError("the lease is not signed by the site itself", where=f"site {short(site)}")
    return lease
