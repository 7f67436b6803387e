"""What an HTTP connection may turn into."""

import asyncio
from typing import Protocol

import msgspec


class Successor(Protocol):
    """Takes over a transport once the opening handshake is sent."""

    def attach(self, transport: asyncio.Transport, data: bytes) -> None:
        """Speak over ``transport`` from now on; ``data`` is what has come already."""
        ...

    def abandon(self) -> None:
        """The user went away before that."""
        ...


class Accepted(msgspec.Struct, frozen=True):
    """The upgrade is granted: send ``handshake``, then let ``successor`` attach."""

    handshake: bytes
    successor: Successor
