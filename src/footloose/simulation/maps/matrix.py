"""Maps from measured round trips, such as the matrices of NetLatency-Data (R. Zhu et al., ToN 2017).

Their files are square, tab-separated, often packed with xz; 0 is on the diagonal and where nothing was measured.
"""

import lzma
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from statistics import median

from footloose.core.errors import LocalError
from footloose.simulation.maps.interface import Place

HOSTS = 5_000
"""Largest matrix."""
LONGEST_MS = 60_000.0
"""No measured round trip is longer."""
UNITS_MS = {"ms": 1.0, "s": 1000.0}

Matrix = list[list[float]]
"""Round trips in milliseconds by row and column; 0 where none was measured."""


def read_matrix(path: Path, *, unit: str = "ms") -> Matrix:
    """The round trips in a file, as measured. Raises :class:`LocalError` if it is not a matrix of them."""
    try:
        with lzma.open(path, "rt") if path.suffix == ".xz" else path.open() as file:
            lines = [line for line in file if line.strip()]
    except (OSError, lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise LocalError(f"cannot be read: {error}", where=str(path), fix="fetch the file again") from error
    if not 2 <= len(lines) <= HOSTS:
        raise LocalError(f"{len(lines)} lines; a matrix has 2 to {HOSTS}", where=str(path), fix="give another file")
    scale = UNITS_MS[unit]
    return [_row(line, number, len(lines), path, scale) for number, line in enumerate(lines, 1)]


def _row(line: str, number: int, hosts: int, path: Path, scale: float) -> list[float]:
    where = f"{path}, line {number}"
    try:
        row = [float(one) * scale for one in line.split()]
    except ValueError as error:
        raise LocalError(f"not a number: {error}", where=where, fix="round trips, separated by tabs") from error
    if len(row) != hosts:
        raise LocalError(f"{len(row)} values in a file of {hosts} lines", where=where, fix="give a square matrix")
    # What is not finite, or below 0, stands for "not measured" in some such files.
    row = [one if isfinite(one) and one > 0.0 else 0.0 for one in row]
    if max(row) > LONGEST_MS:
        raise LocalError(f"a round trip of {max(row):.0f} ms", where=where, fix="check the unit: ms or s")
    return row


class MatrixMap:
    """Places are the hosts measured from.

    Of the two directions measured, the mean counts; of one, that one. A pair that was never measured gets the shortest
    way by a third host, and if there is none the median of all that was.
    """

    def __init__(self, name: str, measured: Matrix) -> None:
        self.name = name
        self.places = tuple(Place(f"host {number}") for number in range(len(measured)))
        self._rtts_ms = filled(measured)

    @classmethod
    def read(cls, path: Path, *, unit: str = "ms") -> "MatrixMap":
        """The map in a file. Raises :class:`LocalError`."""
        return cls(path.name.split(".")[0], read_matrix(path, unit=unit))

    def rtt_ms(self, a: int, b: int) -> float:
        """What was measured between the two."""
        return self._rtts_ms[a][b]


def filled(measured: Matrix) -> Matrix:
    """``measured`` made symmetric, without gaps. Raises :class:`LocalError` if nothing was measured at all."""
    count = len(measured)
    known = [[_both(measured[a][b], measured[b][a]) if a != b else 0.0 for b in range(count)] for a in range(count)]
    gaps = [(a, b) for a in range(count) for b in range(a) if known[a][b] == 0.0]
    everything = [one for row in known for one in row if one > 0.0]
    if not everything:
        raise LocalError("no round trip was measured", where=f"{count} hosts", fix="give another matrix")
    typical_ms = median(everything) if gaps else 0.0
    ways_ms = [_detour_ms(known[a], known[b]) or typical_ms for a, b in gaps]
    for (a, b), way_ms in zip(gaps, ways_ms, strict=True):
        known[a][b] = known[b][a] = way_ms
    return known


def _both(there_ms: float, back_ms: float) -> float:
    return (there_ms + back_ms) / 2 if there_ms and back_ms else there_ms or back_ms


def _detour_ms(from_a: Sequence[float], from_b: Sequence[float]) -> float:
    return min((one + other for one, other in zip(from_a, from_b, strict=True) if one and other), default=0.0)
