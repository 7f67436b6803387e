"""A node of the DHT and where it is reached."""

import ipaddress
from functools import lru_cache

import msgspec

from footloose.core.errors import RemoteError
from footloose.discovery.dht.keys import KEY_BYTES, Key, key_bytes, key_from
from footloose.model.site import Endpoint

REMEMBERED = 16_384
"""Contacts whose packed form is remembered, in each direction: most are met again and again."""
_PORT_BYTES = 2


class Contact(msgspec.Struct, frozen=True, gc=False):
    """A node's key and its address."""

    key: Key
    address: Endpoint

    @property
    def ip_version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.address.host else 4


@lru_cache(maxsize=REMEMBERED)
def pack(contact: Contact) -> bytes:
    """``contact`` as it goes on the wire: key, port, address."""
    address = ipaddress.ip_address(contact.address.host).packed
    return key_bytes(contact.key) + contact.address.port.to_bytes(_PORT_BYTES, "big") + address


@lru_cache(maxsize=REMEMBERED)
def unpack(raw: bytes) -> Contact:
    """The contact in ``raw``. Raises :class:`RemoteError` if it cannot be the address of a single machine."""
    try:
        address = ipaddress.ip_address(raw[KEY_BYTES + _PORT_BYTES :])
    except ValueError as error:
        raise RemoteError("not a contact", where="DHT reply") from error
    port = int.from_bytes(raw[KEY_BYTES : KEY_BYTES + _PORT_BYTES], "big")
    if port == 0 or address.is_multicast or address.is_unspecified:
        raise RemoteError(f"no node can be at {address} port {port}", where="DHT reply")
    return Contact(key_from(raw[:KEY_BYTES]), Endpoint(str(address), port))
