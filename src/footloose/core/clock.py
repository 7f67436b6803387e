"""Time for one site: seconds since 1970 that never go backwards while the process lives."""

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
