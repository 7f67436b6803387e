"""Which address is where.

Routers: addresses of one router come from the same /29 while it lasts (six to a block), so the router id of
:func:`footloose.model.network.router_id` is the router's; one with more interfaces takes further blocks.
Hosts: each has a /24 of its own, as users of different prefixes have.
"""

import ipaddress
from collections.abc import Iterable
from itertools import pairwise

import msgspec

from footloose.model.network import RouterId, router_id
from footloose.testbed.topology import Topology

ROUTERS = ipaddress.ip_network("10.0.0.0/9")
HOSTS = ipaddress.ip_network("10.128.0.0/9")
ADDRESSES_PER_BLOCK = 6
_BLOCK = 8
_HOST_NUMBER = 10


class Interface(msgspec.Struct, frozen=True):
    """A router's end of a link: ``address`` is what the router answers with when a packet came in here."""

    router: str
    neighbour: str
    number: int
    address: str


class AddressPlan:
    """All addresses of a topology, the same every time it is made."""

    def __init__(self, topology: Topology) -> None:
        self.hosts: dict[str, str] = {
            host.name: str(HOSTS.network_address + 256 * index + _HOST_NUMBER)
            for index, host in enumerate(topology.hosts)
        }
        self.interfaces: dict[tuple[str, str], Interface] = {
            (interface.router, interface.neighbour): interface for interface in _interfaces(topology)
        }
        self.owner: dict[str, str] = {address: name for name, address in self.hosts.items()}
        self.owner.update((each.address, each.router) for each in self.interfaces.values())

    def ingress(self, router: str, came_from: str) -> str:
        """The address of ``router`` on its link to ``came_from``."""
        return self.interfaces[router, came_from].address

    def of_router(self, router: str) -> tuple[Interface, ...]:
        """A router's interfaces, in order."""
        return tuple(each for each in self.interfaces.values() if each.router == router)

    def router_ids(self, router: str) -> frozenset[RouterId]:
        """The router ids under which a router may be seen: one per /29 it has."""
        return frozenset(router_id(each.address) for each in self.of_router(router))

    def hops(self, path: Iterable[str]) -> tuple[str, ...]:
        """The addresses a traceroute along ``path`` (node names, both ends included) shows, its target's last."""
        names = tuple(path)
        shown = [self.ingress(here, before) for before, here in pairwise(names[:-1])]
        last = self.hosts.get(names[-1]) or self.ingress(names[-1], names[-2])
        return (*shown, last)


def _interfaces(topology: Topology) -> list[Interface]:
    neighbours: dict[str, list[str]] = {router.name: [] for router in topology.routers}
    for link in topology.links:
        for here, there in ((link.a, link.b), (link.b, link.a)):
            if here in neighbours:
                neighbours[here].append(there)
    found: list[Interface] = []
    block = 0
    for router, others in neighbours.items():
        for number, neighbour in enumerate(others):
            offset = _BLOCK * (block + number // ADDRESSES_PER_BLOCK) + 1 + number % ADDRESSES_PER_BLOCK
            found.append(Interface(router, neighbour, number, str(ROUTERS.network_address + offset)))
        block += max(1, -(-len(others) // ADDRESSES_PER_BLOCK))
    return found
