"""The two clocks of a simulated machine: the wall clock is off by some, drifts, and is now and then set."""

from footloose.simulation.engine import Engine

EPOCH_S = 1_700_000_000.0
"""What a clock that is right shows at the start of a run, in seconds since 1970."""


class MachineClock:
    """``offset_s`` ahead of the right time, gaining ``drift`` seconds a second.

    A process reads it as it would a real machine's, through :class:`footloose.core.clock.SystemClock`.
    """

    def __init__(self, engine: Engine, *, offset_s: float = 0.0, drift: float = 0.0) -> None:
        self._engine = engine
        self._rate = 1.0 + drift
        self._offset_s = EPOCH_S + offset_s

    def monotonic(self) -> float:
        """Seconds since the machine was made; drifts, and is never set."""
        return self._engine.now * self._rate

    def wall(self) -> float:
        """Seconds since 1970, as this machine has it."""
        return self._offset_s + self.monotonic()

    def jump(self, by_s: float) -> None:
        """Somebody set the wall clock, ahead or (negative) back."""
        self._offset_s += by_s
