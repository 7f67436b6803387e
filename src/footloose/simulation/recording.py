"""What the sites of a run showed and decided, in a file that the page can play back.

JSON lines: the first says what it is, each other is ``{"t": seconds, "site": name, "event": "view" or "decision",
"data": ...}``, with a :class:`View` or a :class:`Decision` as a node's admin API has them. They are in order of time.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Annotated, BinaryIO, Literal, Self, TypeVar

import msgspec

from footloose.core.errors import LocalError
from footloose.core.limits import RECORDING_BYTES, RECORDING_LINE_BYTES
from footloose.model.decision import Decision
from footloose.model.view import View

T = TypeVar("T")

Record = Callable[[float, str, View | Decision], object]
"""Takes what a site showed or decided: when, in seconds of the run, which site, and what."""

SiteName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,63}$")]
VERSION = 1
_FIX = "use a file that `footloose simulate --record` wrote"


class Heading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line."""

    footloose_recording: int
    scenario: str
    seed: int


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each other line. ``data`` is left as it is written."""

    t: Annotated[float, msgspec.Meta(ge=0)]
    site: SiteName
    event: Literal["view", "decision"]
    data: msgspec.Raw


class Recording(msgspec.Struct, frozen=True):
    """All of it, checked."""

    heading: Heading
    lines: tuple[Line, ...]

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that showed something, in order of when they first did."""
        return tuple(dict.fromkeys(line.site for line in self.lines if line.event == "view"))

    @property
    def ends_s(self) -> float:
        """When the last thing happened."""
        return self.lines[-1].t if self.lines else 0.0


class Recorder:
    """Writes a recording as it is told: ``with Recorder(path, ...) as recorder: run(..., record=recorder.add)``."""

    def __init__(self, path: Path, scenario: str, seed: int) -> None:
        self._path = path
        self._heading = Heading(VERSION, scenario, seed)
        self._encoder = msgspec.json.Encoder()
        self._file: BinaryIO

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("wb")
        except OSError as error:
            raise LocalError(f"cannot be written: {error.strerror}", where=str(self._path)) from error
        self._write(self._heading)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, at_s: float, site: str, what: View | Decision) -> None:
        """Something happened."""
        event: Literal["view", "decision"] = "view" if isinstance(what, View) else "decision"
        self._write(Line(round(at_s, 6), site, event, msgspec.Raw(self._encoder.encode(what))))

    def _write(self, value: object) -> None:
        self._file.write(self._encoder.encode(value) + b"\n")


def load_recording(path: Path) -> Recording:
    """The recording in a file, every line of it checked. Raises :class:`LocalError` naming the line that is wrong."""
    try:
        size = path.stat().st_size
        if size > RECORDING_BYTES:
            raise LocalError(f"{size} bytes, more than the {RECORDING_BYTES} allowed", where=str(path), fix=_FIX)
        with path.open("rb") as file:
            return read_recording(file, str(path))
    except OSError as error:
        raise LocalError(f"cannot be read: {error.strerror}", where=str(path), fix=_FIX) from error


def read_recording(file: BinaryIO, where: str) -> Recording:
    """The recording in ``file``, as :func:`load_recording` has it."""
    rows = enumerate(_rows(file, where), 1)
    heading = _decoded(next(rows, (1, b""))[1], Heading, f"{where}:1")
    if heading.footloose_recording != VERSION:
        what = f"a recording of version {heading.footloose_recording}, where {VERSION} is understood"
        raise LocalError(what, where=f"{where}:1", fix="record it anew")
    lines: list[Line] = []
    for number, row in rows:
        line = _decoded(row, Line, f"{where}:{number}")
        _decoded(line.data, View if line.event == "view" else Decision, f"{where}:{number}: data")
        if lines and line.t < lines[-1].t:
            raise LocalError("earlier than the line before", where=f"{where}:{number}", fix=_FIX)
        lines.append(line)
    if not any(line.event == "view" for line in lines):
        raise LocalError("nothing to see: no site showed anything", where=where, fix=_FIX)
    return Recording(heading, tuple(lines))


def _rows(file: BinaryIO, where: str) -> Iterator[bytes]:
    number = 0
    while row := file.readline(RECORDING_LINE_BYTES + 1):
        number += 1
        if len(row) > RECORDING_LINE_BYTES:
            raise LocalError(f"longer than {RECORDING_LINE_BYTES} bytes", where=f"{where}:{number}", fix=_FIX)
        yield row


def _decoded(row: bytes | msgspec.Raw, kind: type[T], where: str) -> T:
    try:
        return msgspec.json.decode(row, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LocalError(f"not part of a recording: {error}", where=where, fix=_FIX) from error
