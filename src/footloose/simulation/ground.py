"""Where simulated machines and users stand: places, the routers between them, and how long the way is."""

from collections.abc import Sequence
from typing import Protocol


class Ground(Protocol):
    """Places by number, each with a router of its own."""

    @property
    def places(self) -> Sequence[str]:
        """Their names."""
        ...

    def rtt_ms(self, a: int, b: int) -> float:
        """The round trip between the routers of two places; 0 within one."""
        ...

    def path(self, a: int, b: int) -> Sequence[int]:
        """The places whose routers a packet passes from ``a`` to ``b``, both included."""
        ...

    def beside(self, place: int) -> Sequence[int]:
        """The places one link away."""
        ...


class TreeGround:
    """Routers in a tree, ``depth`` levels below the root, each with ``branching`` below it, links of ``link_ms``.

    The root is called ``root``; below it a place is named by the turns taken from there: ``0``, ``0.2``, ``0.2.1``.
    """

    def __init__(self, branching: int, depth: int, link_ms: float) -> None:
        self.places: list[str] = ["root"]
        self._above: list[int] = [-1]
        self._depth: list[int] = [0]
        self._link_ms = link_ms
        level = [0]
        for _ in range(depth):
            level = [self._add(above, turn) for above in level for turn in range(branching)]

    def _add(self, above: int, turn: int) -> int:
        name = str(turn) if above == 0 else f"{self.places[above]}.{turn}"
        self.places.append(name)
        self._above.append(above)
        self._depth.append(self._depth[above] + 1)
        return len(self.places) - 1

    def rtt_ms(self, a: int, b: int) -> float:
        """The sum of the links on the way."""
        return (len(self.path(a, b)) - 1) * self._link_ms

    def path(self, a: int, b: int) -> Sequence[int]:
        """Up to where the ways meet, and down."""
        up, down = [a], [b]
        while up[-1] != down[-1]:
            if self._depth[up[-1]] >= self._depth[down[-1]]:
                up.append(self._above[up[-1]])
            else:
                down.append(self._above[down[-1]])
        return [*up, *reversed(down[:-1])]

    def beside(self, place: int) -> Sequence[int]:
        """Those right above and below."""
        below = [one for one, above in enumerate(self._above) if above == place]
        return [self._above[place], *below] if place else below
