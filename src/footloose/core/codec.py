"""Bytes on the wire: JSON checked against types at the boundary, and signed envelopes.

A :class:`Signed` carries the very bytes that were signed, so verifying needs no canonical form.
"""

from typing import TypeVar

import msgspec

from footloose.core.errors import LimitExceeded, RemoteError
from footloose.core.identity import Identity, NodeId, verify
from footloose.core.limits import MESSAGE_BYTES

T = TypeVar("T")


def encode(value: object) -> bytes:
    """``value`` as compact JSON, keys sorted."""
    return msgspec.json.encode(value, order="sorted")


def decode(data: bytes, kind: type[T], *, where: str = "message", limit: int = MESSAGE_BYTES) -> T:
    """``data`` as a ``kind``. Raises :class:`RemoteError` naming the field that is wrong."""
    if len(data) > limit:
        raise LimitExceeded(f"{len(data)} bytes, more than the {limit} allowed", where=where)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteError(f"not a valid {kind.__name__}: {error}", where=where) from error


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes with the id and signature of who vouches for them. ``kind`` keeps one type from passing as another."""

    kind: str
    payload: bytes
    signer: NodeId
    signature: bytes


def sign(value: object, identity: Identity) -> Signed:
    """``value`` encoded and signed."""
    kind = type(value).__name__
    payload = encode(value)
    return Signed(kind, payload, identity.node_id, identity.sign(_signed_bytes(kind, payload)))


def open_signed(envelope: Signed, kind: type[T], *, where: str = "record") -> T:
    """The value inside, once its signature is checked. Raises :class:`RemoteError` if anything does not fit."""
    if envelope.kind != kind.__name__:
        raise RemoteError(f"a signed {envelope.kind[:40]!r} where a {kind.__name__} was wanted", where=where)
    verify(envelope.signer, envelope.signature, _signed_bytes(envelope.kind, envelope.payload))
    return decode(envelope.payload, kind, where=where)


def _signed_bytes(kind: str, payload: bytes) -> bytes:
    return b"footloose/1 " + kind.encode() + b"\n" + payload
