"""How near a site found on a user's path probably is to that user, before anyone measures it (design rule 2)."""

import msgspec

from footloose.model.network import Hop, Route, RouterId, router_id
from footloose.model.site import Sighting

LEAST_RTT_MS = 0.1
"""No two hosts are nearer than this."""
CLEAR_CUT_HOPS = 2
"""A site at one of the last so many hops before the user shares nearly all of the path to it."""
CLEAR_CUT_SHARE = 0.5
"""A clear-cut choice leaves at most this share of the present round trip…"""
CLEAR_CUT_SAVING_MS = 10.0
"""…and saves at least so much."""


class Estimate(msgspec.Struct, frozen=True):
    """A round trip from a site to a user by way of ``router``. ``clear_cut``: good enough to act on at once."""

    rtt_ms: float
    router: RouterId
    clear_cut: bool


def estimate(route: Route, sighting: Sighting, present_rtt_ms: float | None = None) -> Estimate | None:
    """The round trip between the site of ``sighting`` and the user at the end of ``route``.

    It is the site's own round trip to the router it was found under, and what the user is beyond that router:
    an upper bound, unless packets between the two take another way. ``present_rtt_ms`` is what the user has now from
    the site that traced the route (the kernel's figure for its connection); it stands in where the user did not
    answer the trace, as the trace does where it is None. None if both are missing, the sighting has no figure, or
    the route does not cross its router.
    """
    user_rtt_ms = route.rtt_ms if route.rtt_ms is not None else present_rtt_ms
    if sighting.router is None or sighting.rtt_ms is None or user_rtt_ms is None:
        return None
    at_user = sighting.router == router_id(route.target)
    router_rtt_ms = user_rtt_ms if at_user else _rtt_to_router(route, sighting.router, user_rtt_ms)
    if router_rtt_ms is None:
        return None
    rtt_ms = max(sighting.rtt_ms + user_rtt_ms - router_rtt_ms, LEAST_RTT_MS)
    present = present_rtt_ms if present_rtt_ms is not None else user_rtt_ms
    near = at_user or any(hop.router == sighting.router for hop in route.hops[-CLEAR_CUT_HOPS:])
    clear_cut = near and rtt_ms <= CLEAR_CUT_SHARE * present and present - rtt_ms >= CLEAR_CUT_SAVING_MS
    return Estimate(rtt_ms, sighting.router, clear_cut)


def _rtt_to_router(route: Route, router: RouterId, user_rtt_ms: float) -> float | None:
    """The round trip to ``router`` on this route, at most that to anything beyond it.

    Routers put off ICMP for forwarding, so a hop often seems slower than what lies behind it.
    """
    places = [place for place, hop in enumerate(route.hops) if hop.router == router]
    if not places:
        return None
    beyond: tuple[Hop, ...] = route.hops[places[-1] :]
    return min([user_rtt_ms, *(hop.rtt_ms for hop in beyond if hop.rtt_ms is not None)])
