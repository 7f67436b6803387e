"""What happens now and then, at random times: look-ups, crashes, users."""

from collections.abc import Callable
from math import inf

from footloose.simulation.engine import Engine


class Arrivals:
    """Calls ``action`` ``per_s`` times a second on average, each time independent of the last, until ``until_s``."""

    def __init__(self, engine: Engine, per_s: float, action: Callable[[], object], *, until_s: float = inf) -> None:
        self._engine = engine
        self._per_s = per_s
        self._action = action
        self._until_s = until_s
        self.count = 0
        if per_s > 0:
            self._plan()

    def stop(self) -> None:
        """No more of them."""
        self._until_s = 0.0

    def _plan(self) -> None:
        self._engine.after(self._engine.random.expovariate(self._per_s), self._arrive)

    def _arrive(self, _: object) -> None:
        if self._engine.now > self._until_s:
            return
        self.count += 1
        self._action()
        self._plan()
