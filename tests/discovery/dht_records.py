"""Identities and records for DHT tests."""

import msgspec
from msgspec.structs import replace

from footloose.core.identity import Identity
from footloose.discovery.dht.keys import public_bytes
from footloose.discovery.dht.notary import IdentityNotary
from footloose.discovery.dht.records import Announcement, Nearness, Record, sign_record
from footloose.model.network import RouterId
from footloose.model.site import Endpoint

NOW = 1_700_000_000.0
ROUTER = RouterId("10.0.0.0/29")


def identity(number: int) -> Identity:
    return Identity.from_seed(number.to_bytes(32, "big"))


def notary(number: int) -> IdentityNotary:
    return IdentityNotary(identity(number))


def record(
    number: int = 1, router: RouterId = ROUTER, *, rtt_ms: float = 1.0, at: float = NOW, host: str = "192.0.2.1"
) -> Record:
    return sign_record(notary(number), Endpoint(host, 443), Nearness(router, rtt_ms, 3), at)


def signed_anyhow(number: int, **changes: object) -> bytes:
    """A record with any content, signed properly."""
    said = replace(record(number).announcement, **changes)
    return sign_bytes(number, said)


def sign_bytes(number: int, said: Announcement) -> bytes:
    payload = msgspec.msgpack.encode(said)
    return identity(number).sign(b"footloose/dht/announcement/1\n" + payload) + payload


def public(number: int) -> bytes:
    return public_bytes(identity(number))
