"""One JSON line per request on standard error, if the operator wants it."""

import contextlib
import sys
from typing import IO

import msgspec

from footloose.core.codec import encode


class Access(msgspec.Struct, frozen=True):
    """One request as it is logged: ``at`` seconds since 1970, ``bytes`` of the answer's body.

    ``ms`` is from when it had come (its head, if the body is streamed) until its answer was handed to the kernel or its
    connection was lost, when ``whole`` is false. ``tls`` is the version spoken. ``service`` is None if none was asked.
    """

    at: float
    address: str
    protocol: str
    tls: str | None
    method: str
    host: str
    target: str
    service: str | None
    status: int
    bytes_in: int
    bytes: int
    ms: float
    guest_ms: float | None
    queue_ms: float
    whole: bool = True


def write(access: Access, stream: IO[bytes] | None = None) -> None:
    """Write one line."""
    out = stream if stream is not None else sys.stderr.buffer
    with contextlib.suppress(BrokenPipeError):  # nobody reads the log any more; users are served all the same
        out.write(encode(access) + b"\n")
        out.flush()
