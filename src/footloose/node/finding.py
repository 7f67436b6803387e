"""Errands of finding sites: trace a route, look for sites near it, ask one who it is, have one measure."""

import logging
from collections.abc import Callable

from footloose.core.clock import Clock
from footloose.core.codec import Signed, encode
from footloose.core.errors import LocalError, RemoteError
from footloose.discovery.interface import Discovery
from footloose.model.site import Sighting, open_site_record
from footloose.model.terms import ProbeAnswer, ProbeRequest
from footloose.node.surroundings import Peers, Probe, Traces
from footloose.orchestrator.messages import (
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
from footloose.state.sites import SiteBook
from footloose.transport.problems import Refused

log = logging.getLogger(__name__)


class Finding:
    """Carries these errands out. ``tell`` is told of each site as soon as it is sighted; records go into ``book``.

    ``probe`` measures from here, in the way in which other sites are asked to.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        client: Peers,
        tracer: Traces,
        discovery: Discovery,
        book: SiteBook,
        probe: Probe,
        tell: Callable[[Event], None],
    ) -> None:
        self._clock = clock
        self._client = client
        self._tracer = tracer
        self._discovery = discovery
        self._book = book
        self._probe = probe
        self._tell = tell

    async def trace(self, errand: Trace) -> Event:
        """The route to a user. Raises :class:`LocalError` if there is none."""
        return RouteTraced(errand.prefix, await self._tracer.trace(errand.address))

    async def discover(self, errand: Discover) -> Event:
        """All sites that any finder finds near a route."""
        failures = []
        async for found in self._discovery.find(errand.route):
            if isinstance(found, Sighting):
                self._tell(SiteSighted(errand.prefix, found))
            else:
                failures.append(str(found))
        return DiscoveryFinished(errand.prefix, tuple(failures))

    async def identify(self, errand: Identify) -> Event:
        """Who a site is. Raises :class:`RemoteError` if it does not say so, or its record is not genuine."""
        answer = await self._client.request(errand.endpoint, "GET", "/v1/site", node=errand.node)
        signed = answer.value(Signed)
        record = open_site_record(signed, self._clock.now())
        if record.node != answer.node:
            raise RemoteError("shows the record of another site", where=str(errand.endpoint))
        try:
            self._book.put(signed, self._clock.now())
        except LocalError as error:
            log.error("site %s is not remembered: %s", record.name, error)
        return SiteIdentified(errand.endpoint, record, claimed=errand.node)

    async def measure(self, errand: Measure) -> Event:
        """A site's own measurement to a user. Raises :class:`RemoteError` if it does not answer, or not sense."""
        try:
            rtt_ms = await self._measured(errand)
        except (Refused, LocalError) as error:
            return RttMeasured(errand.by, errand.prefix, None, str(error))
        reason = "" if rtt_ms is not None else "the users did not answer its probes"
        return RttMeasured(errand.by, errand.prefix, rtt_ms, reason)

    async def _measured(self, errand: Measure) -> float | None:
        site = errand.site
        if site is None:
            return await self._probe(errand.address)
        body = encode(ProbeRequest(errand.address))
        answer = await self._client.request(site.api, "POST", "/v1/probes", node=site.node, body=body, idempotent=True)
        rtt_ms = answer.value(ProbeAnswer).rtt_ms
        if rtt_ms is not None and rtt_ms < 0:
            raise RemoteError(f"measured {rtt_ms:g} ms", where=answer.where)
        return rtt_ms
