"""When to call the parent's relay: a sans-IO machine with capped exponential backoff and jitter."""

from collections.abc import Sequence
from enum import Enum
from random import Random

from footloose.core.limits import RELAY_RETRY_S
from footloose.core.table import TransitionTable

_FIRST_RETRY_S = 0.2


class State(Enum):
    """Where the link to the parent stands."""

    CALLING = "calling"
    JOINED = "joined"
    WAITING = "waiting"


class Event(Enum):
    """What can happen to it."""

    ACCEPTED = "accepted"
    LOST = "lost"
    DUE = "due"


class Effect(Enum):
    """What the shell has to do."""

    CALL = "call"


UPLINK_TABLE = TransitionTable(
    "uplink",
    {
        (State.WAITING, Event.DUE): State.CALLING,
        (State.CALLING, Event.ACCEPTED): State.JOINED,
        (State.CALLING, Event.LOST): State.WAITING,
        (State.JOINED, Event.LOST): State.WAITING,
    },
)


class Uplink:
    """One copy's link to its parent. It wants to be woken at once after it is made."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.state = State.WAITING
        self._due = 0.0
        self._retry_s = _FIRST_RETRY_S
        self._joined_at = 0.0

    def receive(self, event: Event, now: float) -> Sequence[Effect]:
        """Take what happened at ``now`` (seconds)."""
        before, self.state = self.state, UPLINK_TABLE.next(self.state, event)
        if event is Event.ACCEPTED:
            self._joined_at = now
        elif event is Event.LOST:
            self._lost(before, now)
        return [Effect.CALL] if self.state is State.CALLING else []

    def _lost(self, before: State, now: float) -> None:
        if before is State.JOINED and now - self._joined_at > RELAY_RETRY_S:
            self._retry_s = _FIRST_RETRY_S
        # Half of it is random, so that all copies of a parent that came back do not call at the same moment.
        self._due = now + self._retry_s * self._random.uniform(0.5, 1.0)
        self._retry_s = min(RELAY_RETRY_S, self._retry_s * 2)

    def wake(self, now: float) -> Sequence[Effect]:
        """Call again, if it is time."""
        due = self.next_deadline()
        return self.receive(Event.DUE, now) if due is not None and now >= due else []

    def next_deadline(self) -> float | None:
        """When to call next, if waiting to."""
        return self._due if self.state is State.WAITING else None
