"""Time for one site: seconds since 1970 that never go backwards while the process lives, and who stood still in it."""

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Where a shell gets the ``now`` it hands to its machines."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC; never less than before."""
        ...


STEP_S = 5.0
"""How far the wall clock may run ahead of ours before its time is taken over."""


class SystemClock:
    """Wall time carried on by the monotonic clock, so that a wall clock set back moves nothing.

    Steps forward are taken over: a machine without a clock of its own starts in the past, one that slept wakes there.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset_s = wall() - monotonic()

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC, as this process reckons them."""
        ahead_s = self._wall() - (self._offset_s + self._monotonic())
        if ahead_s > STEP_S:
            self._offset_s += ahead_s
        return self._offset_s + self._monotonic()


class WatchedClock:
    """A clock that notices when it was not looked at for longer than ``longest_s``: then whoever looks stood still.

    Their process was stopped or got no processor, their machine was paused, or the clock leapt. :attr:`stood_still` is
    told for how long before anybody is told the time, so that no machine takes the silence for that of others. Who
    watches looks at least twice in ``longest_s``.
    """

    def __init__(self, clock: Clock, longest_s: float) -> None:
        self._clock = clock
        self._longest_s = longest_s
        self._seen_at: float | None = None
        self.stood_still: Callable[[float], None] | None = None

    def now(self) -> float:
        """The time of the clock watched."""
        now = self._clock.now()
        gap_s = now - self._seen_at if self._seen_at is not None else 0.0
        self._seen_at = now
        if gap_s > self._longest_s and self.stood_still is not None:
            self.stood_still(gap_s)
        return now


class OwnTime:
    """Time that goes on only while it is looked at: of a longer gap than ``longest_s`` no more than that counts."""

    def __init__(self, monotonic: Callable[[], float], longest_s: float) -> None:
        self._monotonic = monotonic
        self._longest_s = longest_s
        self._seen_s = monotonic()
        self._own_s = 0.0

    def now(self) -> float:
        """Seconds of it so far."""
        seen_s = self._monotonic()
        self._own_s += min(seen_s - self._seen_s, self._longest_s)
        self._seen_s = seen_s
        return self._own_s
