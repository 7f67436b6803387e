"""What a person sees of a site: the snapshot behind the page and the command line."""

import msgspec

from footloose.core.identity import NodeId
from footloose.model.app import ServiceId
from footloose.model.network import Prefix


class ViewNode(msgspec.Struct, frozen=True):
    """A point of the tree as traced from this site.

    ``kind`` is ``site`` (this one, the root), ``router`` or ``prefix``; ``rtt_ms`` from this site; ``parent`` None at
    the root. ``sites`` are ids of sites known to be at this router.
    """

    id: str
    kind: str
    label: str
    parent: str | None
    rtt_ms: float | None = None
    sites: tuple[NodeId, ...] = ()


class ViewSite(msgspec.Struct, frozen=True):
    """A site this one knows. ``sources`` say who saw it.

    ``state`` is ``self``, ``known``, ``serving``, ``refused`` or, since ``absent_since``, ``unreachable`` or ``left``.

    ``rtt_ms`` is the least round trip measured between it and a user seen here; None if none was.
    """

    node: NodeId
    name: str
    gateway: str
    state: str
    api: str = ""
    region: str = ""
    price_per_hour: float = 0.0
    rtt_ms: float | None = None
    services: tuple[ServiceId, ...] = ()
    sources: tuple[str, ...] = ()
    absent_since: float | None = None


class ViewUser(msgspec.Struct, frozen=True):
    """One user prefix of one service. ``site`` is where it is served now; ``first_rtt_ms`` what it had at first."""

    service: ServiceId
    prefix: Prefix
    address: str
    site: NodeId
    seen_at: float
    requests: int = 0
    errors: int = 0
    rtt_ms: float | None = None
    first_rtt_ms: float | None = None


class ViewService(msgspec.Struct, frozen=True):
    """One service running here, or a copy of it this site leased. ``role`` is ``home`` or ``copy``."""

    service: ServiceId
    site: NodeId
    site_name: str
    role: str
    state: str
    url: str
    since: float
    users: int = 0
    requests: int = 0
    lease_ends_at: float | None = None


class View(msgspec.Struct, frozen=True):
    """All of it, at one moment (``at``, seconds)."""

    at: float
    node: NodeId
    name: str
    nodes: tuple[ViewNode, ...]
    sites: tuple[ViewSite, ...]
    services: tuple[ViewService, ...]
    users: tuple[ViewUser, ...]


class ViewMember(msgspec.Struct, frozen=True):
    """A member in view. ``state`` is that of :class:`footloose.membership.states.MemberState`, for so long ``since``.

    ``rtt_ms`` is measured, ``distance_ms`` what coordinates say; None if unknown. ``name`` is empty until the site has
    shown its record. ``near`` and ``watched``: it is in view for being near, or for being dealt with.
    """

    node: NodeId
    name: str
    address: str
    state: str
    since: float
    rtt_ms: float | None = None
    distance_ms: float | None = None
    region: str = ""
    domain: str = ""
    capacity: int = 0
    load_percent: int = 0
    services: int = 0
    near: bool = False
    watched: bool = False


class ViewRegion(msgspec.Struct, frozen=True):
    """A region in sums, each within a fifth or so. ``complete``: all have been counted; else they still grow."""

    region: str
    sites: float
    domains: float
    capacity: float
    free: float
    complete: bool


class ViewMembers(msgspec.Struct, frozen=True):
    """Who is alive as this site sees it at one moment (``at``, seconds)."""

    at: float
    node: NodeId
    name: str
    members: tuple[ViewMember, ...]
    regions: tuple[ViewRegion, ...]
