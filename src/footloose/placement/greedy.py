"""Lazy greedy: always the site that saves most on top of those chosen. The default.

The latency saved by a set of sites is monotone and submodular, so this comes within 1 - 1/e of the best set
(Nemhauser, Wolsey and Fisher 1978). A site's gain only shrinks as others are chosen, so an old gain is a bound
and most need not be computed again (Minoux 1978).
"""

import heapq
import math
from typing import NamedTuple

from footloose.core.identity import NodeId
from footloose.model.network import Prefix
from footloose.placement.interface import Candidate, Placement, Problem
from footloose.placement.savings import Savings


class Rank(NamedTuple):
    """How good a next choice is; smaller is better, and it never gets smaller as sites are chosen.

    Gains that agree in three digits are a tie. Ties go to the site that brings more demand within the SLO, then to
    one that runs already, then to the cheaper.
    """

    gain_ms: float
    within_slo: float
    not_running: bool
    price_per_hour: float
    site: NodeId


class Chosen:
    """The sites chosen so far, and what they do for each prefix."""

    def __init__(self, problem: Problem, savings: Savings) -> None:
        self._slo_ms = problem.slo_latency_ms
        self._savings = savings
        self._had: dict[Prefix, float] = {}
        self._within: set[Prefix] = set()
        if self._slo_ms is not None:
            self._within |= {p for p in savings.share if problem.origin_rtt_ms[p] <= self._slo_ms}

    def gain_ms(self, site: NodeId) -> float:
        """The latency ``site`` would save on top, averaged over all demand."""
        return self._savings.gain(site, self._had)

    def rank(self, site: NodeId) -> Rank:
        """How good ``site`` would be as the next choice."""
        candidate = self._savings.candidates[site]
        share = self._savings.share
        within = math.fsum(share[prefix] for prefix in self._brought_within(candidate))
        gain_ms = float(f"{self.gain_ms(site):.3g}")
        return Rank(-gain_ms, -round(within, 9), not candidate.running, candidate.price_per_hour, site)

    def add(self, site: NodeId) -> None:
        """Choose ``site``."""
        self._within |= self._brought_within(self._savings.candidates[site])
        self._savings.add(site, self._had)

    def _brought_within(self, candidate: Candidate) -> set[Prefix]:
        slo_ms = self._slo_ms
        if slo_ms is None:
            return set()
        served = self._savings.of[candidate.site]
        return {prefix for prefix in served if prefix not in self._within and candidate.rtt_ms[prefix] <= slo_ms}


class Greedy:
    """The default placer."""

    name = "greedy"

    def place(self, problem: Problem) -> Placement:
        """Choose sites one by one by marginal gain."""
        savings = Savings(problem)
        chosen = Chosen(problem, savings)
        reasons: dict[NodeId, str] = {}
        heap = [chosen.rank(site) for site, saved in savings.of.items() if saved]
        heapq.heapify(heap)
        while heap and len(reasons) < problem.copies:
            best = chosen.rank(heap[0].site)
            if best != heap[0]:
                heapq.heapreplace(heap, best)
                continue
            heapq.heappop(heap)
            if chosen.gain_ms(best.site) <= 0:
                break
            reasons[best.site] = _reason(len(reasons), -best.within_slo, problem.slo_latency_ms)
            chosen.add(best.site)
        return savings.placement(reasons)


def _reason(chosen_before: int, within_slo: float, slo_latency_ms: float | None) -> str:
    top = f" on top of the {chosen_before} chosen before it" if chosen_before else ""
    slo = f", and brings {within_slo:.0%} of the demand within {slo_latency_ms:g} ms" if within_slo > 0 else ""
    return f"It saves more than any other site{top}{slo}."
