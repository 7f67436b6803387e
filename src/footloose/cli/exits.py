"""Exit codes, as ``docs/reference/exit-codes.md`` lists them."""

from enum import IntEnum

from footloose.core.errors import FootlooseError, RemoteError


class Unreachable(RemoteError):
    """Nobody answers at the admin socket, or the answer broke off."""


class Exit(IntEnum):
    """What became of a command, for scripts."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INVALID_FILE = 3
    UNREACHABLE = 4
    REFUSED = 5
    VIOLATED = 6
    INTERRUPTED = 130
    BROKEN_PIPE = 141


def exit_code_of(error: FootlooseError) -> Exit:
    """The code an error ends a command with."""
    if isinstance(error, Unreachable):
        return Exit.UNREACHABLE
    return Exit.REFUSED if isinstance(error, RemoteError) else Exit.FAILED
