"""How well network coordinates predict round trips, and how far they help to find the nearest site.

Every host of a measured matrix of round trips runs Vivaldi and measures one other at a time, as the hosts' probes of
each other would. Then each host looks for its nearest other host: it takes those nearest by coordinates, probes as many
as it may, and picks the best. The result says how much slower the one picked is than the one truly best; with 0 probes
it is the nearest by coordinates alone.

The time slices of a set are used one after the other; the last is the one compared with.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from statistics import median

import msgspec

from footloose.bench.figures import quantile
from footloose.bench.rtt_data import ABSENT, UNITS, slices_of
from footloose.core.errors import LocalError
from footloose.simulation.maps.matrix import Matrix, read_matrix
from footloose.topology.coordinates import Coordinate, Vivaldi, nearest

PROBES = (0, 1, 3, 5, 10)
PROBE_INTERVAL_S = 5.0
CHECKPOINTS = (0.1, 0.25, 0.5, 1.0)
"""Parts of all rounds after which the coordinates are looked at."""

Say = Callable[[str], None]


class Row(msgspec.Struct, frozen=True):
    """The coordinates of one set after so many rounds; delays in milliseconds over the truly best, by probes."""

    data: str
    hosts: int
    rounds: int
    error_p50: float
    error_p90: float
    extra_p50_ms: dict[str, float]
    extra_p90_ms: dict[str, float]


class Result(msgspec.Struct, frozen=True):
    """All sets that were there."""

    seed: int
    rows: tuple[Row, ...]


def run(data: Path | None, rounds: int, seed: int, say: Say, *, hosts: int = 0) -> Result:
    """Every set in ``data``; those that are not there are left out, with a word. ``hosts`` 0 is all.

    Raises :class:`LocalError` if there are none.
    """
    rows: list[Row] = []
    for name, unit in UNITS.items():
        files = slices_of(name, data)
        if not files:
            say(ABSENT + f"{name} is left out")
            continue
        slices = [read_matrix(file, unit=unit) for file in files]
        rows += measure(name, [_first(matrix, hosts or len(matrix)) for matrix in slices], rounds, seed, say)
    if not rows:
        raise LocalError(
            "there are no measured round trips here", where="bench coordinates", fix="give the folder with --data"
        )
    return Result(seed, tuple(rows))


def measure(name: str, slices: Sequence[Matrix], rounds: int, seed: int, say: Say) -> list[Row]:
    """Run all hosts for ``rounds`` probes each, and look at the coordinates now and then."""
    random = Random(seed)  # noqa: S311  repeatable on purpose
    count = len(slices[0])
    hosts = [Vivaldi(Random(random.random())) for _ in range(count)]  # noqa: S311
    rows = []
    checkpoints = {max(1, round(part * rounds)) for part in CHECKPOINTS}
    for number in range(rounds):
        matrix = slices[number * len(slices) // rounds]
        for one, other in [(one, random.randrange(count)) for one in range(count)]:
            if one != other and matrix[one][other] > 0:
                hosts[one].observe(other, hosts[other].coordinate, matrix[one][other], number * PROBE_INTERVAL_S)
        if number + 1 in checkpoints:
            say(f"{name}: {number + 1} of {rounds} rounds")
            rows.append(judge(name, slices[-1], [host.coordinate for host in hosts], number + 1))
    return rows


def judge(name: str, truth: Matrix, coordinates: Sequence[Coordinate], rounds: int) -> Row:
    """Compare predictions and nominations with the truth."""
    errors: list[float] = []
    extra_ms: dict[int, list[float]] = {probes: [] for probes in PROBES}
    for one, rtts_ms in enumerate(truth):
        others = {other: coordinates[other] for other, rtt_ms in enumerate(rtts_ms) if other != one and rtt_ms > 0}
        if not others:
            continue
        mine = coordinates[one]
        errors += [abs(mine.distance_ms(theirs) / rtts_ms[other] - 1) for other, theirs in others.items()]
        order = nearest(mine, others, max(PROBES))
        best_ms = min(rtts_ms[other] for other in others)
        for probes in PROBES:
            extra_ms[probes].append(min(rtts_ms[other] for other in order[: max(1, probes)]) - best_ms)
    return Row(
        data=name,
        hosts=len(truth),
        rounds=rounds,
        error_p50=round(median(errors), 4),
        error_p90=round(quantile(errors, 0.9), 4),
        extra_p50_ms={str(probes): round(median(extra), 3) for probes, extra in extra_ms.items()},
        extra_p90_ms={str(probes): round(quantile(extra, 0.9), 3) for probes, extra in extra_ms.items()},
    )


def _first(matrix: Matrix, hosts: int) -> Matrix:
    return [row[:hosts] for row in matrix[:hosts]]
