"""Content addresses: ``sha256:`` and 64 hexadecimal digits, as OCI writes them."""

import hashlib
import re
from typing import NewType

from footloose.core.errors import RemoteError

Digest = NewType("Digest", str)
_FORM = re.compile(r"sha256:[0-9a-f]{64}\Z")


def digest_of(content: bytes) -> Digest:
    """The content address of ``content``."""
    return Digest("sha256:" + hashlib.sha256(content).hexdigest())


def parse_digest(text: str) -> Digest:
    """``text`` as a digest. Raises :class:`RemoteError` unless it has the one accepted form."""
    if not _FORM.match(text):
        raise RemoteError(f"{text[:80]!r} is not a digest", fix="write sha256: and 64 hexadecimal digits")
    return Digest(text)
