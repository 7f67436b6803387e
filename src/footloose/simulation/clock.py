"""A site's own idea of the time: off by some, drifting, and now and then set."""

from footloose.simulation.engine import Engine


class SkewedClock:
    """``offset_s`` ahead of virtual time, gaining ``drift`` seconds a second; :meth:`jump` sets the wall clock.

    As on a real machine (:class:`footloose.core.clock.SystemClock`) a jump shows only once the process starts again.
    """

    def __init__(self, engine: Engine, *, offset_s: float = 0.0, drift: float = 0.0) -> None:
        self._engine = engine
        self._drift = drift
        self._offset_s = offset_s
        self._wall_offset_s = offset_s
        self._read_at = engine.now

    def now(self) -> float:
        """Seconds since 1970 as this site reckons them."""
        return self._engine.now + self._offset_s + self._drift * (self._engine.now - self._read_at)

    def jump(self, by_s: float) -> None:
        """Somebody set the wall clock."""
        self._wall_offset_s += by_s

    def restart(self) -> None:
        """The process started again and read the wall clock, which had gone on drifting."""
        self._wall_offset_s += self._drift * (self._engine.now - self._read_at)
        self._offset_s, self._read_at = self._wall_offset_s, self._engine.now
