"""What the gateway asks of a runtime, whatever runs the code."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

import msgspec

from footloose.core.errors import FootlooseError
from footloose.model.app import GuestKind, Limits


class GuestAnswer(msgspec.Struct, frozen=True):
    """``output`` is what the guest printed (CGI header, empty line, body); ``log`` what it logged."""

    output: bytes
    log: bytes = b""


class GuestFault(Enum):
    """The ways a guest can fail a request."""

    TRAP = "trap"
    TIME = "time limit"
    MEMORY = "memory limit"
    OUTPUT = "output limit"
    EXIT = "non-zero exit"
    ANSWER = "malformed answer"


class GuestError(FootlooseError):
    """A guest failed a request. ``log`` is what it had logged until then."""

    def __init__(self, fault: GuestFault, detail: str, *, log: bytes = b"") -> None:
        self.fault = fault
        self.log = log
        super().__init__(f"guest failed: {fault.value}: {detail}")


class Guest(Protocol):
    """A loaded module, ready to answer; every call is a fresh instance."""

    def call(self, environment: Sequence[tuple[str, str]], body: bytes) -> GuestAnswer:
        """Answer one request with these CGI meta-variables and body. Blocks. Raises :class:`GuestError`."""
        ...


class Runtime(Protocol):
    """Loads compiled artifacts."""

    def load(self, compiled: Path, kind: GuestKind, limits: Limits) -> Guest:
        """A guest from what this site compiled itself. Raises :class:`LocalError` if it cannot be loaded."""
        ...
