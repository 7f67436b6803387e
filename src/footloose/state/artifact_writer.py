"""An artifact on its way in: room is set aside for it, its digest is checked, and only then does it appear."""

import asyncio
import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from footloose.core.digest import Digest
from footloose.core.errors import LimitExceeded, LocalError, RemoteError
from footloose.state.disk import disk_error, sync_directory

PARTIAL = ".partial"
"""How the name of an unfinished file ends."""
_BUFFER_BYTES = 1024 * 1024


class Room:
    """How much artifacts may use: each, all together, and of the disk; what is on its way in is counted ahead."""

    def __init__(self, directory: Path, artifact_bytes: int, capacity_bytes: int, reserve_bytes: int) -> None:
        self._directory = directory
        self._artifact_bytes = artifact_bytes
        self._capacity_bytes = capacity_bytes
        self._reserve_bytes = reserve_bytes
        self._claimed_bytes = 0
        self.stored_bytes = 0
        self.written_bytes = 0
        """Of what is claimed, what the disk has already."""

    def claim(self, more_bytes: int, in_all_bytes: int) -> None:
        """Set ``more_bytes`` aside for an artifact that has then ``in_all_bytes``.

        Raises :class:`LimitExceeded` if that is too large for one, :class:`LocalError` if there is no room.
        """
        if in_all_bytes > self._artifact_bytes:
            raise LimitExceeded(f"more than the {self._artifact_bytes} bytes allowed", where="artifact")
        if self.stored_bytes + self._claimed_bytes + more_bytes > self._capacity_bytes:
            what = f"no room for an artifact of {in_all_bytes} bytes, all may use {self._capacity_bytes}"
            raise LocalError(what, where=str(self._directory), fix="remove apps or end leases")
        try:
            disk = os.statvfs(self._directory)
        except OSError as error:
            raise disk_error(error, self._directory) from error
        coming_bytes = self._claimed_bytes - self.written_bytes + more_bytes
        if disk.f_bavail * disk.f_frsize - coming_bytes < self._reserve_bytes:
            what = f"the disk is full: an artifact of {in_all_bytes} bytes would leave less than {self._reserve_bytes}"
            raise LocalError(what, where=str(self._directory), fix="free some disk space")
        self._claimed_bytes += more_bytes

    def release(self, claimed_bytes: int, written_bytes: int) -> None:
        """Give back what was claimed, once the artifact is stored or given up."""
        self._claimed_bytes -= claimed_bytes
        self.written_bytes -= written_bytes


class ArtifactWriter:
    """Write pieces, then commit. Leaving the ``async with`` without a :meth:`commit` leaves nothing behind."""

    def __init__(
        self, target: Path, digest: Digest, announced_bytes: int, room: Room, done: Callable[[Digest, int], None]
    ) -> None:
        self._target = target
        self._partial = target.with_name(f"{target.name}.{secrets.token_hex(8)}{PARTIAL}")
        self._digest = digest
        self._announced_bytes = announced_bytes
        self._room = room
        self._done = done
        self._sha256 = hashlib.sha256()
        self._claimed_bytes = 0
        self._written_bytes = 0
        self._file: BinaryIO | None = None

    async def __aenter__(self) -> "ArtifactWriter":
        self._claim(self._announced_bytes)
        try:
            self._file = self._partial.open("xb", _BUFFER_BYTES)
        except OSError as error:
            self._give_up()
            raise disk_error(error, self._partial) from error
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._give_up()

    async def write(self, piece: bytes) -> None:
        """The next piece. Raises :class:`LimitExceeded` or :class:`LocalError` as the store's ``begin``."""
        file = self._opened()
        after_bytes = self._written_bytes + len(piece)
        self._claim(after_bytes)
        try:
            await asyncio.to_thread(self._write, file, piece)
        except OSError as error:
            raise disk_error(error, self._target) from error
        self._written_bytes = after_bytes
        self._room.written_bytes += len(piece)

    def _write(self, file: BinaryIO, piece: bytes) -> None:
        self._sha256.update(piece)
        file.write(piece)

    async def commit(self) -> None:
        """Check the digest and let the artifact appear, on the disk for good when this returns.

        Raises :class:`RemoteError` if the content is not what its digest says, :class:`LocalError` if it cannot be
        written; nothing is kept then.
        """
        file = self._opened()
        if self._sha256.hexdigest() != self._digest.removeprefix("sha256:"):
            raise RemoteError("the content is another than its digest says", where=f"artifact {self._digest}")
        try:
            await asyncio.to_thread(self._publish, file)
        except OSError as error:
            raise disk_error(error, self._target) from error
        self._done(self._digest, self._written_bytes)
        self._give_up()

    def _publish(self, file: BinaryIO) -> None:
        file.flush()
        os.fsync(file.fileno())
        self._partial.replace(self._target)
        sync_directory(self._target.parent)

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise LocalError("is not being written", where=f"artifact {self._digest}", fix="begin again")
        return self._file

    def _claim(self, in_all_bytes: int) -> None:
        more_bytes = in_all_bytes - self._claimed_bytes
        if more_bytes > 0:
            self._room.claim(more_bytes, in_all_bytes)
            self._claimed_bytes = in_all_bytes

    def _give_up(self) -> None:
        """Release the room and remove the unfinished file. Safe to do twice, and while a cancelled write still runs."""
        self._room.release(self._claimed_bytes, self._written_bytes)
        self._claimed_bytes = self._written_bytes = 0
        file, self._file = self._file, None
        self._partial.unlink(missing_ok=True)
        if file is not None:
            _close(file)


def _close(file: BinaryIO) -> None:
    """Close a file nobody will read: a last write that does not fit the disk is of no matter."""
    with contextlib.suppress(OSError):
        file.close()
