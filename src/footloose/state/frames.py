"""The bytes of a record: a first line that says what it is, then frames, one after another and never changed.

A frame is a head of 32 bytes (marker, length, sequence number, checksum of the payload, checksum of all that) and a
payload of UTF-8. The marker is no UTF-8, so that it is in no payload and reading finds the next frame after damage.
A head checks itself, so that a damaged length is never followed. Sequence numbers go on when a record is written anew:
a missing, doubled or stale block shows. Checksums are BLAKE2b of 64 bits (RFC 7693): CRC-32 would find accidents of up
to three bits only in frames below 11 kB, and leave one in four thousand million of the others, for the same few
microseconds. They are against accidents: who can write here can read the site's key as well.
"""

import hashlib
import re
import struct
from collections.abc import Iterable

import msgspec

from footloose.core.errors import LocalError
from footloose.core.limits import RECORD_FRAME_BYTES

VERSION = 1
MARKER = b"\xff\xfe\xf5F"
_HEAD = struct.Struct(">4sIQ8s")
_SUM_BYTES = 8
_HEAD_BYTES = _HEAD.size + _SUM_BYTES
_ZEROS = 8
"""Fewer zeros at the end than this are no block that was never written, but bytes that were damaged."""
_FIRST_LINE_BYTES = 128
_DAMAGED_HEAD = "the head of an entry is damaged"
_FIRST_LINE = re.compile(rb"(footloose record ([0-9]{1,9}), from ([0-9]{1,18}), ([0-9]{1,18}) bytes) ([0-9a-f]{16})\n")


class Entry(msgspec.Struct, frozen=True):
    """One frame's payload, as it was written."""

    sequence: int
    payload: bytes


class Loss(msgspec.Struct, frozen=True):
    """Bytes of a record that are no entry of it (none of them where entries are missing), and what was expected."""

    offset: int
    size_bytes: int
    what: str


class Scan(msgspec.Struct, frozen=True):
    """What a record holds. ``cut_short`` is a last entry that was still being written when the power went.

    ``intact_bytes`` is the length up to that; ``begun_bytes`` how large the record was when last written anew.
    """

    entries: tuple[Entry, ...]
    losses: tuple[Loss, ...]
    cut_short: Loss | None
    next_sequence: int
    intact_bytes: int
    begun_bytes: int


def first_line(first_sequence: int, begun_bytes: int, version: int = VERSION) -> bytes:
    """How a record begins whose first frame has that number, and whose first frames have so many bytes."""
    text = b"footloose record %d, from %d, %d bytes" % (version, first_sequence, begun_bytes)
    return text + b" " + _sum(text).hex().encode() + b"\n"


def frame(sequence: int, payload: bytes) -> bytes:
    """A frame. Raises :class:`LocalError` if ``payload`` is too large for one, or could be mistaken for one."""
    if len(payload) > RECORD_FRAME_BYTES:
        what = f"an entry of {len(payload)} bytes, more than the {RECORD_FRAME_BYTES} allowed"
        raise LocalError(what, where="record", fix="make the app smaller")
    if MARKER in payload:
        raise LocalError("an entry that is no text", where="record")
    head = _HEAD.pack(MARKER, len(payload), sequence, _sum(payload))
    return head + _sum(head) + payload


def whole(first_sequence: int, payloads: Iterable[bytes]) -> tuple[bytes, int]:
    """A fresh record of these entries, and the number of the entry after them."""
    frames = [frame(sequence, payload) for sequence, payload in enumerate(payloads, start=first_sequence)]
    content = b"".join(frames)
    return first_line(first_sequence, len(content)) + content, first_sequence + len(frames)


def scan(content: bytes, where: str) -> Scan:
    """All entries of a record that are intact, in order, and what else there is.

    Raises :class:`LocalError` if it is of a newer version.
    """
    line = _FIRST_LINE.match(content, 0, _FIRST_LINE_BYTES)
    if line is None or _sum(line[1]).hex().encode() != line[5]:
        what = "the first line is damaged" if content else "it is empty"
        return _Reading(content, None, 0, what).scan()
    version, first_sequence, begun_bytes = int(line[2]), int(line[3]), int(line[4])
    if version > VERSION:
        raise LocalError(
            f"written by a newer version of this program (record {version}, known here: {VERSION})",
            where=where,
            fix="upgrade, or use another state directory",
        )
    return _Reading(content, first_sequence, line.end(), None, begun_bytes).scan()


class _Reading:
    """One pass over a record. ``due`` is the sequence number expected next, None until one is known."""

    def __init__(self, content: bytes, due: int | None, at: int, trouble: str | None, begun_bytes: int = 0) -> None:
        self._content = content
        self._due = due
        self._begun_bytes = begun_bytes
        self._at = at
        self._bad_from = 0 if trouble is not None else at
        self._trouble = trouble
        self._intact_bytes = at
        self._entries: list[Entry] = []
        self._losses: list[Loss] = []

    def scan(self) -> Scan:
        while self._at < len(self._content):
            entry, why = _entry_at(self._content, self._at)
            if entry is not None:
                self._take(entry)
                continue
            if self._trouble is None:
                self._bad_from, self._trouble = self._at, why
            found = self._content.find(MARKER, self._at + 1)
            self._at = found if found >= 0 else len(self._content)
        cut_short = self._end()
        return Scan(
            entries=tuple(self._entries),
            losses=tuple(self._losses),
            cut_short=cut_short,
            next_sequence=self._due or 1,
            intact_bytes=self._intact_bytes,
            begun_bytes=self._begun_bytes,
        )

    def _take(self, entry: Entry) -> None:
        due = self._due if self._due is not None else entry.sequence
        missing = _missing(due, entry.sequence)
        if self._trouble is not None:
            known = missing if self._due is not None else "what was before it is not known"
            self._lose(self._bad_from, self._at, f"{self._trouble}; {known}")
        elif entry.sequence > due:
            self._lose(self._at, self._at, missing)
        self._trouble = None
        size = _HEAD_BYTES + len(entry.payload)
        if entry.sequence < due:
            self._lose(self._at, self._at + size, f"entry {entry.sequence} once more, where entry {due} was expected")
        else:
            self._entries.append(entry)
            self._due = entry.sequence + 1
        self._at += size
        self._intact_bytes = self._at

    def _end(self) -> Loss | None:
        if self._trouble is None:
            return None
        end = len(self._content)
        if self._due is not None and _was_being_written(self._content[self._bad_from :]):
            return Loss(self._bad_from, end - self._bad_from, f"entry {self._due} was cut short")
        self._lose(self._bad_from, end, f"{self._trouble}; no entry after that is intact")
        return None

    def _lose(self, start: int, end: int, what: str) -> None:
        self._losses.append(Loss(start, end - start, what))


def _entry_at(content: bytes, at: int) -> tuple[Entry | None, str]:
    """The entry whose frame is at ``at``, or why there is none."""
    if not content.startswith(MARKER, at):
        return None, "no entry begins here"
    begin = at + _HEAD_BYTES
    if begin > len(content):
        return None, "an entry is cut short"
    _, length, sequence, payload_sum = _HEAD.unpack_from(content, at)
    if _sum(content[at : at + _HEAD.size]) != content[at + _HEAD.size : begin]:
        return None, _DAMAGED_HEAD
    payload = content[begin : begin + length]
    if len(payload) < length:
        return None, f"entry {sequence} is cut short"
    if _sum(payload) != payload_sum:
        return None, f"entry {sequence} does not have its checksum"
    return Entry(sequence, payload), ""


def _was_being_written(rest: bytes) -> bool:
    """Whether ``rest`` is the first part of one frame, perhaps with zeros behind: its length was written, not it all.

    Such a frame was never acknowledged, unless somebody cut the file afterwards; no record can tell the two apart.
    """
    written = rest.rstrip(b"\0")
    return _begun(rest, rest) or (len(rest) - len(written) >= _ZEROS and _begun(rest, written))


def _begun(rest: bytes, written: bytes) -> bool:
    """Whether ``written``, of which ``rest`` is all there is, is less than one frame and begins like one."""
    if len(written) < _HEAD_BYTES:
        return written[: len(MARKER)] == MARKER[: len(written)]
    if not written.startswith(MARKER) or _entry_at(rest, 0)[1] == _DAMAGED_HEAD:
        return False
    return len(written) < _HEAD_BYTES + int(_HEAD.unpack_from(rest)[1])


def _missing(due: int, found: int) -> str:
    if found <= due:
        return "no entry is missing"
    return f"entry {due} is missing" if found == due + 1 else f"entries {due} to {found - 1} are missing"


def _sum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_SUM_BYTES).digest()
