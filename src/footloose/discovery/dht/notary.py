"""Who signs what a node says, and checks what others signed."""

from functools import lru_cache
from typing import Protocol

from footloose.core.identity import Identity
from footloose.discovery.dht.keys import SIGNATURE_BYTES, public_bytes, verify_raw


class Notary(Protocol):
    """Signs for one node. Its raw public key is ``public``; the node's place follows from that."""

    @property
    def public(self) -> bytes:
        """32 bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of this node's signature."""
        ...

    def verify(self, public_key: bytes, signature: bytes, message: bytes) -> None:
        """Raises :class:`footloose.core.errors.RemoteError` if ``public_key`` has not signed ``message`` so."""
        ...

    def verify_again(self, public_key: bytes, signature: bytes, message: bytes) -> None:
        """The same, for what may have been checked before."""
        ...


class IdentityNotary:
    """Signs as one identity."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self.public = public_bytes(identity)

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature."""
        return self._identity.sign(message)

    def verify(self, public_key: bytes, signature: bytes, message: bytes) -> None:
        """Each time anew: no two datagrams are the same."""
        verify_raw(public_key, signature, message)

    def verify_again(self, public_key: bytes, signature: bytes, message: bytes) -> None:
        """Remembers what fits: the same records come from many holders, look-up after look-up."""
        _verify_once(public_key, signature, message)


class TrustingNotary:
    """For simulations with thousands of nodes, none of which forges anything: blank signatures, no checks."""

    def __init__(self, public: bytes) -> None:
        self.public = public

    def sign(self, message: bytes) -> bytes:  # noqa: ARG002
        """Blank, and as long as any."""
        return bytes(SIGNATURE_BYTES)

    def verify(self, public_key: bytes, signature: bytes, message: bytes) -> None:
        """Takes their word."""

    def verify_again(self, public_key: bytes, signature: bytes, message: bytes) -> None:
        """Takes their word."""


@lru_cache(maxsize=8192)
def _verify_once(public_key: bytes, signature: bytes, message: bytes) -> None:
    verify_raw(public_key, signature, message)
