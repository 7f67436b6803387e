"""What members send each other, as the machine sees it: opened, checked, and known from whom."""

from typing import TypeAlias

import msgspec

from footloose.core.identity import NodeId
from footloose.membership.card import NO_VERSION, News, Version
from footloose.model.site import Endpoint
from footloose.topology.coordinates import Coordinate


class RegionSketch(msgspec.Struct, frozen=True, gc=False):
    """What is known of a region's sums in one epoch; see :mod:`footloose.membership.regions`."""

    region: str
    epoch: int
    registers: bytes


class Ping(msgspec.Struct, frozen=True, gc=False):
    """Are you there? ``known`` is your newest card that I have; ``doubted``: you are held for silent."""

    seq: int
    known: Version = NO_VERSION
    doubted: bool = False
    news: tuple[News, ...] = ()
    sketch: RegionSketch | None = None


class Ack(msgspec.Struct, frozen=True, gc=False):
    """I am, and my coordinate is this.

    ``token``, if not 0, shows for a while that its receiver is at the address it was sent to; requests that cost more
    than they weigh must carry it, so that nobody can have the answers sent to somebody else.
    """

    seq: int
    coordinate: Coordinate
    token: int = 0
    news: tuple[News, ...] = ()
    sketch: RegionSketch | None = None


class PingRequest(msgspec.Struct, frozen=True, gc=False):
    """Try ``target`` for me, it does not answer."""

    seq: int
    target: NodeId
    address: Endpoint
    known: Version = NO_VERSION
    doubted: bool = False
    token: int = 0


class Relayed(msgspec.Struct, frozen=True, gc=False):
    """The one you asked me to try answers."""

    seq: int
    news: tuple[News, ...] = ()


class Nack(msgspec.Struct, frozen=True, gc=False):
    """I am there, but the one you asked me to try does not answer so far (Lifeguard §IV.A)."""

    seq: int


class Gossip(msgspec.Struct, frozen=True, gc=False):
    """News, and nothing else."""

    news: tuple[News, ...]


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """These are the live members I know whose tags are from ``low`` to ``high``; what do you know of them?

    A line is a member's tag and a check of its card's incarnation, 32 bits each. ``coordinate`` is the sender's: it can
    be told of members near it.
    """

    lines: tuple[int, ...]
    low: int
    high: int
    coordinate: Coordinate
    token: int = 0


class Delta(msgspec.Struct, frozen=True, gc=False):
    """What you do not know, and the tags of what I should like to be told."""

    news: tuple[News, ...]
    wants: tuple[int, ...] = ()


Message: TypeAlias = Ping | Ack | PingRequest | Relayed | Nack | Gossip | Exchange | Delta
