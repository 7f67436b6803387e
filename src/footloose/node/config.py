"""How one site is set up."""

from pathlib import Path

import msgspec

from footloose.core.limits import LEASES_PER_SITE
from footloose.gateway.tls import CertificateFiles
from footloose.model.site import Endpoint

WORKER_USER = 64_807
"""Whom root's workers run as: a number that is nobody's, from those systemd gives to services for a while."""


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that a site is told; everything else it finds out.

    ``address`` is the address others reach this site at. Its ports are bound to it, unless ``bind`` names the machine's
    own address where that is another (behind address translation); connections to other sites are then made from it.
    ``bootstrap`` are DHT nodes to join through, ``sites`` API endpoints known beforehand, ``resolvers`` DNS servers.
    ``failure_domain`` names what this site shares with others that tend to fail with it: a building, a power line.
    ``membership`` is ``wan`` or, for sites within a few milliseconds of each other, ``lan``: how soon one is missed; or
    ``off``, to take no part in it.
    ``gateway_url`` is where others send users, if not to the gateway's port at ``address``. With ``certificates`` users
    may also come by TLS, to ``tls_port``. The proxies in the networks ``trusted_proxies`` are believed who their users
    are.
    Workers are confined unless ``sandbox`` is off; a node of root runs them as the user with the number
    ``worker_user``, or as root if that is None.
    ``echo_port`` is only for networks without routes and delays of their own: see :mod:`footloose.topology.echo`.
    """

    state: Path
    name: str
    address: str = "127.0.0.1"
    bind: str | None = None
    gateway_port: int = 8080
    api_port: int = 7443
    dht_port: int = 7444
    membership_port: int = 7445
    workers: int = 1
    region: str = ""
    failure_domain: str = ""
    membership: str = "wan"
    price_per_hour: float = 0.0
    max_leases: int = LEASES_PER_SITE
    bootstrap: tuple[Endpoint, ...] = ()
    sites: tuple[Endpoint, ...] = ()
    resolvers: tuple[Endpoint, ...] = ()
    console: Endpoint | None = None
    denied_customers: frozenset[str] = frozenset()
    echo_port: int | None = None
    gateway_url: str | None = None
    tls_port: int = 8443
    certificates: tuple[CertificateFiles, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    proxy_protocol: bool = False
    access_log: bool = False
    server_timing: bool = True
    worker_user: int | None = WORKER_USER
    sandbox: bool = True

    @property
    def own_address(self) -> str:
        """The address this machine itself has."""
        return self.bind if self.bind is not None else self.address
