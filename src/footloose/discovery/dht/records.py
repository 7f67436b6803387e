"""What the DHT keeps: a node's signed word on how near it is to a router (ICON Python Orchestrator, figure 3.3)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from footloose.core.errors import LocalError, RemoteError
from footloose.core.limits import CLOCK_SKEW_S, DHT_RECORD_BYTES, RECORD_LIFETIME_S
from footloose.discovery.dht.keys import (
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    Key,
    key_of,
    node_id_from,
)
from footloose.discovery.dht.notary import Notary
from footloose.model.network import RouterId
from footloose.model.site import Endpoint, Sighting, Source

_CONTEXT = b"footloose/dht/announcement/1\n"


class Nearness(msgspec.Struct, frozen=True):
    """How near this site is to a router, by its own measurement."""

    router: RouterId
    rtt_ms: float
    hops: int


class Announcement(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What ``node`` (a raw public key) says: its API is at ``host``:``port``, ``rtt_ms`` and ``hops`` from ``router``.

    Times are in seconds since 1970.
    """

    router: Annotated[str, Meta(min_length=1, max_length=64)]
    node: Annotated[bytes, Meta(min_length=PUBLIC_KEY_BYTES, max_length=PUBLIC_KEY_BYTES)]
    host: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z.:-]+\Z")]
    port: Annotated[int, Meta(ge=1, le=65535)]
    rtt_ms: Annotated[float, Meta(ge=0, le=60_000)]
    hops: Annotated[int, Meta(ge=0, le=255)]
    issued_at: float
    expires_at: float


class Record(msgspec.Struct, frozen=True):
    """An announcement with the very bytes it came in: a signature, then what was signed."""

    announcement: Announcement
    raw: bytes

    @property
    def key(self) -> Key:
        """Where it is kept."""
        return key_of(self.announcement.router)

    def sighting(self) -> Sighting:
        """What it tells the rest of the site."""
        said = self.announcement
        return Sighting(
            api=Endpoint(said.host, said.port),
            source=Source.DHT,
            node=node_id_from(said.node),
            router=RouterId(said.router),
            rtt_ms=said.rtt_ms,
            hops=said.hops,
        )


def sign_record(notary: Notary, api: Endpoint, near: Nearness, now: float) -> Record:
    """This node's announcement of ``near``, good from ``now`` for the lifetime of a record.

    Raises :class:`LocalError` if others would not accept it.
    """
    announcement = Announcement(
        router=near.router,
        node=notary.public,
        host=api.host,
        port=api.port,
        rtt_ms=near.rtt_ms,
        hops=near.hops,
        issued_at=now,
        expires_at=now + RECORD_LIFETIME_S,
    )
    payload = msgspec.msgpack.encode(announcement)
    try:
        _DECODER.decode(payload)
    except msgspec.ValidationError as error:
        raise LocalError(f"{near} at {api} cannot be announced: {error}", where="DHT") from error
    return Record(announcement, notary.sign(_CONTEXT + payload) + payload)


def open_record(raw: bytes, now: float, notary: Notary) -> Record:
    """The record in ``raw``, once ``notary`` has seen that it is genuine, and it is current.

    Raises :class:`RemoteError` if it is malformed, forged, expired, from the future, or longer-lived than allowed.
    """
    if not SIGNATURE_BYTES < len(raw) <= DHT_RECORD_BYTES:
        raise RemoteError(f"{len(raw)} bytes cannot be an announcement", where="announcement")
    signature, payload = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
    try:
        announcement = _DECODER.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteError(f"not a valid announcement: {error}", where="announcement") from error
    if not is_current(announcement, now):
        raise RemoteError("expired, from the future, or valid for too long", where="announcement")
    notary.verify_again(announcement.node, signature, _CONTEXT + payload)
    return Record(announcement, raw)


def is_current(announcement: Announcement, now: float) -> bool:
    """Whether it is in force at ``now``. Written so that NaN fails."""
    return (
        now < announcement.expires_at <= announcement.issued_at + RECORD_LIFETIME_S + 1
        and announcement.issued_at <= now + CLOCK_SKEW_S
    )


_DECODER = msgspec.msgpack.Decoder(Announcement)
