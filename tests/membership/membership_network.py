"""A network in memory for membership machines: virtual time; delays, losses, partitions and pauses from one seed."""

import hashlib
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from footloose.core.identity import Identity, NodeId
from footloose.membership.card import Facts, Notary, TrustingNotary
from footloose.membership.config import LAN, Config
from footloose.membership.events import Changed, Conflict, Departed, Effect, Event, Join, Received, Released, Send
from footloose.membership.machine import Membership
from footloose.membership.messages import Message
from footloose.membership.states import MemberState
from footloose.membership.wire import encode
from footloose.model.site import Endpoint
from footloose.transport.datagrams import SEALED_OVERHEAD_BYTES

START = 1_700_000_000.0
DelayS = Callable[["Site", "Site", random.Random], float]


class Site:
    """A machine at an address, and what it has told so far."""

    def __init__(self, machine: Membership, number: int) -> None:
        self.machine = machine
        self.node = machine.node
        self.address = machine.card.address
        self.number = number
        self.changes: list[tuple[float, Changed]] = []
        self.conflicts: list[Conflict] = []
        self.released: list[NodeId] = []
        self.departed = False
        self.running = True
        self.paused_until = 0.0
        self.sent = self.received = self.sent_bytes = 0

    def states(self) -> dict[NodeId, MemberState]:
        return {member.node: member.state for member in self.machine.members()}

    def live(self) -> set[NodeId]:
        return {member.node for member in self.machine.view.live}

    def said(self, node: NodeId) -> list[MemberState]:
        return [change.after for _, change in self.changes if change.node == node]


class Network:
    """Carries messages between machines. Everything that happens follows from ``seed``.

    ``measured``: encode every message, to count bytes and to see that it fits. A paused site neither receives nor
    wakes; what came for it waits, and is given to it when it goes on.
    """

    def __init__(
        self,
        seed: int,
        *,
        config: Config = LAN,
        loss: float = 0.0,
        delay_s: DelayS = lambda _one, _other, rng: rng.uniform(0.002, 0.02),
        measured: bool = False,
    ) -> None:
        self.rng = random.Random(seed)
        self.now = START
        self.config = config
        self.loss = loss
        self.delay_s = delay_s
        self.measured = measured
        self.sites: list[Site] = []
        self.by_address: dict[Endpoint, Site] = {}
        self.sides: dict[NodeId, int] = {}
        self.kinds: Counter[str] = Counter()
        self.largest = 0
        self.events = 0
        self._queue: list[tuple[float, int, Site, Event | None]] = []
        self._wakes: dict[Site, float] = {}
        self._order = itertools.count()
        self._digest = hashlib.sha256()

    def add(
        self,
        *,
        facts: Facts | None = None,
        node: NodeId | None = None,
        notary: Notary | None = None,
        config: Config | None = None,
        join: Sequence[Endpoint] | None = None,
    ) -> Site:
        number = len(self.sites)
        address = Endpoint(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", 7946)
        machine = Membership(
            node or node_name(number),
            address,
            facts or Facts(region=f"region-{number % 4}", domain=f"rack-{number % 10}", capacity=10),
            notary or TrustingNotary(),
            random.Random(self.rng.random()),
            self.now,
            config or self.config,
        )
        site = Site(machine, number)
        self.sites.append(site)
        self.by_address[address] = site
        seeds = join if join is not None else [self.sites[0].address] if number else []
        self.give(site, Join(tuple(seeds)))
        return site

    def grow(self, count: int, *, over_s: float = 2.0) -> list[Site]:
        """``count`` sites that join by way of the first."""
        grown = []
        for _ in range(count):
            grown.append(self.add())
            self.run(over_s / count)
        return grown

    def give(self, site: Site, event: Event) -> None:
        self._carry_out(site, site.machine.receive(event, self.now))

    def partition(self, *sides: Iterable[Site]) -> None:
        self.sides = {site.node: side for side, sites in enumerate(sides) for site in sites}

    def heal(self) -> None:
        self.sides = {}

    def kill(self, site: Site) -> None:
        site.running = False

    def pause(self, site: Site, for_s: float) -> None:
        site.paused_until = self.now + for_s

    def running(self) -> list[Site]:
        return [site for site in self.sites if site.running and not site.departed]

    def digest(self) -> str:
        """Of everything delivered so far, and when."""
        return self._digest.hexdigest()

    def agree(self) -> bool:
        """Whether all that run hold all others, and nobody else, for alive."""
        nodes = {site.node for site in self.running()}
        return all(
            {member.node for member in site.machine.view.live if member.state is MemberState.ALIVE} | {site.node}
            == nodes
            for site in self.running()
        )

    def run_until(self, condition: Callable[[], bool], *, most_s: float, step_s: float = 0.5) -> float:
        """Run until ``condition`` holds; returns how long that took. Fails if it takes longer than ``most_s``."""
        began = self.now
        while not condition():
            assert self.now - began < most_s, f"not within {most_s} s"
            self.run(step_s)
        return self.now - began

    def run(self, duration_s: float) -> None:
        end = self.now + duration_s
        while self._queue and self._queue[0][0] <= end:
            self.now, _, site, event = heapq.heappop(self._queue)
            if not site.running:
                continue
            if site.paused_until > self.now:
                # In the order it came, as a socket's buffer would give it.
                self._at(site.paused_until, site, event)
                if event is None:
                    self._wakes[site] = site.paused_until
                continue
            self.events += 1
            if event is not None:
                site.received += 1
                self._carry_out(site, site.machine.receive(event, self.now))
            elif self._wakes.get(site) == self.now:
                self._wakes.pop(site)
                self._carry_out(site, site.machine.wake(self.now))
        self.now = end

    def _carry_out(self, site: Site, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if type(effect) is Send:
                self._send(site, effect)
            elif isinstance(effect, Changed):
                site.changes.append((self.now, effect))
            elif isinstance(effect, Conflict):
                site.conflicts.append(effect)
            elif isinstance(effect, Released):
                site.released.append(effect.node)
            elif isinstance(effect, Departed):
                site.departed = True
        at = site.machine.next_deadline()
        if at is not None:
            at = max(self.now, at)
            if self._wakes.get(site, float("inf")) > at:
                self._wakes[site] = at
                self._at(at, site, None)

    def _send(self, site: Site, effect: Send) -> None:
        site.sent += 1
        if self.measured:
            self._measure(site, effect.message)
        to = self.by_address.get(effect.address)
        if to is None or (effect.to is not None and effect.to != to.node):
            return
        delay_s = self.delay_s(site, to, self.rng)
        if self.loss and self.rng.random() < self.loss:
            return
        if self.sides and self.sides.get(site.node) != self.sides.get(to.node):
            return
        self._at(self.now + delay_s, to, Received(effect.message, site.node, site.address, effect.to is not None))

    def _measure(self, site: Site, message: Message) -> None:
        payload = encode(message)
        self.kinds[type(message).__name__] += 1
        self._digest.update(f"{self.now:.6f} {site.number} ".encode() + payload)
        site.sent_bytes += len(payload) + SEALED_OVERHEAD_BYTES
        self.largest = max(self.largest, len(payload) + SEALED_OVERHEAD_BYTES)

    def _at(self, time: float, site: Site, event: Event | None) -> None:
        heapq.heappush(self._queue, (time, next(self._order), site, event))


@cache
def node_name(number: int) -> NodeId:
    """An id that is well-formed; its key follows from the number."""
    return identity_of(number).node_id


@cache
def identity_of(number: int) -> Identity:
    return Identity.from_seed(hashlib.sha256(str(number).encode()).digest())
