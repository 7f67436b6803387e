"""The scalars of scenario files: names, times, rates, parts."""

import re
from collections.abc import Callable

from footloose.core.limits import SCENARIO_S
from footloose.model.appfile.units import milliseconds
from footloose.simulation.form import Text
from footloose.simulation.scenario import Span

_NUMBER = r"\d{1,9}(?:\.\d{1,6})?"
_TIME = rf"(?:{_NUMBER}(?:us|ms|s|m|h))+"
_PER_HOUR = {"s": 3600.0, "m": 60.0, "h": 1.0, "d": 1 / 24}


def seconds(text: str) -> float | None:
    """``1m30s`` as 90.0, ``-5s`` as -5.0; None if that is longer than a scenario may be."""
    size_s = milliseconds(text) / 1000.0
    return None if size_s > SCENARIO_S else -size_s if text.startswith("-") else size_s


def _length(text: str) -> float | None:
    return seconds(text) or None


def _span(read: Callable[[str], float | None]) -> Callable[[str], Span | None]:
    def convert(text: str) -> Span | None:
        least, _, most = text.partition("..")
        ends = read(least), read(most or least)
        return None if ends[0] is None or ends[1] is None or ends[0] > ends[1] else Span(ends[0], ends[1])

    return convert


def _part(text: str) -> float | None:
    part = float(text.rstrip("%")) / 100
    return part if part <= 1 and (part == 0 or text.endswith("%")) else None


def _rate(text: str) -> float | None:
    number, unit = re.split(" ?/ ?", text)
    per_hour = float(number) * _PER_HOUR[unit]
    return per_hour if per_hour <= 3600 else None


def _or_random(text: str) -> str:
    return "" if text == "random" else text


NAME = Text("a name of small letters, digits and hyphens", "berlin", r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
PLACE = Text("`random` or a place", "random", r"[^\x00-\x1f]{1,100}", _or_random)
TIME = Text("a time such as 30s or 10m", "30s", _TIME, seconds)
LENGTH = Text("a time of more than 0 such as 30s or 10m", "10m", _TIME, _length)
LENGTHS = Text("a time, or a least and a most, such as 5s..30s", "5s..30s", rf"{_TIME}(?:\.\.{_TIME})?", _span(_length))
SIGNED_LENGTH = Text("a time forwards or back such as -30s", "-30s", rf"[-+]?{_TIME}", _length)
SIGNED_LENGTHS = Text(
    "times from the furthest back to the furthest forwards, such as -30s..30s",
    "-30s..30s",
    rf"[-+]?{_TIME}(?:\.\.[-+]?{_TIME})?",
    _span(seconds),
)
PERCENT = Text("a percentage such as 1%", "1%", rf"{_NUMBER}%?", _part)
LOSSES = Text(
    "a percentage, or a least and a most, such as 20%..80%", "20%..80%", rf"{_NUMBER}%(?:\.\.{_NUMBER}%)?", _span(_part)
)
DRIFT = Text("parts per million such as 50ppm", "50ppm", rf"{_NUMBER} ?ppm", lambda text: float(text[:-3]) / 1e6)
RATE = Text("how often, up to once a second, such as 2/h (s, m, h or d)", "2/h", rf"{_NUMBER} ?/ ?[smhd]", _rate)
