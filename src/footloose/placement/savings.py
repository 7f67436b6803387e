"""What a copy at each site would save, and the placement that follows from a choice: what all placers share."""

import math
from collections.abc import Iterable, Mapping

from footloose.core.identity import NodeId
from footloose.model.network import Prefix
from footloose.placement.interface import Candidate, Choice, Placement, Problem


class Savings:
    """The latency every candidate would save every prefix, in milliseconds; computed once per problem.

    ``share`` is each prefix's part of all demand. ``of[site][prefix]`` is the saving less what moving must be worth
    (the problem's hysteresis), and holds only what is then left to gain. Prefixes without demand or without a figure
    for staying are left out.
    """

    def __init__(self, problem: Problem) -> None:
        self._origin_ms = problem.origin_rtt_ms
        self._served_at = problem.served_at
        self._hysteresis_ms = problem.hysteresis_ms
        demand = {
            prefix: weight
            for prefix, weight in problem.demand.items()
            if 0 < weight < math.inf and prefix in problem.origin_rtt_ms
        }
        total = sum(sorted(demand.values()))  # sorted, so that the order of listing makes no difference
        shares = {prefix: weight / total for prefix, weight in demand.items()}
        self.share: dict[Prefix, float] = {prefix: share for prefix, share in shares.items() if share > 0}
        self.candidates: dict[NodeId, Candidate] = {one.site: one for one in problem.candidates}
        self.of: dict[NodeId, dict[Prefix, float]] = {
            site: self._worth_having(self.candidates[site]) for site in sorted(self.candidates)
        }

    def _worth_having(self, candidate: Candidate) -> dict[Prefix, float]:
        saved = {
            prefix: self._origin_ms[prefix] - rtt_ms - self.handicap_ms(candidate, prefix)
            for prefix, rtt_ms in candidate.rtt_ms.items()
            if prefix in self.share
        }
        return {prefix: saving for prefix, saving in saved.items() if 0 < saving < math.inf}

    def handicap_ms(self, candidate: Candidate, prefix: Prefix) -> float:
        """What it must save ``prefix`` before it is worth moving there, so that noise in the figures moves nobody."""
        if self._served_at.get(prefix) == candidate.site:
            return 0.0
        return self._hysteresis_ms / 2 if candidate.running else self._hysteresis_ms

    def gain(self, site: NodeId, had: Mapping[Prefix, float]) -> float:
        """What ``site`` adds, averaged over all demand, where ``had`` is what each prefix is saved already."""
        return math.fsum(
            self.share[prefix] * (saving - had.get(prefix, 0.0))
            for prefix, saving in self.of[site].items()
            if saving > had.get(prefix, 0.0)
        )

    def add(self, site: NodeId, had: dict[Prefix, float]) -> None:
        """Put into ``had`` what ``site`` saves."""
        for prefix, saving in self.of[site].items():
            if saving > had.get(prefix, 0.0):
                had[prefix] = saving

    def placement(self, chosen: Mapping[NodeId, str]) -> Placement:
        """Each prefix goes to the chosen site that saves it most; sites that nobody would go to are dropped.

        ``chosen`` gives for each site, best first, the first sentence of its reason.
        """
        assignment: dict[Prefix, NodeId] = {}
        for prefix in sorted(self.share):
            offers = [(self.of[site][prefix], site) for site in chosen if prefix in self.of[site]]
            if offers:
                most = max(saving for saving, _ in offers)
                assignment[prefix] = next(site for saving, site in offers if saving == most)
        served: dict[NodeId, list[Prefix]] = {}
        for prefix, site in assignment.items():
            served.setdefault(site, []).append(prefix)
        choices = (self._choice(site, why, served[site]) for site, why in chosen.items() if site in served)
        return Placement(tuple(choices), assignment)

    def _choice(self, site: NodeId, why: str, prefixes: list[Prefix]) -> Choice:
        candidate = self.candidates[site]
        share = math.fsum(self.share[prefix] for prefix in prefixes)
        before = self._average(prefixes, share, self._origin_ms)
        after = self._average(prefixes, share, candidate.rtt_ms)
        figures = (
            f"{_count(len(prefixes))} of {len(self.share)} with {share:.0%} of the demand"
            f" would have {after:.1f} ms there instead of {before:.1f} ms"
        )
        return Choice(site, f"{why} {figures}.", share * (before - after))

    def _average(self, prefixes: Iterable[Prefix], share: float, rtt_ms: Mapping[Prefix, float]) -> float:
        return math.fsum(self.share[prefix] * rtt_ms[prefix] for prefix in prefixes) / share


def _count(prefixes: int) -> str:
    return "1 prefix" if prefixes == 1 else f"{prefixes} prefixes"


def pick(problem: Problem, savings: Savings, ranking: Iterable[tuple[NodeId, str]]) -> Placement:
    """Take sites in the order of ``ranking`` until the budget of copies is spent; those that add nothing are passed."""
    chosen: dict[NodeId, str] = {}
    had: dict[Prefix, float] = {}
    for site, why in ranking:
        if len(chosen) >= problem.copies:
            break
        if savings.gain(site, had) > 0:
            chosen[site] = why
            savings.add(site, had)
    return savings.placement(chosen)
