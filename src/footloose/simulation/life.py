"""One life of a site in virtual time: from the start of its node's process until that ends.

Site, Host, Copies, the loop, the DHT's shell: all is what a real node runs. Only what stands in
:mod:`footloose.node.surroundings` is simulated.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from footloose.core.digest import Digest
from footloose.discovery.dht.finder import DhtFinder
from footloose.discovery.dht.node import DhtNode
from footloose.discovery.interface import Finder
from footloose.discovery.static import StaticFinder, StaticSite
from footloose.model.decision import Decision
from footloose.model.network import Hop, Route
from footloose.model.routing import RoutingTable, WorkerReport
from footloose.model.site import Endpoint
from footloose.node.announcer import Announcer
from footloose.node.answers import Answers
from footloose.node.config import NodeConfig
from footloose.node.driver import Tasks, again_and_again
from footloose.node.probes import Probes
from footloose.node.site import AFTER_FAILURE_S, Site
from footloose.node.surroundings import Surroundings
from footloose.simulation.artifacts import Artifacts
from footloose.simulation.engine import Engine
from footloose.simulation.gateway import SimulatedGateway
from footloose.simulation.internet import Internet, Listener
from footloose.simulation.machine import Machine
from footloose.simulation.peers import SimulatedApi, SimulatedPeers
from footloose.simulation.process import ProcessLoop
from footloose.topology.traceroute import Tracer

API_PORT, DHT_PORT, MEMBERSHIP_PORT, GATEWAY_PORT = 7443, 7444, 7445, 80
_COMPILE_S = 0.05
_LOAD_S = 0.002
_SILENT_TRACE_S = 0.5
_SILENT_PROBE_S = 1.0

Hops = Callable[[Machine, str], tuple[Sequence[tuple[str, float]], float | None]]
"""Routers on the way from a machine to an address, each with its round trip in ms, and the round trip to the end."""


class Life:
    """A running site. ``changed`` is told of each table users are served by, ``decided`` of each decision."""

    def __init__(
        self,
        machine: Machine,
        config: NodeConfig,
        engine: Engine,
        internet: Internet,
        hops: Hops,
        changed: Callable[[RoutingTable], None],
        decided: Callable[[Decision], None],
    ) -> None:
        self.machine = machine
        self.began_s = engine.now
        self.stood_still_s = 0.0
        self.node = ProcessLoop.begin(engine, f"{machine.name} node", internet)
        self.worker = ProcessLoop.begin(engine, f"{machine.name} worker", internet)
        machine.disk.stalls = self._stall
        self.memory = machine.remembers(decided)
        self.site: Site | None = None
        """None until the node has read its disk."""
        self.up = False
        """Whether it has recovered and takes users and other sites."""
        self._config = config
        self._internet = internet
        self._hops = hops
        self._changed = changed
        self._random = Random(engine.random.random())  # noqa: S311  a simulation must be replayable
        self._tasks: Tasks | None = None
        self.dht: DhtNode | None = None
        self.gateway: SimulatedGateway | None = None
        self._coming_up = self.node.run(self._come_up())

    @property
    def failed(self) -> str | None:
        """Why the node did not come up, if it did not."""
        task = self._coming_up
        return repr(task.exception()) if task.done() and not task.cancelled() and task.exception() else None

    def kill(self) -> None:
        """End all its processes at once."""
        self.node.kill()
        self.worker.kill()

    def dispose(self) -> None:
        """When the whole run is over."""
        self.node.dispose()
        self.worker.dispose()

    def pause(self, for_s: float) -> None:
        """Have all its processes stand still."""
        self.stood_still_s += for_s
        self.node.pause(for_s)
        self.worker.pause(for_s)

    def _stall(self, for_s: float) -> None:
        """Its node waits for the disk; its worker goes on."""
        self.stood_still_s += for_s
        self.node.pause(for_s)

    async def _come_up(self) -> None:
        """As :meth:`footloose.node.node.Node._start`, in the same order."""
        machine, config = self.machine, self._config
        clock = self.memory.clock
        dht = self.dht = DhtNode(machine.identity, Endpoint(machine.address, API_PORT), clock=clock, rng=self._random)
        tracer = Tracer(trace_one=lambda target: self._trace(str(target)))
        gateway = self.gateway = SimulatedGateway(
            self.node, self.worker, machine.address, clock, self._reported, self._changed
        )
        around = Surroundings(
            clock=clock,
            state=self.memory,
            peers=SimulatedPeers(self._internet, self.node, machine.number, machine.identity.node_id, clock),
            tracer=tracer,
            finders=self._finders(dht),
            compiler=_Compiler(machine.artifacts),
            workers=gateway,
            probe=self._probe,
            rng=self._random,
        )
        site = self.site = Site(config, around)
        await dht.start(Endpoint(machine.address, config.dht_port), config.bootstrap)
        await site.recover()
        gateway.start()
        self._listen(site, gateway)
        self.up = True
        site.start()
        seeds = [Endpoint(known.host, MEMBERSHIP_PORT) for known in config.bootstrap]
        await site.members.start(Endpoint(machine.address, config.membership_port), seeds)
        self._tasks = Tasks()
        announcer = Announcer(tracer, dht, site.user_routes)
        work = again_and_again(announcer.announce, "announcing this site", AFTER_FAILURE_S)
        self._tasks.start(work, "announcing this site")

    def _reported(self, report: WorkerReport) -> None:
        if self.site is not None:
            self.site.reported(report)

    def _finders(self, dht: DhtNode) -> list[Finder]:
        known = [StaticFinder([StaticSite(one) for one in self._config.sites])] if self._config.sites else []
        return [DhtFinder(dht), *known]

    def _listen(self, site: Site, gateway: SimulatedGateway) -> None:
        machine = self.machine
        probes = Probes(self._probe, self.memory.clock)
        answers = Answers(machine.identity, self.memory.clock, site.profile, site.host, probes)
        api = SimulatedApi(machine.identity.node_id, self.memory.clock, answers, site.host, machine.artifacts)
        self._internet.listen((machine.address, API_PORT), Listener(self.node, api.handle))
        self._internet.listen((machine.address, GATEWAY_PORT), Listener(self.worker, gateway.handle))

    async def _trace(self, target: str) -> Route:
        routers, end_ms = self._hops(self.machine, target)
        await asyncio.sleep(end_ms / 1000 if end_ms is not None else _SILENT_TRACE_S)
        hops = tuple(Hop(ttl, address, rtt_ms) for ttl, (address, rtt_ms) in enumerate(routers, start=1))
        return Route(target, hops, end_ms)

    async def _probe(self, address: str) -> float | None:
        _, end_ms = self._hops(self.machine, address)
        await asyncio.sleep(end_ms / 1000 if end_ms is not None else _SILENT_PROBE_S)
        return end_ms


class _Compiler:
    """Takes its time, once for each artifact."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    async def compile(self, wasm: Path, out_dir: Path) -> Path:
        """A name for the compiled artifact."""
        digest = Digest(wasm.name)
        await asyncio.sleep(_LOAD_S if digest in self._artifacts.compiled else _COMPILE_S)
        self._artifacts.compiled.add(digest)
        return out_dir / wasm
