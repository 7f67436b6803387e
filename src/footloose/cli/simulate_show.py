"""What ``footloose simulate`` prints while it runs, and at the end."""

import sys
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import click
import msgspec

from footloose.cli.output import count, print_json_line
from footloose.core.printable import printable
from footloose.simulation.campaign import Played
from footloose.simulation.outcome import Outcome
from footloose.simulation.story import Story, clock, first_violation

_TOLD_EVERY_S = 60.0
_DIGEST = 16


class Teller:
    """Says how it goes. ``total`` runs are to be made; None: no end is set, and only what goes wrong is told.

    On a terminal there is a line of progress too, on stderr.
    """

    def __init__(self, total: int | None, *, as_json: bool) -> None:
        self._total = total
        self._as_json = as_json
        self._began = self._told_at = perf_counter()
        self._live = sys.stderr.isatty()
        self._simulated_s = 0.0
        self.runs = 0
        self.violated = 0

    def played(self, played: Played) -> None:
        """A run is over."""
        self.runs += 1
        self.violated += bool(played.outcome.violations)
        self._simulated_s += played.outcome.simulated_s
        self._clear()
        if self._as_json:
            if self._total is None:
                print_json_line({"scenario": played.job.scenario.name, **as_data(played.outcome)})
        elif self._total is not None or played.outcome.violations:
            name = f"{played.job.scenario.name}  " if self._total is None else ""
            click.echo(f"{name}{_line(played.outcome)}")
        self._progress()

    def shrinking(self, runs: int, faults: int) -> None:
        """A run was made to find the least that goes wrong."""
        self._show(f"looking for what is needed: {count(runs, 'run')}, {count(faults, 'fault')} left")

    def story(self, story: Story) -> None:
        """Something went wrong."""
        self._clear()
        if not self._as_json:
            click.echo("")
            for line in story.lines():
                click.echo(line)
            click.echo("")

    def summary(self) -> None:
        """All is over."""
        self._clear()
        if not self._as_json:
            found = f"{self.violated} violated" if self.violated else "all good"
            click.echo(f"{count(self.runs, 'run')}, {found}; {self._rate()}")

    def _rate(self) -> str:
        took_s = max(perf_counter() - self._began, 1e-3)
        return f"{self.runs / took_s * 3600:,.0f} scenarios an hour, {self._simulated_s / took_s:,.0f} s a second"

    def _progress(self) -> None:
        of = f"/{self._total}" if self._total is not None else ""
        text = f"{self.runs}{of} runs, {self.violated} violated; {self._rate()}"
        self._show(text)
        if self._total is None and not self._live and perf_counter() - self._told_at > _TOLD_EVERY_S:
            self._told_at = perf_counter()
            click.echo(text, err=True)

    def _show(self, text: str) -> None:
        if self._live:
            click.echo(f"\r\x1b[K{text}", err=True, nl=False)

    def _clear(self) -> None:
        if self._live:
            click.echo("\r\x1b[K", err=True, nl=False)


def as_data(outcome: Outcome) -> dict[str, Any]:
    """An outcome for programs: all but the happenings."""
    data: dict[str, Any] = msgspec.to_builtins(outcome)
    del data["happenings"]
    return data


def figures(outcome: Outcome) -> Mapping[str, str]:
    """What was measured, to be printed."""
    return {printable(name): f"{value:,.6g}" for name, value in sorted(outcome.figures.items())}


def _line(outcome: Outcome) -> str:
    line = f"seed {outcome.seed}  {outcome.digest[:_DIGEST] or '-':{_DIGEST}}  {outcome.events:,} events"
    if not outcome.violations:
        return f"{line}  good"
    wrong = first_violation(outcome)
    return f"{line}  VIOLATED: {printable(wrong.checker, 60)} at {clock(wrong.at_s)}"
