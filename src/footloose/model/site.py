"""Sites, how they describe themselves, and how one was come upon."""

import ipaddress
import re
from enum import Enum
from typing import NewType

import msgspec

from footloose.core.codec import Signed, open_signed
from footloose.core.errors import RemoteError
from footloose.core.identity import NodeId, public_key_of
from footloose.core.limits import CLOCK_SKEW_S, RECORD_LIFETIME_S, SITE_NAME_CHARS, SITE_RUNTIMES, URL_CHARS
from footloose.core.printable import printable
from footloose.model.network import RouterId

ProviderId = NewType("ProviderId", str)
"""The key pair that owns sites; a site without a separate provider is its own."""

_PORTS = 65_535
_ORIGIN = re.compile(r"https?://(?:\[([0-9a-f.]*:[0-9a-f:.]*)\]|([^][/?#@:]+))(?::([1-9][0-9]{0,4}))?\Z")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\Z", re.IGNORECASE)


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host (address or name) and port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class SiteRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a site says of itself, signed with its node key.

    ``api`` answers other sites over HTTPS; ``gateway`` is where users come, as ``http://host:port``.
    ``membership`` is where it takes part in the membership, over UDP. Times are in seconds since 1970.
    """

    node: NodeId
    provider: ProviderId
    name: str
    api: Endpoint
    gateway: str
    issued_at: float
    expires_at: float
    runtimes: tuple[str, ...] = ("wasm",)
    region: str = ""
    price_per_hour: float = 0.0
    dht: Endpoint | None = None
    membership: Endpoint | None = None
    version: int = 1


def open_site_record(envelope: Signed, now: float) -> SiteRecord:
    """The record inside, once it is seen to be genuine and current.

    Raises :class:`RemoteError` if it is forged, expired, from the future, longer-lived than allowed, or says what no
    site can be (see :func:`check_site_record`).
    """
    record = open_signed(envelope, SiteRecord, where="site record")
    where = f"site record of {record.node[:16]}"
    if envelope.signer != record.node:
        raise RemoteError("signed by another key than the site's own", where=where)
    if record.version != 1:
        raise RemoteError(f"version {record.version} is not known here", where=where)
    if record.expires_at <= now:
        raise RemoteError("expired", where=where, fix="fetch a newer one")
    if record.issued_at > now + CLOCK_SKEW_S:
        raise RemoteError("issued in the future", where=where, fix="set the clocks")
    if record.expires_at - record.issued_at > RECORD_LIFETIME_S + 1:
        raise RemoteError("valid for longer than a record may be", where=where)
    check_site_record(record)
    return record


def check_site_record(record: SiteRecord) -> None:
    """Raises :class:`RemoteError` unless addresses, names and price are such as a site can have.

    Users are sent to the gateway and people are shown the names, so nothing else may hide in them.
    """
    where = f"site record of {record.node[:16]}"
    public_key_of(record.provider)
    for endpoint in (record.api, record.dht, record.membership):
        if endpoint is not None:
            _check_endpoint(endpoint, where)
    check_origin(record.gateway, where)
    if not record.name:
        raise RemoteError("has no name", where=where)
    for text in (record.name, record.region, *record.runtimes):
        if len(text) > SITE_NAME_CHARS or not text.isprintable():
            raise RemoteError(f"{printable(text, 60)!r} is too long for a name, or not printable", where=where)
    if len(record.runtimes) > SITE_RUNTIMES:
        raise RemoteError(f"more than {SITE_RUNTIMES} runtimes", where=where)
    if record.price_per_hour < 0:
        raise RemoteError("a price below nothing", where=where)


def check_origin(url: str, where: str) -> None:
    """Raises :class:`RemoteError` unless ``url`` is ``http(s)://host[:port]`` and nothing more."""
    found = _ORIGIN.match(url) if len(url) <= URL_CHARS else None
    if found is None:
        raise RemoteError(f"{printable(url, 60)!r} is not http(s)://host:port and nothing more", where=where)
    address, name, port = found.groups()
    _check_endpoint(Endpoint(address or name, int(port or 80)), where)


def _check_endpoint(endpoint: Endpoint, where: str) -> None:
    if not 1 <= endpoint.port <= _PORTS:
        raise RemoteError(f"{endpoint.port} is not a port", where=where)
    try:
        address = ipaddress.ip_address(endpoint.host)
    except ValueError as error:
        # What ends in a number is an address that is none (WHATWG URL §3.5).
        if not _HOST_NAME.match(endpoint.host) or endpoint.host.rpartition(".")[2].isdigit():
            raise RemoteError(f"{printable(endpoint.host, 60)!r} is not a host", where=where) from error
        return
    if address.is_unspecified or address.is_multicast or "%" in endpoint.host:
        raise RemoteError(f"{endpoint.host!r} is not the address of one host", where=where)


class Source(Enum):
    """Which finder came upon a site; or it was not looked for, as its copy serves the users already."""

    DHT = "dht"
    DNS = "dns"
    STATIC = "static"
    MEMBERS = "members"
    COPY = "copy"


class Sighting(msgspec.Struct, frozen=True):
    """A site found, and how near it says it is to the router it was found under.

    ``rtt_ms`` is the site's own measurement to ``router``; None where the finder carries none (DNS, static).
    ``node`` is None until the site has been asked who it is (DNS knows only host and port).
    """

    api: Endpoint
    source: Source
    node: NodeId | None = None
    record: SiteRecord | None = None
    router: RouterId | None = None
    rtt_ms: float | None = None
    hops: int | None = None
