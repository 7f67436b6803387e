"""Times and sizes as Compose writes them: ``1m30s``, ``16MiB``. The schema has checked their form already."""

import re

_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}
_PART = re.compile(r"([0-9.]+)(us|ms|s|m|h)")
_POWER = {"": 0, "k": 1, "m": 2, "g": 3}


def milliseconds(text: str) -> float:
    """``1m30s`` as 90000.0."""
    return sum(float(number) * _MS[unit] for number, unit in _PART.findall(text))


def size_bytes(value: str | float) -> int:
    """``16MiB`` as 16777216. ``k``, ``KB`` and ``KiB`` are all 1024 bytes, as in Docker."""
    if not isinstance(value, str):
        return int(value)
    unit = value.lstrip("0123456789.").strip().lower().removesuffix("b").removesuffix("i")
    number = value[: len(value.rstrip("bBiIkKmMgG "))]
    return int(float(number) * 1024 ** _POWER[unit])
