"""Datagrams between DHT nodes: one version byte, the sender's public key, its signature, and what it says.

Every datagram is signed, names its receiver where the sender knows it, and carries a random request id and the time.
All knowledge of the framing is here, so that encryption can be added without touching the rest.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from footloose.core.errors import LocalError, RemoteError
from footloose.core.limits import CLOCK_SKEW_S, DATAGRAM_BYTES, DHT_RECORD_BYTES
from footloose.discovery.dht.keys import (
    KEY_BYTES,
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    Key,
    key_bytes,
    key_from,
    node_key,
)
from footloose.discovery.dht.notary import Notary

VERSION = 1
HEAD_BYTES = 1 + PUBLIC_KEY_BYTES + SIGNATURE_BYTES
RPC_BYTES = 8
TOKEN_BYTES = 8
REQUEST_BYTES = DATAGRAM_BYTES // 3
"""Length that requests with long answers are padded to, so that no answer is much longer than its request."""
_CONTEXT = b"footloose/dht/datagram/1\n"

RawKey = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
RawRecord = Annotated[bytes, Meta(max_length=DHT_RECORD_BYTES)]
RawContact = Annotated[bytes, Meta(max_length=KEY_BYTES + 18)]
Token = Annotated[bytes, Meta(min_length=TOKEN_BYTES, max_length=TOKEN_BYTES)]


class Ping(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """Are you there?"""


class FindNode(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    """Which nodes are nearest ``target``?"""

    target: RawKey


class FindValue(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3):
    """Which announcements have you at ``target``, and which nodes are nearest to it?"""

    target: RawKey


class Store(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4):
    """Keep these. ``token`` is one the receiver gave to this address."""

    token: Token
    records: Annotated[tuple[RawRecord, ...], Meta(max_length=8)]


class Pong(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=5):
    """I am. ``token`` allows this address to store here for a while."""

    token: Token


class Nearest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=6):
    """What was asked for: records by RTT, contacts by distance, as many as fit."""

    token: Token
    records: Annotated[tuple[RawRecord, ...], Meta(max_length=16)] = ()
    contacts: Annotated[tuple[RawContact, ...], Meta(max_length=32)] = ()


class Stored(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=7):
    """How many of the records are kept."""

    kept: Annotated[int, Meta(ge=0, le=8)]


Request: TypeAlias = Ping | FindNode | FindValue | Store
Reply: TypeAlias = Pong | Nearest | Stored


class _Content(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    rpc: Annotated[bytes, Meta(min_length=RPC_BYTES, max_length=RPC_BYTES)]
    to: Annotated[bytes, Meta(max_length=KEY_BYTES)]
    sent_at: float
    body: Ping | FindNode | FindValue | Store | Pong | Nearest | Stored
    padding: bytes = b""


class Drop(Enum):
    """Why a datagram, or a record in it, was not acted upon."""

    OVERSIZED = "oversized"
    GARBAGE = "garbage"
    FORGED = "forged"
    STALE = "stale"
    REFLECTED = "reflected"
    MISADDRESSED = "misaddressed"
    REPLAYED = "replayed"
    UNEXPECTED = "unexpected"
    UNINVITED = "uninvited"
    """A store without a token this node gave to that address."""
    OVER_QUOTA = "over quota"
    BAD_RECORD = "bad record"


class Refused(RemoteError):
    """A datagram that is not acted upon; ``drop`` says why."""

    def __init__(self, drop: Drop, what: str) -> None:
        super().__init__(what, where="DHT datagram")
        self.drop = drop


class Message(msgspec.Struct, frozen=True):
    """A datagram that was checked: ``sender`` is the raw public key that signed it."""

    sender: bytes
    rpc: bytes
    addressed: bool
    body: Request | Reply


class Framing:
    """Makes and reads the datagrams of one node."""

    def __init__(self, notary: Notary) -> None:
        self._notary = notary
        self._public = notary.public
        self.key = node_key(self._public)

    def seal(self, body: Request | Reply, rpc: bytes, to: Key | None, now: float) -> bytes:
        """A signed datagram, padded if its answer may be long. Raises :class:`LocalError` if it is too large."""
        receiver = key_bytes(to) if to is not None else b""
        content = _ENCODER.encode(_Content(rpc, receiver, now, body))
        if isinstance(body, FindNode | FindValue):
            missing = max(0, REQUEST_BYTES - HEAD_BYTES - len(content))
            content = _ENCODER.encode(_Content(rpc, receiver, now, body, bytes(missing)))
        head = bytes([VERSION]) + self._public
        datagram = head + self._notary.sign(_CONTEXT + head + content) + content
        if len(datagram) > DATAGRAM_BYTES:
            raise LocalError(f"a datagram of {len(datagram)} bytes, more than {DATAGRAM_BYTES}", where="DHT")
        return datagram

    def open(self, datagram: bytes, now: float) -> Message:
        """The message in ``datagram``. Raises :class:`Refused`; cheap reasons are looked for before costly ones."""
        if len(datagram) > DATAGRAM_BYTES:
            raise Refused(Drop.OVERSIZED, f"{len(datagram)} bytes, more than {DATAGRAM_BYTES}")
        if len(datagram) <= HEAD_BYTES or datagram[0] != VERSION:
            raise Refused(Drop.GARBAGE, "not a datagram of this version")
        public = datagram[1 : 1 + PUBLIC_KEY_BYTES]
        if public == self._public:
            raise Refused(Drop.REFLECTED, "one of our own")
        content = self._decode(datagram[HEAD_BYTES:])
        if not abs(now - content.sent_at) <= CLOCK_SKEW_S:
            raise Refused(Drop.STALE, "sent too long ago, or by a clock that is wrong")
        if content.to and key_from(content.to) != self.key:
            raise Refused(Drop.MISADDRESSED, "meant for another node")
        try:
            signed = _CONTEXT + datagram[: 1 + PUBLIC_KEY_BYTES] + datagram[HEAD_BYTES:]
            self._notary.verify(public, datagram[1 + PUBLIC_KEY_BYTES : HEAD_BYTES], signed)
        except RemoteError as error:
            raise Refused(Drop.FORGED, error.what) from error
        return Message(public, content.rpc, bool(content.to), content.body)

    def _decode(self, raw: bytes) -> _Content:
        try:
            content = _DECODER.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refused(Drop.GARBAGE, f"not a valid message: {error}") from error
        if len(content.to) not in (0, KEY_BYTES):
            raise Refused(Drop.GARBAGE, "the receiver's key is cut short")
        return content


def fit(
    records: tuple[bytes, ...], contacts: tuple[bytes, ...], datagram_bytes: int
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """As many records as fit after the four nearest contacts, then further contacts, for one answer's datagram."""
    room = datagram_bytes - _EMPTY_ANSWER_BYTES
    first, room = _take(contacts[:4], room)
    values, room = _take(records[:16], room)
    more, _ = _take(contacts[len(first) :][:16] if len(first) == len(contacts[:4]) else (), room)
    return values, first + more


def batches(records: Iterable[bytes]) -> list[tuple[bytes, ...]]:
    """``records`` in as many groups as it takes for each to fit into one :class:`Store`."""
    left, groups = tuple(records), []
    while left:
        group, _ = _take(left[:8], DATAGRAM_BYTES - _EMPTY_ANSWER_BYTES)
        groups.append(group)
        left = left[len(group) :]
    return groups


def _take(items: tuple[bytes, ...], room: int) -> tuple[tuple[bytes, ...], int]:
    taken = 0
    for item in items:
        cost = len(item) + (2 if len(item) < 256 else 3)
        if cost > room:
            break
        room -= cost
        taken += 1
    return items[:taken], room


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Content)
_EMPTY_ANSWER = _Content(bytes(RPC_BYTES), bytes(KEY_BYTES), 0.0, Nearest(bytes(TOKEN_BYTES)))
# Long lists have longer headers than the empty ones: up to 2 bytes more each.
_EMPTY_ANSWER_BYTES = HEAD_BYTES + len(_ENCODER.encode(_EMPTY_ANSWER)) + 4
