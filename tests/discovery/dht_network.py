"""An internet in memory for DHT machines: virtual time, seeded delays, losses and partitions."""

import hashlib
import heapq
import itertools
import random
from collections.abc import Callable, Iterable

from footloose.core.identity import Identity
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
from footloose.discovery.dht.machine import Dht
from footloose.discovery.dht.records import Nearness
from footloose.model.network import RouterId
from footloose.model.site import Endpoint

START = 1_700_000_000.0


class Node:
    """A machine at an address, and what it has told so far."""

    def __init__(self, machine: Dht, identity: Identity, address: Endpoint) -> None:
        self.machine = machine
        self.identity = identity
        self.address = address
        self.found: dict[int, list[Found]] = {}
        self.done: dict[int, LookupDone] = {}
        self.finished_at: dict[int, float] = {}
        self.first_found_at: dict[int, float] = {}
        self.joined = 0
        self.alive = True

    def sites(self, lookup: int) -> set[str]:
        return {found.record.announcement.host for found in self.found[lookup]}


class Network:
    """Carries datagrams between machines. Everything that happens follows from ``seed``."""

    def __init__(self, seed: int, *, loss: float = 0.0, delay_s: tuple[float, float] = (0.005, 0.05)) -> None:
        self.rng = random.Random(seed)
        self.now = START
        self.loss = loss
        self.delay_s = delay_s
        self.nodes: dict[Endpoint, Node] = {}
        self.sides: dict[Endpoint, int] = {}
        self.delivered = 0
        self.largest = 0
        self.tamper: Callable[[bytes], bytes] | None = None
        self._events: list[tuple[float, int, Endpoint, Event | None]] = []
        self._wakes: dict[Endpoint, float] = {}
        self._order = itertools.count()
        self._lookups = itertools.count(1)
        self._digest = hashlib.sha256()

    def add(self, bootstrap: Iterable[Endpoint] = ()) -> Node:
        number = len(self.nodes)
        address = Endpoint(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", 4000)
        identity = Identity.from_seed(self.rng.randbytes(32))
        machine = Dht(identity, Endpoint(f"site-{number}", 443), random.Random(self.rng.random()), self.now)
        node = self.nodes[address] = Node(machine, identity, address)
        self.give(node, Bootstrap(tuple(bootstrap)))
        return node

    def grow(self, count: int, *, over_s: float = 2.0) -> list[Node]:
        """``count`` nodes that join by way of the first."""
        nodes = []
        for _ in range(count):
            first = next(iter(self.nodes), None)
            nodes.append(self.add([first] if first is not None else []))
            self.run(over_s / count)
        return nodes

    def give(self, node: Node, event: Event) -> None:
        self._carry_out(node, node.machine.receive(event, self.now))

    def announce(self, node: Node, *routers: str, rtt_ms: float = 1.0) -> None:
        self.give(node, Announce(tuple(Nearness(RouterId(router), rtt_ms, 2) for router in routers)))

    def look_up(self, node: Node, router: str) -> int:
        number = next(self._lookups)
        node.found[number] = []
        self.give(node, LookUp(number, RouterId(router)))
        return number

    def look_up_all(self, pairs: Iterable[tuple[Node, str]]) -> list[tuple[Node, str, int]]:
        """Look up each router at its node and wait for all to end; some at a time, as a site would."""
        lookups = []
        for node, router in pairs:
            lookups.append((node, router, self.look_up(node, router)))
            self.run(0.02)
        self.run(4.0)
        assert all(number in node.done for node, _, number in lookups)
        return lookups

    def partition(self, *sides: Iterable[Node]) -> None:
        self.sides = {node.address: side for side, nodes in enumerate(sides) for node in nodes}

    def heal(self) -> None:
        self.sides = {}

    def kill(self, node: Node) -> None:
        node.alive = False

    def digest(self) -> str:
        """Of everything delivered so far, and when."""
        return self._digest.hexdigest()

    def run(self, duration_s: float) -> None:
        end = self.now + duration_s
        while self._events and self._events[0][0] <= end:
            self.now, _, address, event = heapq.heappop(self._events)
            node = self.nodes[address]
            if not node.alive:
                continue
            if event is not None:
                self._carry_out(node, node.machine.receive(event, self.now))
            elif self._wakes.get(address) == self.now:
                self._carry_out(node, node.machine.wake(self.now))
        self.now = end

    def _carry_out(self, node: Node, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case SendDatagram():
                    self._send(node.address, effect)
                case Found():
                    node.found[effect.lookup].append(effect)
                    node.first_found_at.setdefault(effect.lookup, self.now)
                case LookupDone():
                    node.done[effect.lookup] = effect
                    node.finished_at[effect.lookup] = self.now
                case Joined():
                    node.joined += 1
        self._schedule_wake(node)

    def _send(self, source: Endpoint, effect: SendDatagram) -> None:
        self.largest = max(self.largest, len(effect.datagram))
        delay_s = self.rng.uniform(*self.delay_s)
        lost = self.rng.random() < self.loss
        cut = self.sides.get(source) != self.sides.get(effect.to)
        if lost or cut or effect.to not in self.nodes:
            return
        datagram = self.tamper(effect.datagram) if self.tamper is not None else effect.datagram
        self.delivered += 1
        self._digest.update(repr((round(self.now + delay_s, 9), str(effect.to))).encode() + datagram)
        self._at(self.now + delay_s, effect.to, Received(datagram, source))

    def _schedule_wake(self, node: Node) -> None:
        at = max(self.now, node.machine.next_deadline())
        if self._wakes.get(node.address) != at:
            self._wakes[node.address] = at
            self._at(at, node.address, None)

    def _at(self, time: float, address: Endpoint, event: Event | None) -> None:
        heapq.heappush(self._events, (time, next(self._order), address, event))
