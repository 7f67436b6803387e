"""Discrete events in virtual time.

Nothing here knows of sites or networks. Time is in seconds from 0; events at one instant happen in the order they were
planned, so a run follows from its seed alone.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Any

Action = Callable[[Any], object]


class Engine:
    """A queue of actions and the time. ``random`` is the run's one source of chance."""

    __slots__ = ("_planned", "_queue", "events", "now", "random")

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = Random(seed)  # noqa: S311  a simulation must be replayable
        self.events = 0
        self._planned = 0
        self._queue: list[tuple[float, int, Action, Any]] = []

    def at(self, time_s: float, action: Action, argument: Any = None) -> None:
        """Plan ``action(argument)`` at ``time_s``, or now if that is past."""
        self._planned += 1
        heappush(self._queue, (time_s if time_s > self.now else self.now, self._planned, action, argument))

    def after(self, delay_s: float, action: Action, argument: Any = None) -> None:
        """Plan ``action(argument)`` in ``delay_s``."""
        self._planned += 1
        heappush(self._queue, (self.now + delay_s, self._planned, action, argument))

    def run(self, until_s: float = inf) -> None:
        """Carry out all that is planned up to and including ``until_s``; the time is ``until_s`` afterwards."""
        queue, pop = self._queue, heappop
        done = 0
        while queue and queue[0][0] <= until_s:
            self.now, _, action, argument = pop(queue)
            done += 1
            action(argument)
        self.events += done
        if until_s != inf:
            self.now = until_s

    @property
    def pending(self) -> int:
        """How many actions are planned."""
        return len(self._queue)


class Wakeup:
    """One deadline that moves: plans a wake-up, and lets earlier plans pass unheeded.

    A machine's deadline changes with nearly every event; planning anew only when it comes nearer keeps the queue short.
    """

    __slots__ = ("_due", "_engine", "_planned_for", "_wake")

    def __init__(self, engine: Engine, wake: Callable[[], object]) -> None:
        self._engine = engine
        self._wake = wake
        self._due: float | None = None
        self._planned_for = inf

    def set(self, due_s: float | None) -> None:
        """Wake at ``due_s``, or not at all."""
        self._due = due_s
        if due_s is not None and due_s < self._planned_for:
            self._planned_for = due_s
            self._engine.at(due_s, self._fire, due_s)

    def _fire(self, planned_for: float) -> None:
        if planned_for != self._planned_for:
            return  # an earlier one was planned after it and has done its work
        self._planned_for = inf
        due = self._due
        if due is None:
            return
        if due > self._engine.now:
            self.set(due)
            return
        self._due = None
        self._wake()
