"""A disk as a protocol must assume it: what was not synced may be lost, in part, at a crash."""

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

    def append(self, name: str, content: bytes) -> None:
        """Write at the end of a file. Raises :class:`LocalError` if the disk is full; a part may have been written."""
        file = self._written.setdefault(name, bytearray(self._synced.get(name, b"")))
        room = self.capacity_bytes - self.used_bytes if self.capacity_bytes else len(content)
        file += content[: max(0, room)]
        if room < len(content):
            raise LocalError("no space left on the disk", where=name, fix="remove something")

    def sync(self, name: str) -> None:
        """Make what was written to a file outlast a crash."""
        self.syncs += 1
        self._synced[name] = bytes(self._written.get(name, b""))

    def replace(self, name: str, content: bytes) -> None:
        """Put a file in place of another at once, synced (write, sync, rename, sync of the directory).

        Raises :class:`LocalError` if the disk is full; the file is then as it was.
        """
        before = len(self._written.get(name, b""))
        if self.capacity_bytes and self.used_bytes - before + len(content) > self.capacity_bytes:
            raise LocalError("no space left on the disk", where=name, fix="remove something")
        self._written[name] = bytearray(content)
        self.sync(name)

    def read(self, name: str) -> bytes:
        """A file's content; empty if there is none."""
        return bytes(self._written.get(name, b""))

    @property
    def used_bytes(self) -> int:
        """All files together."""
        return sum(map(len, self._written.values()))

    def crash(self) -> None:
        """Lose what was not synced, or all but some first part of it; the last block kept may be torn."""
        for name, file in self._written.items():
            kept = bytearray(self._synced.get(name, b""))
            unsynced = bytes(file[len(kept) :])
            survived = self._random.randrange(len(unsynced) + 1) if unsynced else 0
            torn = bytearray(unsynced[:survived])
            if torn and self._random.random() < 0.5:
                at = self._random.randrange(max(0, len(torn) - 512), len(torn))
                torn[at:] = bytes(len(torn) - at)  # length was written, content was not
            self._written[name] = kept + torn
        self._synced = {name: bytes(file) for name, file in self._written.items()}
