"""The runs of ``footloose simulate``: made, told, and shrunk if one goes wrong."""

import secrets
import shlex
import signal
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import cycle, islice
from pathlib import Path
from time import monotonic

import click
import msgspec

from footloose.cli.exits import Exit
from footloose.cli.output import print_json
from footloose.cli.simulate_show import Teller, as_data, figures
from footloose.core.limits import SHRINK_S
from footloose.simulation.campaign import Job, Played, Safely, play_all
from footloose.simulation.recording import Recorder
from footloose.simulation.scenario import Scenario
from footloose.simulation.schedule_file import ScheduleFile, save_schedule
from footloose.simulation.shrink import Shrunk, shrink
from footloose.simulation.smaller import Smaller
from footloose.simulation.story import Story, first_violation

_FRESH_SEEDS = 2**32


class Simulation(msgspec.Struct, frozen=True):
    """How runs are to be made: by which ``world``, in how many processes, and where the faults of bad ones go."""

    world: str
    processes: int
    save: Path
    as_is: bool
    as_json: bool

    def play(self, jobs: Sequence[Job], name: str, record: Path | None, checker: str = "") -> int:
        """Make these runs of the scenario called ``name``; tell the story of the first that goes wrong."""
        teller = Teller(len(jobs), as_json=self.as_json)
        with _ended_by_sigterm():
            with closing(self._told(jobs, min(self.processes, len(jobs)), teller, record)) as made:
                runs = sorted(made, key=lambda played: played.job.seed)
            wrong = next((played for played in runs if played.outcome.violations), None)
            story = self._story(wrong, name, teller, checker) if wrong is not None else None
        if story is not None:
            teller.story(story)
        if self.as_json:
            print_json({"scenario": name, "runs": [as_data(run.outcome) for run in runs], "story": _as_data(story)})
        elif len(runs) > 1:
            teller.summary()
        else:
            for what, value in figures(runs[0].outcome).items():
                click.echo(f"  {what}  {value}")
        return Exit.OK if story is None else Exit.VIOLATED

    def soak(self, scenarios: Mapping[str, Scenario], most: int | None) -> int:
        """Make runs from fresh seeds until ``most`` or Ctrl-C; tell the first story of each kind."""
        names = {scenario.name: name for name, scenario in scenarios.items()}
        teller = Teller(None, as_json=self.as_json)
        known: set[tuple[str, str]] = set()
        jobs = (Job(scenario, secrets.randbelow(_FRESH_SEEDS)) for scenario in cycle(scenarios.values()))
        try:
            with _ended_by_sigterm(), closing(self._told(islice(jobs, most), self.processes, teller)) as made:
                for played in made:
                    if not played.outcome.violations:
                        continue
                    kind = played.job.scenario.name, first_violation(played.outcome).checker
                    if kind not in known:
                        known.add(kind)
                        story = self._story(played, names[kind[0]], teller, "")
                        teller.story(story)
                        if story.interrupted:
                            break
        except KeyboardInterrupt:
            pass  # that is how a soak ends
        teller.summary()
        return Exit.VIOLATED if teller.violated else Exit.OK

    def _told(
        self, jobs: Iterable[Job], processes: int, teller: Teller, record: Path | None = None
    ) -> Generator[Played, None, None]:
        made = self._recorded(jobs, record) if record is not None else play_all(jobs, processes, self.world)
        with closing(made):
            for played in made:
                teller.played(played)
                yield played

    def _recorded(self, jobs: Iterable[Job], record: Path) -> Generator[Played, None, None]:
        safely = Safely(self.world)
        for job in jobs:
            with Recorder(record, job.scenario.name, job.seed) as recorder:
                outcome = safely(job.scenario, job.seed, job.faults, record=recorder.add)
            yield Played(job, outcome, 0.0)
            if not self.as_json:
                click.echo(f"recorded; look at it with: footloose simulate --play {shlex.quote(str(record))}")

    def _story(self, played: Played, name: str, teller: Teller, checker: str) -> Story:
        job, violation = played.job, first_violation(played.outcome, checker)
        shrunk = Shrunk(job.faults, Smaller(), played.outcome, 0)
        if not self.as_is:
            until = monotonic() + SHRINK_S
            found = shrink(
                Safely(self.world),
                job.scenario,
                job.seed,
                job.faults,
                violation.checker,
                told=teller.shrinking,
                enough=lambda: monotonic() > until,
            )
            shrunk = found if found.outcome is not None else msgspec.structs.replace(found, outcome=played.outcome)
        outcome = shrunk.outcome or played.outcome
        return Story(
            scenario=job.scenario.name,
            outcome=outcome,
            violation=first_violation(outcome, violation.checker),
            schedule=shrunk.schedule,
            planned=len(job.faults),
            smaller=shrunk.smaller,
            runs=shrunk.runs,
            reproduced=shrunk.reproduced,
            finished=shrunk.finished,
            interrupted=shrunk.interrupted,
            replay=self._saved(job, name, shrunk, violation.checker) if job.schedule is None else "",
        )

    def _saved(self, job: Job, name: str, shrunk: Shrunk, checker: str) -> str:
        """The faults written to a file; the command that plays them again."""
        path = self.save / f"{job.scenario.name}-{job.seed}.json"
        save_schedule(path, ScheduleFile(job.scenario.name, job.seed, shrunk.schedule, shrunk.smaller, checker))
        return shlex.join(["footloose", "simulate", name, "--seed", str(job.seed), "--schedule", str(path)])


def _as_data(story: Story | None) -> object:
    return None if story is None else {**msgspec.to_builtins(story), "outcome": as_data(story.outcome)}


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends what is done within as Ctrl-C does, with all processes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
