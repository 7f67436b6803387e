"""Sealed datagrams: who sent one is proven, only the receiver can read it, and a copy of one is refused.

No handshake: both sides compute the same secret from their own private key and the other's node id. A node id is an
Ed25519 key; the X25519 key that belongs to it follows from the birational map of RFC 7748 §4.1 (the conversion that
libsodium has; its joint use with signatures is analysed in Thormarker, "On using the same key pair for Ed25519 and an
X25519 based KEM", 2021). From the secret and both ids HKDF (RFC 5869) makes one ChaCha20-Poly1305 key (RFC 8439) per
direction, so a datagram fits one sender and one receiver only and cannot be reflected.

The number in each datagram is the time it was sealed at, in microseconds, and never the same twice: it tells stale
datagrams, orders the replay window, and is the nonce, together with a salt drawn anew by each process.

A datagram for someone whose id is not known yet (only an address) is signed, not encrypted.

This gives no forward secrecy: who steals a node's key can read what was sent to it.
"""

import hashlib
import secrets
from collections.abc import Callable
from enum import Enum
from functools import lru_cache

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import Identity, NodeId, node_id_of, public_key_of
from footloose.core.limits import CLOCK_SKEW_S, DATAGRAM_BYTES, DATAGRAM_PEERS, DATAGRAM_STRANGERS_PER_S

VERSION = 1
_SEALED, _SIGNED = 0, 1
_KEY_BYTES, _SALT_BYTES, _NUMBER_BYTES, _TAG_BYTES, _SIGNATURE_BYTES = 32, 4, 8, 16, 64
_HEAD_BYTES = 2 + _KEY_BYTES + _SALT_BYTES + _NUMBER_BYTES
SEALED_OVERHEAD_BYTES = _HEAD_BYTES + _TAG_BYTES
SIGNED_OVERHEAD_BYTES = _HEAD_BYTES + _SIGNATURE_BYTES
PAYLOAD_BYTES = DATAGRAM_BYTES - SIGNED_OVERHEAD_BYTES
"""The largest payload that fits either way."""
_CONTEXT = b"footloose/datagram/1\n"
_WINDOW = 128
"""Numbers of one sender remembered; anything older than all of them is refused."""
_SPARED = 16
"""Members looked past at a time for a stranger to make room."""


class Drop(Enum):
    """Why a datagram was not opened."""

    OVERSIZED = "oversized"
    GARBAGE = "garbage"
    REFLECTED = "reflected"
    STALE = "stale"
    FORGED = "forged"
    """Not by who it says, not for this node, or changed on the way: sealing cannot tell them apart."""
    REPLAYED = "replayed"
    BUSY = "busy"
    """From one more stranger than this node gets to know per second."""


class DatagramRefused(RemoteError):
    """A datagram that is not acted upon; ``drop`` says why."""

    def __init__(self, drop: Drop, what: str) -> None:
        super().__init__(what, where="datagram")
        self.drop = drop


class Opened(msgspec.Struct, frozen=True):
    """What was in a datagram. ``addressed``: it was sealed for this node, not merely signed."""

    sender: NodeId
    payload: bytes
    addressed: bool


class _Window:
    """Which numbers of one sender were seen (as RFC 4303 §3.4.3, over times instead of a count)."""

    __slots__ = ("_floor", "_seen")

    def __init__(self) -> None:
        self._floor = 0
        self._seen: dict[int, None] = {}

    def has(self, number: int) -> bool:
        return number <= self._floor or number in self._seen

    def add(self, number: int) -> None:
        self._seen[number] = None
        if len(self._seen) > _WINDOW:
            oldest = next(iter(self._seen))
            del self._seen[oldest]
            self._floor = max(self._floor, oldest)


class _Peer:
    """What is kept of one other node. The ciphers are None until something sealed goes either way."""

    __slots__ = ("opener", "sealer", "window")

    def __init__(self) -> None:
        self.window = _Window()
        self.sealer: ChaCha20Poly1305 | None = None
        self.opener: ChaCha20Poly1305 | None = None


class Datagrams:
    """Seals and opens the datagrams of one node. ``spare`` tells which senders' windows are worth keeping.

    At most so many peers are kept as :mod:`footloose.core.limits` says, the least recently heard go first. A copy of
    what a peer sent that was dropped meanwhile passes once, while it is not yet stale.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        spare: Callable[[NodeId], bool] = lambda _: False,
        peers: int = DATAGRAM_PEERS,
        strangers_per_s: float = DATAGRAM_STRANGERS_PER_S,
    ) -> None:
        self._identity = identity
        self._public = identity.private_key.public_key().public_bytes_raw()
        self._private = X25519PrivateKey.from_private_bytes(hashlib.sha512(identity.seed()).digest()[:_KEY_BYTES])
        self._salt = secrets.token_bytes(_SALT_BYTES)
        self._number = 0
        self._spare = spare
        self._most = peers
        self._peers: dict[bytes, _Peer] = {}
        self._strangers_per_s = strangers_per_s
        self._turns, self._turns_at = strangers_per_s, float("-inf")

    def __len__(self) -> int:
        return len(self._peers)

    def seal(self, payload: bytes, to: NodeId | None, now: float) -> bytes:
        """A datagram with ``payload`` for ``to``; signed but readable by all if that is None.

        Raises :class:`LocalError` if it is too large, :class:`RemoteError` if ``to`` is no node id.
        """
        if len(payload) > PAYLOAD_BYTES:
            raise LocalError(f"a payload of {len(payload)} bytes, more than {PAYLOAD_BYTES}", where="datagram")
        self._number = max(self._number + 1, int(now * 1e6))
        kind = _SIGNED if to is None else _SEALED
        number = self._number.to_bytes(_NUMBER_BYTES, "big")
        head = bytes((VERSION, kind)) + self._public + self._salt + number
        if to is None:
            return head + self._identity.sign(_CONTEXT + head + payload) + payload
        key = raw_key(to)
        peer = self._peers.get(key)
        if peer is None:
            peer = self._keep(key, _Peer())
        if peer.sealer is None:
            self._agree(key, peer)
        assert peer.sealer is not None  # noqa: S101  set by the line above
        return head + peer.sealer.encrypt(self._salt + number, payload, head)

    def open(self, datagram: bytes, now: float) -> Opened:
        """What is in ``datagram``. Raises :class:`DatagramRefused`; cheap reasons are looked for before costly ones."""
        if len(datagram) > DATAGRAM_BYTES:
            raise DatagramRefused(Drop.OVERSIZED, f"{len(datagram)} bytes, more than {DATAGRAM_BYTES}")
        if len(datagram) < SEALED_OVERHEAD_BYTES or datagram[0] != VERSION or datagram[1] not in (_SEALED, _SIGNED):
            raise DatagramRefused(Drop.GARBAGE, "not a datagram of this version")
        key = datagram[2 : 2 + _KEY_BYTES]
        if key == self._public:
            raise DatagramRefused(Drop.REFLECTED, "one of our own")
        number = int.from_bytes(datagram[_HEAD_BYTES - _NUMBER_BYTES : _HEAD_BYTES], "big")
        if abs(now - number / 1e6) > CLOCK_SKEW_S:
            raise DatagramRefused(Drop.STALE, "sealed too long ago, or by a clock that is wrong")
        peer = self._peers.get(key)
        if peer is None:
            self._take_turn(now)
            peer = _Peer()
        elif peer.window.has(number):
            raise DatagramRefused(Drop.REPLAYED, "opened before, or older than those that were")
        sealed = datagram[1] == _SEALED
        payload = self._decrypt(key, peer, datagram) if sealed else _verified(key, datagram)
        peer.window.add(number)
        self._peers.pop(key, None)
        self._keep(key, peer)
        return Opened(node_of(key), payload, sealed)

    def _decrypt(self, key: bytes, peer: _Peer, datagram: bytes) -> bytes:
        try:
            if peer.opener is None:
                self._agree(key, peer)
            assert peer.opener is not None  # noqa: S101  set by the line above
            nonce = datagram[_HEAD_BYTES - _NUMBER_BYTES - _SALT_BYTES : _HEAD_BYTES]
            return peer.opener.decrypt(nonce, datagram[_HEAD_BYTES:], datagram[:_HEAD_BYTES])
        except (InvalidTag, RemoteError) as error:
            raise DatagramRefused(Drop.FORGED, "does not fit its sender and this receiver") from error

    def _agree(self, key: bytes, peer: _Peer) -> None:
        """Compute both ciphers for a peer. Raises :class:`RemoteError` if there is none such."""
        try:
            secret = self._private.exchange(X25519PublicKey.from_public_bytes(x25519_public(key)))
        except ValueError as error:
            raise RemoteError("no node can have this key", where="datagram") from error
        peer.sealer = _cipher(secret, self._public, key)
        peer.opener = _cipher(secret, key, self._public)

    def _take_turn(self, now: float) -> None:
        passed_s = max(0.0, now - self._turns_at)
        self._turns = min(self._strangers_per_s, self._turns + passed_s * self._strangers_per_s)
        self._turns_at = now
        if self._turns < 1:
            raise DatagramRefused(Drop.BUSY, "too many strangers at a time")
        self._turns -= 1

    def _keep(self, key: bytes, peer: _Peer) -> _Peer:
        self._peers[key] = peer
        for _ in range(_SPARED):
            if len(self._peers) <= self._most:
                return peer
            oldest = next(iter(self._peers))
            kept = self._peers.pop(oldest)
            if oldest == key or self._spare(node_of(oldest)):
                self._peers[oldest] = kept
        if len(self._peers) > self._most:
            del self._peers[next(iter(self._peers))]
        return peer


def _cipher(secret: bytes, sender: bytes, receiver: bytes) -> ChaCha20Poly1305:
    key = HKDF(SHA256(), _KEY_BYTES, salt=None, info=_CONTEXT + sender + receiver).derive(secret)
    return ChaCha20Poly1305(key)


def _verified(key: bytes, datagram: bytes) -> bytes:
    """The payload of a signed datagram, once its signature is seen to fit."""
    signature, payload = datagram[_HEAD_BYTES:SIGNED_OVERHEAD_BYTES], datagram[SIGNED_OVERHEAD_BYTES:]
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, _CONTEXT + datagram[:_HEAD_BYTES] + payload)
    except (InvalidSignature, ValueError) as error:
        raise DatagramRefused(Drop.FORGED, "the signature does not fit") from error
    return payload


_P = 2**255 - 19


def x25519_public(public_key: bytes) -> bytes:
    """The X25519 public key of an Ed25519 one: u = (1 + y) / (1 - y) (RFC 7748 §4.1). Raises :class:`ValueError`."""
    y = int.from_bytes(public_key, "little") & ((1 << 255) - 1)
    return ((1 + y) * pow(1 - y, -1, _P) % _P).to_bytes(_KEY_BYTES, "little")


@lru_cache(maxsize=8192)
def node_of(key: bytes) -> NodeId:
    """The node id of a raw public key."""
    return node_id_of(Ed25519PublicKey.from_public_bytes(key))


@lru_cache(maxsize=8192)
def raw_key(node: NodeId) -> bytes:
    """The raw public key that a node id stands for. Raises :class:`RemoteError` if it stands for none."""
    return public_key_of(node).public_bytes_raw()
