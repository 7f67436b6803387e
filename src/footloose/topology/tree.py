"""All routes from one site put together: the tree its users hang on (ExEC's "topology" §2.2)."""

from collections import Counter
from collections.abc import Mapping

import msgspec

from footloose.core.identity import NodeId
from footloose.core.limits import PREFIXES_PER_SERVICE
from footloose.model.network import Prefix, Route, RouterId
from footloose.model.view import ViewNode


class _Branch(msgspec.Struct, frozen=True):
    route: Route
    path: tuple[RouterId, ...]
    traced_at: float


class RouteTree:
    """The latest route from ``site`` to each user prefix. Routers seen on several routes are one, by their router id.

    Holds at most ``limit`` prefixes; the one traced longest ago goes first.
    """

    def __init__(self, site: NodeId, *, limit: int = PREFIXES_PER_SERVICE) -> None:
        self._site = site
        self._limit = limit
        self._branches: dict[Prefix, _Branch] = {}
        self._rtts_ms: dict[RouterId, dict[Prefix, float]] = {}

    def __len__(self) -> int:
        return len(self._branches)

    def update(self, prefix: Prefix, route: Route, now: float) -> None:
        """Take ``route`` for the way to ``prefix``, in place of what was known. ``now`` in seconds."""
        self.forget(prefix)
        if len(self._branches) >= self._limit:
            self.forget(next(iter(self._branches)))
        self._branches[prefix] = _Branch(route, path_of(route), now)
        for hop in route.hops:
            if hop.router is not None and hop.rtt_ms is not None:
                rtts_ms = self._rtts_ms.setdefault(hop.router, {})
                rtts_ms[prefix] = min(hop.rtt_ms, rtts_ms.get(prefix, hop.rtt_ms))

    def forget(self, prefix: Prefix) -> None:
        """Drop what is known of ``prefix``, if anything."""
        branch = self._branches.pop(prefix, None)
        for router in branch.path if branch is not None else ():
            rtts_ms = self._rtts_ms.get(router, {})
            rtts_ms.pop(prefix, None)
            if not rtts_ms:
                self._rtts_ms.pop(router, None)

    def stale(self, now: float, age_s: float) -> tuple[Prefix, ...]:
        """Prefixes whose route was traced ``age_s`` ago or earlier, oldest first."""
        return tuple(prefix for prefix, branch in self._branches.items() if now - branch.traced_at >= age_s)

    def prefixes(self) -> tuple[Prefix, ...]:
        """The prefixes known, the one traced longest ago first."""
        return tuple(self._branches)

    def route(self, prefix: Prefix) -> Route | None:
        """The route to ``prefix``, if known."""
        branch = self._branches.get(prefix)
        return branch.route if branch is not None else None

    def path(self, prefix: Prefix) -> tuple[RouterId, ...]:
        """The routers on the way to ``prefix``, nearest to this site first, each once. Silent ones are bridged."""
        branch = self._branches.get(prefix)
        return branch.path if branch is not None else ()

    def router_rtt_ms(self, router: RouterId) -> float | None:
        """The least round trip to ``router`` on the routes known now; None if it is on none of them."""
        return min(self._rtts_ms.get(router, {}).values(), default=None)

    def nodes(self, name: str, sites_at: Mapping[RouterId, tuple[NodeId, ...]] | None = None) -> tuple[ViewNode, ...]:
        """The tree for people to look at: this site, called ``name``, then routers, then prefixes; parents come first.

        ``sites_at`` are the sites known to be at a router. Where routes disagree about what lies before a router, it
        hangs on the shortest way to it, and among equals on the one most prefixes take.
        """
        site, parents, sites = self._site, self._parents(), sites_at or {}
        nodes = [ViewNode(site, "site", name, None, 0.0, sites=(site,))]
        nodes += [
            ViewNode(router, "router", router, parent or site, self.router_rtt_ms(router), tuple(sites.get(router, ())))
            for router, parent in parents.items()
        ]
        nodes += [
            ViewNode(prefix, "prefix", prefix, branch.path[-1] if branch.path else site, branch.route.rtt_ms)
            for prefix, branch in sorted(self._branches.items())
        ]
        return tuple(nodes)

    def _parents(self) -> dict[RouterId, RouterId | None]:
        """Each router's parent (None: the site), breadth first over all links, so there is no cycle."""
        links = self._links()
        parents: dict[RouterId, RouterId | None] = {}
        level: list[RouterId | None] = [None]
        while level:
            best: dict[RouterId, tuple[int, RouterId | None]] = {}
            for before in level:
                for router, taken in links.get(before, Counter[RouterId]()).items():
                    if router not in parents and (router not in best or taken > best[router][0]):
                        best[router] = (taken, before)
            level = [*sorted(best)]
            parents |= {router: best[router][1] for router in sorted(best)}
        return parents

    def _links(self) -> dict[RouterId | None, Counter[RouterId]]:
        """How many prefixes' paths take each link; None stands for the site."""
        links: dict[RouterId | None, Counter[RouterId]] = {}
        for branch in self._branches.values():
            before: RouterId | None = None
            for router in branch.path:
                links.setdefault(before, Counter())[router] += 1
                before = router
        return links


def path_of(route: Route) -> tuple[RouterId, ...]:
    """The routers on ``route``, each at its first place: hops that share a router id are one router."""
    return tuple(dict.fromkeys(hop.router for hop in route.hops if hop.router is not None))
