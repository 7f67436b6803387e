"""Where measured round trips are: the matrices of NetLatency-Data (R. Zhu et al., ToN 2017), if there are any here.

They are not part of this project. Each set is a row of time slices, ``rtt/NAME-K.txt.xz``.
"""

import re
from pathlib import Path

from footloose.core.errors import LocalError

UNITS = {"planetlab": "ms", "seattle": "s"}
"""Each set and the unit of its files."""
ABSENT = "no measured round trips (--data): "


def data_directory(given: Path | None) -> Path | None:
    """``given``, or the folder ``shared/data`` beside the repository; None if there is none.

    Raises :class:`LocalError` if ``given`` is no folder.
    """
    if given is not None:
        if not given.is_dir():
            raise LocalError("no such folder", where=str(given), fix="give the folder that has rtt/planetlab-1.txt.xz")
        return given
    beside = Path(__file__).resolve().parents[4] / "shared" / "data"
    return beside if beside.is_dir() else None


def slices_of(name: str, directory: Path | None) -> list[Path]:
    """The files of one set in order of time; they may be in ``directory`` itself, or below it in ``rtt``."""
    if directory is None:
        return []
    found = {}
    for path in (*directory.glob(f"{name}-*.txt.xz"), *directory.glob(f"rtt/{name}-*.txt.xz")):
        match = re.fullmatch(rf"{name}-(\d+)\.txt\.xz", path.name)
        if match is not None:
            found[int(match[1])] = path
    return [path for _, path in sorted(found.items())]
