"""Sites that announced themselves near the routers of the route."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from footloose.discovery.dht.node import DhtNode
from footloose.model.network import Route, RouterId, router_id
from footloose.model.site import Sighting, Source


class DhtFinder:
    """Looks up every router of a route at once, those nearest the user first."""

    source: Source = Source.DHT

    def __init__(self, node: DhtNode) -> None:
        self._node = node

    async def find(self, route: Route) -> AsyncGenerator[Sighting, None]:
        """Announcements about the routers of ``route``. Raises :class:`RemoteError` if no other node answered."""
        async with aclosing(self._node.lookup(routers_of(route))) as sightings:
            async for sighting in sightings:
                yield sighting


def routers_of(route: Route) -> list[RouterId]:
    """The router ids of ``route``, the target's first and then back towards where it was traced from."""
    hops = [hop.router for hop in reversed(route.hops) if hop.router is not None]
    return list(dict.fromkeys([router_id(route.target), *hops]))
