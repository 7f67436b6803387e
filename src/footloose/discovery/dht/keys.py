"""The space of 256-bit keys that nodes and records share (Kademlia §2.1)."""

import hashlib
from functools import lru_cache
from typing import NewType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from footloose.core.errors import RemoteError
from footloose.core.identity import Identity, NodeId, node_id_of

Key = NewType("Key", int)
"""A point of the key space. The distance between two is their exclusive or."""

KEY_BYTES = 32
KEY_BITS = 8 * KEY_BYTES
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


def key_of(router: str) -> Key:
    """Where announcements about ``router`` are kept."""
    return _digest(router.encode())


def node_key(public_key: bytes) -> Key:
    """Where a node stands. The digest of its public key, so that nobody can choose a place."""
    return _digest(public_key)


def key_bytes(key: Key) -> bytes:
    """``key`` as it goes on the wire."""
    return key.to_bytes(KEY_BYTES, "big")


def key_from(raw: bytes) -> Key:
    """The key that ``raw`` (32 bytes) stands for."""
    return Key(int.from_bytes(raw, "big"))


def public_bytes(identity: Identity) -> bytes:
    """The raw public key of ``identity``."""
    return identity.private_key.public_key().public_bytes_raw()


def verify_raw(public_key: bytes, signature: bytes, message: bytes) -> None:
    """Check a signature by a raw public key. Raises :class:`RemoteError` if it does not fit."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise RemoteError("the signature does not fit") from error


@lru_cache(maxsize=4096)
def node_id_from(public_key: bytes) -> NodeId:
    """The node id of a raw public key."""
    return node_id_of(Ed25519PublicKey.from_public_bytes(public_key))


def _digest(content: bytes) -> Key:
    return key_from(hashlib.sha256(content).digest())
