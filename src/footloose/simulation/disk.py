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
        self._written: dict[str, bytearray] = {}
        self._synced: dict[str, bytes] = {}
        self.syncs = 0
        self.stalls: Callable[[float], object] = lambda _: None
        """Is told how long a sync takes if it takes any time: who waits for it does nothing else meanwhile."""

    def where(self, name: str) -> str:
        """The file's name."""
        return name

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return name in self._written

    def names(self) -> list[str]:
        """All files there are."""
        return sorted(self._written)

    def append(self, name: str, content: bytes) -> None:
        """Write at the end of a file. Raises :class:`LocalError` if the disk is full; a part may have been written."""
        file = self._written.setdefault(name, bytearray(self._synced.get(name, b"")))
        room = self.capacity_bytes - self.used_bytes if self.capacity_bytes else len(content)
        file += content[: max(0, room)]
        if room < len(content):
            raise LocalError("no space left on the disk", where=name, fix="remove something")

    def sync(self, name: str) -> None:
        """Make what was done to a file outlast a crash."""
        self.syncs += 1
        if self.slow_s:
            self.stalls(self.slow_s)
        self._synced[name] = bytes(self._written.setdefault(name, bytearray()))

    def truncate(self, name: str, size_bytes: int) -> None:
        """Drop all of a file but its first ``size_bytes``; not synced."""
        del self._written.setdefault(name, bytearray())[size_bytes:]

    def replace(self, name: str, content: bytes) -> None:
        """Put a file in place of another at once, synced (write, sync, rename, sync of the directory).

        Raises :class:`LocalError` if there is no room for both at once; the file is then as it was.
        """
        if self.capacity_bytes and self.used_bytes + len(content) > self.capacity_bytes:
            raise LocalError("no space left on the disk", where=name, fix="remove something")
        self._written[name] = bytearray(content)
        self.sync(name)

    def keep_aside(self, name: str, aside: str) -> None:
        """Let what a file holds now be found under ``aside`` too, at once and synced; one that is there stays."""
        if aside not in self._written:
            self._written[aside] = bytearray(self._written[name])
            self.sync(aside)

    def read(self, name: str) -> bytes:
        """A file's content; empty if there is none."""
        return bytes(self._written.get(name, b""))

    @property
    def used_bytes(self) -> int:
        """All files together."""
        return sum(map(len, self._written.values()))

    def crash(self) -> None:
        """Lose what was not synced, or all but some first part of it; the last block kept may be torn."""
        for name, file in list(self._written.items()):
            left = self._left_of(bytes(file), self._synced.get(name, b""))
            if left or name in self._synced:
                self._written[name] = left
            else:
                del self._written[name]
        self._synced = {name: bytes(file) for name, file in self._written.items()}

    def _left_of(self, written: bytes, synced: bytes) -> bytearray:
        if not written.startswith(synced) and self._random.random() < 0.5:
            return bytearray(synced)  # it was cut short, and perhaps written to after that: nothing of it arrived
        kept = _common(written, synced)
        unsynced = written[len(kept) :]
        survived = self._random.randrange(len(unsynced) + 1) if unsynced else 0
        torn = bytearray(unsynced[:survived])
        if torn and self._random.random() < 0.5:
            at = self._random.randrange(max(0, len(torn) - 512), len(torn))
            torn[at:] = bytes(len(torn) - at)  # length was written, content was not
        return bytearray(kept) + torn


def _common(one: bytes, other: bytes) -> bytes:
    if one.startswith(other):
        return other
    same = (at for at, (mine, theirs) in enumerate(zip(one, other, strict=False)) if mine != theirs)
    return one[: next(same, len(one))]
