"""Betweenness centrality (ExEC §2.4): sites at the routers that most user traffic crosses.

"Nodes with high betweenness centrality which are also as close to the clients as possible": of two routers that
carry the same demand, the one nearer to the users is taken.
"""

from footloose.core.identity import NodeId
from footloose.model.network import RouterId
from footloose.placement.interface import Placement, Problem
from footloose.placement.savings import Savings, pick


class Betweenness:
    """Ranks candidates by the demand that crosses their router; those at no known router cannot be ranked."""

    name = "betweenness"

    def place(self, problem: Problem) -> Placement:
        """Choose the sites at the busiest routers."""
        savings = Savings(problem)
        crossing, depth = _on_tree(problem, savings)

        def order(site: NodeId) -> tuple[float, int, float, bool, float, NodeId]:
            candidate = savings.candidates[site]
            router = candidate.router
            busy, deep = (crossing.get(router, 0.0), depth.get(router, 0)) if router is not None else (0.0, 0)
            return -busy, -deep, -savings.gain(site, {}), not candidate.running, candidate.price_per_hour, site

        ranking = []
        for site in sorted(savings.of, key=order):
            router = savings.candidates[site].router
            if router is not None and crossing.get(router, 0.0) > 0:
                share, hops = crossing[router], depth[router]
                ranking.append((site, f"{share:.0%} of the demand crosses its router {router}, {hops} hops from here."))
        return pick(problem, savings, ranking)


def _on_tree(problem: Problem, savings: Savings) -> tuple[dict[RouterId, float], dict[RouterId, int]]:
    """For each router the share of demand whose path crosses it, and how many routers down it is at most."""
    crossing: dict[RouterId, float] = {}
    depth: dict[RouterId, int] = {}
    for prefix in sorted(savings.share):
        for place, router in enumerate(problem.paths.get(prefix, ()), start=1):
            crossing[router] = crossing.get(router, 0.0) + savings.share[prefix]
            depth[router] = max(depth.get(router, 0), place)
    return {router: round(share, 9) for router, share in crossing.items()}, depth
