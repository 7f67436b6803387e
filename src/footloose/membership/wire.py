"""Messages as bytes: one version byte, then MessagePack arrays, node ids and addresses and coordinates packed.

Everything is checked here against its bounds, so the machine never sees a value it cannot use. How large a message can
become is known without encoding it (:func:`news_bytes` and the ``*_BYTES`` below), so that a simulator, which never
encodes, fills messages exactly as a site does.
"""

import ipaddress
import struct
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta

from footloose.core.errors import LocalError, RemoteError
from footloose.core.limits import FACTS_NAME_BYTES
from footloose.membership.card import Accusation, Card, Facts, News, Version
from footloose.membership.messages import (
    Ack,
    Delta,
    Exchange,
    Gossip,
    Message,
    Nack,
    Ping,
    PingRequest,
    RegionSketch,
    Relayed,
)
from footloose.membership.regions import REGISTERS
from footloose.model.site import Endpoint
from footloose.topology.coordinates import DIMENSIONS, Coordinate
from footloose.transport.datagrams import PAYLOAD_BYTES, node_of, raw_key

VERSION = 1
HEAD_BYTES = 96
"""More than any message takes besides its news, sketch, lines and wants."""
SKETCH_BYTES = FACTS_NAME_BYTES + REGISTERS + 16
LINE_BYTES = 9
WANT_BYTES = 5
LINES = 112
"""Most lines of one exchange: as many as fit beside the head."""
WANTS = 24
DELTA_NEWS_BYTES = PAYLOAD_BYTES - HEAD_BYTES - WANTS * WANT_BYTES
_CARD_BYTES = 34 + 20 + 9 * 3 + 1 + 1 + 66 + 1 + 9 * 3 + 2 * 2 + 4 * (DIMENSIONS + 3) + 2 + 3
_ACCUSATION_BYTES = 1 + 1 + 34 * 2 + 9 + 66
_MOST = 2**63 - 1
_PLACE = struct.Struct(f"<{DIMENSIONS + 3}f")
_CARD_CONTEXT, _ACCUSATION_CONTEXT = b"footloose/membership/card/1\n", b"footloose/membership/accusation/1\n"

_Count = Annotated[int, Meta(ge=0, le=_MOST)]
_Tag = Annotated[int, Meta(ge=0, lt=2**32)]
_Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Address = Annotated[bytes, Meta(min_length=6, max_length=18)]
_Signature = Annotated[bytes, Meta(max_length=64)]
_Name = Annotated[str, Meta(max_length=FACTS_NAME_BYTES)]
_Version = tuple[_Count, _Count, _Count]
_Place = Annotated[bytes, Meta(min_length=_PLACE.size, max_length=_PLACE.size)]


class _Facts(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    region: _Name
    domain: _Name
    capacity: Annotated[int, Meta(ge=0, le=2**32)]
    load_percent: Annotated[int, Meta(ge=0, le=1000)]
    services: Annotated[int, Meta(ge=0, le=2**32)]
    place: _Place
    api_port: Annotated[int, Meta(ge=0, le=65_535)]


class _Card(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    key: _Key
    address: _Address
    version: _Version
    left: bool
    facts: _Facts
    signature: _Signature


class _Accusation(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    accuser: _Key
    subject: _Key
    incarnation: _Count
    signature: _Signature


_News = Annotated[tuple[_Card | _Accusation, ...], Meta(max_length=16)]


class _Sketch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    region: _Name
    epoch: _Count
    registers: Annotated[bytes, Meta(min_length=REGISTERS, max_length=REGISTERS)]


class _Ping(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    seq: _Tag
    known: _Version
    doubted: bool
    news: _News
    sketch: _Sketch | None


class _Ack(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    seq: _Tag
    place: _Place
    token: _Tag
    news: _News
    sketch: _Sketch | None


class _PingRequest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3):
    seq: _Tag
    target: _Key
    address: _Address
    known: _Version
    doubted: bool
    token: _Tag


class _Relayed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4):
    seq: _Tag
    news: _News


class _Nack(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=5):
    seq: _Tag


class _Gossip(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=6):
    news: _News


class _Exchange(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=7):
    lines: Annotated[tuple[_Count, ...], Meta(max_length=LINES)]
    low: _Tag
    high: _Tag
    place: _Place
    token: _Tag


class _Delta(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=8):
    news: _News
    wants: Annotated[tuple[_Tag, ...], Meta(max_length=WANTS)]


_RawMessage = _Ping | _Ack | _PingRequest | _Relayed | _Nack | _Gossip | _Exchange | _Delta
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_RawMessage)


def encode(message: Message) -> bytes:
    """``message`` as the payload of a datagram. Raises :class:`LocalError` if it is larger than one can carry."""
    payload = bytes((VERSION,)) + _ENCODER.encode(_to_raw(message))
    if len(payload) > PAYLOAD_BYTES:
        raise LocalError(f"{len(payload)} bytes, more than the {PAYLOAD_BYTES} a datagram carries", where="membership")
    return payload


def decode(payload: bytes) -> Message:
    """The message in ``payload``. Raises :class:`RemoteError` if it is not one, or says what cannot be."""
    if len(payload) < 2 or payload[0] != VERSION:
        raise RemoteError("not a message of this version", where="membership")
    try:
        return _from_raw(_DECODER.decode(payload[1:]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RemoteError(f"not a valid message: {error}", where="membership") from error


def news_bytes(news: News) -> int:
    """The most that ``news`` takes on the wire."""
    if isinstance(news, Accusation):
        return _ACCUSATION_BYTES
    return _CARD_BYTES + len(news.facts.region.encode()) + len(news.facts.domain.encode())


def signed_bytes(news: News) -> bytes:
    """What the signature of ``news`` covers: all of it but the signature itself."""
    if isinstance(news, Accusation):
        return _ACCUSATION_CONTEXT + _ENCODER.encode(_pack_accusation(news, b""))
    return _CARD_CONTEXT + _ENCODER.encode(_pack_card(news, b""))


def checked(card: Card) -> Card:
    """The card as others will read it (coordinates lose digits). Raises :class:`LocalError` if they would refuse it."""
    try:
        return _unpack_card(_CARDS.decode(_ENCODER.encode(_pack_card(card, card.signature))))
    except (msgspec.DecodeError, RemoteError, ValueError, OverflowError) as error:
        raise LocalError(
            f"not a card others would accept: {error}", where="membership", fix="check the facts"
        ) from error


_CARDS = msgspec.msgpack.Decoder(_Card)


# From messages to what is encoded


def _to_raw(message: Message) -> _RawMessage:
    match message:
        case Ping():
            sketch = _pack_sketch(message.sketch)
            return _Ping(message.seq, message.known, message.doubted, _pack_news(message.news), sketch)
        case Ack():
            place = _pack_place(message.coordinate)
            return _Ack(message.seq, place, message.token, _pack_news(message.news), _pack_sketch(message.sketch))
        case PingRequest():
            target, address = raw_key(message.target), _pack_address(message.address)
            return _PingRequest(message.seq, target, address, message.known, message.doubted, message.token)
        case Relayed():
            return _Relayed(message.seq, _pack_news(message.news))
        case Nack():
            return _Nack(message.seq)
        case Gossip():
            return _Gossip(_pack_news(message.news))
        case Exchange():
            place = _pack_place(message.coordinate)
            return _Exchange(message.lines, message.low, message.high, place, message.token)
        case Delta():
            return _Delta(_pack_news(message.news), message.wants)


def _pack_news(news: tuple[News, ...]) -> tuple[_Card | _Accusation, ...]:
    return tuple(
        _pack_card(one, one.signature) if isinstance(one, Card) else _pack_accusation(one, one.signature)
        for one in news
    )


def _pack_card(card: Card, signature: bytes) -> _Card:
    facts = card.facts
    place = _pack_place(facts.coordinate)
    counts = (facts.capacity, facts.load_percent, facts.services)
    raw = _Facts(facts.region, facts.domain, *counts, place, facts.api_port)
    return _Card(raw_key(card.node), _pack_address(card.address), card.version, card.left, raw, signature)


def _pack_accusation(accusation: Accusation, signature: bytes) -> _Accusation:
    accuser, subject = raw_key(accusation.accuser), raw_key(accusation.subject)
    return _Accusation(accuser, subject, accusation.incarnation, signature)


def _pack_sketch(sketch: RegionSketch | None) -> _Sketch | None:
    return None if sketch is None else _Sketch(sketch.region, sketch.epoch, sketch.registers)


def _pack_place(coordinate: Coordinate) -> bytes:
    return _PLACE.pack(*coordinate.vec, coordinate.height_ms, coordinate.error, coordinate.adjustment_ms)


@lru_cache(maxsize=4096)
def _pack_address(address: Endpoint) -> bytes:
    return address.port.to_bytes(2, "big") + ipaddress.ip_address(address.host).packed


# And back


def _from_raw(raw: _RawMessage) -> Message:
    match raw:
        case _Ping():
            return Ping(raw.seq, raw.known, raw.doubted, _unpack_news(raw.news), _unpack_sketch(raw.sketch))
        case _Ack():
            place = _unpack_place(raw.place)
            return Ack(raw.seq, place, raw.token, _unpack_news(raw.news), _unpack_sketch(raw.sketch))
        case _PingRequest():
            target, address = node_of(raw.target), _unpack_address(raw.address)
            return PingRequest(raw.seq, target, address, raw.known, raw.doubted, raw.token)
        case _Relayed():
            return Relayed(raw.seq, _unpack_news(raw.news))
        case _Nack():
            return Nack(raw.seq)
        case _Gossip():
            return Gossip(_unpack_news(raw.news))
        case _Exchange():
            return Exchange(raw.lines, raw.low, raw.high, _unpack_place(raw.place), raw.token)
        case _Delta():
            return Delta(_unpack_news(raw.news), raw.wants)


def _unpack_news(news: tuple[_Card | _Accusation, ...]) -> tuple[News, ...]:
    return tuple(_unpack_card(one) if isinstance(one, _Card) else _unpack_accusation(one) for one in news)


def _unpack_card(raw: _Card) -> Card:
    facts = Facts(
        _name(raw.facts.region),
        _name(raw.facts.domain),
        raw.facts.capacity,
        raw.facts.load_percent,
        raw.facts.services,
        _unpack_place(raw.facts.place),
        raw.facts.api_port,
    )
    version: Version = raw.version
    return Card(node_of(raw.key), _unpack_address(raw.address), version, raw.left, facts, raw.signature)


def _unpack_accusation(raw: _Accusation) -> Accusation:
    return Accusation(node_of(raw.accuser), node_of(raw.subject), raw.incarnation, raw.signature)


def _unpack_sketch(raw: _Sketch | None) -> RegionSketch | None:
    return None if raw is None else RegionSketch(_name(raw.region), raw.epoch, raw.registers)


def _name(text: str) -> str:
    """A name, once it is seen that it takes no more room than is kept for one."""
    if len(text.encode()) > FACTS_NAME_BYTES:
        raise RemoteError(f"a name of more than {FACTS_NAME_BYTES} bytes", where="membership")
    return text


def _unpack_place(raw: bytes) -> Coordinate:
    *vec, height_ms, error, adjustment_ms = _PLACE.unpack(raw)
    coordinate = Coordinate(tuple(vec), height_ms, error, adjustment_ms)
    if not coordinate.valid():
        raise RemoteError("no coordinate can be there", where="membership")
    return coordinate


@lru_cache(maxsize=4096)
def _unpack_address(raw: bytes) -> Endpoint:
    """The address in ``raw``. Raises :class:`RemoteError` if no single machine can have it."""
    try:
        address = ipaddress.ip_address(raw[2:])
    except ValueError as error:
        raise RemoteError("not an address", where="membership") from error
    port = int.from_bytes(raw[:2], "big")
    if port == 0 or address.is_multicast or address.is_unspecified:
        raise RemoteError(f"no member can be at {address} port {port}", where="membership")
    return Endpoint(str(address), port)
