"""The map of a run: places by name and number, each with a router, and how long the way is."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from footloose.simulation.maps.hub import hub_map
from footloose.simulation.maps.interface import Map, RoutedMap
from footloose.simulation.maps.matrix import MatrixMap
from footloose.simulation.maps.tree import TreeMap
from footloose.simulation.scenario import Map as WantedMap
from footloose.simulation.scenario import Rtts, TopoHub, Tree

_BESIDE = 4
"""Places beside another, where the map has no links."""


class Ground:
    """``names`` are those that scenarios call the places of ``base`` by."""

    def __init__(self, base: Map, names: Sequence[str]) -> None:
        self._base = base
        self.places = tuple(names)

    def rtt_ms(self, a: int, b: int) -> float:
        """The round trip between the routers of two places; 0 within one."""
        return self._base.rtt_ms(a, b)

    def path(self, a: int, b: int) -> Sequence[int]:
        """The places whose routers a packet passes from ``a`` to ``b``, both included."""
        if isinstance(self._base, RoutedMap):
            return [stop.place for stop in self._base.route(a, b)]
        return [a] if a == b else [a, b]

    def beside(self, place: int) -> Sequence[int]:
        """The nearest other places."""
        others = (one for one in range(len(self.places)) if one != place)
        return sorted(others, key=lambda one: (self.rtt_ms(place, one), one))[:_BESIDE]


@lru_cache(maxsize=4)
def ground_of(wanted: WantedMap) -> Ground:
    """The map a scenario asks for. Raises :class:`LocalError` if it cannot be had."""
    match wanted:
        case Tree():
            return _tree(wanted)
        case Rtts():
            path = Path(wanted.file)
            base: Map = MatrixMap.read(path, unit="s" if path.name.startswith("seattle") else "ms")
            return Ground(base, [str(number) for number in range(len(base.places))])
        case TopoHub():
            base = hub_map(wanted.name)
            return Ground(base, [place.name for place in base.places])


def _tree(wanted: Tree) -> Ground:
    """The root is called ``root``, each other place by the turns taken from there: ``0``, ``0.2``, ``0.2.1``."""
    tree = TreeMap(wanted.branching, [wanted.link_ms] * wanted.depth)
    names = ["root"]
    for number in range(1, len(tree.places)):
        above, turn = tree.parent(number), (number - 1) % wanted.branching
        names.append(f"{names[above]}.{turn}" if above else str(turn))
    return Ground(tree, names)
