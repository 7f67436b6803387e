"""Addresses at which there may be members, tried ever more seldom until one is there, and again when it is lost."""

import math
import random
from collections.abc import Callable, Iterable

from footloose.core.errors import LocalError
from footloose.core.limits import MEMBERSHIP_MET, MEMBERSHIP_SEEDS
from footloose.model.site import Endpoint

MOST_S = 60.0
"""Pause between two tries of a seed that is not among the live members of a small system, and the longest for a site
that knows nobody yet…"""
SHARED_S = 1.0
"""…and in a large one, for each member. Together they try a seed a little more than once a second, however many they
are: often enough to find out soon that a partition has healed, as one who finds out tells the rest."""
LONGEST_S = 3600.0
"""…but at most so long, as how many there are is what others say."""
_DOUBLINGS = 10


class Seeds:
    """When to try which seed. Those met on the way make room for others, and are done with once they are there."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._plan: dict[Endpoint, tuple[float, int]] = {}
        self._met: dict[Endpoint, None] = {}
        self.deadline = math.inf
        """When the next is to be tried."""

    def add(self, seeds: Iterable[Endpoint], now: float) -> None:
        """Try these from now on. Raises :class:`LocalError` if there are too many."""
        for seed in seeds:
            self._met.pop(seed, None)
            if seed not in self._plan and len(self._plan) - len(self._met) >= MEMBERSHIP_SEEDS:
                raise LocalError(f"more than {MEMBERSHIP_SEEDS} seeds", where="membership", fix="name fewer")
            self._plan.setdefault(seed, (now, 0))
            self.deadline = now

    def meet(self, seed: Endpoint, now: float) -> None:
        """Try this one from now on; the one met longest ago makes room."""
        if seed in self._met:
            self._met[seed] = self._met.pop(seed)
        if seed in self._plan:
            return
        if len(self._met) >= MEMBERSHIP_MET:
            self._drop(next(iter(self._met)))
        self._met[seed] = None
        self._plan[seed] = (now, 0)
        self.deadline = now

    def take_due(self, is_there: Callable[[Endpoint], bool], size: float, now: float) -> list[Endpoint]:
        """Those to try now: due, and not among the live members. ``size`` is how many others there may be."""
        due = []
        for seed, (at, tries) in list(self._plan.items()):
            if at > now:
                continue
            if is_there(seed):
                self._plan[seed] = (now + MOST_S, 0)
                if seed in self._met:
                    self._drop(seed)
                continue
            due.append(seed)
            most_s = min(LONGEST_S, max(MOST_S, size * SHARED_S))
            pause_s = most_s if size else min(MOST_S, 2.0 ** min(tries, _DOUBLINGS))
            self._plan[seed] = (now + pause_s * (0.5 + self._rng.random() / 2), tries + 1)
        self.deadline = min((at for at, _ in self._plan.values()), default=math.inf)
        return due

    def hurry(self, now: float) -> None:
        """Many members have fallen silent: try seeds as if the system were small."""
        for seed, (at, tries) in self._plan.items():
            if at > now + MOST_S:
                self._plan[seed] = (now + MOST_S * (0.5 + self._rng.random() / 2), tries)
        self.deadline = min((at for at, _ in self._plan.values()), default=math.inf)

    def _drop(self, seed: Endpoint) -> None:
        del self._met[seed]
        del self._plan[seed]
