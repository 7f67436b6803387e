"""What a person sees of this site, made from what the loop remembers."""

import math
from collections.abc import Iterator, Mapping

from footloose.core.identity import NodeId, short
from footloose.migration.switch import State
from footloose.model.app import ServiceId
from footloose.model.network import RouterId
from footloose.model.site import SiteRecord
from footloose.model.view import View, ViewNode, ViewService, ViewSite, ViewUser
from footloose.orchestrator.loop import Loop
from footloose.orchestrator.memory import Running


def view_of(loop: Loop, here: SiteRecord, started_at: Mapping[ServiceId, float], now: float) -> View:
    """The snapshot behind the page and behind ``ps``, ``sites`` and ``topology``."""
    services = [one for running in loop.services.values() for one in _services(loop, running, here, started_at)]
    return View(
        at=now,
        node=here.node,
        name=here.name,
        nodes=_nodes(loop, here),
        sites=(_own_site(loop, here), *_sites(loop, now)),
        services=tuple(services),
        users=tuple(_users(loop)),
    )


def _nodes(loop: Loop, here: SiteRecord) -> tuple[ViewNode, ...]:
    """The tree; each site hangs at the router it has the least round trip to, or else the last one it was found at."""
    nearest: dict[NodeId, tuple[float, float, RouterId]] = {}
    for place in loop.located.values():
        for site, sighting in place.sightings.items():
            if sighting.router is not None:
                to_router_ms = sighting.rtt_ms if sighting.rtt_ms is not None else math.inf
                found = (to_router_ms, -(loop.tree.router_rtt_ms(sighting.router) or 0.0), sighting.router)
                nearest[site] = min(nearest.get(site, found), found)
    sites_at: dict[RouterId, tuple[NodeId, ...]] = {}
    for site, (_, _, router) in sorted(nearest.items()):
        sites_at[router] = (*sites_at.get(router, ()), site)
    return loop.tree.nodes(here.name, sites_at)


def _own_site(loop: Loop, here: SiteRecord) -> ViewSite:
    return ViewSite(
        node=here.node,
        name=here.name,
        gateway=here.gateway,
        state="self",
        api=str(here.api),
        region=here.region,
        price_per_hour=here.price_per_hour,
        services=tuple(loop.services),
    )


def _sites(loop: Loop, now: float) -> Iterator[ViewSite]:
    for node, record in sorted(loop.sites.items(), key=lambda one: one[1].name):
        copies = [running.service for running in loop.services.values() if _serves(running, node)]
        places = [place for place in loop.located.values() if node in place.sightings]
        refused = any(running.refuses(node, now) for running in loop.services.values())
        absence = loop.absent.get(node)
        state = absence.state if absence is not None else "refused" if refused else "known"
        yield ViewSite(
            node=node,
            name=record.name,
            gateway=record.gateway,
            state="serving" if copies else state,
            api=str(record.api),
            region=record.region,
            price_per_hour=record.price_per_hour,
            rtt_ms=min((place.rtt_ms[node] for place in places if node in place.rtt_ms), default=None),
            services=tuple(copies),
            sources=tuple(sorted({place.sightings[node].source.value for place in places})),
            absent_since=absence.since if absence is not None else None,
        )


def _serves(running: Running, node: NodeId) -> bool:
    copy = running.copies.get(node)
    return copy is not None and copy.state is State.SERVING


def _services(
    loop: Loop, running: Running, here: SiteRecord, started_at: Mapping[ServiceId, float]
) -> Iterator[ViewService]:
    at = [user.site for user in running.users.values()]
    yield ViewService(
        service=running.service,
        site=here.node,
        site_name=here.name,
        role="home" if running.parent is None else "copy",
        state="running",
        url=f"{here.gateway}/{running.service}/",
        since=started_at.get(running.service, 0.0),
        users=at.count(here.node),
        requests=running.requests_at.get(here.node, 0),
    )
    for site, copy in sorted(running.copies.items()):
        record = loop.sites.get(site)
        yield ViewService(
            service=running.service,
            site=site,
            site_name=record.name if record is not None else short(site),
            role="copy",
            state=copy.state.value,
            url=copy.lease.url if copy.lease is not None else "",
            since=copy.serving_since or copy.asked_at,
            users=at.count(site),
            requests=running.requests_at.get(site, 0),
            lease_ends_at=copy.lease.ends_at if copy.lease is not None else None,
        )


def _users(loop: Loop) -> Iterator[ViewUser]:
    for running in loop.services.values():
        for user in running.users.values():
            yield ViewUser(
                service=running.service,
                prefix=user.prefix,
                address=user.address,
                site=user.site,
                seen_at=user.seen_at,
                requests=user.requests,
                errors=user.errors,
                rtt_ms=user.rtt_ms,
                first_rtt_ms=user.first_rtt_ms,
            )
