"""Recovery brings a site to what its record says, whatever its disk holds besides: once, and again, to the same."""

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from footloose.core.codec import sign
from footloose.core.digest import Digest, digest_of
from footloose.core.identity import Identity
from footloose.core.limits import ARTIFACT_UNUSED_S, LEASE_GRACE_S
from footloose.market.desk import Desk, Policy
from footloose.model.app import App, GuestKind, Service, ServiceId
from footloose.model.routing import RoutingTable
from footloose.model.site import ProviderId
from footloose.model.terms import Lease, LeaseRequest
from footloose.node.host import Host
from footloose.node.leases import GivenLeases, HeldLeases
from footloose.node.meter import Meter
from footloose.node.services import Services
from footloose.orchestrator.loop import Loop
from footloose.placement.registry import placer
from footloose.simulation.disk import Disk
from footloose.state.artifacts import ArtifactStore
from footloose.state.intent import Intent
from footloose.state.leases import Side

NOW = 1_700_000_000.0
SITE = Identity.from_seed(b"s" * 32)
OTHER = Identity.from_seed(b"o" * 32)
CODE = [f"module {number}".encode() for number in range(5)]
DIGESTS = [digest_of(code) for code in CODE]


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> float:
        return self.at


class Compiled:
    """What the compiler's process would have given: there is nothing to run here."""

    async def compile(self, wasm: Path, out_dir: Path) -> Path:
        return out_dir / wasm.name


class HeldThen(msgspec.Struct, frozen=True):
    """A lease of before the restart: of a service with that artifact, how it stood, and for how long it goes on."""

    artifact: int
    state: str
    left_s: float

    @property
    def over(self) -> bool:
        """Whether it ran out while the site was down."""
        return self.left_s < (0 if self.state == "ending" else -LEASE_GRACE_S)


class Then(msgspec.Struct, frozen=True):
    """A site before its restart: the artifacts of each app's services, leases, and which artifacts are on its disk."""

    apps: tuple[tuple[int, ...], ...]
    held: tuple[HeldThen, ...]
    present: frozenset[int]


artifacts = st.integers(0, len(CODE) - 1)
leases = st.builds(
    HeldThen,
    artifacts,
    st.sampled_from(["active", "grace", "ending"]),
    st.sampled_from([50.0, -1.0, -LEASE_GRACE_S - 1.0]),
)
sites = st.builds(
    Then,
    st.lists(st.lists(artifacts, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple),
    st.lists(leases, max_size=4).map(tuple),
    st.frozensets(artifacts),
)


def an_app(owner: Identity, name: str, of: tuple[int, ...]) -> App:
    services = (Service(f"s{number}", DIGESTS[one], GuestKind.HANDLER) for number, one in enumerate(of))
    return App(name, owner.node_id, tuple(services), 1)


def written_down(then: Then, intent: Intent) -> None:
    """Let the site have agreed to it."""
    for number, of in enumerate(then.apps):
        intent.apps.put(sign(an_app(SITE, f"own{number}", of), SITE), NOW)
    for number, one in enumerate(then.held):
        app = an_app(OTHER, f"copy{number}", (one.artifact,))
        service = app.service_id(app.services[0])
        request = LeaseRequest(
            f"request{number}", OTHER.node_id, sign(app, OTHER), "s0", 60.0, f"http://parent/{service}/", "token", 1.0
        )
        ends_at = NOW + (one.left_s if one.state != "ending" else 60.0)
        lease = Lease(
            lease_id=f"lease{number}",
            provider_node=SITE.node_id,
            customer=OTHER.node_id,
            service=service,
            artifact=DIGESTS[one.artifact],
            starts_at=ends_at - 60,
            ends_at=ends_at,
            grace_s=LEASE_GRACE_S,
            price_per_hour=0.0,
            url=f"http://here/{service}/",
        )
        ends_by = NOW + one.left_s if one.state == "ending" else None
        intent.leases.put(Side.PROVIDER, sign(lease, SITE), request, state=one.state, ends_by=ends_by)


class Started:
    """The parts of a site that run what it agreed to, after a start."""

    def __init__(self, disk: Disk, directory: Path, clock: Clock) -> None:
        self.intent = Intent(disk)
        self.tables: list[RoutingTable] = []
        self.services = Services("here", self._push)
        self.artifacts = ArtifactStore(directory, clock, reserve_bytes=0)
        held = HeldLeases(self.intent.leases, SITE, clock)
        self.host = Host(
            identity=SITE,
            clock=clock,
            desk=Desk(SITE.node_id, Policy(ProviderId(SITE.node_id)), held.all(), clock.now()),
            services=self.services,
            compiler=Compiled(),
            compiled=directory / "compiled",
            artifacts=self.artifacts,
            apps=self.intent.apps,
            held=held,
            given=GivenLeases(self.intent.leases, clock),
            meter=Meter(),
            loop=Loop(SITE.node_id, placer, clock.now()),
            tell=lambda _: None,
            applied=self._applied,
            gateway=lambda: "http://here",
        )

    def _push(self, table: RoutingTable, _compiled: Mapping[Digest, str]) -> None:
        self.tables.append(table)

    async def _applied(self) -> None:
        pass

    def runs(self) -> dict[ServiceId, Digest]:
        """What it runs, and of which code."""
        return {one.service: one.spec.artifact for one in self.services.hosted()}

    def agreed(self) -> tuple[object, ...]:
        """What its record says."""
        leases = self.intent.leases
        return self.intent.apps.list(), leases.open(Side.PROVIDER), leases.ended(Side.PROVIDER)


def expected(then: Then) -> dict[ServiceId, Digest]:
    """What must run: all that was agreed, has not run out, and whose code is there."""
    wanted = [an_app(SITE, f"own{number}", of) for number, of in enumerate(then.apps)]
    wanted += [an_app(OTHER, f"copy{number}", (one.artifact,)) for number, one in enumerate(then.held) if not one.over]
    present = {DIGESTS[number] for number in then.present}
    every = itertools.chain.from_iterable(((app, service) for service in app.services) for app in wanted)
    return {app.service_id(service): service.artifact for app, service in every if service.artifact in present}


@contextmanager
def artifacts_of(then: Then) -> Iterator[Path]:
    """The artifacts on the disk, with an upload that was cut and a file nobody knows."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        for number in then.present:
            (directory / DIGESTS[number].removeprefix("sha256:")).write_bytes(CODE[number])
        (directory / f"{'0' * 64}.ab.partial").write_bytes(b"cut")
        (directory / "README").write_bytes(b"of the operator")
        yield directory


def left(directory: Path) -> set[Digest]:
    return {Digest(f"sha256:{file.name}") for file in directory.iterdir() if len(file.name) == 64}


@settings(max_examples=60, deadline=None)
@given(sites)
def test_from_any_disk_a_site_comes_to_run_what_its_record_says_and_stays_there(then: Then) -> None:
    async def check(directory: Path) -> None:
        disk, clock = Disk(Random(1)), Clock()
        written_down(then, Intent(disk))
        first = Started(disk, directory, clock)
        await first.host.recover()
        runs, agreed = first.runs(), first.agreed()
        assert runs == expected(then)
        told = len(first.tables)
        await first.host.recover()  # again by the same process
        assert (first.runs(), first.agreed()) == (runs, agreed)
        assert len(first.tables) == told  # nothing that runs is disturbed
        first.host.close()
        record = disk.read("intent.log")
        disk.crash()
        second = Started(disk, directory, clock)  # and by the next one
        await second.host.recover()
        assert (second.runs(), second.agreed()) == (runs, agreed)
        assert disk.read("intent.log") == record
        for one in second.intent.leases.ended(Side.PROVIDER):
            assert one.ending
        second.host.close()

    with artifacts_of(then) as directory:
        asyncio.run(check(directory))


@settings(max_examples=60, deadline=None)
@given(sites)
def test_artifacts_are_kept_while_anything_refers_to_them_and_collected_after(then: Then) -> None:
    async def check(directory: Path) -> None:
        disk, clock = Disk(Random(1)), Clock()
        written_down(then, Intent(disk))
        present = left(directory)
        site = Started(disk, directory, clock)
        await site.host.recover()
        site.host.collect_garbage()
        assert left(directory) == present  # some may be on the way to be used
        clock.at += ARTIFACT_UNUSED_S + 1
        site.host.collect_garbage()
        wanted = {service.artifact for known in site.intent.apps.list() for service in known.app.services}
        wanted |= {one.lease.artifact for one in site.intent.leases.open(Side.PROVIDER)}
        assert left(directory) == present & wanted
        assert set(site.runs().values()) <= left(directory)
        for known in site.intent.apps.list():
            site.host.remove(known.app.app_id)
        for held in site.host.leases_held():
            site.host.release(held.lease.lease_id, held.request.customer, "over")
        assert (site.runs(), left(directory)) == ({}, set())
        assert (directory / "README").exists()
        site.host.close()

    with artifacts_of(then) as directory:
        asyncio.run(check(directory))
