"""What the gateway asks of a runtime, whatever runs the code."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

import msgspec

from footloose.core.errors import FootlooseError
from footloose.model.app import GuestKind, Instances, Limits


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
    WAITS = "would have to wait"


class GuestError(FootlooseError):
    """A guest failed a request. ``log`` is what it had logged until then."""

    def __init__(self, fault: GuestFault, detail: str, *, log: bytes = b"") -> None:
        self.fault = fault
        self.log = log
        super().__init__(f"guest failed: {fault.value}: {detail}")


class Gone(Exception):
    """The other end of an exchange is gone: the guest may stop."""


class Exchange(Protocol):
    """A request that is answered as it comes. The guest's thread calls it, and may have to wait in each call.

    ``length`` is that of the body, None if it is not known beforehand. All raise :class:`Gone`.
    """

    length: int | None

    def read(self, most: int) -> bytes:
        """The next bytes of the body; none at its end."""
        ...

    def write(self, data: bytes) -> None:
        """The next bytes of the answer, in CGI form."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return so much later."""
        ...


class Guest(Protocol):
    """A loaded module, ready to answer; every call is a fresh instance, unless it was loaded to be warm."""

    @property
    def streams(self) -> bool:
        """Whether it can read and write as it goes on, and so has :meth:`stream`."""
        ...

    def call(self, environment: Sequence[tuple[str, str]], body: bytes) -> GuestAnswer:
        """Answer one request with these CGI meta-variables and body. Blocks.

        Raises :class:`GuestError`; its fault is ``WAITS`` if the guest wants to sleep, which it can only in
        :meth:`stream`. Nothing but time is then lost.
        """
        ...

    def stream(self, environment: Sequence[tuple[str, str]], exchange: Exchange) -> bytes:
        """Answer one request as it comes; what was logged. Only the time it runs itself counts as its own.

        Blocks. Raises :class:`GuestError`.
        """
        ...


class Runtime(Protocol):
    """Loads compiled artifacts."""

    def load(self, compiled: Path, kind: GuestKind, limits: Limits, instances: Instances) -> Guest:
        """A guest from what this site compiled itself. Raises :class:`LocalError` if it cannot be loaded."""
        ...

    def tidy(self) -> None:
        """Give back instances that have been idle for long. To be called every second or so, on any thread."""
        ...
