"""Any number of DHT nodes in virtual time: the machines that real nodes run, on a simulated network."""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random

from footloose.core.identity import Identity
from footloose.core.limits import DHT_BUCKET
from footloose.discovery.dht.contact import Contact
from footloose.discovery.dht.events import (
    Announce,
    Bootstrap,
    Effect,
    Event,
    Found,
    Joined,
    LookUp,
    LookupDone,
    Received,
    SendDatagram,
)
from footloose.discovery.dht.keys import KEY_BITS
from footloose.discovery.dht.machine import Dht
from footloose.discovery.dht.notary import IdentityNotary, TrustingNotary
from footloose.discovery.dht.records import Nearness
from footloose.discovery.dht.routing import KEEPALIVE_S
from footloose.model.network import RouterId
from footloose.model.site import Endpoint
from footloose.simulation.engine import Engine, Wakeup
from footloose.simulation.network import Conditions, Delay, Network

PORT = 4000
_KEY_BYTES = 32
_AGES = 2**32


class Inquiry:
    """One look-up: what it has found so far, and how it ended."""

    __slots__ = ("done", "ended_at", "first_found_at", "found", "router", "started_at")

    def __init__(self, router: RouterId, started_at: float) -> None:
        self.router = router
        self.started_at = started_at
        self.found: list[Found] = []
        self.first_found_at: float | None = None
        self.done: LookupDone | None = None
        self.ended_at: float | None = None

    def sites(self) -> set[str]:
        """The hosts of the APIs found."""
        return {found.record.announcement.host for found in self.found}


class SwarmNode:
    """A machine at an address. ``joined`` counts how often it made itself known; ``name`` is the host it announces."""

    __slots__ = ("address", "alive", "inquiries", "joined", "machine", "name", "number", "wakeup")

    def __init__(self, number: int, machine: Dht, wakeup: Wakeup) -> None:
        self.number = number
        self.machine = machine
        self.wakeup = wakeup
        self.address = address_of(number)
        self.name = site_name(number)
        self.inquiries: dict[int, Inquiry] = {}
        self.joined = 0
        self.alive = True


class Swarm:
    """The nodes and the network between them. Everything that happens follows from ``seed``.

    With ``trusting``, signatures are blank and not checked, which is what most of the time would go to. With
    ``recording``, :meth:`digest` covers every datagram. ``tamper`` may change datagrams on the way.
    """

    def __init__(
        self,
        seed: int,
        delay_s: Delay,
        conditions: Conditions | None = None,
        *,
        trusting: bool = False,
        recording: bool = False,
    ) -> None:
        self.engine = Engine(seed)
        self.network = Network(self.engine, delay_s, conditions)
        self.nodes: list[SwarmNode] = []
        self.largest_bytes = 0
        self.tamper: Callable[[bytes], bytes] | None = None
        self._delay_s = delay_s
        self._numbers: dict[Endpoint, int] = {}
        self._trusting = trusting
        self._record = hashlib.sha256() if recording else None
        self._inquiries = 0

    @property
    def now(self) -> float:
        """Virtual time, which is also the nodes' idea of it."""
        return self.engine.now

    def run(self, duration_s: float) -> None:
        """Let time pass."""
        self.engine.run(self.engine.now + duration_s)

    def add(self, bootstrap: Iterable[Endpoint] = ()) -> SwarmNode:
        """A new node with a new key, that joins by way of ``bootstrap``."""
        random, number = self.engine.random, len(self.nodes)
        seed = random.randbytes(_KEY_BYTES)
        notary = TrustingNotary(seed) if self._trusting else IdentityNotary(Identity.from_seed(seed))
        api = Endpoint(site_name(number), 443)
        machine = Dht(notary, api, Random(random.random()), self.now)  # noqa: S311  a simulation must be replayable
        node = SwarmNode(number, machine, Wakeup(self.engine, lambda: self._wake(node)))
        self.nodes.append(node)
        self._numbers[node.address] = number
        self.network.attach(number, lambda source, datagram: self._deliver(node, source, datagram))
        self.give(node, Bootstrap(tuple(bootstrap)))
        return node

    def grow(self, count: int, *, over_s: float = 2.0) -> list[SwarmNode]:
        """``count`` nodes, one after the other, that join by way of the first there is."""
        nodes = []
        for _ in range(count):
            nodes.append(self.add([self.nodes[0].address] if self.nodes else []))
            self.run(over_s / count)
        return nodes

    def found(self, count: int) -> list[SwarmNode]:
        """``count`` nodes that have known each other for long, without the traffic of ``count`` joins.

        Each bucket of each node's table is as full as it can be, of nodes drawn at random, with spares, heard from at
        some time in the last minute.
        """
        nodes = [self.add() for _ in range(count)]
        contacts = {node.number: Contact(node.machine.key, node.address) for node in nodes}
        for node, known in zip(nodes, acquaintances(nodes, self.engine.random), strict=True):
            # Both of a pair heard of each other by the same datagrams.
            ages_s = {(node.machine.key ^ each.machine.key) % _AGES / _AGES * KEEPALIVE_S: each for each in known}
            for age_s, other in sorted(ages_s.items(), reverse=True):
                rtt_s = self._delay_s(node.number, other.number) + self._delay_s(other.number, node.number)
                node.machine.table.answered(contacts[other.number], rtt_s, self.now - age_s)
            node.joined = 1
            node.wakeup.set(node.machine.next_deadline())
        return nodes

    def crash(self, node: SwarmNode) -> None:
        """``node`` is gone, without a word and for good."""
        node.alive = False
        node.wakeup.set(None)
        self.network.detach(node.number)

    def partition(self, *sides: Iterable[SwarmNode]) -> None:
        """Keep these apart."""
        self.network.partition(*[[node.number for node in nodes] for nodes in sides])

    def give(self, node: SwarmNode, event: Event) -> None:
        """Let ``node`` take an event."""
        self._carry_out(node, node.machine.receive(event, self.now))

    def announce(self, node: SwarmNode, *routers: str, rtt_ms: float = 1.0) -> None:
        """``node`` announces itself under ``routers``."""
        self.give(node, Announce(tuple(Nearness(RouterId(router), rtt_ms, 2) for router in routers)))

    def look_up(self, node: SwarmNode, router: str) -> Inquiry:
        """Begin to look up ``router`` at ``node``; what comes of it is in the answer as time passes."""
        self._inquiries += 1
        inquiry = node.inquiries[self._inquiries] = Inquiry(RouterId(router), self.now)
        self.give(node, LookUp(self._inquiries, inquiry.router))
        return inquiry

    def digest(self) -> str:
        """Of everything delivered so far, and when; needs ``recording``."""
        return self._record.hexdigest() if self._record is not None else ""

    def _wake(self, node: SwarmNode) -> None:
        if node.alive:
            self._carry_out(node, node.machine.wake(self.now))

    def _deliver(self, node: SwarmNode, source: int, datagram: bytes) -> None:
        if self._record is not None:
            self._record.update(f"{self.now!r} {node.number} ".encode() + datagram)
        self._carry_out(node, node.machine.receive(Received(datagram, self.nodes[source].address), self.now))

    def _carry_out(self, node: SwarmNode, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case SendDatagram():
                    self._send(node, effect)
                case Found():
                    inquiry = node.inquiries[effect.lookup]
                    inquiry.found.append(effect)
                    if inquiry.first_found_at is None:
                        inquiry.first_found_at = self.now
                case LookupDone():
                    inquiry = node.inquiries.pop(effect.lookup)
                    inquiry.done, inquiry.ended_at = effect, self.now
                case Joined():
                    node.joined += 1
        node.wakeup.set(node.machine.next_deadline())

    def _send(self, node: SwarmNode, effect: SendDatagram) -> None:
        datagram = effect.datagram
        self.largest_bytes = max(self.largest_bytes, len(datagram))
        if self.tamper is not None:
            datagram = self.tamper(datagram)
        target = self._numbers.get(effect.to)
        if target is not None:
            self.network.send(node.number, target, datagram, len(datagram))


def acquaintances(nodes: Sequence[SwarmNode], random: Random) -> Iterator[list[SwarmNode]]:
    """For each node in turn, those its table has room for: of each distance up to a bucket full, and as many spares."""
    ordered = sorted(nodes, key=lambda node: node.machine.key)
    keys = [node.machine.key for node in ordered]
    for node in nodes:
        key, chosen = node.machine.key, []
        low, high = 0, len(keys)
        for bit in reversed(range(KEY_BITS)):
            # Between low and high are the nodes whose key begins as this one's; halve them by the next bit.
            middle = bisect_left(keys, (key >> bit | 1) << bit, low, high)
            (low, high), there = (
                ((middle, high), range(low, middle)) if key >> bit & 1 else ((low, middle), range(middle, high))
            )
            chosen += [ordered[each] for each in random.sample(there, min(2 * DHT_BUCKET, len(there)))]
            if high - low <= 1:
                break
        yield chosen


def address_of(number: int) -> Endpoint:
    """Where a node is: in a prefix of its own."""
    return Endpoint(f"{10 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.1", PORT)


def site_name(number: int) -> str:
    """The host a node announces."""
    return f"site-{number}"
