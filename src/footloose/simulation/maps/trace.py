"""Simulated traceroute: a way over a map as the route a site would have traced."""

from collections.abc import Set
from ipaddress import IPv4Address

from footloose.core.errors import LocalError
from footloose.model.network import Hop, Route
from footloose.simulation.maps.interface import RoutedMap

_FIRST = int(IPv4Address("10.0.0.0"))
_PER_ROUTER = 8
"""Addresses per router: a /29, so that each is one router id."""
ROUTERS = 2**24 // _PER_ROUTER


def router_address(place: int) -> str:
    """The address of the router at a place. Raises :class:`LocalError` beyond :data:`ROUTERS`."""
    if not 0 <= place < ROUTERS:
        raise LocalError(f"no address for router {place}", where="10.0.0.0/8", fix=f"at most {ROUTERS} places")
    return str(IPv4Address(_FIRST + place * _PER_ROUTER + 1))


def traced(
    on: RoutedMap,
    a: int,
    b: int,
    target: str,
    *,
    from_ms: float = 0.0,
    to_ms: float = 0.0,
    silent: Set[int] = frozenset(),
) -> Route:
    """The route from a host at place ``a`` to the host ``target`` at place ``b``, as the tracer reports it.

    ``from_ms`` and ``to_ms`` are the round trips of their access links; routers at ``silent`` places do not answer.
    """
    hops = tuple(
        Hop(ttl) if stop.place in silent else Hop(ttl, router_address(stop.place), from_ms + stop.rtt_ms)
        for ttl, stop in enumerate(on.route(a, b), 1)
    )
    return Route(target, hops, from_ms + on.rtt_ms(a, b) + to_ms)
