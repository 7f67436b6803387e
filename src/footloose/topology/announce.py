"""Under which routers a site makes itself known: those it meets on its own traces (ICON Python Orchestrator §3.1.1)."""

from collections.abc import Iterable

import msgspec

from footloose.core.limits import ANNOUNCED_ROUTERS, ANNOUNCED_WITHIN_MS
from footloose.model.network import Route, RouterId


class NearbyRouter(msgspec.Struct, frozen=True):
    """A router, this site's least round trip to it, and how many hops away it is."""

    router: RouterId
    rtt_ms: float
    hops: int


def nearby_routers(
    routes: Iterable[Route], *, most: int = ANNOUNCED_ROUTERS, within_ms: float = ANNOUNCED_WITHIN_MS
) -> tuple[NearbyRouter, ...]:
    """The routers on this site's own ``routes``, nearest first, each once with its least round trip and hop count."""
    found: dict[RouterId, NearbyRouter] = {}
    for route in routes:
        for hop in route.hops:
            if hop.router is None or hop.rtt_ms is None:
                continue
            before = found.get(hop.router)
            rtt_ms = hop.rtt_ms if before is None else min(before.rtt_ms, hop.rtt_ms)
            hops = hop.ttl if before is None else min(before.hops, hop.ttl)
            found[hop.router] = NearbyRouter(hop.router, rtt_ms, hops)
    near = (router for router in found.values() if router.rtt_ms <= within_ms)
    return tuple(sorted(near, key=lambda router: (router.rtt_ms, router.hops, router.router))[:most])
