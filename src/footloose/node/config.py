"""How one site is set up."""

from pathlib import Path

import msgspec

from footloose.core.limits import LEASES_PER_SITE
from footloose.model.site import Endpoint


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that a site is told; everything else it finds out.

    ``address`` is the address others reach this site at; its ports are bound to it.
    ``bootstrap`` are DHT nodes to join through, ``sites`` API endpoints known beforehand, ``resolvers`` DNS servers.
    """

    state: Path
    name: str
    address: str = "127.0.0.1"
    gateway_port: int = 8080
    api_port: int = 7443
    dht_port: int = 7444
    workers: int = 1
    region: str = ""
    price_per_hour: float = 0.0
    max_leases: int = LEASES_PER_SITE
    bootstrap: tuple[Endpoint, ...] = ()
    sites: tuple[Endpoint, ...] = ()
    resolvers: tuple[Endpoint, ...] = ()
    console: Endpoint | None = None
    denied_customers: frozenset[str] = frozenset()
