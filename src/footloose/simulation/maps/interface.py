"""What a map is: numbered places, the round trip between any two, and on some maps the routers in between."""

from typing import Protocol, runtime_checkable

import msgspec


class Place(msgspec.Struct, frozen=True):
    """Somewhere a site or a user can be. Degrees, where the source of the map says them."""

    name: str
    longitude: float | None = None
    latitude: float | None = None


class Stop(msgspec.Struct, frozen=True):
    """One router of a route: the place it is at, and the round trip from where the route starts."""

    place: int
    rtt_ms: float


class Map(Protocol):
    """Places are numbered from 0. Round trips are the same in both directions, 0 from a place to itself."""

    @property
    def name(self) -> str:
        """What the map is of, for tables and results."""
        ...

    @property
    def places(self) -> tuple[Place, ...]:
        """All places, by number."""
        ...

    def rtt_ms(self, a: int, b: int) -> float:
        """The round trip between two places, without the access links of whoever stands there."""
        ...


@runtime_checkable
class RoutedMap(Map, Protocol):
    """A map that knows the way as well: every place is a router's."""

    def route(self, a: int, b: int) -> tuple[Stop, ...]:
        """The routers from ``a`` to ``b``, both included, the same backwards; the last one's round trip is
        :meth:`~Map.rtt_ms` of the two."""
        ...


def one_way_s(rtt_ms: float) -> float:
    """Half a round trip, in the seconds of :class:`footloose.simulation.network.Network`."""
    return rtt_ms / 2000.0
