"""A disk as a protocol must assume it: what was not synced may be lost, in part, at a crash.

It keeps the promises of :class:`footloose.state.volume.Volume` and none beyond them.
"""

from collections.abc import Callable
from random import Random

from footloose.core.errors import LocalError


class Disk:
    """Named files of appended bytes. ``capacity_bytes`` 0 is no limit; ``slow_s`` is how long a sync takes."""

    def __init__(self, random: Random, *, capacity_bytes: int = 0, slow_s: float = 0.0) -> None:
        self._random = random
        self.capacity_bytes = capacity_bytes
        self.slow_s = slow_s
        self.syncs = 0
        self.stalls: Callable[[float], object] = lambda _: None
        """Is told how long a sync takes if it takes any time: who waits for it does nothing else meanwhile."""
        self._files: dict[str, bytearray] = {}
        self._safe_bytes: dict[str, int] = {}
        """How much of the beginning of each file that was ever synced is sure to be left after a crash."""
        self._uncut: dict[str, bytes] = {}
        """Files that were cut since they were synced, as they were then."""

    def where(self, name: str) -> str:
        """The file's name."""
        return name

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return name in self._files

    def names(self) -> list[str]:
        """All files there are."""
        return sorted(self._files)

    def append(self, name: str, content: bytes) -> None:
        """Write at the end of a file. Raises :class:`LocalError` if the disk is full; a part may have been written."""
        file = self._files.setdefault(name, bytearray())
        room = self.capacity_bytes - self.used_bytes if self.capacity_bytes else len(content)
        file += content[: max(0, room)]
        if room < len(content):
            raise LocalError("no space left on the disk", where=name, fix="remove something")

    def sync(self, name: str) -> None:
        """Make what was done to a file outlast a crash."""
        self.syncs += 1
        if self.slow_s:
            self.stalls(self.slow_s)
        self._safe_bytes[name] = len(self._files.setdefault(name, bytearray()))
        self._uncut.pop(name, None)

    def truncate(self, name: str, size_bytes: int) -> None:
        """Drop all of a file but its first ``size_bytes``; not synced."""
        file = self._files.setdefault(name, bytearray())
        safe_bytes = self._safe_bytes.get(name, 0)
        if size_bytes < safe_bytes:
            self._uncut.setdefault(name, bytes(file[:safe_bytes]))
            self._safe_bytes[name] = size_bytes
        del file[size_bytes:]

    def replace(self, name: str, content: bytes) -> None:
        """Put a file in place of another at once, synced (write, sync, rename, sync of the directory).

        Raises :class:`LocalError` if there is no room for both at once; the file is then as it was.
        """
        if self.capacity_bytes and self.used_bytes + len(content) > self.capacity_bytes:
            raise LocalError("no space left on the disk", where=name, fix="remove something")
        self._files[name] = bytearray(content)
        self.sync(name)

    def keep_aside(self, name: str, aside: str) -> None:
        """Let what a file holds now be found under ``aside`` too, at once and synced; one that is there stays."""
        if aside not in self._files:
            self._files[aside] = bytearray(self._files[name])
            self.sync(aside)

    def read(self, name: str) -> bytes:
        """A file's content; empty if there is none."""
        return bytes(self._files.get(name, b""))

    @property
    def used_bytes(self) -> int:
        """All files together."""
        return sum(map(len, self._files.values()))

    def crash(self) -> None:
        """Lose what was not synced, or all but some first part of it; the last block kept may be torn.

        A file that was cut may be uncut again; one that was never synced may be gone.
        """
        left = {name: self._left_of(name, file) for name, file in self._files.items()}
        self._files = {name: file for name, file in left.items() if file or name in self._safe_bytes}
        self._safe_bytes = {name: len(file) for name, file in self._files.items()}
        self._uncut.clear()

    def _left_of(self, name: str, file: bytearray) -> bytearray:
        if name in self._uncut and self._random.random() < 0.5:
            return bytearray(self._uncut[name])
        safe_bytes = self._safe_bytes.get(name, 0)
        unsynced = len(file) - safe_bytes
        survived = self._random.randrange(unsynced + 1) if unsynced else 0
        torn = file[safe_bytes : safe_bytes + survived]
        if torn and self._random.random() < 0.5:
            at = self._random.randrange(max(0, len(torn) - 512), len(torn))
            torn[at:] = bytes(len(torn) - at)  # length was written, content was not
        return file[:safe_bytes] + torn
