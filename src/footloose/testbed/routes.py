"""Shortest paths by delay over the links that are not cut.

Every shortest path is made unique: equal delays are settled by fewer links, then by a fixed number drawn from the
links' names. So the path back is the path there, and parts of paths are paths.
"""

import hashlib
from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import pairwise
from math import fsum

from footloose.testbed.topology import Link, Topology, TopologyError

_TIE_BITS = 48
_HOP = 1 << (_TIE_BITS + 16)
_NANOSECOND = _HOP << 16


class Routes:
    """Paths between nodes, and which links are cut."""

    def __init__(self, topology: Topology) -> None:
        self._links = {link.ends: link for link in topology.links}
        self._hosts = frozenset(host.name for host in topology.hosts)
        self._neighbours: dict[str, list[str]] = {name: [] for name in topology.names}
        for link in topology.links:
            self._neighbours[link.a].append(link.b)
            self._neighbours[link.b].append(link.a)
        self._ties = {ends: _tie(ends) for ends in self._links}
        self._cut: set[frozenset[str]] = set()
        self._trees: dict[str, dict[str, str]] = {}

    def link(self, a: str, b: str) -> Link:
        """The link between two neighbours. Raises :class:`TopologyError` if there is none."""
        link = self._links.get(frozenset((a, b)))
        if link is None:
            self._check(a, b)
            near = ", ".join(self._neighbours[a]) or "nothing"
            raise TopologyError(f"no link joins {a!r} and {b!r}", fix=f"{a} is joined to {near}")
        return link

    @property
    def cut_links(self) -> tuple[Link, ...]:
        """The links that are cut, in the topology's order."""
        return tuple(link for ends, link in self._links.items() if ends in self._cut)

    @property
    def links(self) -> tuple[Link, ...]:
        """All links, as they are now."""
        return tuple(self._links.values())

    def is_cut(self, a: str, b: str) -> bool:
        """Whether the link between two neighbours is cut."""
        return frozenset((a, b)) in self._cut

    def cut(self, a: str, b: str) -> None:
        """Take a link out. Raises :class:`TopologyError` if there is none."""
        self._cut.add(self.link(a, b).ends)
        self._trees.clear()

    def heal(self, a: str, b: str) -> None:
        """Put a link back. Raises :class:`TopologyError` if there is none."""
        self._cut.discard(self.link(a, b).ends)
        self._trees.clear()

    def change(self, link: Link) -> None:
        """Let ``link`` take the place of the one with the same ends. Raises :class:`TopologyError` if there is none."""
        self._links[self.link(link.a, link.b).ends] = link
        self._trees.clear()

    def crossing(self, nodes: Iterable[str]) -> tuple[Link, ...]:
        """The links with exactly one end among ``nodes``. Raises :class:`TopologyError` for an unknown name."""
        inside = frozenset(nodes)
        self._check(*sorted(inside))
        return tuple(link for link in self._links.values() if len(link.ends & inside) == 1)

    def path(self, start: str, end: str) -> tuple[str, ...] | None:
        """Names of the nodes on the way, both ends included; None if there is no way."""
        self._check(start, end)
        if start == end:
            return (start,)
        first, last = self._attached(start), self._attached(end)
        if first is None or last is None:
            return None
        before = self._tree(first)
        if last not in before:
            return None
        names = [last]
        while names[-1] != first:
            names.append(before[names[-1]])
        names.reverse()
        return (*_unless(start, first), *names, *_unless(end, last))

    def delay_ms(self, start: str, end: str) -> float | None:
        """One-way delay of the path, without jitter and queues; None if there is no way."""
        path = self.path(start, end)
        if path is None:
            return None
        return fsum(self._links[frozenset(pair)].delay_ms for pair in pairwise(path))

    def _check(self, *names: str) -> None:
        for name in names:
            if name not in self._neighbours:
                raise TopologyError(f"there is no router or host {name!r}")

    def _attached(self, name: str) -> str | None:
        """The router a host hangs on, if its link is up; a router is its own."""
        if name not in self._hosts:
            return name
        router = self._neighbours[name][0]
        return None if self.is_cut(name, router) else router

    def _tree(self, root: str) -> dict[str, str]:
        """For each router that can be reached from ``root``, the router before it (Dijkstra)."""
        tree = self._trees.get(root)
        if tree is None:
            tree = self._trees[root] = self._dijkstra(root)
        return tree

    def _dijkstra(self, root: str) -> dict[str, str]:
        before: dict[str, str] = {}
        queue: list[tuple[int, str, str]] = [(0, root, root)]
        while queue:
            distance, name, previous = heappop(queue)
            if name in before:
                continue
            before[name] = previous
            for other in self._neighbours[name]:
                ends = frozenset((name, other))
                if other in before or other in self._hosts or ends in self._cut:
                    continue
                cost = round(self._links[ends].delay_ms * 1e6) * _NANOSECOND + _HOP + self._ties[ends]
                heappush(queue, (distance + cost, other, name))
        return before


def _unless(end: str, router: str) -> tuple[str, ...]:
    return () if end == router else (end,)


def _tie(ends: frozenset[str]) -> int:
    digest = hashlib.blake2b(" ".join(sorted(ends)).encode(), digest_size=_TIE_BITS // 8)
    return int.from_bytes(digest.digest(), "big")
