"""How fast virtual time passes: bare events beside SimPy's, and whole sites.

* Bare events: a number of processes that each wait for a random time, over and over. Nothing else is done, so this is
  the most that any simulation can do. SimPy runs the same, once as its processes (generators), once as bare callbacks.
* Sites: the real membership, DHT, loop and desk of each (:mod:`footloose.simulation.fleet`), once they know each other.

All in processor time of one core, so that other work on the machine counts less; it still counts.
"""

import importlib
import time
from collections.abc import Callable
from random import Random
from types import ModuleType
from typing import Any

import msgspec

from footloose.bench.garbage import no_garbage_collection
from footloose.simulation.engine import Engine
from footloose.simulation.fleet import Fleet

Say = Callable[[str], None]

WANTED_EVENTS_S = 1_000_000
WANTED_SITES, WANTED_HOURS, WANTED_S = 1_000, 1.0, 120.0


class Plan(msgspec.Struct, frozen=True):
    """What is run. The fastest of ``rounds`` counts for bare events; sites run once, after ``warm_up_s``."""

    processes: tuple[int, ...] = (10, 1_000, 10_000)
    events: int = 500_000
    rounds: int = 3
    sites: tuple[int, ...] = (100, 1_000)
    warm_up_s: float = 120.0
    simulated_s: float = 300.0
    seed: int = 1


QUICK = Plan(processes=(10,), events=20_000, rounds=1, sites=(12,), warm_up_s=20.0, simulated_s=20.0)
"""A few seconds' worth, to see that it runs."""


class Events(msgspec.Struct, frozen=True):
    """Bare events a second, with so many processes; None where SimPy is not installed."""

    processes: int
    events_s: float
    simpy_process_events_s: float | None
    simpy_callback_events_s: float | None


class Sites(msgspec.Struct, frozen=True):
    """One run of whole sites. ``took_s`` and ``warm_up_took_s`` are processor time.

    ``wanted_takes_s`` is what an hour of 1,000 sites takes at the same rate.
    """

    sites: int
    warm_up_took_s: float
    simulated_s: float
    took_s: float
    site_hours_per_minute: float
    wanted_takes_s: float
    events: int
    member_messages: int
    dht_datagrams: int
    copies: int
    digest: str


class Result(msgspec.Struct, frozen=True):
    """All figures, and what they were found with."""

    plan: Plan
    simpy: str | None
    events: tuple[Events, ...]
    sites: tuple[Sites, ...]


def run(plan: Plan, say: Say) -> Result:
    """All of it. ``say`` tells of progress."""
    simpy = _simpy()
    events = []
    for processes in plan.processes:
        say(f"bare events, {processes} processes")
        events.append(_events(simpy, processes, plan))
    sites = []
    for count in plan.sites:
        say(f"{count} sites")
        with no_garbage_collection():
            sites.append(_sites(count, plan))
    return Result(plan, simpy.__version__ if simpy is not None else None, tuple(events), tuple(sites))


def _simpy() -> ModuleType | None:
    try:
        return importlib.import_module("simpy")
    except ImportError:
        return None


def _events(simpy: ModuleType | None, processes: int, plan: Plan) -> Events:
    def fastest(once: Callable[..., float]) -> float:
        return round(max(once(processes, plan) for _ in range(plan.rounds)))

    if simpy is None:
        return Events(processes, fastest(_own_events_s), None, None)
    theirs: Any = simpy
    return Events(
        processes,
        fastest(_own_events_s),
        fastest(lambda *of: _simpy_process_events_s(theirs, *of)),
        fastest(lambda *of: _simpy_callback_events_s(theirs, *of)),
    )


def _until_s(processes: int, plan: Plan) -> float:
    """When about ``plan.events`` have happened: each waits for half a second on average."""
    return plan.events / processes / 2


def _own_events_s(processes: int, plan: Plan) -> float:
    engine = Engine(plan.seed)
    after, draw = engine.after, engine.random.random

    def wait(process: int) -> None:
        after(draw(), wait, process)

    for process in range(processes):
        wait(process)
    began = time.process_time()
    engine.run(_until_s(processes, plan))
    return engine.events / (time.process_time() - began)


def _simpy_process_events_s(simpy: Any, processes: int, plan: Plan) -> float:
    environment, draw, happened = simpy.Environment(), Random(plan.seed).random, 0  # noqa: S311  replayable

    def wait() -> Any:
        nonlocal happened
        while True:
            yield environment.timeout(draw())
            happened += 1

    for _ in range(processes):
        environment.process(wait())
    began = time.process_time()
    environment.run(until=_until_s(processes, plan))
    return happened / (time.process_time() - began)


def _simpy_callback_events_s(simpy: Any, processes: int, plan: Plan) -> float:
    environment, draw, happened = simpy.Environment(), Random(plan.seed).random, 0  # noqa: S311  replayable

    def wait(_: object) -> None:
        nonlocal happened
        happened += 1
        environment.timeout(draw()).callbacks.append(wait)

    for _ in range(processes):
        wait(None)
    happened = 0
    began = time.process_time()
    environment.run(until=_until_s(processes, plan))
    return happened / (time.process_time() - began)


def _sites(count: int, plan: Plan) -> Sites:
    began = time.process_time()
    fleet = Fleet(plan.seed)
    fleet.grow(count, over_s=plan.warm_up_s / 2)
    fleet.run(plan.warm_up_s / 2)
    grown = time.process_time()
    before = fleet.engine.events, fleet.members.network.sent, fleet.dht_network.sent
    fleet.run(plan.simulated_s)
    took_s = time.process_time() - grown
    per_site_hour_s = took_s / (count * plan.simulated_s / 3600)
    return Sites(
        sites=count,
        warm_up_took_s=round(grown - began, 1),
        simulated_s=plan.simulated_s,
        took_s=round(took_s, 1),
        site_hours_per_minute=round(60 / per_site_hour_s, 1),
        wanted_takes_s=round(WANTED_SITES * WANTED_HOURS * per_site_hour_s, 1),
        events=fleet.engine.events - before[0],
        member_messages=fleet.members.network.sent - before[1],
        dht_datagrams=fleet.dht_network.sent - before[2],
        copies=fleet.copies(),
        digest=fleet.digest(),
    )
