"""The router graph as one sans-IO machine: packets go in where hosts send them and come out where they arrive.

Time is logical. A packet's way is walked at once, adding up the delays, and only the arrival is waited for; so
lateness of the process is paid once per trip and never adds up along the path. Only at a link with a rate does a
packet wait for its turn in real order, since there its time depends on the packets before it.
"""

import socket
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import pairwise
from typing import Final

import msgspec

from footloose.testbed import packets
from footloose.testbed.addresses import AddressPlan
from footloose.testbed.links import Direction
from footloose.testbed.routes import Routes
from footloose.testbed.topology import Link, Router, Topology

Packet = tuple[str, packets.Wire]
"""A host's name, and an IPv4 packet it sent or is to be given."""

PATHS_PER_NODE: Final = 16_384
"""Destinations remembered per sender; past it all are forgotten and found again."""


class Counters(msgspec.Struct):
    """What became of packets. ``lost``: by chance, a full queue, a cut link, or no way back for an ICMP message.

    ``refused``: not an IPv4 packet, or with another's source address (RFC 2827). ``icmp``: sent by routers.
    """

    sent: int = 0
    delivered: int = 0
    lost: int = 0
    refused: int = 0
    icmp: int = 0


class _RouterState:
    """A router's own doings: whether it may send another ICMP message (token bucket)."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._tokens = float(router.icmp_burst)
        self._refilled_at = 0.0

    def may_send_icmp(self, at: float) -> bool:
        """Whether it answers now; takes a token if so."""
        router = self._router
        if router.silent:
            return False
        if router.icmp_per_s is None:
            return True
        if at > self._refilled_at:
            self._tokens = min(router.icmp_burst, self._tokens + (at - self._refilled_at) * router.icmp_per_s)
            self._refilled_at = at
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class _Path:
    """The way from one node to one address.

    ``routers`` are those a packet reaches, with the address each answers from; ``target`` is the host at the end.
    It is None if the way ends at the last router: because the address is its own, or because it knows no way on
    (``unreachable`` is then the ICMP code it says so with). ``transit`` is how many routers must pass a packet on.
    """

    __slots__ = ("delay_s", "last_at", "links", "plain", "routers", "target", "transit", "unreachable")

    def __init__(
        self,
        links: Sequence[Direction],
        routers: Sequence[tuple[str, bytes]],
        target: str | None,
        unreachable: int | None,
    ) -> None:
        self.links = tuple(links)
        self.routers = tuple(routers)
        self.target = target
        self.unreachable = unreachable
        self.transit = len(self.links) - 1
        self.plain = target is not None and all(link.plain for link in self.links)
        self.delay_s = sum(link.delay_s for link in self.links)
        self.last_at = [0.0] * (len(self.links) + 1)


class Fabric:
    """All routers and links of a topology (a :class:`footloose.core.machine.Machine`).

    Events and effects are :data:`Packet`: what a host sent, and what a host is to be given.
    """

    def __init__(self, topology: Topology) -> None:
        self.plan = AddressPlan(topology)
        self.routes = Routes(topology)
        self.counters = Counters()
        self._routers = {router.name: _RouterState(router) for router in topology.routers}
        self._addresses = {name: socket.inet_aton(address) for name, address in self.plan.hosts.items()}
        self._directions = {
            (start, end): Direction(link, start, end, topology.seed)
            for link in topology.links
            for start, end in ((link.a, link.b), (link.b, link.a))
        }
        self._access = {start: end for start, end in self._directions if start in self._addresses}
        self._paths: dict[str, dict[bytes, _Path | None]] = {}
        self._pending: list[tuple[float, int, _Path, int, int, packets.Wire]] = []
        self._order = 0
        self._now = 0.0

    # The machine

    def receive(self, event: Packet, now: float) -> Sequence[Packet]:
        """Take a packet from a host. What it leads to comes out of :meth:`wake`."""
        host, packet = event
        self.counters.sent += 1
        if not packets.whole(packet) or packet[12:16] != self._addresses[host]:
            self.counters.refused += 1
            return ()
        self._now = now
        self._send(host, packet, now)
        return ()

    def wake(self, now: float) -> Sequence[Packet]:
        """The packets that have arrived by ``now``, in order of arrival."""
        arrived: list[Packet] = []
        pending = self._pending
        while pending and pending[0][0] <= now:
            at, _, path, index, stop, packet = heappop(pending)
            if index < stop:
                self._now = now
                self._travel(path, index, stop, packet, at, turn=True)
            elif path.target is not None:
                arrived.append((path.target, packet))
        self.counters.delivered += len(arrived)
        return arrived

    def next_deadline(self) -> float | None:
        """When the next packet arrives somewhere."""
        return self._pending[0][0] if self._pending else None

    # Changes while it runs

    def cut(self, links: Iterable[tuple[str, str]]) -> None:
        """Take links out: packets take other ways, or are told there is none."""
        for a, b in links:
            self.routes.cut(a, b)
            self._set_up(a, b, up=False)

    def heal(self, links: Iterable[tuple[str, str]]) -> None:
        """Put links back."""
        for a, b in links:
            self.routes.heal(a, b)
            self._set_up(a, b, up=True)

    def change(self, link: Link) -> None:
        """Give a link other figures."""
        self.routes.change(link)
        for ends in ((link.a, link.b), (link.b, link.a)):
            self._directions[ends].change(link)
        self._paths.clear()

    def warm(self) -> Iterator[None]:
        """Find the ways from one host after another, so that first packets need not wait for it."""
        for host, access in self._access.items():
            self.routes.path(host, access)
            yield

    def _set_up(self, a: str, b: str, *, up: bool) -> None:
        for ends in ((a, b), (b, a)):
            self._directions[ends].up = up
        self._paths.clear()

    # A packet's way

    def _send(self, start: str, packet: packets.Wire, at: float) -> None:
        path = self._path(start, bytes(packet[16:20]))
        ttl = packet[8]
        if path is None or ttl == 0:
            self.counters.lost += 1
        elif path.plain and ttl > path.transit:
            self._order += 1
            arrives = packets.aged(packet, path.transit)
            heappush(self._pending, (at + path.delay_s, self._order, path, 0, 0, arrives))
        else:
            self._travel(path, 0, min(ttl, len(path.links)), packet, at, turn=False)

    def _travel(self, path: _Path, index: int, stop: int, packet: packets.Wire, at: float, *, turn: bool) -> None:
        """Cross links ``index`` up to ``stop``; ``turn`` says the packet has waited for its turn at the first."""
        for position in range(index, stop):
            link = path.links[position]
            if link.bytes_per_s is not None and at > self._now and not turn:
                self._wait(path, position, stop, packet, at)
                return
            turn = False
            out = link.cross(at, len(packet))
            if out is None:
                self.counters.lost += 1
                return
            at = out
        self._arrive(path, stop, packet, at)

    def _arrive(self, path: _Path, stop: int, packet: packets.Wire, at: float) -> None:
        if packet[8] <= path.transit:
            self._error(path, stop, packet, at, packets.TIME_EXCEEDED, 0)
        elif path.unreachable is not None:
            self._error(path, stop, packet, at, packets.UNREACHABLE, path.unreachable)
        elif path.target is None:
            self._answer(path, packet, at)
        else:
            self._wait(path, stop, stop, packets.aged(packet, path.transit), at)

    def _wait(self, path: _Path, index: int, stop: int, packet: packets.Wire, at: float) -> None:
        """Take ``packet`` up again ``at``, but not before the one of its flow that came here before it (jitter)."""
        at = path.last_at[index] = max(at, path.last_at[index])
        self._order += 1
        heappush(self._pending, (at, self._order, path, index, stop, packet))

    def _error(self, path: _Path, stop: int, packet: packets.Wire, at: float, kind: int, code: int) -> None:
        """The router after ``stop`` links tells the sender, from the address the packet came in by."""
        router, address = path.routers[stop - 1]
        if packets.may_cause_error(packet):
            self._reply(router, packets.icmp_error(kind, code, packets.aged(packet, stop - 1), address), at)

    def _answer(self, path: _Path, packet: packets.Wire, at: float) -> None:
        """A router was addressed itself: it answers pings, and has no ports open."""
        router, _ = path.routers[-1]
        if packets.is_echo_request(packet):
            self._reply(router, packets.echo_reply(packet), at)
        elif packet[9] != packets.ICMP and packets.may_cause_error(packet):
            known = packet[9] in (packets.TCP, packets.UDP)
            code = packets.PORT_UNREACHABLE if known else packets.PROTOCOL_UNREACHABLE
            about = packets.aged(packet, path.transit)
            self._reply(router, packets.icmp_error(packets.UNREACHABLE, code, about, packet[16:20]), at)

    def _reply(self, router: str, message: packets.Wire, at: float) -> None:
        if self._routers[router].may_send_icmp(at):
            self.counters.icmp += 1
            self._send(router, message, at)

    # Ways, found once and remembered until a link changes

    def _path(self, start: str, destination: bytes) -> _Path | None:
        known = self._paths.setdefault(start, {})
        try:
            return known[destination]
        except KeyError:
            if len(known) >= PATHS_PER_NODE:
                known.clear()
            path = known[destination] = self._find(start, destination)
            return path

    def _find(self, start: str, destination: bytes) -> _Path | None:
        address = socket.inet_ntoa(destination)
        owner = self.plan.owner.get(address)
        names = None if owner is None or owner == start else self.routes.path(start, owner)
        if names is not None:
            return self._along(names, unreachable=None)
        if start not in self._addresses or destination[0] >= 224:
            return None
        access = self._access[start]
        if self.routes.is_cut(start, access):
            return None
        code = packets.NET_UNREACHABLE if owner is None else packets.HOST_UNREACHABLE
        return self._along((start, access), unreachable=code)

    def _along(self, names: Sequence[str], *, unreachable: int | None) -> _Path:
        links = [self._directions[pair] for pair in pairwise(names)]
        routers = [
            (here, socket.inet_aton(self.plan.ingress(here, before)))
            for before, here in pairwise(names)
            if here in self._routers
        ]
        target = names[-1] if names[-1] in self._addresses else None
        return _Path(links, routers, target, unreachable)
