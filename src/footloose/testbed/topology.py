"""What an internet in a box is made of: routers, hosts and the links between them, as immutable types.

Delays are one way and per link; a round trip crosses every link twice. Source for the shape: the ICON Python
Orchestrator thesis §3.4.
"""

import re
from collections import Counter
from enum import Enum

import msgspec

from footloose.core.errors import LocalError

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
"""Names of routers and hosts are DNS labels (RFC 1123 §2.1), lower case."""

DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\Z")

MAX_NODES = 4096
"""Routers and hosts together: what the address plan has room for, with a margin."""


class TopologyError(LocalError):
    """A topology that cannot be built. ``where`` is the key concerned, such as ``links[3]``."""


class Role(Enum):
    """What a host is there for."""

    HOME = "home"
    """The home site of apps."""
    SITE = "site"
    """A provider's site."""
    USER = "user"
    HOST = "host"
    """Anything else."""


class Router(msgspec.Struct, frozen=True):
    """A router. ``silent`` ones send no ICMP at all; ``icmp_per_s`` limits errors (a bucket of ``icmp_burst``).

    With a ``domain`` its addresses have DNS names, ``if<n>.<dns>.<domain>``; ``dns`` is the router's name if empty.
    """

    name: str
    silent: bool = False
    icmp_per_s: float | None = None
    icmp_burst: int = 6
    dns: str = ""
    domain: str = ""

    def __post_init__(self) -> None:
        where = f"routers.{self.name}"
        _check_name(self.name, where)
        if self.icmp_per_s is not None and self.icmp_per_s <= 0:
            raise TopologyError(
                "icmp_per_s must be more than 0", where=where, fix="use silent: true for no ICMP at all"
            )
        if self.icmp_burst < 1:
            raise TopologyError("icmp_burst must be at least 1", where=where)
        if self.dns:
            _check_name(self.dns, where)
        _check_domain(self.domain, where)


class Host(msgspec.Struct, frozen=True):
    """A machine at the edge of the graph, in a /24 of its own. ``domain`` is its provider's, for SRV records."""

    name: str
    role: Role = Role.HOST
    region: str = ""
    domain: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name, f"hosts.{self.name}")
        _check_domain(self.domain, f"hosts.{self.name}")


class Link(msgspec.Struct, frozen=True):
    """A link, the same both ways. ``jitter_ms`` varies the delay evenly by ±that much and never reorders a flow.

    ``loss`` is a probability per packet. ``rate_mbit`` None is no limit; where there is one, a packet that would
    wait longer than ``queue_ms`` is dropped.
    """

    a: str
    b: str
    delay_ms: float
    jitter_ms: float = 0.0
    loss: float = 0.0
    rate_mbit: float | None = None
    queue_ms: float = 100.0

    def __post_init__(self) -> None:
        where = f"link {self.a} - {self.b}"
        if self.a == self.b:
            raise TopologyError("a link needs two different ends", where=where)
        if not 0 <= self.delay_ms <= 10_000:
            raise TopologyError(f"delay_ms is {self.delay_ms:g}", where=where, fix="from 0 to 10000")
        if not 0 <= self.jitter_ms <= self.delay_ms:
            raise TopologyError(f"jitter_ms is {self.jitter_ms:g}", where=where, fix="from 0 to delay_ms")
        if not 0 <= self.loss <= 1:
            raise TopologyError(f"loss is {self.loss:g}", where=where, fix="a probability from 0 to 1")
        if self.rate_mbit is not None and self.rate_mbit <= 0:
            raise TopologyError("rate_mbit must be more than 0", where=where, fix="leave it out for no limit")
        if self.queue_ms < 0:
            raise TopologyError("queue_ms must not be negative", where=where)

    @property
    def ends(self) -> frozenset[str]:
        """The two names it joins."""
        return frozenset((self.a, self.b))


class Topology(msgspec.Struct, frozen=True):
    """The whole graph. ``seed`` decides every random draw (loss, jitter). Raises :class:`TopologyError`."""

    name: str
    routers: tuple[Router, ...]
    hosts: tuple[Host, ...]
    links: tuple[Link, ...]
    seed: int = 1

    def __post_init__(self) -> None:
        _check_names(self)
        _check_links(self)
        _check_hosts(self)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all routers, then of all hosts."""
        return (*(router.name for router in self.routers), *(host.name for host in self.hosts))

    def host(self, name: str) -> Host:
        """The host called ``name``. Raises :class:`TopologyError`."""
        for host in self.hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts[:12])
        raise TopologyError(f"there is no host {name!r}", where=self.name, fix=f"hosts are {known}")

    def with_role(self, role: Role) -> tuple[Host, ...]:
        """All hosts of one role, in order."""
        return tuple(host for host in self.hosts if host.role is role)


def _check_name(name: str, where: str) -> None:
    if not NAME.match(name):
        fix = "use 1 to 63 lower-case letters, digits and hyphens, not starting or ending with a hyphen"
        raise TopologyError(f"{name!r} is not a name", where=where, fix=fix)


def _check_domain(domain: str, where: str) -> None:
    if domain and not DOMAIN.match(domain):
        raise TopologyError(f"{domain!r} is not a domain", where=where, fix="write it like isp.example")


def _check_names(topology: Topology) -> None:
    names = Counter(topology.names)
    for name, count in names.items():
        if count > 1:
            raise TopologyError(f"{name!r} is used {count} times", where=f"hosts.{name}", fix="rename all but one")
    if len(names) > MAX_NODES:
        raise TopologyError(f"{len(names)} nodes, more than {MAX_NODES}", where="routers", fix="make it smaller")


def _check_links(topology: Topology) -> None:
    known = set(topology.names)
    seen: dict[frozenset[str], int] = {}
    for index, link in enumerate(topology.links):
        where = f"links[{index}]"
        for end in (link.a, link.b):
            if end not in known:
                fix = "list it under routers or hosts, or correct the name"
                raise TopologyError(f"{end!r} is neither a router nor a host", where=where, fix=fix)
        if link.ends in seen:
            what = f"{link.a} and {link.b} are joined already by links[{seen[link.ends]}]"
            raise TopologyError(what, where=where, fix="keep one of the two")
        seen[link.ends] = index


def _check_hosts(topology: Topology) -> None:
    hosts = {host.name for host in topology.hosts}
    links = Counter(end for link in topology.links for end in (link.a, link.b) if end in hosts)
    for index, link in enumerate(topology.links):
        if link.a in hosts and link.b in hosts:
            raise TopologyError("joins two hosts", where=f"links[{index}]", fix="put a router between them")
    for name in sorted(hosts):
        if links[name] != 1:
            what = f"host {name!r} has {links[name]} links"
            raise TopologyError(what, where=f"hosts.{name}", fix="give it exactly one, to a router")
