"""One JSON line per request on standard error, if the operator wants it."""

import contextlib
import sys
from typing import IO

import msgspec

from footloose.core.codec import encode


class Access(msgspec.Struct, frozen=True):
    """One request as it is logged: ``at`` seconds since 1970, ``bytes`` of the answer's body."""

    at: float
    address: str
    method: str
    host: str
    target: str
    status: int
    bytes: int
    guest_ms: float | None


def write(access: Access, stream: IO[bytes] | None = None) -> None:
    """Write one line."""
    out = stream if stream is not None else sys.stderr.buffer
    with contextlib.suppress(BrokenPipeError):  # nobody reads the log any more; users are served all the same
        out.write(encode(access) + b"\n")
        out.flush()
