"""Identity is a key: a node id *is* an Ed25519 public key, so nobody has to certify it.

Source: RFC 8032 (Ed25519); the text form is RFC 4648 base32, lower case, without padding.
"""

import base64
import binascii
from typing import NewType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from footloose.core.errors import RemoteError

NodeId = NewType("NodeId", str)
"""52 characters of lower-case base32: the node's Ed25519 public key."""

SHORT_ID_CHARS = 16


class Identity:
    """A private key and the id that follows from it."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self.private_key = private_key
        self.node_id = node_id_of(private_key.public_key())

    @classmethod
    def generate(cls) -> "Identity":
        """A new identity from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> "Identity":
        """The identity of a 32-byte private seed (RFC 8032 §5.1.5)."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def seed(self) -> bytes:
        """The 32-byte private seed. Keep it secret."""
        return self.private_key.private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of ``message``."""
        return self.private_key.sign(message)


def node_id_of(public_key: Ed25519PublicKey) -> NodeId:
    """The text form of a public key."""
    return NodeId(base64.b32encode(public_key.public_bytes_raw()).decode().rstrip("=").lower())


def public_key_of(node_id: str) -> Ed25519PublicKey:
    """The key a node id stands for. Raises :class:`RemoteError` if it is not a well-formed id."""
    try:
        raw = base64.b32decode(node_id.upper() + "=" * (-len(node_id) % 8))
        key = Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError) as error:
        raise RemoteError(f"{node_id[:60]!r} is not a node id", fix="it must be 52 base32 characters") from error
    if node_id_of(key) != node_id:
        raise RemoteError(f"{node_id[:60]!r} is not a node id in its one canonical form")
    return key


def verify(node_id: str, signature: bytes, message: bytes) -> None:
    """Check that ``node_id`` signed ``message``. Raises :class:`RemoteError` if it did not."""
    try:
        public_key_of(node_id).verify(signature, message)
    except InvalidSignature as error:
        raise RemoteError("the signature does not fit the message", where=short(node_id)) from error


def short(node_id: str) -> str:
    """The first characters of an id, for people to read."""
    return node_id[:SHORT_ID_CHARS]
