"""What the owner of a testbed and its router process say to each other: one line of JSON at a time."""

import msgspec

from footloose.core.errors import LocalError
from footloose.testbed.fabric import Counters
from footloose.testbed.topology import Link, Topology

LINE_BYTES = 16 * 1024 * 1024
"""Longest line: a topology of the largest size fits several times."""


class Setup(msgspec.Struct, frozen=True):
    """First line to the router process. ``tun`` and ``root`` are False to do without even where they can be had."""

    topology: Topology
    tun: bool = True
    root: bool = True


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Its answer. ``networks`` are its descriptors of the hosts' namespaces, by host.

    ``own_users`` says that it lives in a user namespace of its own, since it is not the machine's root; ``lead_us`` is
    how much earlier it wakes, because timers here are late; ``remarks`` what could not be set.
    """

    process: int
    networks: dict[str, int]
    tun: bool
    own_users: bool
    realtime: bool
    lead_us: float
    remarks: tuple[str, ...] = ()


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It could not be done."""

    what: str
    fix: str | None = None

    def error(self, where: str) -> LocalError:
        """The same as an error to raise."""
        return LocalError(self.what, where=where, fix=self.fix)


class Done(msgspec.Struct, frozen=True, tag=True):
    """It is done. A socket comes beside the line."""

    counters: Counters | None = None


class Cut(msgspec.Struct, frozen=True, tag=True):
    """Take links out, all at once."""

    links: tuple[tuple[str, str], ...]


class Heal(msgspec.Struct, frozen=True, tag=True):
    """Put links back, all at once."""

    links: tuple[tuple[str, str], ...]


class Change(msgspec.Struct, frozen=True, tag=True):
    """Give a link other figures."""

    link: Link


class OpenSocket(msgspec.Struct, frozen=True, tag=True):
    """Open a socket inside a host."""

    host: str
    family: int
    kind: int
    protocol: int = 0


class Count(msgspec.Struct, frozen=True, tag=True):
    """Tell what became of packets."""


Request = Cut | Heal | Change | OpenSocket | Count
Answer = Done | Failed
