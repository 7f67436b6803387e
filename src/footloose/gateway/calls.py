"""One call of a guest, and whether it may be made on the worker's loop or has to be made in a thread.

Guests block. A call of some microseconds costs less than handing it to a thread; anything else would hold up every
other user of the worker. Which it is, is learnt from the calls before.
"""

import logging
from collections.abc import Sequence
from time import perf_counter, thread_time

import msgspec

from footloose.core.errors import FootlooseError
from footloose.core.limits import INLINE_GUEST_MS, SLOW_GUEST_MS
from footloose.model.guest import Guest, GuestError, GuestFault

_log = logging.getLogger(__name__)
_WEIGHT = 0.2
_FIRST_PENALTY_S = 1.0
_MAX_PENALTY_S = 60.0


class Outcome(msgspec.Struct, frozen=True):
    """What came of a call. ``status`` is 200, or why it failed as HTTP says it; ``failure`` is for the log.

    ``blame`` is what the user is told. ``ms`` is how long it took and ``cost_ms`` what it will be reckoned at;
    ``ended_s`` is on the clock of :func:`time.perf_counter`.
    """

    output: bytes
    log: bytes
    ms: float
    cost_ms: float
    ended_s: float
    status: int = 200
    blame: str = ""
    failure: str = ""


def call(guest: Guest, environment: Sequence[tuple[str, str]], body: bytes) -> Outcome:
    """Call ``guest`` and say what came of it, whatever happens. Blocks."""
    start = (perf_counter(), thread_time())
    try:
        answer = guest.call(environment, body)
    except GuestError as error:
        return _failed(start, error.log, *blame(error), str(error))
    except FootlooseError as error:
        return _failed(start, b"", 503, "the guest could not be run", str(error))
    except Exception as error:  # noqa: BLE001 - the wall between tenants: a runtime's fault is one request's fault
        _log.exception("the runtime raised")
        return _failed(start, b"", 500, "the runtime failed", f"the runtime failed: {type(error).__name__}")
    return Outcome(answer.output, answer.log, *_times(start))


def _failed(start: tuple[float, float], log: bytes, status: int, blamed: str, failure: str) -> Outcome:
    return Outcome(b"", log, *_times(start), status, blamed, failure)


def _times(start: tuple[float, float]) -> tuple[float, float, float]:
    """How long a call took, what it cost, and when it ended.

    What took long may have been waiting for the processor or for Python's lock, which says nothing about the guest;
    so from there on its processor time counts, and only a tenth of the wait.
    """
    end = perf_counter()
    ms = (end - start[0]) * 1000.0
    if ms < INLINE_GUEST_MS:
        return ms, ms, end
    return ms, max((thread_time() - start[1]) * 1000.0, ms / 10), end


def blame(error: GuestError) -> tuple[int, str]:
    """The status and text a user gets for a guest's fault: which it was, nothing of the inside."""
    return 504 if error.fault is GuestFault.TIME else 502, f"the guest failed: {error.fault.value}"


class Pace:
    """How fast a service's calls have been. Times in seconds are on one monotonic clock."""

    def __init__(self) -> None:
        self.average_ms = 2 * INLINE_GUEST_MS  # unknown: the first calls go to a thread
        self._threads_until_s = 0.0
        self._penalty_s = 0.0
        self._slow_at_s = 0.0

    def fast(self, now_s: float) -> bool:
        """Whether the next call may be made on the loop."""
        return self.average_ms < INLINE_GUEST_MS and now_s >= self._threads_until_s

    def took(self, cost_ms: float, now_s: float) -> None:
        """Note one call. A single slow one is remembered, longer each time, so a mixed service stalls nobody."""
        self.average_ms += (cost_ms - self.average_ms) * _WEIGHT
        if cost_ms > SLOW_GUEST_MS:
            recent = now_s - self._slow_at_s < 4 * self._penalty_s
            self._penalty_s = min(_MAX_PENALTY_S, 2 * self._penalty_s) if recent else _FIRST_PENALTY_S
            self._slow_at_s = now_s
            self._threads_until_s = now_s + self._penalty_s
