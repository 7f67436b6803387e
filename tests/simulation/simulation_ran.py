"""A scenario for the toy, and a command that was run."""

from collections.abc import Callable

import msgspec

TOY = """
name: toy
duration: 1h
sites: 4
apps: [{name: pulse, home: a}]
users: [{count: 3, every: 1m}, {count: 4, every: 90s}]
faults:
  crash: {rate: 4/h, for: 1s..10s}
  pause: 4/h
  partition: {rate: 6/h, for: 1m..5m}
"""
"""A scenario of which some seeds go wrong in the toy."""


class Ran(msgspec.Struct, frozen=True):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Simulate = Callable[..., Ran]
"""``simulate("--seed", "1")`` runs that; a fixture."""
