"""How far, how long and how surely the DHT finds a site, in virtual time, with churn and loss.

Sites announce themselves, one per router, and other nodes look these routers up. Nodes crash without a word, and as
many new ones join. A look-up succeeds if by its end it has found the one site that announced itself under its router.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import msgspec

from footloose.bench.figures import quantile
from footloose.bench.rtt_data import ABSENT, slices_of
from footloose.simulation.arrivals import Arrivals
from footloose.simulation.dht import Inquiry, Swarm, SwarmNode
from footloose.simulation.maps.interface import Map
from footloose.simulation.maps.matrix import MatrixMap
from footloose.simulation.maps.spread import Spread
from footloose.simulation.maps.tree import TreeMap
from footloose.simulation.network import Conditions

Say = Callable[[str], None]
_HOUR_S = 3600.0
_BOOTSTRAPS = 3
"""Nodes a new one is told of."""
_JITTER = 0.1
_UNNOTICED_S = 60.0
"""For how long a crashed contact may stay in tables: until it is next asked whether it is there."""


class Plan(msgspec.Struct, frozen=True):
    """What happens. ``churn_per_hour`` is the part of all nodes that crashes in an hour; ``loss`` is per datagram.

    A network grows by ``joins_per_s`` (or begins with full tables: ``founded``), settles for ``settle_s``, lives with
    churn for ``churned_s``, and then look-ups are made for ``measured_s``. ``announcers`` is the part of all nodes that
    announce themselves.
    """

    nodes: int
    lookups: int = 5_000
    churn_per_hour: float = 0.2
    loss: float = 0.05
    joins_per_s: float = 50.0
    founded: bool = False
    settle_s: float = 30.0
    churned_s: float = 120.0
    measured_s: float = 120.0
    announcers: float = 0.2
    announcers_most: int = 1_000
    settled_s: float = 10.0
    """Look-ups are for routers announced at least so long ago."""


class Row(msgspec.Struct, frozen=True):
    """Networks of one size. Round trips are those one after the other; ``found`` until the site is found, ``ended``
    until the look-up is over. The rest is for the time in which look-ups were made."""

    nodes: int
    lookups: int
    succeeded: int
    success: float
    found_round_trips_p50: float
    found_round_trips_p95: float
    ended_round_trips_p50: float
    ended_round_trips_p95: float
    found_ms_p50: float
    found_ms_p95: float
    ended_ms_p50: float
    ended_ms_p95: float
    requests_mean: float
    crashed: int
    contacts_mean: float
    sent_per_node_s: float
    sent_bytes_per_node_s: float
    digest: str


class Result(msgspec.Struct, frozen=True):
    """All sizes on one map."""

    delays: str
    seed: int
    churn_per_hour: float
    loss: float
    rows: tuple[Row, ...]


FOUNDED_NODES = 2_000
"""Networks of more nodes begin with full tables: so many joins one after the other would take hours to work out."""


def plans(sizes: Sequence[int], *, quick: bool = False, churn_per_hour: float = 0.2, loss: float = 0.05) -> list[Plan]:
    """A plan per size: the larger the network, the shorter the time it is looked at."""
    made = []
    for nodes in sizes:
        lived_s = 30.0 if quick else min(600.0, max(15.0, 100_000.0 / nodes))
        made.append(
            Plan(
                nodes,
                lookups=200 if quick else 5_000,
                churn_per_hour=churn_per_hour,
                loss=loss,
                founded=nodes > FOUNDED_NODES,
                settle_s=10.0 if nodes > FOUNDED_NODES else 30.0,
                churned_s=lived_s,
                measured_s=lived_s,
            )
        )
    return made


def delays(data: Path | None, say: Say) -> Map:
    """PlanetLab's round trips, or a tree's if they are not there."""
    slices = slices_of("planetlab", data)
    if slices:
        return MatrixMap.read(slices[-1])
    say(ABSENT + "a generated tree instead")
    return TreeMap(8, (60.0, 30.0, 10.0), spread=0.5, seed=1)


class Trial:
    """One network from its first node to its last look-up."""

    def __init__(self, plan: Plan, on: Map, seed: int, say: Say) -> None:
        self._plan = plan
        self._say = say
        # More than will ever crash: each node that joins has a place of its own.
        spread = Spread(on, 2 * plan.nodes + 100, seed)
        self.swarm = Swarm(seed, spread.delay_s, Conditions(loss=plan.loss, jitter=_JITTER), trusting=True)
        self.inquiries: list[tuple[Inquiry, SwarmNode]] = []
        self._random = self.swarm.engine.random
        self._alive: list[SwarmNode] = []
        self._announced: list[tuple[SwarmNode, float]] = []
        self._crashed = 0

    def run(self) -> Row:
        """All phases."""
        plan, swarm = self._plan, self.swarm
        self._grow()
        for node in self._alive[: max(1, min(plan.announcers_most, round(plan.announcers * plan.nodes)))]:
            swarm.engine.after(self._random.uniform(0.0, plan.settle_s / 2), self._announce, node)
        swarm.run(plan.settle_s)
        churn = Arrivals(swarm.engine, plan.churn_per_hour * plan.nodes / _HOUR_S, self._replace)
        self._say(f"{plan.nodes} nodes: churn")
        swarm.run(plan.churned_s)
        self._say(f"{plan.nodes} nodes: look-ups")
        sent, sent_bytes = swarm.network.sent, swarm.network.sent_bytes
        for number in range(plan.lookups):
            swarm.engine.after(plan.measured_s * number / plan.lookups, self._look_up)
        swarm.run(plan.measured_s)
        node_s = plan.nodes * plan.measured_s
        rates = ((swarm.network.sent - sent) / node_s, (swarm.network.sent_bytes - sent_bytes) / node_s)
        churn.stop()
        swarm.run(5.0)
        return self._row(*rates)

    def _grow(self) -> None:
        plan = self._plan
        if plan.founded:
            self._alive += self.swarm.found(plan.nodes)
            # Such tables have contacts in them that crashed and have not been found out.
            for _ in range(round(plan.churn_per_hour * plan.nodes * _UNNOTICED_S / _HOUR_S)):
                self._crash()
            return
        for number in range(plan.nodes):
            self._join()
            self.swarm.run(1.0 / plan.joins_per_s)
            if number % 1_000 == 999:
                self._say(f"{plan.nodes} nodes: {number + 1} have joined")

    def _join(self) -> SwarmNode:
        known = self._random.sample(self._alive, min(_BOOTSTRAPS, len(self._alive)))
        node = self.swarm.add([each.address for each in known])
        self._alive.append(node)
        return node

    def _replace(self) -> None:
        """One crashes, and a new one joins and does what it did."""
        self._crashed += 1
        gone, heir = self._crash(), self._join()
        for place, (node, _) in enumerate(self._announced):
            if node is gone:
                del self._announced[place]
                self._announce(heir)
                break

    def _crash(self) -> SwarmNode:
        index = self._random.randrange(len(self._alive))
        gone, self._alive[index] = self._alive[index], self._alive[-1]
        self._alive.pop()
        self.swarm.crash(gone)
        return gone

    def _announce(self, node: SwarmNode) -> None:
        self.swarm.announce(node, _router(node))
        self._announced.append((node, self.swarm.now))

    def _look_up(self, _: object) -> None:
        before = self.swarm.now - self._plan.settled_s
        sought = [node for node, since in self._announced if since <= before]
        askers = self._alive
        if not sought or len(askers) < 2:
            return
        site = self._random.choice(sought)
        asker = self._random.choice(askers)
        while asker is site or not asker.joined:
            asker = self._random.choice(askers)
        self.inquiries.append((self.swarm.look_up(asker, _router(site)), site))

    def _row(self, sent_per_node_s: float, sent_bytes_per_node_s: float) -> Row:
        # Whoever crashed in the midst of a look-up has no use of its answer.
        ended = [(inquiry, site) for inquiry, site in self.inquiries if inquiry.done is not None]
        found = [inquiry for inquiry, site in ended if site.name in inquiry.sites()]
        first_trips = [float(inquiry.found[0].round_trips) for inquiry in found]
        first_ms = [1000.0 * ((inquiry.first_found_at or 0.0) - inquiry.started_at) for inquiry in found]
        trips = [float(inquiry.done.round_trips) for inquiry, _ in ended if inquiry.done is not None]
        ended_ms = [1000.0 * ((inquiry.ended_at or 0.0) - inquiry.started_at) for inquiry, _ in ended]
        asked = [inquiry.done.asked for inquiry, _ in ended if inquiry.done is not None]
        digest = hashlib.sha256(repr((first_ms, ended_ms, asked, self.swarm.network.sent_bytes)).encode()).hexdigest()
        return Row(
            nodes=self._plan.nodes,
            lookups=len(ended),
            succeeded=len(found),
            success=round(len(found) / max(1, len(ended)), 6),
            found_round_trips_p50=quantile(first_trips, 0.5),
            found_round_trips_p95=quantile(first_trips, 0.95),
            ended_round_trips_p50=quantile(trips, 0.5),
            ended_round_trips_p95=quantile(trips, 0.95),
            found_ms_p50=round(quantile(first_ms, 0.5), 1),
            found_ms_p95=round(quantile(first_ms, 0.95), 1),
            ended_ms_p50=round(quantile(ended_ms, 0.5), 1),
            ended_ms_p95=round(quantile(ended_ms, 0.95), 1),
            requests_mean=round(fmean(asked), 2) if asked else 0.0,
            crashed=self._crashed,
            contacts_mean=round(fmean(len(node.machine.table) for node in self._alive), 1),
            sent_per_node_s=round(sent_per_node_s, 3),
            sent_bytes_per_node_s=round(sent_bytes_per_node_s, 1),
            digest=digest,
        )


def run(plans_: Sequence[Plan], on: Map, seed: int, say: Say) -> Result:
    """One network after the other."""
    rows = tuple(Trial(plan, on, seed, say).run() for plan in plans_)
    return Result(on.name, seed, plans_[0].churn_per_hour, plans_[0].loss, rows)


def _router(site: SwarmNode) -> str:
    return f"192.{site.number >> 13 & 255}.{site.number >> 5 & 255}.{(site.number & 31) * 8}/29"
