"""How good and how fast the placers are, on random trees of the size of ExEC's (§3: 240 nodes, 186 leaves).

Every leaf is a user prefix, on average 100 ms from the root, where the service is at home. Sites stand at all nodes
or at 30 % of them. For each budget of copies the table shows what part of the users' latency is left, averaged over
demand: 100 % is no copies at all. Trees, demand and sites follow from the seed, so a run can be repeated.

    python benchmarks/placement.py [--seeds N] [--json FILE]
"""

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from footloose.core.identity import NodeId
from footloose.model.network import Prefix, RouterId
from footloose.placement.interface import Candidate, Placement, Problem
from footloose.placement.registry import placer, placer_names

NODES, LEAVES = 240, 186
MEAN_RTT_MS = 100.0
ACCESS_RTT_MS = 2.0  # between a user and a site at the user's own leaf
SHAPES = ("shallow", "deep")
DEMANDS = ("even", "skewed")
SITE_SHARES = (1.0, 0.3)
BUDGETS = (1, 2, 4, 8, 16, 24, 48, 72, 120, 239)
RESULTS = Path(__file__).parent / "results" / "placement.json"


@dataclass(frozen=True)
class Tree:
    """Node 0 is the root; the last ``LEAVES`` nodes are leaves. ``link_ms`` is each node's round trip to its parent."""

    parents: tuple[int, ...]
    link_ms: tuple[float, ...]

    def path(self, node: int) -> list[int]:
        """From the first node below the root down to ``node``."""
        path: list[int] = []
        while node != 0:
            path.append(node)
            node = self.parents[node]
        return path[::-1]

    def depth_ms(self, node: int) -> float:
        return sum(self.link_ms[one] for one in self.path(node))

    def distance_ms(self, one: int, other: int) -> float:
        shared = set(self.path(one)) & set(self.path(other))
        return self.depth_ms(one) + self.depth_ms(other) - 2 * sum(self.link_ms[node] for node in shared)


def random_tree(shape: str, rng: random.Random) -> Tree:
    """Inner nodes hang on any earlier one (shallow) or on one of the three before (deep); leaves on inner nodes."""
    inner = NODES - LEAVES
    nearest = 3 if shape == "deep" else inner
    parents = [0, *(rng.randrange(max(0, node - nearest), node) for node in range(1, inner))]
    childless = sorted(set(range(inner)) - set(parents[1:]))
    parents += childless + [rng.randrange(inner) for _ in range(LEAVES - len(childless))]
    tree = Tree(tuple(parents), tuple(rng.expovariate(1.0) + 0.05 for _ in range(NODES)))
    scale = MEAN_RTT_MS / statistics.mean(tree.depth_ms(leaf) for leaf in range(inner, NODES))
    return Tree(tree.parents, tuple(link * scale for link in tree.link_ms))


def random_demand(kind: str, count: int, rng: random.Random) -> list[float]:
    """A million users over ``count`` prefixes: about the same number in each, or by Zipf's law."""
    if kind == "even":
        return [rng.gauss(1e6 / count, (1e6 / count) ** 0.5) for _ in range(count)]
    weights = [1 / rank**1.2 for rank in range(1, count + 1)]
    rng.shuffle(weights)
    return weights


def random_problem(shape: str, demand: str, site_share: float, seed: int) -> Problem:
    """A tree with users and sites; the number of copies is still to be set."""
    rng = random.Random(f"{shape} {demand} {site_share} {seed}")  # noqa: S311  repeatable on purpose
    tree = random_tree(shape, rng)
    leaves = range(NODES - LEAVES, NODES)
    prefix = {leaf: Prefix(f"10.{leaf}.0.0/24") for leaf in leaves}
    router = {node: RouterId(f"10.{node}.255.0/29") for node in range(NODES)}
    sites = rng.sample(range(1, NODES), round((NODES - 1) * site_share))
    return Problem(
        demand=dict(zip(prefix.values(), random_demand(demand, LEAVES, rng), strict=True)),
        origin_rtt_ms={prefix[leaf]: tree.depth_ms(leaf) + ACCESS_RTT_MS for leaf in leaves},
        candidates=tuple(
            Candidate(
                NodeId(f"site-{node:03}"),
                {prefix[leaf]: tree.distance_ms(node, leaf) + ACCESS_RTT_MS for leaf in leaves},
                router[node],
            )
            for node in sorted(sites)
        ),
        copies=0,
        paths={prefix[leaf]: tuple(router[node] for node in tree.path(leaf)) for leaf in leaves},
        hysteresis_ms=0.0,
        seed=seed,
    )


def latency_left(problem: Problem, placement: Placement) -> float:
    """The mean round trip over all demand with the copies, as a part of that without."""
    rtts_ms = {candidate.site: candidate.rtt_ms for candidate in problem.candidates}
    before = after = 0.0
    for prefix, weight in problem.demand.items():
        site = placement.assignment.get(prefix)
        before += weight * problem.origin_rtt_ms[prefix]
        after += weight * (problem.origin_rtt_ms[prefix] if site is None else rtts_ms[site][prefix])
    return after / before


class Row(msgspec.Struct, frozen=True):
    """One placer on one kind of problem with one budget; means over all seeds."""

    shape: str
    demand: str
    site_share: float
    copies: int
    placer: str
    latency_left: float
    copies_used: float
    time_ms: float


def measure(shape: str, demand: str, site_share: float, seeds: int) -> Iterator[Row]:
    """All placers with all budgets on the same problems."""
    problems = [random_problem(shape, demand, site_share, seed) for seed in range(seeds)]
    budgets = [copies for copies in BUDGETS if copies <= len(problems[0].candidates)]
    for copies in budgets:
        for name in placer_names():
            left, used, took_ms = [], [], []
            for problem in (msgspec.structs.replace(one, copies=copies) for one in problems):
                began = time.perf_counter()
                placement = placer(name).place(problem)
                took_ms.append((time.perf_counter() - began) * 1000)
                left.append(latency_left(problem, placement))
                used.append(len(placement.choices))
            means = (statistics.mean(left), statistics.mean(used), statistics.mean(took_ms))
            yield Row(shape, demand, site_share, copies, name, *(round(mean, 4) for mean in means))


def show(rows: list[Row]) -> None:
    """One table per kind of problem: a line per budget, a column per placer."""
    names = placer_names()
    first = rows[0]
    print(f"\n{first.shape} trees, {first.demand} demand, sites at {first.site_share:.0%} of the nodes: latency left")
    print(f"{'copies':>8}" + "".join(f"{name:>16}" for name in names))
    for copies in dict.fromkeys(row.copies for row in rows):
        by_name = {row.placer: row for row in rows if row.copies == copies}
        print(f"{copies:>8}" + "".join(f"{by_name[name].latency_left:>16.1%}" for name in names))
    slowest = {name: max(row.time_ms for row in rows if row.placer == name) for name in names}
    print(f"{'ms/run':>8}" + "".join(f"{'≤ ' + format(slowest[name], '.0f'):>16}" for name in names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="problems of each kind (5)")
    parser.add_argument("--json", type=Path, default=RESULTS, help=f"where the figures go ({RESULTS})")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for shape in SHAPES:
        for demand in DEMANDS:
            for site_share in SITE_SHARES:
                table = list(measure(shape, demand, site_share, arguments.seeds))
                show(table)
                rows += table
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    results = {"seeds": arguments.seeds, **machine, "rows": [msgspec.to_builtins(row) for row in rows]}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
