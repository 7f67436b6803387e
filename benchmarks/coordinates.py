"""How well network coordinates predict round trips, and how far they help to find the nearest site.

Every host of a measured matrix of round trips runs Vivaldi and measures one other at a time, as the hosts' probes of
each other would. Then each host looks for its nearest other host: it takes those nearest by coordinates, probes as many
as it may, and picks the best. The table shows how much slower the one picked is than the one truly best; with 0 probes
it is the nearest by coordinates alone.

The matrices are from the NetLatency-Data set (R. Zhu et al., ToN 2017): ``planetlab-K.txt.xz`` in milliseconds,
``seattle-K.txt.xz`` in seconds. Their time slices are used one after the other; the last is the one compared with.

    python benchmarks/coordinates.py DIRECTORY [--rounds N] [--json FILE]

DIRECTORY may also be given as FOOTLOOSE_RTT_DATA.
"""

import argparse
import json
import lzma
import os
import platform
import random
import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from footloose.topology.coordinates import Coordinate, Vivaldi, nearest

RESULTS = Path(__file__).parent / "results" / "coordinates.json"
SETS = {"planetlab": 1.0, "seattle": 1000.0}
"""Each set and how many milliseconds its unit has."""
PROBES = (0, 1, 3, 5, 10)
PROBE_INTERVAL_S = 5.0
CHECKPOINTS = (0.1, 0.25, 0.5, 1.0)
"""Parts of all rounds after which the coordinates are looked at."""

Matrix = list[list[float]]


class Row(msgspec.Struct, frozen=True):
    """The coordinates of one set after so many rounds; delays in milliseconds over the truly best, by probes."""

    data: str
    hosts: int
    rounds: int
    error_p50: float
    error_p90: float
    extra_p50_ms: dict[int, float]
    extra_p90_ms: dict[int, float]
    update_us: float


def read_slices(directory: Path, name: str) -> list[Matrix]:
    """The matrices of one set in order of time, in milliseconds; 0 where nothing was measured."""
    found = {
        int(match[1]): path
        for path in directory.glob(f"{name}-*.txt.xz")
        if (match := re.fullmatch(rf"{name}-(\d+)\.txt\.xz", path.name))
    }
    slices = []
    for _, path in sorted(found.items()):
        with lzma.open(path, "rt") as file:
            slices.append([[float(one) * SETS[name] for one in line.split()] for line in file if line.strip()])
    return slices


def measure(name: str, slices: Sequence[Matrix], rounds: int, seed: int) -> list[Row]:
    """Run all hosts for ``rounds`` probes each, and look at the coordinates now and then."""
    rng = random.Random(seed)  # noqa: S311  repeatable on purpose
    count = len(slices[0])
    hosts = [Vivaldi(random.Random(rng.random())) for _ in range(count)]  # noqa: S311
    rows, spent_s, updates = [], 0.0, 0
    checkpoints = {max(1, round(part * rounds)) for part in CHECKPOINTS}
    for number in range(rounds):
        matrix = slices[number * len(slices) // rounds]
        pairs = [(one, rng.randrange(count)) for one in range(count)]
        began = time.process_time()
        for one, other in pairs:
            if one != other and matrix[one][other] > 0:
                hosts[one].observe(other, hosts[other].coordinate, matrix[one][other], number * PROBE_INTERVAL_S)
                updates += 1
        spent_s += time.process_time() - began
        if number + 1 in checkpoints:
            coordinates = [host.coordinate for host in hosts]
            rows.append(judge(name, slices[-1], coordinates, number + 1, spent_s / updates * 1e6))
    return rows


def judge(name: str, truth: Matrix, coordinates: Sequence[Coordinate], rounds: int, update_us: float) -> Row:
    """Compare predictions and nominations with the truth."""
    errors: list[float] = []
    extra_ms: dict[int, list[float]] = {probes: [] for probes in PROBES}
    for one, rtts_ms in enumerate(truth):
        others = {other: coordinates[other] for other, rtt_ms in enumerate(rtts_ms) if other != one and rtt_ms > 0}
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
        error_p50=round(statistics.median(errors), 4),
        error_p90=round(_p90(errors), 4),
        extra_p50_ms={probes: round(statistics.median(extra), 3) for probes, extra in extra_ms.items()},
        extra_p90_ms={probes: round(_p90(extra), 3) for probes, extra in extra_ms.items()},
        update_us=round(update_us, 1),
    )


def _p90(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=10)[-1]


def show(rows: Sequence[Row]) -> None:
    """One table per set: a line per checkpoint."""
    print(
        f"\n{rows[0].data}, {rows[0].hosts} hosts: relative error, and ms over the best with so many probes (p50 / p90)"
    )
    print(f"{'rounds':>7}{'error':>15}" + "".join(f"{probes:>16}" for probes in PROBES))
    for row in rows:
        extras = [f"{row.extra_p50_ms[probes]:.1f} / {row.extra_p90_ms[probes]:.1f}" for probes in PROBES]
        error = f"{row.error_p50:.1%} / {row.error_p90:.0%}"
        print(f"{row.rounds:>7}{error:>15}" + "".join(f"{extra:>16}" for extra in extras))
    print(f"{rows[-1].update_us:.1f} µs per sample")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("FOOTLOOSE_RTT_DATA")
    parser.add_argument("directory", nargs="?", type=Path, default=default, help="where the matrices are")
    parser.add_argument("--rounds", type=int, default=720, help="probes per host (720: an hour at one per 5 s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=RESULTS, help=f"where the figures go ({RESULTS})")
    arguments = parser.parse_args()
    if arguments.directory is None:
        parser.exit(2, "no data: give the directory of the NetLatency-Data matrices, or set FOOTLOOSE_RTT_DATA\n")
    rows: list[Row] = []
    for name in SETS:
        slices = read_slices(arguments.directory, name)
        if not slices:
            print(f"{name}: no matrices in {arguments.directory}, left out")
            continue
        table = measure(name, slices, arguments.rounds, arguments.seed)
        show(table)
        rows += table
    if not rows:
        parser.exit(2, f"no matrices in {arguments.directory}\n")
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    results = {"seed": arguments.seed, **machine, "rows": [msgspec.to_builtins(row, str_keys=True) for row in rows]}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
