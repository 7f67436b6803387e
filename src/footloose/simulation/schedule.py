"""Which faults come when: those of the script, and those that follow from rates and a seed."""

from collections.abc import Iterator
from math import floor
from random import Random

from footloose.core.limits import SCENARIO_FAULTS
from footloose.simulation.episodes import Episode, episodes, faults_of
from footloose.simulation.faults import (
    ClockJump,
    Crash,
    CutOneWay,
    DiskFull,
    DiskSlow,
    Fault,
    Heal,
    LossBurst,
    Mend,
    Partition,
    Pause,
    PowerLoss,
    Start,
)
from footloose.simulation.scenario import FaultKind, RandomFault, Scenario, Span

OF_THE_NETWORK = frozenset({FaultKind.PARTITION, FaultKind.LOSS_BURST})
"""Kinds that befall all sites together; the others befall each."""
BETWEEN_SITES = frozenset({FaultKind.PARTITION, FaultKind.CUT_ONE_WAY})
"""Kinds that take two sites."""


def schedule(scenario: Scenario, seed: int) -> tuple[Fault, ...]:
    """The faults of a run, in order of time; whatever one does is put right by ``scenario.faults_end_s``.

    Each kind at each site draws from a source of its own, so that a change of one rate leaves most others as they were.
    Of two random faults that cannot both be, the one named first in the scenario comes; there are at most
    ``SCENARIO_FAULTS``.
    """
    chosen = list(episodes(scenario.script))
    busy: dict[str | None, list[Episode]] = {}
    for episode in chosen:
        busy.setdefault(episode.resource, []).append(episode)
    for cause in scenario.faults:
        for victim in ("",) if cause.kind in OF_THE_NETWORK else scenario.site_names:
            for episode in _at_random(cause, victim, scenario, seed):
                if len(chosen) >= SCENARIO_FAULTS:
                    return faults_of(chosen)
                others = busy.setdefault(episode.resource, [])
                if not any(episode.meets(other) for other in others):
                    chosen.append(episode)
                    others.append(episode)
    return faults_of(chosen)


def _at_random(cause: RandomFault, victim: str, scenario: Scenario, seed: int) -> Iterator[Episode]:
    if cause.kind in BETWEEN_SITES and len(scenario.sites) < 2:
        return
    random = Random(f"{seed} {cause.kind.value} {victim}")  # noqa: S311  a simulation must be replayable
    end_s = floor(scenario.faults_end_s * 1000) / 1000
    at_s = scenario.calm_s
    while cause.per_hour > 0:
        at_s = round(at_s + random.expovariate(1.0) * 3600.0 / cause.per_hour, 3)
        until_s = min(round(at_s + _drawn(cause.for_s, random), 3), end_s)
        if until_s - at_s < cause.for_s.least or at_s >= end_s:
            return
        yield Episode(_faults(cause, victim, scenario, random, at_s, until_s))


def _faults(
    cause: RandomFault, victim: str, scenario: Scenario, random: Random, at_s: float, until_s: float
) -> tuple[Fault, ...]:
    amount, for_s = _drawn(cause.amount, random), round(until_s - at_s, 3)
    match cause.kind:
        case FaultKind.CRASH | FaultKind.REBOOT:
            return Crash(at_s, victim), Start(until_s, victim)
        case FaultKind.POWER_LOSS:
            return PowerLoss(at_s, victim), Start(until_s, victim)
        case FaultKind.PAUSE:
            return (Pause(at_s, victim, for_s),)
        case FaultKind.PARTITION:
            return Partition(at_s, _halves(scenario.site_names, random)), Heal(until_s)
        case FaultKind.CUT_ONE_WAY:
            target = random.choice([name for name in scenario.site_names if name != victim])
            return CutOneWay(at_s, victim, target), Mend(until_s, victim, target)
        case FaultKind.LOSS_BURST:
            return (LossBurst(at_s, amount, for_s),)
        case FaultKind.CLOCK_JUMP:
            return (ClockJump(at_s, victim, amount),)
        case FaultKind.DISK_FULL:
            return DiskFull(at_s, victim, True), DiskFull(until_s, victim, False)
        case FaultKind.DISK_SLOW:
            return DiskSlow(at_s, victim, amount), DiskSlow(until_s, victim, 0.0)


def _halves(names: tuple[str, ...], random: Random) -> tuple[tuple[str, ...], ...]:
    """The sites in two groups, neither of them empty."""
    there = frozenset(random.sample(names, random.randrange(1, len(names))))
    return tuple(name for name in names if name not in there), tuple(name for name in names if name in there)


def _drawn(span: Span, random: Random) -> float:
    return round(random.uniform(span.least, span.most), 3)
