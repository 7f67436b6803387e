"""What goes into the membership machine, what comes out, and what it shows of a member."""

from enum import Enum
from typing import TypeAlias

import msgspec

from footloose.core.identity import NodeId
from footloose.membership.card import Facts
from footloose.membership.messages import Message
from footloose.membership.states import MemberState
from footloose.model.site import Endpoint


class Received(msgspec.Struct, frozen=True, gc=False):
    """A message came. ``sender`` is proven. ``addressed``: it was meant for this node and nobody else could read it."""

    message: Message
    sender: NodeId
    source: Endpoint
    addressed: bool = True


class Join(msgspec.Struct, frozen=True, gc=False):
    """Addresses at which there may be members. They are tried until they answer, and again when they are lost."""

    seeds: tuple[Endpoint, ...]


class Met(msgspec.Struct, frozen=True, gc=False):
    """Somebody was met who is a member at ``address``: it is tried until it answers, or many others were met since."""

    address: Endpoint


class UpdateFacts(msgspec.Struct, frozen=True, gc=False):
    """The site's facts are these now; its coordinate it knows itself. Small changes are told later, together."""

    load_percent: int
    capacity: int
    services: int


class Watch(msgspec.Struct, frozen=True, gc=False):
    """This site deals with ``node``: keep it in view. It is looked for at ``address`` if that is known."""

    node: NodeId
    address: Endpoint | None = None


class Unwatch(msgspec.Struct, frozen=True, gc=False):
    """No longer."""

    node: NodeId


class Leave(msgspec.Struct, frozen=True, gc=False):
    """Say goodbye and stop."""


Event: TypeAlias = Received | Join | Met | UpdateFacts | Watch | Unwatch | Leave


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send it once, sealed for ``to``; signed only if that is None."""

    message: Message
    to: NodeId | None
    address: Endpoint


class Changed(msgspec.Struct, frozen=True, gc=False):
    """``node`` is taken to be ``after`` now; ``before`` is None if it came into view."""

    node: NodeId
    before: MemberState | None
    after: MemberState
    reason: str


class Released(msgspec.Struct, frozen=True, gc=False):
    """``node`` is no longer in view: there was no room for it, or it is gone for so long that it is forgotten."""

    node: NodeId


class Conflict(msgspec.Struct, frozen=True, gc=False):
    """Two processes run with the identity ``node`` at once, one of them lately at ``address``."""

    node: NodeId
    address: Endpoint


class Joined(msgspec.Struct, frozen=True, gc=False):
    """The first other member answered, or the first again after all were lost."""


class Departed(msgspec.Struct, frozen=True, gc=False):
    """Goodbye is said; nothing more will come."""


Effect: TypeAlias = Send | Changed | Released | Conflict | Joined | Departed


class MemberView(msgspec.Struct, frozen=True, gc=False):
    """A member as this site sees it. ``since`` is when it came to be in this state, in seconds.

    ``rtt_ms`` is measured, or None; ``near``: it is one of the nearest, so its facts are up to date.
    """

    node: NodeId
    address: Endpoint
    state: MemberState
    since: float
    facts: Facts
    rtt_ms: float | None
    near: bool
    watched: bool


class Drop(Enum):
    """Why a message, or something in it, was not acted upon."""

    UNSIGNED = "unsigned"
    """Its signature is not that of who is said to say it."""
    UNEXPECTED = "unexpected"
    """An answer nobody asked for, or from somebody else."""
    UNPROVEN = "unproven"
    """Asked for more than someone may who has not yet answered at its address."""
    IMPOSSIBLE = "impossible"
    """A coordinate, a round trip or a sum that cannot be."""
