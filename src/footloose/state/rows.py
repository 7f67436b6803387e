"""Reading back what was written: a row that cannot be read must not keep the site from all the others."""

import logging
from typing import TypeVar

from footloose.core.codec import decode
from footloose.core.errors import RemoteError

T = TypeVar("T")
log = logging.getLogger(__name__)


def stored(value: bytes, kind: type[T], what: str) -> T | None:
    """``value`` as a ``kind``, or None, with an error in the log, if it is none."""
    try:
        return decode(value, kind, where=what, limit=len(value))
    except RemoteError as error:
        log.error("left out, it cannot be read back: %s", error)
        return None
