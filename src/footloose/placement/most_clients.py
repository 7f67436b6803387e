"""Most clients (the "greedy" of ExEC §3): the sites that are nearest to the most demand."""

from footloose.core.identity import NodeId
from footloose.model.network import Prefix
from footloose.placement.interface import Placement, Problem
from footloose.placement.savings import Savings, pick


class MostClients:
    """Counts for each site the demand it is the nearest to, and takes the largest."""

    name = "most-clients"

    def place(self, problem: Problem) -> Placement:
        """Choose the sites with the most demand nearest to them."""
        savings = Savings(problem)
        nearest: dict[Prefix, tuple[float, NodeId]] = {}
        for site, saved in savings.of.items():
            for prefix, saving in saved.items():
                if prefix not in nearest or saving > nearest[prefix][0]:
                    nearest[prefix] = (saving, site)
        clients: dict[NodeId, float] = dict.fromkeys(savings.of, 0.0)
        for prefix in sorted(nearest):
            clients[nearest[prefix][1]] += savings.share[prefix]

        def order(site: NodeId) -> tuple[float, bool, float, NodeId]:
            candidate = savings.candidates[site]
            return -round(clients[site], 9), not candidate.running, candidate.price_per_hour, site

        ranking = (
            (site, f"{clients[site]:.0%} of the demand has no nearer site.") for site in sorted(clients, key=order)
        )
        return pick(problem, savings, ranking)
