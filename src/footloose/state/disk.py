"""The few things about files that every store here needs."""

import errno
import os
from pathlib import Path

from footloose.core.errors import LocalError

_FULL = "free some disk space"
_FIXES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: "give the user this node runs as the right to use it, or choose another state directory",
    errno.EPERM: "give the user this node runs as the right to use it, or choose another state directory",
    errno.EROFS: "choose a state directory on a disk that can be written",
    errno.ENOTDIR: "choose another state directory: there is a file in the way",
    errno.EEXIST: "choose another state directory: there is a file in the way",
    errno.EIO: "check the disk",
}


def disk_error(error: OSError, where: Path) -> LocalError:
    """``error`` as one that says what to do about it."""
    what = error.strerror or str(error)
    return LocalError(what[:1].lower() + what[1:], where=str(where), fix=_FIXES.get(error.errno or 0))


def sync_directory(path: Path) -> None:
    """Make a rename inside ``path`` outlast a power cut. Raises :class:`OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
