"""The least that still goes wrong: fewer faults, then a shorter time, fewer users, fewer sites.

Faults are taken out by ddmin (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002), a
fault together with what puts it right.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import msgspec

from footloose.core.limits import SHRINK_RUNS
from footloose.simulation.episodes import Episode, episodes, faults_of
from footloose.simulation.faults import Fault, after
from footloose.simulation.outcome import Outcome, Run
from footloose.simulation.scenario import Scenario
from footloose.simulation.smaller import Smaller, crowd_of, needed_sites, without_site


class Shrunk(msgspec.Struct, frozen=True):
    """What is left, and how it ended. ``reproduced`` is false if the very first run did not go wrong again.

    ``finished`` is false if there was not enough time to try everything, ``interrupted`` true if that was by Ctrl-C.
    """

    schedule: tuple[Fault, ...]
    smaller: Smaller
    outcome: Outcome | None
    runs: int
    reproduced: bool = True
    finished: bool = True
    interrupted: bool = False


def shrink(
    run: Run,
    scenario: Scenario,
    seed: int,
    schedule: tuple[Fault, ...],
    checker: str,
    *,
    most_runs: int = SHRINK_RUNS,
    told: Callable[[int, int], object] = lambda _runs, _faults: None,
    enough: Callable[[], bool] = lambda: False,
) -> Shrunk:
    """The least of ``schedule`` and ``scenario`` of which ``checker`` still says that it is violated.

    ``told`` is called after each run with how many there were, and how many faults are left; ``enough`` is asked before
    each whether it is time to stop.
    """
    search = _Search(run, scenario, seed, schedule, checker, most_runs, told, enough)
    if not search.fails(schedule, Smaller()):
        return Shrunk(schedule, Smaller(), None, search.runs, reproduced=False)
    interrupted = False
    try:
        search.everything()
    except KeyboardInterrupt:
        interrupted = True  # and what was found so far is not lost
    finished = not search.spent and not interrupted
    return Shrunk(
        search.schedule, search.smaller, search.outcome, search.runs, finished=finished, interrupted=interrupted
    )


class _Search:
    """The least found so far, and the runs spent on it."""

    def __init__(
        self,
        run: Run,
        scenario: Scenario,
        seed: int,
        schedule: tuple[Fault, ...],
        checker: str,
        most_runs: int,
        told: Callable[[int, int], object],
        enough: Callable[[], bool],
    ) -> None:
        self._run = run
        self._scenario = scenario
        self._seed = seed
        self._checker = checker
        self._most_runs = most_runs
        self._told = told
        self._enough = enough
        self._tried: set[tuple[tuple[Fault, ...], Smaller]] = set()
        self.runs = 0
        self.spent = False
        self.schedule = schedule
        self.smaller = Smaller()
        self.outcome: Outcome | None = None

    def fails(self, schedule: tuple[Fault, ...], smaller: Smaller) -> bool:
        """Whether it still goes wrong with these; if so, they are the least so far."""
        if (schedule, smaller) in self._tried:
            return False
        if self.runs >= self._most_runs or (self.runs and self._enough()):
            self.spent = True
            return False
        self._tried.add((schedule, smaller))
        self.runs += 1
        outcome = self._run(smaller.of(self._scenario), self._seed, schedule)
        failed = any(violation.checker == self._checker for violation in outcome.violations)
        if failed:
            self.schedule, self.smaller, self.outcome = schedule, smaller, outcome
        self._told(self.runs, len(self.schedule))
        return failed

    def everything(self) -> None:
        """Try all that may be left out, over again until nothing more can be."""
        self.drop_later()
        before = None
        while before != (self.schedule, self.smaller) and not self.spent:
            before = self.schedule, self.smaller
            self.drop_faults()
            self.end_sooner()
            self.drop_users()
            self.drop_sites()

    def drop_later(self) -> None:
        """Leave out what only happened when it had gone wrong already."""
        assert self.outcome is not None  # noqa: S101  it has gone wrong
        wrong_s = min(wrong.at_s for wrong in self.outcome.violations if wrong.checker == self._checker)
        kept = episodes(self.schedule)
        before = tuple(each for each in kept if each.begins_s <= wrong_s)
        if len(before) < len(kept):
            self.fails(faults_of(before), self.smaller)

    def drop_faults(self) -> None:
        """Keep only episodes each of which is needed."""
        kept = episodes(self.schedule)
        if not kept or self.fails((), self.smaller):
            return
        parts = 2
        while len(kept) >= 2:
            smaller = next((rest for rest in _rests(kept, parts) if self.fails(faults_of(rest), self.smaller)), None)
            if smaller is not None:
                parts = 2 if len(smaller) <= len(kept) // parts + 1 else max(parts - 1, 2)
                self.drop_later()
                kept = episodes(self.schedule)
            elif parts >= len(kept):
                return
            else:
                parts = min(parts * 2, len(kept))

    def end_sooner(self) -> None:
        """Stop once the last fault is over and there was time to settle."""
        over_s = max((episode.ends_s for episode in episodes(self.schedule)), default=0.0)
        duration_s = after(over_s, self._scenario.settle_s)
        if 0 < duration_s < self.smaller.of(self._scenario).duration_s:
            self.fails(self.schedule, msgspec.structs.replace(self.smaller, duration_s=duration_s))

    def drop_users(self) -> None:
        """Fewer in each entry: none, or half as long as that will do."""
        users = tuple(entry.count for entry in self._scenario.users)
        crowds = tuple(crowd_of(entry) for entry in self._scenario.users)
        for field, original in (("users", users), ("crowds", crowds)):
            for entry in range(len(original)):
                self._drop_users_of(field, original, entry)

    def _drop_users_of(self, field: str, original: tuple[int, ...], entry: int) -> None:
        while True:
            counts: tuple[int, ...] = getattr(self.smaller, field) or original
            tries = sorted({0, 1, counts[entry] // 2} - {counts[entry]})
            fewer = ((*counts[:entry], count, *counts[entry + 1 :]) for count in tries if count < counts[entry])
            if not any(self._fails_with(field, each) for each in fewer):
                return

    def _fails_with(self, field: str, counts: tuple[int, ...]) -> bool:
        return self.fails(self.schedule, msgspec.structs.replace(self.smaller, **{field: counts}))

    def drop_sites(self) -> None:
        """Leave out each site that no app, no user and no fault needs."""
        needed = needed_sites(self._scenario)
        for name in reversed(self._scenario.site_names):
            if name in needed or name in self.smaller.without:
                continue
            schedule = without_site(self.schedule, name)
            if schedule is not None:
                without = (*self.smaller.without, name)
                self.fails(schedule, msgspec.structs.replace(self.smaller, without=without))


def _rests(items: tuple[Episode, ...], parts: int) -> Iterator[tuple[Episode, ...]]:
    """Each of ``parts`` parts alone, then all but each."""
    ends = [len(items) * part // parts for part in range(parts + 1)]
    chunks = [items[start:end] for start, end in pairwise(ends)]
    yield from chunks
    if parts > 2:
        for left_out in range(parts):
            yield tuple(item for number, chunk in enumerate(chunks) if number != left_out for item in chunk)
