"""A command that was run."""

from collections.abc import Callable

import msgspec


class Ran(msgspec.Struct, frozen=True):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ran]
"""``cli("ps", "--json")`` runs that command; a fixture."""
