"""What goes into the DHT machine and what comes out."""

from typing import TypeAlias

import msgspec

from footloose.discovery.dht.records import Nearness, Record
from footloose.model.network import RouterId
from footloose.model.site import Endpoint


class Received(msgspec.Struct, frozen=True):
    """A datagram came."""

    datagram: bytes
    source: Endpoint


class Bootstrap(msgspec.Struct, frozen=True):
    """Addresses at which there may be nodes. They are tried again until they answer, and whenever they are lost."""

    endpoints: tuple[Endpoint, ...]


class Announce(msgspec.Struct, frozen=True):
    """This site is near these routers. They stay announced until withdrawn; a later word replaces an earlier one."""

    items: tuple[Nearness, ...]


class Withdraw(msgspec.Struct, frozen=True):
    """This site is not near these routers any more: let the announcements run out."""

    routers: tuple[RouterId, ...]


class LookUp(msgspec.Struct, frozen=True):
    """Find announcements about ``router``; answers carry the number ``lookup``."""

    lookup: int
    router: RouterId


class Abandon(msgspec.Struct, frozen=True):
    """Nobody waits for the look-up any more."""

    lookup: int


Event: TypeAlias = Received | Bootstrap | Announce | Withdraw | LookUp | Abandon


class SendDatagram(msgspec.Struct, frozen=True):
    """Send it, once, without waiting."""

    datagram: bytes
    to: Endpoint


class Found(msgspec.Struct, frozen=True):
    """A look-up came upon a record: checked, and newer than any it found of that node before.

    ``round_trips`` is how many requests led to it, each sent because of the one before; 0 if it is kept here.
    """

    lookup: int
    record: Record
    round_trips: int


class LookupDone(msgspec.Struct, frozen=True):
    """A look-up ended, having asked so many nodes and had so many answers, over so many round trips in a row."""

    lookup: int
    asked: int
    answers: int
    round_trips: int


class Joined(msgspec.Struct, frozen=True):
    """The nodes nearest to this one know it now. Comes again after each time it rejoins."""


Effect: TypeAlias = SendDatagram | Found | LookupDone | Joined
