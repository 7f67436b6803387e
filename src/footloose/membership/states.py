"""What a site takes another to be. Cut off is not dead (design rule 6): its own word ends a member, or long silence."""

from enum import Enum

from footloose.core.table import TransitionTable


class MemberState(Enum):
    """What this site takes a member to be."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    """It did not answer somebody. It has a while to say that it is there."""
    UNREACHABLE = "unreachable"
    """It did not answer for so long that nobody should be sent there. What it runs is presumed to go on."""
    DEAD = "dead"
    """It was unreachable for so long that it is forgotten, or a later run of the same site took its place."""
    LEFT = "left"
    """It said that it leaves."""


class MemberEvent(Enum):
    """What can happen to a member."""

    ACCUSED = "accused"
    SILENT = "silent"
    REFUTED = "refuted"
    SAID_GOODBYE = "said goodbye"
    REPLACED = "replaced"
    FORGOTTEN = "forgotten"
    RETURNED = "returned"


_S, _E = MemberState, MemberEvent

MEMBER = TransitionTable(
    "member",
    {
        (_S.ALIVE, _E.ACCUSED): _S.SUSPECT,
        (_S.SUSPECT, _E.REFUTED): _S.ALIVE,
        (_S.SUSPECT, _E.SILENT): _S.UNREACHABLE,
        (_S.UNREACHABLE, _E.REFUTED): _S.ALIVE,
        (_S.UNREACHABLE, _E.FORGOTTEN): _S.DEAD,
        (_S.ALIVE, _E.REPLACED): _S.DEAD,
        (_S.SUSPECT, _E.REPLACED): _S.DEAD,
        (_S.UNREACHABLE, _E.REPLACED): _S.DEAD,
        (_S.ALIVE, _E.SAID_GOODBYE): _S.LEFT,
        (_S.SUSPECT, _E.SAID_GOODBYE): _S.LEFT,
        (_S.UNREACHABLE, _E.SAID_GOODBYE): _S.LEFT,
        (_S.DEAD, _E.SAID_GOODBYE): _S.LEFT,
        (_S.DEAD, _E.RETURNED): _S.ALIVE,
        (_S.LEFT, _E.RETURNED): _S.ALIVE,
    },
)
"""Every member a site hears of for the first time begins alive."""

LIVE = frozenset({MemberState.ALIVE, MemberState.SUSPECT})
"""States in which a member is probed and may be dealt with."""
