"""Maps from graphs of routers and links: the shortest ways are found when first asked for, and some are kept."""

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

import msgspec

from footloose.core.errors import LocalError
from footloose.simulation.maps.interface import Place, Stop

TREES_KEPT = 512
"""Places the shortest ways from which are remembered; 12 bytes each for every place of the map."""
_NS_PER_MS = 1_000_000
_FARTHEST_NS = 2**62
_NOWHERE = -1


class Edge(msgspec.Struct, frozen=True):
    """A link between two places and its round trip."""

    a: int
    b: int
    rtt_ms: float


class _Ways(msgspec.Struct, frozen=True):
    """The tree of shortest ways from one place: how far each other is, and which comes before it."""

    far_ns: "array[int]"
    before: "array[int]"


class GraphMap:
    """Routers and links; messages take the shortest way, of equal ones that by the router with the lower number.

    Lengths are whole nanoseconds, so that sums are the same in every order. Raises :class:`LocalError` for links that
    cannot be, and for places that no way leads to.
    """

    def __init__(
        self, name: str, places: Sequence[Place], edges: Iterable[Edge], *, trees_kept: int = TREES_KEPT
    ) -> None:
        self.name = name
        self.places = tuple(places)
        self._links: list[dict[int, int]] = [{} for _ in self.places]
        self._ways: OrderedDict[int, _Ways] = OrderedDict()
        self._trees_kept = trees_kept
        for edge in edges:
            self._add(edge)
        if not self.places:
            raise LocalError("a map without places", where=name, fix="give another graph")
        cut_off = sum(far_ns == _FARTHEST_NS for far_ns in self._from(0).far_ns)
        if cut_off:
            raise LocalError(f"no way leads to {cut_off} places", where=name, fix="give a connected graph")

    def neighbours(self, place: int) -> tuple[int, ...]:
        """The places one link away."""
        return tuple(sorted(self._links[place]))

    def rtt_ms(self, a: int, b: int) -> float:
        """The sum of the links of the shortest way."""
        source, target = (b, a) if b in self._ways else (a, b)
        return self._from(source).far_ns[target] / _NS_PER_MS

    def route(self, a: int, b: int) -> tuple[Stop, ...]:
        """The shortest way. Found from the lower number, so that it is the same in both directions."""
        source, target = min(a, b), max(a, b)
        ways = self._from(source)
        passed, whole_ns = [target], ways.far_ns[target]
        while passed[-1] != source:
            passed.append(ways.before[passed[-1]])
        if a == target:
            return tuple(Stop(place, (whole_ns - ways.far_ns[place]) / _NS_PER_MS) for place in passed)
        return tuple(Stop(place, ways.far_ns[place] / _NS_PER_MS) for place in reversed(passed))

    @property
    def trees_kept(self) -> int:
        """From how many places the shortest ways are remembered now."""
        return len(self._ways)

    def _add(self, edge: Edge) -> None:
        for end in (edge.a, edge.b):
            if not 0 <= end < len(self.places):
                raise LocalError(f"a link to place {end}, which is not there", where=self.name, fix="mend the graph")
        if not 0.0 <= edge.rtt_ms < 60_000.0:
            raise LocalError(f"a link of {edge.rtt_ms} ms", where=self.name, fix="0 to 60,000 ms")
        if edge.a == edge.b:
            return
        length_ns = max(1, round(edge.rtt_ms * _NS_PER_MS))
        shortest = min(length_ns, self._links[edge.a].get(edge.b, length_ns))
        self._links[edge.a][edge.b] = self._links[edge.b][edge.a] = shortest

    def _from(self, source: int) -> _Ways:
        ways = self._ways.get(source)
        if ways is not None:
            self._ways.move_to_end(source)
            return ways
        ways = self._ways[source] = _shortest_ways(self._links, source)
        if len(self._ways) > self._trees_kept:
            self._ways.popitem(last=False)
        return ways


def _shortest_ways(links: Sequence[dict[int, int]], source: int) -> _Ways:
    """Dijkstra's algorithm."""
    far_ns = array("q", [_FARTHEST_NS]) * len(links)
    before = array("i", [_NOWHERE]) * len(links)
    far_ns[source] = 0
    queue = [(0, source)]
    while queue:
        so_far_ns, place = heappop(queue)
        if so_far_ns > far_ns[place]:
            continue
        for other, length_ns in links[place].items():
            ns = so_far_ns + length_ns
            if ns < far_ns[other]:
                far_ns[other], before[other] = ns, place
                heappush(queue, (ns, other))
            elif ns == far_ns[other] and place < before[other]:
                before[other] = place
    return _Ways(far_ns, before)
