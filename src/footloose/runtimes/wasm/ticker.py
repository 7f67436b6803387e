"""The clock behind time limits: advances an engine's epoch every few milliseconds while guests run.

A guest's deadline is a number of ticks ahead. Ticks that come late are not made up for, so a busy machine lengthens
a limit and never shortens it.
"""

import math
import threading
import time

import wasmtime

TICK_MS = 2.0
"""Limits are kept to within about two of these."""
IDLE_TICKS = 250
"""Ticks without a guest after which the ticker sleeps until the next one."""


def ticks_for(time_ms: float) -> int:
    """Ticks ahead of now at which ``time_ms`` have certainly passed."""
    return math.ceil(time_ms / TICK_MS) + 1


class Allowance:
    """What is left of one call's time. It stands still between :meth:`pause` and :meth:`resume`."""

    __slots__ = ("_call", "_left_ms", "_since_s", "_ticker")

    def __init__(self, ticker: "Ticker", guest_call: object, time_ms: float) -> None:
        self._ticker = ticker
        self._call = guest_call
        self._left_ms = time_ms
        self._since_s = time.thread_time()

    def pause(self) -> bool:
        """The guest begins to wait; False if its time is up."""
        self._left_ms -= (time.thread_time() - self._since_s) * 1000.0
        self._ticker.leave(self._call)
        return self._left_ms > 0

    def resume(self) -> int:
        """The guest goes on; ticks until it is to be stopped."""
        self._since_s = time.thread_time()
        self._ticker.enter(self._call)
        return ticks_for(max(self._left_ms, 0.0))


class Ticker:
    """A thread that ticks for one engine. Call :meth:`close` when done."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._running: set[object] = set()
        self._parked = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="wasm ticker", daemon=True)
        self._thread.start()

    def enter(self, guest_call: object) -> None:
        """A guest begins to run. Call :meth:`leave` with the same object when it has stopped."""
        # Adding comes before looking at the flag, and the thread sets the flag before looking at the set: whichever
        # comes second sees the other, so no guest runs without a ticking clock.
        self._running.add(guest_call)
        if self._parked:
            self._wake.set()

    def leave(self, guest_call: object) -> None:
        """It has stopped."""
        self._running.discard(guest_call)

    def close(self) -> None:
        """Stop the thread. Guests still running lose their time limit, so let them end first."""
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _tick(self) -> None:
        idle_ticks = 0
        while not self._closing.wait(TICK_MS / 1000):
            self._engine.increment_epoch()
            idle_ticks = 0 if self._running else idle_ticks + 1
            if idle_ticks > IDLE_TICKS:
                self._park()
                idle_ticks = 0

    def _park(self) -> None:
        self._parked = True
        if not self._running and not self._closing.is_set():
            self._wake.wait()
        self._wake.clear()
        self._parked = False
