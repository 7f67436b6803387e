"""Sites, how they describe themselves, and how one was come upon."""

from enum import Enum
from typing import NewType

import msgspec

from footloose.core.codec import Signed, open_signed
from footloose.core.errors import RemoteError
from footloose.core.identity import NodeId
from footloose.core.limits import CLOCK_SKEW_S, RECORD_LIFETIME_S
from footloose.model.network import RouterId

ProviderId = NewType("ProviderId", str)
"""The key pair that owns sites; a site without a separate provider is its own."""


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
    Times are in seconds since 1970. ``contact_only`` sites are listed but agree terms by other means.
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
    version: int = 1


def open_site_record(envelope: Signed, now: float) -> SiteRecord:
    """The record inside, once it is seen to be genuine and current.

    Raises :class:`RemoteError` if it is forged, expired, from the future, or longer-lived than allowed.
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
    return record


class Source(Enum):
    """Which finder came upon a site."""

    DHT = "dht"
    DNS = "dns"
    STATIC = "static"


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
