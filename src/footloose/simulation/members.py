"""Membership machines by the thousand, in virtual time: the very machines that sites run, on a network with faults.

Messages are passed as objects. ``wire`` says how large they would be, and what they would be as bytes where that is
wanted (``measured``). Everything follows from the seed of the engine.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from random import Random

from footloose.core.errors import LocalError
from footloose.core.identity import Identity, NodeId
from footloose.membership.card import Facts, Notary, TrustingNotary
from footloose.membership.config import LAN, Config
from footloose.membership.events import Changed, Conflict, Departed, Effect, Event, Join, Received, Released, Send
from footloose.membership.machine import Membership
from footloose.membership.messages import Message
from footloose.membership.states import MemberState
from footloose.membership.wire import encode
from footloose.model.site import Endpoint
from footloose.simulation.engine import Engine, Wakeup
from footloose.simulation.network import Conditions, Delay, Network
from footloose.transport.datagrams import SEALED_OVERHEAD_BYTES

LEAST_DELAY_S, MOST_DELAY_S = 0.002, 0.02
"""One-way delays of messages, drawn anew for each, where nothing else is asked for."""
PORT = 7946


class Member:
    """One machine at its address, and what it has told so far.

    A paused member neither receives nor wakes; what came for it waits, and is given to it when it goes on. A starved
    one wakes, but what it sends and what is sent to it waits.
    """

    __slots__ = (
        "address",
        "changes",
        "conflicts",
        "departed",
        "late",
        "machine",
        "node",
        "number",
        "paused_until",
        "received",
        "released",
        "running",
        "sent",
        "sent_bytes",
        "starved_until",
        "wakeup",
    )

    def __init__(self, machine: Membership, number: int, wakeup: Wakeup) -> None:
        self.machine = machine
        self.node = machine.node
        self.address = machine.card.address
        self.number = number
        self.wakeup = wakeup
        self.changes: list[tuple[float, Changed]] = []
        self.conflicts: list[Conflict] = []
        self.released: list[NodeId] = []
        self.departed = False
        self.running = True
        self.paused_until = 0.0
        self.starved_until = 0.0
        self.late = False
        """Its time to wake came while it was paused."""
        self.sent = self.received = self.sent_bytes = 0

    def states(self) -> dict[NodeId, MemberState]:
        """What it takes each member in its view to be."""
        return {node: member.state for node, member in self.machine.view.members.items()}

    def live(self) -> set[NodeId]:
        """Whom it may deal with: those alive or under suspicion."""
        return {member.node for member in self.machine.view.live}

    def alive(self) -> set[NodeId]:
        """Whom it holds for alive, without any doubt."""
        return {member.node for member in self.machine.view.live if member.state is MemberState.ALIVE}

    def said(self, node: NodeId) -> list[MemberState]:
        """What it took ``node`` to be, one after the other."""
        return [change.after for _, change in self.changes if change.node == node]


class Members:
    """All members and the network between them.

    ``measured``: encode every message, to count its bytes and to see that it fits; it can be set at any time.
    """

    def __init__(
        self,
        seed: int,
        *,
        config: Config = LAN,
        conditions: Conditions | None = None,
        delay_s: Delay | None = None,
        measured: bool = False,
        engine: Engine | None = None,
    ) -> None:
        self.engine = engine or Engine(seed)
        self.rng = self.engine.random
        self.network = Network(self.engine, delay_s or self._some_delay_s, conditions)
        self.config = config
        self.measured = measured
        self.sites: list[Member] = []
        self.kinds: Counter[str] = Counter()
        self.largest = 0
        self._numbers: dict[Endpoint, int] = {}
        self._digest = hashlib.sha256()

    @property
    def now(self) -> float:
        """Virtual time, in seconds."""
        return self.engine.now

    # Building

    def add(
        self,
        *,
        facts: Facts | None = None,
        node: NodeId | None = None,
        notary: Notary | None = None,
        config: Config | None = None,
        join: Sequence[Endpoint] | None = None,
    ) -> Member:
        """A new member, which joins by way of the first unless ``join`` says otherwise."""
        number = len(self.sites)
        address = Endpoint(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", PORT)
        machine = Membership(
            node or node_name(number),
            address,
            facts or Facts(region=f"region-{number % 4}", domain=f"rack-{number % 10}", capacity=10),
            notary or TrustingNotary(),
            Random(self.rng.random()),  # noqa: S311  a simulation must be replayable
            self.now,
            config or self.config,
        )
        site = Member(machine, number, Wakeup(self.engine, lambda: self._wake(site)))
        self.sites.append(site)
        self._numbers[address] = number
        self.network.attach(number, lambda _, event: self._deliver(site, event))
        seeds = join if join is not None else [self.sites[0].address] if number else []
        self.give(site, Join(tuple(seeds)))
        return site

    def grow(self, count: int, *, over_s: float = 2.0) -> list[Member]:
        """``count`` members that join by way of the first, one after the other."""
        grown = []
        for _ in range(count):
            grown.append(self.add())
            self.run(over_s / count)
        return grown

    # Running

    def run(self, duration_s: float) -> None:
        """Let ``duration_s`` pass."""
        self.engine.run(self.now + duration_s)

    def run_until(self, condition: Callable[[], bool], *, most_s: float, step_s: float = 0.5) -> float:
        """Run until ``condition`` holds; returns how long that took.

        Raises :class:`LocalError` if it takes longer than ``most_s``.
        """
        began = self.now
        while not condition():
            if self.now - began >= most_s:
                raise LocalError(f"not so within {most_s} s", where="simulation of members")
            self.run(step_s)
        return self.now - began

    def give(self, site: Member, event: Event) -> None:
        """Tell a machine something, whatever state its site is in."""
        self._carry_out(site, site.machine.receive(event, self.now))

    # Faults

    def partition(self, *sides: Iterable[Member]) -> None:
        """Keep the sides apart."""
        self.network.partition(*([site.number for site in side] for side in sides))

    def heal(self) -> None:
        """Undo all cuts."""
        self.network.heal_all()

    def kill(self, site: Member) -> None:
        """It is gone, and says nothing."""
        site.running = False
        site.wakeup.set(None)
        self.network.detach(site.number)

    def pause(self, site: Member, for_s: float) -> None:
        """It does nothing for a while."""
        site.paused_until = self.now + for_s

    def starve(self, site: Member, for_s: float) -> None:
        """Its messages come and go only when this is over; its timers run (the anomaly of Lifeguard §V.D)."""
        site.starved_until = self.now + for_s

    # Looking at it

    def running(self) -> list[Member]:
        """Those that are neither killed nor gone."""
        return [site for site in self.sites if site.running and not site.departed]

    def agree(self) -> bool:
        """Whether all that run hold all others, and nobody else, for alive."""
        running = self.running()
        nodes = {site.node for site in running}
        return all(
            len(site.machine.view.live) == len(nodes) - 1 and site.alive() | {site.node} == nodes for site in running
        )

    def digest(self) -> str:
        """Of everything sent so far while ``measured``, and when."""
        return self._digest.hexdigest()

    # What machines want done

    def _some_delay_s(self, source: int, target: int) -> float:  # noqa: ARG002  all pairs are alike
        return LEAST_DELAY_S + (MOST_DELAY_S - LEAST_DELAY_S) * self.rng.random()

    def _deliver(self, site: Member, event: Received) -> None:
        held_until = max(site.paused_until, site.starved_until)
        if held_until > self.engine.now:
            # In the order it came, as a socket's buffer would give it.
            self.engine.at(held_until, self._deliver_late, (site, event))
            return
        site.received += 1
        self._carry_out(site, site.machine.receive(event, self.engine.now))

    def _deliver_late(self, waiting: tuple[Member, Received]) -> None:
        site, event = waiting
        if site.running:
            self._deliver(site, event)

    def _wake(self, site: Member) -> None:
        now = self.engine.now
        site.late = site.paused_until > now
        if site.late:
            # Between what came before and what came after, as if the site had been slow and not stopped.
            self.engine.at(site.paused_until, self._wake, site)
        elif site.running:
            self._carry_out(site, site.machine.wake(now))

    def _carry_out(self, site: Member, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if type(effect) is Send:
                if site.starved_until > self.engine.now:
                    self.engine.at(site.starved_until, self._send_late, (site, effect))
                else:
                    self._send(site, effect)
            elif isinstance(effect, Changed):
                site.changes.append((self.engine.now, effect))
            elif isinstance(effect, Conflict):
                site.conflicts.append(effect)
            elif isinstance(effect, Released):
                site.released.append(effect.node)
            elif isinstance(effect, Departed):
                site.departed = True
        if not site.late:
            site.wakeup.set(site.machine.next_deadline())

    def _send_late(self, waiting: tuple[Member, Send]) -> None:
        site, effect = waiting
        if site.running:
            self._send(site, effect)

    def _send(self, site: Member, effect: Send) -> None:
        site.sent += 1
        size_bytes = self._measure(site, effect.message) if self.measured else 0
        number = self._numbers.get(effect.address)
        if number is None or (effect.to is not None and effect.to != self.sites[number].node):
            return
        event = Received(effect.message, site.node, site.address, effect.to is not None)
        self.network.send(site.number, number, event, size_bytes)

    def _measure(self, site: Member, message: Message) -> int:
        payload = encode(message)
        size_bytes = len(payload) + SEALED_OVERHEAD_BYTES
        self.kinds[type(message).__name__] += 1
        self._digest.update(f"{self.now:.6f} {site.number} ".encode() + payload)
        site.sent_bytes += size_bytes
        self.largest = max(self.largest, size_bytes)
        return size_bytes


@cache
def node_name(number: int) -> NodeId:
    """An id that is well-formed; its key follows from the number."""
    return identity_of(number).node_id


@cache
def identity_of(number: int) -> Identity:
    """The identity of the member with this number."""
    return Identity.from_seed(hashlib.sha256(str(number).encode()).digest())
