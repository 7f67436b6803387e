"""Server-sent events, read line by line (HTML standard, §9.2.6)."""

from collections.abc import Iterable, Iterator

import msgspec


class Event(msgspec.Struct, frozen=True):
    """One event: its name (``message`` if it has none) and its data."""

    name: str
    data: bytes


def read_events(lines: Iterable[bytes]) -> Iterator[Event]:
    """The events in a stream's ``lines``. An event the stream breaks off in is dropped, as the standard has it."""
    name, data = b"", list[bytes]()
    for line in lines:
        if not line:
            if data:
                yield Event(name.decode("utf-8", "replace") or "message", b"\n".join(data))
            name, data = b"", []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value
        elif field == b"data":
            data.append(value)
