"""Random sites: what any other placer has to beat."""

import hashlib
from functools import partial

from footloose.core.identity import NodeId
from footloose.placement.interface import Placement, Problem
from footloose.placement.savings import Savings, pick


class RandomChoice:
    """Draws a lot for every site from the problem's seed and takes the lowest.

    A site's lot depends on nothing but the seed and its id, so another candidate coming or going reshuffles nobody.
    """

    name = "random"

    def place(self, problem: Problem) -> Placement:
        """Choose sites by lot."""
        savings = Savings(problem)
        drawn = sorted(savings.of, key=partial(_lot, problem.seed))
        return pick(problem, savings, ((site, f"Drawn by lot with seed {problem.seed}.") for site in drawn))


def _lot(seed: int, site: NodeId) -> bytes:
    return hashlib.blake2b(f"{seed} {site}".encode(), digest_size=16).digest()
