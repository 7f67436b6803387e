"""An append-only record on a volume: what was appended durably is read back whole after any end, or its loss named."""

import hashlib
import logging
from collections.abc import Callable, Iterable

from footloose.core.errors import LocalError
from footloose.core.limits import RECORD_GROWTH, RECORD_SMALL_BYTES
from footloose.state.frames import Scan, first_line, frame, scan, whole
from footloose.state.volume import Volume

log = logging.getLogger(__name__)


class Record:
    """One file of entries. ``live`` gives the entries that make the present state, to write the file anew from.

    :meth:`replay` and :meth:`settle` come first, then :meth:`append`.
    """

    def __init__(self, volume: Volume, name: str, live: Callable[[], Iterable[bytes]]) -> None:
        self._volume = volume
        self._name = name
        self._live = live
        self._sequence = 1
        self._size_bytes = 0
        self._rewrite_at_bytes = 0
        self._doubtful = False
        """Whether the file may hold something else than what was acknowledged, so that it must be written anew."""

    @property
    def where(self) -> str:
        """The file."""
        return self._volume.where(self._name)

    def replay(self) -> tuple[Scan, bytes]:
        """What the file holds, and its bytes. Raises :class:`LocalError` if it is of a newer version or unreadable."""
        content = self._volume.read(self._name)
        found = scan(content, self.where) if self._volume.exists(self._name) else scan(first_line(1, 0), self.where)
        self._sequence = found.next_sequence
        self._grown_from(found.begun_bytes, found.intact_bytes)
        return found, content

    def settle(self, found: Scan, content: bytes, *, damaged: bool) -> str | None:
        """Make the file such that it can be appended to, and all that was read from it be on the disk.

        A damaged one is kept aside and written anew; what it is kept as is returned. Doing this twice is the same as
        once. Raises :class:`LocalError` if it cannot be written.
        """
        aside = None
        if damaged:
            aside = f"{self._name}.damaged-{hashlib.sha256(content).hexdigest()[:12]}"
            self._volume.keep_aside(self._name, aside)
        if damaged or not self._volume.exists(self._name):
            self._write_anew()
            return aside
        if found.cut_short is not None:
            self._volume.truncate(self._name, found.intact_bytes)
        self._volume.sync(self._name)
        return None

    def append(self, payload: bytes, *, durable: bool) -> None:
        """Add an entry; if ``durable``, it is on the disk when this returns.

        Raises :class:`LocalError` if it cannot be written. It is then not part of the record, and as soon as there is
        room others can be appended.
        """
        if self._doubtful:
            self._write_anew()
        added = frame(self._sequence, payload)
        try:
            self._volume.append(self._name, added)
        except LocalError:
            self._cut_back()
            raise
        self._sequence += 1
        self._size_bytes += len(added)
        if durable:
            self._sync()

    def shrink(self) -> None:
        """Write the file anew if most of it is no longer of any use. If that fails it goes on as it is."""
        if self._size_bytes < self._rewrite_at_bytes:
            return
        try:
            self._write_anew()
        except LocalError as error:
            self._rewrite_at_bytes = self._size_bytes + RECORD_SMALL_BYTES
            log.error("the record is not made smaller: %s", error)

    def _sync(self) -> None:
        # After a failed sync nobody knows what is on the disk, and trying again may succeed without writing anything
        # (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020): it is written anew.
        try:
            self._volume.sync(self._name)
        except LocalError:
            self._doubtful = True
            raise

    def _cut_back(self) -> None:
        """Remove the part of an entry that was written before the disk was full."""
        try:
            self._volume.truncate(self._name, self._size_bytes)
        except LocalError as error:
            self._doubtful = True
            log.error("a part of an entry stays in the record until it is written anew: %s", error)

    def _write_anew(self) -> None:
        content, after = whole(self._sequence, self._live())
        try:
            self._volume.replace(self._name, content)
        except LocalError:
            # Only if the directory could not be synced is the new one there already, and then not for good.
            before, self._doubtful = self._doubtful, True
            self._doubtful = before or self._volume.read(self._name) == content
            raise
        self._sequence = after
        self._doubtful = False
        self._grown_from(len(content), len(content))

    def _grown_from(self, begun_bytes: int, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._rewrite_at_bytes = max(RECORD_SMALL_BYTES, RECORD_GROWTH * begun_bytes)
