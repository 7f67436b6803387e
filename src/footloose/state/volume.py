"""Files as a record needs them: written at their end, synced, replaced whole. Real ones, and a promise others can keep.

:class:`footloose.simulation.disk.Disk` keeps the same promise in virtual time; one suite of tests checks both.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from footloose.state.disk import disk_error, sync_directory

_UNFINISHED = ".unfinished"
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Volume(Protocol):
    """A few named files. Whatever cannot be done raises :class:`LocalError`.

    What was appended is lost, in whole or from some byte on, if the power goes before the next :meth:`sync` of that
    file returns; what was synced is not.
    """

    def where(self, name: str) -> str:
        """The file as an operator would name it."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        ...

    def read(self, name: str) -> bytes:
        """A file's content; empty if there is none."""
        ...

    def append(self, name: str, content: bytes) -> None:
        """Write at the end of a file, made if there is none. If it fails, a part may have been written."""
        ...

    def sync(self, name: str) -> None:
        """Make all that was done to a file outlast a power cut. If it fails, nothing since the last one may."""
        ...

    def truncate(self, name: str, size_bytes: int) -> None:
        """Drop all of a file but its first ``size_bytes``; not synced."""
        ...

    def replace(self, name: str, content: bytes) -> None:
        """Put a file in place of another, or of none, at once and synced.

        If it fails, the file is as it was, or (if only the last step, syncing the directory, failed) already the new.
        """
        ...

    def keep_aside(self, name: str, aside: str) -> None:
        """Let what a file holds now be found under ``aside`` too, whatever replaces it. One that is there stays."""
        ...


class DirectoryVolume:
    """The files of one directory, used from one thread; what an earlier process left unfinished is removed.

    Raises :class:`LocalError` if it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[str, int] = {}
        self._new: set[str] = set()
        """Files whose directory entry is not synced yet."""
        with self._told(path):
            for left in path.glob(f"*{_UNFINISHED}"):
                left.unlink()

    def where(self, name: str) -> str:
        """The file's path."""
        return str(self._path / name)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        with self._told(self._path / name):
            return (self._path / name).exists()

    def read(self, name: str) -> bytes:
        """A file's content; empty if there is none."""
        with self._told(self._path / name):
            try:
                return (self._path / name).read_bytes()
            except FileNotFoundError:
                return b""

    def append(self, name: str, content: bytes) -> None:
        """Write at the end of a file."""
        with self._told(self._path / name):
            _write_all(self._descriptor(name), content)

    def sync(self, name: str) -> None:
        """Wait until a file is on the disk."""
        with self._told(self._path / name):
            os.fsync(self._descriptor(name))
            if name in self._new:
                sync_directory(self._path)
                self._new.discard(name)

    def truncate(self, name: str, size_bytes: int) -> None:
        """Cut a file short."""
        with self._told(self._path / name):
            os.ftruncate(self._descriptor(name), size_bytes)

    def replace(self, name: str, content: bytes) -> None:
        """Write another file, sync it, rename it, sync the directory."""
        path = self._path / name
        unfinished = path.with_name(name + _UNFINISHED)
        with self._told(path):
            try:
                _write_synced(unfinished, content)
                self._let_go(name)
                unfinished.replace(path)
            except OSError:
                with suppress(OSError):  # the first error is the one to tell; the next start removes what is left
                    unfinished.unlink(missing_ok=True)
                raise
            sync_directory(self._path)
            self._new.discard(name)

    def keep_aside(self, name: str, aside: str) -> None:
        """Give a file a second name: needs no room. Where a file system has no links, it is copied."""
        path, other = self._path / name, self._path / aside
        with self._told(path):
            if other.exists():
                return
            try:
                other.hardlink_to(path)
                sync_directory(self._path)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                self.replace(aside, self.read(name))

    def close(self) -> None:
        """Let go of all files."""
        for name in list(self._open):
            self._let_go(name)

    def _descriptor(self, name: str) -> int:
        known = self._open.get(name)
        if known is not None:
            return known
        path = self._path / name
        if not path.exists():
            self._new.add(name)
        opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._open[name] = opened
        return opened

    def _let_go(self, name: str) -> None:
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)

    @contextmanager
    def _told(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise disk_error(error, path) from error


def _write_synced(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
