"""Users, routes and routers.

Router ids are hop addresses masked to /29, after the ICON Python Orchestrator thesis §3.1.1: a router's interfaces
mostly share one.
"""

import ipaddress
from functools import lru_cache
from typing import NewType

import msgspec

from footloose.core.errors import RemoteError
from footloose.core.identity import NodeId

Prefix = NewType("Prefix", str)
"""Where users come from: an IPv4 /24 or IPv6 /48, as text."""

RouterId = NewType("RouterId", str)
"""A router wherever it is seen from: its hop address masked to /29 (IPv6: /125), as text."""

_PREFIX_BITS = (24, 48)
_ROUTER_BITS = (29, 125)
"""Of IPv4 and IPv6."""
_MASKED = 16_384
"""Masked addresses remembered: the same users and routers are met again and again."""


def prefix_of(address: str) -> Prefix:
    """The prefix a user's address belongs to. Raises :class:`RemoteError` if it is not an address."""
    return Prefix(_masked(address, _PREFIX_BITS))


def router_id(address: str) -> RouterId:
    """The router id of a hop address. Raises :class:`RemoteError` if it is not an address."""
    return RouterId(_masked(address, _ROUTER_BITS))


@lru_cache(maxsize=_MASKED)
def _masked(address: str, bits: tuple[int, int]) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError as error:
        raise RemoteError(f"{address[:60]!r} is not an IP address") from error
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return str(ipaddress.ip_network((parsed, bits[parsed.version == 6]), strict=False))


class Hop(msgspec.Struct, frozen=True):
    """One step of a route. ``address`` and ``rtt_ms`` are None where the router kept silent."""

    ttl: int
    address: str | None = None
    rtt_ms: float | None = None

    @property
    def router(self) -> RouterId | None:
        """The router's id, if it answered."""
        return router_id(self.address) if self.address is not None else None


class Route(msgspec.Struct, frozen=True):
    """The path from the site that traced it to ``target``: hops in order of distance, silent ones included.

    ``rtt_ms`` is the round trip to the target itself, None if it did not answer.
    """

    target: str
    hops: tuple[Hop, ...]
    rtt_ms: float | None = None

    @property
    def reached(self) -> bool:
        """Whether the target itself answered."""
        return self.rtt_ms is not None


class Observation(msgspec.Struct, frozen=True):
    """What a site saw of one user prefix at one service since its last report.

    ``address`` is one user's address in the prefix, to trace to. ``rtt_ms`` is the kernel's estimate of the
    round trip to that user (``TCP_INFO``), None if unknown. ``open_websockets`` is a level, not a count since.
    ``site`` is where the users were served, None for the reporting site itself.
    """

    service: str
    prefix: Prefix
    address: str
    requests: int = 0
    errors: int = 0
    rtt_ms: float | None = None
    open_websockets: int = 0
    site: NodeId | None = None
