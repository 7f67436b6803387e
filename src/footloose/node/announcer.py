"""Makes this site known: traces routes to peers and users, and announces the routers near it in the DHT."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from footloose.core.errors import FootlooseError
from footloose.core.limits import RECORD_LIFETIME_S
from footloose.discovery.dht.node import DhtNode
from footloose.model.network import Route, RouterId
from footloose.topology.announce import nearby_routers
from footloose.topology.traceroute import Tracer

log = logging.getLogger(__name__)

PEERS_TRACED = 8
"""Peers a site traces routes to: their paths leave by the same few routers, so more tells little more."""
ANNOUNCE_AGAIN_S = RECORD_LIFETIME_S / 4
"""How often the routers are traced and announced again."""
FIRST_TRIES_S = 1.0
"""How soon it is done again while new peers are met; each time that none was, the wait is twice as long."""


class Announcer:
    """Traces and announces. ``user_routes`` gives the routes to users this site has traced anyway."""

    def __init__(self, tracer: Tracer, dht: DhtNode, user_routes: Callable[[], Iterable[Route]]) -> None:
        self._tracer = tracer
        self._dht = dht
        self._user_routes = user_routes
        self._routes: dict[str, Route] = {}
        self._announced: set[RouterId] = set()
        self._wait_s = FIRST_TRIES_S

    async def announce(self) -> float:
        """Trace and announce now. Returns in how many seconds to do it again."""
        met = self._routes
        await self._trace_peers()
        await self._announce()
        learnt = self._routes.keys() - met.keys()
        self._wait_s = FIRST_TRIES_S if learnt else min(2 * self._wait_s, ANNOUNCE_AGAIN_S)
        return self._wait_s

    async def _trace_peers(self) -> None:
        hosts = list(dict.fromkeys(contact.host for contact in self._dht.contacts()))[:PEERS_TRACED]
        routes = await asyncio.gather(*(self._trace(host) for host in hosts))
        traced = {host: route or self._routes.get(host) for host, route in zip(hosts, routes, strict=True)}
        self._routes = {host: route for host, route in traced.items() if route is not None}

    async def _trace(self, host: str) -> Route | None:
        try:
            return await self._tracer.trace(host)
        except FootlooseError as error:
            log.info("cannot trace to peer %s: %s", host, error)
            return None

    async def _announce(self) -> None:
        routers = nearby_routers([*self._routes.values(), *self._user_routes()])
        near = {router.router for router in routers}
        await self._dht.withdraw(self._announced - near)
        await self._dht.announce([(router.router, router.rtt_ms, router.hops) for router in routers])
        self._announced = near
