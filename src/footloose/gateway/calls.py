"""One call of a guest, and whether it may be made on the worker's loop or has to be made in a thread.

Guests block. A call of some microseconds costs less than handing it to a thread; anything else would hold up every
other user of the worker. Which it is, is learnt from the calls before.
"""

import logging
import math
from collections.abc import Callable, Sequence
from time import perf_counter, thread_time
from typing import Protocol

import msgspec

from footloose.core.errors import FootlooseError
from footloose.core.limits import INLINE_GUEST_MS, SLOW_GUEST_MS
from footloose.model.guest import Exchange, Guest, GuestError, GuestFault

_log = logging.getLogger(__name__)
_WEIGHT = 0.2
_FIRST_PENALTY_S = 1.0
_MAX_PENALTY_S = 60.0


class Outcome(msgspec.Struct, frozen=True):
    """What came of a call. ``status`` is 200, or why it failed as HTTP says it; ``failure`` is for the log.

    ``blame`` is what the user is told. ``ms`` is how long it took and ``cost_ms`` what it will be reckoned at;
    ``ended_s`` is on the clock of :func:`time.perf_counter`. ``waits`` if it came to nothing because the guest wants to
    sleep: it is to be called again where it can. ``queue_ms`` is how long the request had waited for a thread.
    """

    output: bytes
    log: bytes
    ms: float
    cost_ms: float
    ended_s: float
    status: int = 200
    blame: str = ""
    failure: str = ""
    waits: bool = False
    queue_ms: float = 0.0


class Kept(Exchange, Protocol):
    """An exchange as the gateway keeps it."""

    waited_s: float

    def begin(self) -> None:
        """The guest begins."""
        ...

    def take(self) -> bytes:
        """What of the answer has not been taken yet."""
        ...


def call(guest: Guest, environment: Sequence[tuple[str, str]], body: bytes) -> Outcome:
    """Call ``guest`` on the loop and say what came of it, whatever happens. Blocks."""
    return _call(guest, environment, body, _inline_cost, 0.0)


def call_in_thread(guest: Guest, environment: Sequence[tuple[str, str]], body: bytes) -> Outcome:
    """Likewise in a thread, where the time the guest had the processor is what it cost."""
    return _call(guest, environment, body, _thread_cost, thread_time())


def call_streaming(guest: Guest, environment: Sequence[tuple[str, str]], exchange: Kept) -> Outcome:
    """Likewise in a thread, reading and writing as it goes on; the output is what has not been taken by then."""
    exchange.begin()
    start, cpu_s = perf_counter(), thread_time()
    try:
        log = guest.stream(environment, exchange)
    except Exception as error:  # noqa: BLE001 - as below
        end = perf_counter()
        ms = (end - start) * 1000.0
        return _failed(error, ms, _thread_cost(ms - exchange.waited_s * 1000.0, cpu_s), end)
    end = perf_counter()
    ms = (end - start) * 1000.0
    cost_ms = _thread_cost(ms - exchange.waited_s * 1000.0, cpu_s)
    return Outcome(exchange.take(), log, ms, cost_ms, end)


def _call(
    guest: Guest,
    environment: Sequence[tuple[str, str]],
    body: bytes,
    cost: Callable[[float, float], float],
    cpu_s: float,
) -> Outcome:
    start = perf_counter()
    try:
        answer = guest.call(environment, body)
    except Exception as error:  # noqa: BLE001 - the wall between tenants: a runtime's fault is one request's fault
        end = perf_counter()
        ms = (end - start) * 1000.0
        return _failed(error, ms, cost(ms, cpu_s), end)
    end = perf_counter()
    ms = (end - start) * 1000.0
    return Outcome(answer.output, answer.log, ms, cost(ms, cpu_s), end)


def _inline_cost(ms: float, _: float) -> float:
    """What took long may only have been kept from the processor, so it counts in part; asking would cost too much."""
    return ms if ms < INLINE_GUEST_MS else max(2 * INLINE_GUEST_MS, ms / 3)


def _thread_cost(ms: float, cpu_s: float) -> float:
    """Threads wait for each other, which says nothing about the guest: a tenth of the whole time counts at least."""
    return max((thread_time() - cpu_s) * 1000.0, ms / 10)


def _failed(error: Exception, ms: float, cost_ms: float, ended_s: float) -> Outcome:
    log = b""
    if isinstance(error, GuestError) and error.fault is GuestFault.WAITS:
        return Outcome(b"", error.log, ms, cost_ms, ended_s, 503, "the guest waits", str(error), waits=True)
    if isinstance(error, GuestError):
        log, failure = error.log, str(error)
        status, told = blame(error)
    elif isinstance(error, FootlooseError):
        status, told, failure = 503, "the guest could not be run", str(error)
    else:
        _log.error("the runtime raised", exc_info=error)
        status, told, failure = 500, "the runtime failed", f"the runtime failed: {type(error).__name__}"
    return Outcome(b"", log, ms, cost_ms, ended_s, status, told, failure)


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

    def waits(self) -> None:
        """It wants to sleep, so it gets a thread from now on."""
        self._threads_until_s = math.inf

    def took(self, cost_ms: float, now_s: float) -> None:
        """Note one call. A single slow one is remembered, longer each time, so a mixed service stalls nobody."""
        self.average_ms += (cost_ms - self.average_ms) * _WEIGHT
        if cost_ms > SLOW_GUEST_MS:
            recent = now_s - self._slow_at_s < 4 * self._penalty_s
            self._penalty_s = min(_MAX_PENALTY_S, 2 * self._penalty_s) if recent else _FIRST_PENALTY_S
            self._slow_at_s = now_s
            self._threads_until_s = max(self._threads_until_s, now_s + self._penalty_s)
