"""Many runs, in processes beside this one."""

import importlib
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from time import perf_counter
from typing import Protocol

import msgspec

from footloose.core.errors import LocalError
from footloose.simulation.faults import Fault
from footloose.simulation.outcome import Outcome, Violation
from footloose.simulation.recording import Record
from footloose.simulation.scenario import Scenario
from footloose.simulation.schedule import schedule

WORLD = "footloose.simulation.run:run"
"""Where the function is that plays a run."""
_WAITING_PER_JOB = 2


_UNHEARD = logging.NullHandler()


class World(Protocol):
    """Plays a scenario from a seed under these faults; tells ``record`` what sites show and decide, if it is given."""

    def __call__(
        self, scenario: Scenario, seed: int, schedule: tuple[Fault, ...], *, record: Record | None = None
    ) -> Outcome: ...


class Job(msgspec.Struct, frozen=True):
    """One run to be made; without a ``schedule``, the seed gives it."""

    scenario: Scenario
    seed: int
    schedule: tuple[Fault, ...] | None = None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is done to the sites in it."""
        return schedule(self.scenario, self.seed) if self.schedule is None else self.schedule


class Played(msgspec.Struct, frozen=True):
    """A run that was made, and how long that took."""

    job: Job
    outcome: Outcome
    took_s: float


class Safely:
    """A world in which an exception is a violation like others, so that it can be told, shrunk and played again."""

    def __init__(self, world: str) -> None:
        self._play = load_world(world)
        logging.getLogger("footloose").addHandler(_UNHEARD)  # the logs of hundreds of nodes are of no use on a terminal

    def __call__(
        self, scenario: Scenario, seed: int, schedule: tuple[Fault, ...], *, record: Record | None = None
    ) -> Outcome:
        try:
            if record is None:
                return self._play(scenario, seed, schedule)
            return self._play(scenario, seed, schedule, record=record)
        except Exception as error:  # noqa: BLE001  whatever is raised in there is what a run is made to find
            where = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"in {where.name}, line {where.lineno} of {os.path.basename(where.filename)}"  # noqa: PTH119
            kind = type(error).__name__
            return Outcome(seed, "", 0, (Violation(0.0, f"raises {kind}", "the run", f"{kind}: {error}", reason),))


def load_world(place: str = WORLD) -> World:
    """The function at ``module:name``. Raises :class:`LocalError` if it is not there."""
    module, _, name = place.partition(":")
    try:
        found: World = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        fix = "install a version of Footloose that has it" if place == WORLD else "give it as MODULE:FUNCTION"
        raise LocalError(f"there is no world to simulate: {error}", where=place, fix=fix) from error
    return found


def play_all(jobs: Iterable[Job], processes: int, world: str = WORLD) -> Generator[Played, None, None]:
    """Play all of them, ``processes`` at a time, each given as it ends; ``jobs`` may go on for ever.

    With one process that is this one. Raises :class:`LocalError` if one of the processes dies.
    """
    if processes == 1:
        safely = Safely(world)
        yield from (_played(safely, job) for job in jobs)
        return
    load_world(world)  # so that it fails here, once
    with _pool(processes, world) as pool:
        running: set[Future[Played]] = set()
        waiting = iter(jobs)
        try:
            while True:
                while len(running) < processes * _WAITING_PER_JOB and (job := next(waiting, None)) is not None:
                    running.add(_submit(pool, job))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise LocalError("a process that simulates has died", fix="use fewer with --jobs, or 1") from error


@contextmanager
def _pool(processes: int, world: str) -> Iterator[ProcessPoolExecutor]:
    """Processes started afresh, which end with the block, also in the middle of a run."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _begin, (world,))
    before = frozenset(multiprocessing.active_children())
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            if child not in before:
                child.terminate()
        pool.shutdown(wait=True)


def _submit(pool: ProcessPoolExecutor, job: Job) -> "Future[Played]":
    """Hand over a job. What is started meanwhile never hears of Ctrl-C; that is for this process to deal with."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_play, job)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_worlds: list[Safely] = []
"""That of this process, once it has begun."""


def _begin(world: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worlds.append(Safely(world))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _play(job: Job) -> Played:
    return _played(_worlds[0], job)


def _played(world: Safely, job: Job) -> Played:
    began = perf_counter()
    outcome = world(job.scenario, job.seed, job.faults)
    return Played(job, outcome, perf_counter() - began)
