"""Trees of routers, as the access networks of one provider have them (ExEC §3 uses such)."""

from collections.abc import Sequence
from random import Random

from footloose.core.errors import LocalError
from footloose.simulation.maps.interface import Place, Stop

PLACES = 200_000
"""Largest tree."""
_NS_PER_MS = 1_000_000


class TreeMap:
    """Each router but the leaves has ``branching`` others below it; ``link_ms`` is the round trip of a link, by level.

    Place 0 is the root, and numbers grow level by level. With ``spread`` each link is up to that part longer or
    shorter, drawn from ``seed``. Lengths are whole nanoseconds, so that sums are the same in every order.
    Raises :class:`LocalError` if there can be no such tree.
    """

    def __init__(self, branching: int, link_ms: Sequence[float], *, spread: float = 0.0, seed: int = 0) -> None:
        levels = [branching**level for level in range(len(link_ms) + 1)]
        self.name = f"tree, {branching} below each, {len(link_ms)} deep"
        _check(branching, link_ms, spread, sum(levels), self.name)
        random = Random(seed)  # noqa: S311  a simulation must be replayable
        self._branching = branching
        self._from_root_ns, self._depth = [0], [0]
        for depth, (count, each_ms) in enumerate(zip(levels[1:], link_ms, strict=True), 1):
            for _ in range(count):
                above = self.parent(len(self._depth))
                length_ms = each_ms * (1.0 + spread * (2.0 * random.random() - 1.0))
                self._from_root_ns.append(self._from_root_ns[above] + max(1, round(length_ms * _NS_PER_MS)))
                self._depth.append(depth)
        self.places = tuple(Place(f"router {number}") for number in range(len(self._depth)))
        self.leaves = range(len(self._depth) - levels[-1], len(self._depth))

    def parent(self, place: int) -> int:
        """The place above; the root is above itself."""
        return max(0, (place - 1) // self._branching)

    def depth(self, place: int) -> int:
        """How many links lead to the root."""
        return self._depth[place]

    def rtt_ms(self, a: int, b: int) -> float:
        """Up to where the branches meet, and down."""
        meet = self._meet(a, b)
        return (self._from_root_ns[a] + self._from_root_ns[b] - 2 * self._from_root_ns[meet]) / _NS_PER_MS

    def route(self, a: int, b: int) -> tuple[Stop, ...]:
        """Up to where the branches meet, and down."""
        meet = self._meet(a, b)
        up, down = self._climb(a, meet), self._climb(b, meet)
        return tuple(Stop(place, self.rtt_ms(a, place)) for place in (*up, meet, *reversed(down)))

    def _climb(self, place: int, to: int) -> list[int]:
        passed = []
        while place != to:
            passed.append(place)
            place = self.parent(place)
        return passed

    def _meet(self, a: int, b: int) -> int:
        # Numbers grow level by level, so the larger is never above the smaller.
        while a != b:
            if a > b:
                a = self.parent(a)
            else:
                b = self.parent(b)
        return a


def _check(branching: int, link_ms: Sequence[float], spread: float, places: int, where: str) -> None:
    if branching < 1 or not link_ms:
        raise LocalError("a tree needs a branch and a level", where=where, fix="branching 1 or more, a link per level")
    if not all(0.0 < each_ms < 60_000.0 for each_ms in link_ms):
        raise LocalError("a link's round trip must be positive, and below a minute", where=where, fix="mend link_ms")
    if not 0.0 <= spread < 1.0:
        raise LocalError(f"links cannot vary by {spread}", where=where, fix="give a spread from 0 to below 1")
    if places > PLACES:
        raise LocalError(f"{places} places, more than {PLACES}", where=where, fix="fewer branches or levels")
