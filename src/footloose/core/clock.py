"""Time for one site: seconds since 1970 that never go backwards while the process lives."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a shell gets the ``now`` it hands to its machines."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC; never less than before."""
        ...


class SystemClock:
    """Wall time read once, then carried on by the monotonic clock, so a jump of the wall clock moves nothing."""

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC, as this process reckons them."""
        return self._offset_s + time.monotonic()
