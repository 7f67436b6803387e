"""Any number of nodes on a map, each behind an access link of its own."""

from collections.abc import Sequence
from random import Random

from footloose.core.errors import LocalError
from footloose.simulation.maps.interface import Map, one_way_s

ACCESS_MS = (0.2, 2.0)
"""Round trips of access links, from the shortest to the longest, unless said otherwise: a wired host's."""


class Spread:
    """Node after node is put at the places in turn, in an order drawn from ``seed``.

    Beyond as many nodes as there are places, several share one: their round trip is that of their two access links.
    Raises :class:`LocalError` if there are no places, or no such access links.
    """

    def __init__(
        self,
        base: Map,
        count: int,
        seed: int,
        *,
        at: Sequence[int] | None = None,
        access_ms: tuple[float, float] = ACCESS_MS,
    ) -> None:
        order = list(range(len(base.places)) if at is None else at)
        if not order or not 0.0 <= access_ms[0] <= access_ms[1]:
            raise LocalError("no places, or no access links", where=base.name, fix="access_ms is shortest, longest")
        random = Random(seed)  # noqa: S311  a simulation must be replayable
        random.shuffle(order)
        self.base = base
        self.place = tuple(order[number % len(order)] for number in range(count))
        self.access_ms = tuple(random.uniform(*access_ms) for _ in range(count))

    def rtt_ms(self, a: int, b: int) -> float:
        """The round trip between two nodes."""
        return self.access_ms[a] + self.base.rtt_ms(self.place[a], self.place[b]) + self.access_ms[b]

    def delay_s(self, a: int, b: int) -> float:
        """One way, as :class:`footloose.simulation.network.Network` asks for it."""
        return one_way_s(self.rtt_ms(a, b))
