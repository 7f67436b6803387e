"""What became of a run."""

from collections.abc import Callable

import msgspec

from footloose.simulation.faults import Fault
from footloose.simulation.scenario import Scenario


class Violation(msgspec.Struct, frozen=True):
    """Something that must always hold, or hold again by now, and does not.

    ``checker`` is who says so, ``about`` what it is about (an app, a site, a user), ``what`` is wrong, and ``reason``
    from which figures that follows.
    """

    at_s: float
    checker: str
    about: str
    what: str
    reason: str


class Happening(msgspec.Struct, frozen=True):
    """One line of a run's trace. ``site`` is empty for what befell no site in particular."""

    at_s: float
    site: str
    kind: str
    text: str


class Outcome(msgspec.Struct, frozen=True):
    """A run that is over. ``digest`` is that of all that happened: the same for the same run, always.

    ``happenings`` are the last ones only. ``figures`` are whatever was measured, units in their names.
    """

    seed: int
    digest: str
    events: int
    violations: tuple[Violation, ...] = ()
    happenings: tuple[Happening, ...] = ()
    simulated_s: float = 0.0
    figures: dict[str, float] = {}


Run = Callable[[Scenario, int, tuple[Fault, ...]], Outcome]
"""Plays a scenario from a seed under these faults."""
