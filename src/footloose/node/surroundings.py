"""What a site needs of the world around it, as far as it can be another: real sockets and processes, or simulated ones.

:class:`footloose.node.node.Node` gives the real ones, :mod:`footloose.simulation` those in virtual time.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

from footloose.core.clock import Clock
from footloose.core.digest import Digest
from footloose.core.identity import Identity, NodeId
from footloose.core.limits import SITE_REQUEST_TIMEOUT_S
from footloose.discovery.interface import Finder
from footloose.model.network import Route
from footloose.model.routing import RoutingTable
from footloose.model.site import Endpoint
from footloose.state.apps import AppStore
from footloose.state.decisions import DecisionLog
from footloose.state.guest_logs import GuestLogs
from footloose.state.leases import LeaseStore
from footloose.state.orders import OrderStore
from footloose.state.sites import SiteBook
from footloose.transport.client import PeerAnswer

Probe = Callable[[str], Awaitable[float | None]]
"""Measures the round trip to an address in milliseconds; None if nothing answered."""


class Peers(Protocol):
    """Speaks to other sites (:class:`footloose.transport.client.PeerClient`)."""

    async def request(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        *,
        node: NodeId | None,
        body: bytes = b"",
        timeout_s: float = SITE_REQUEST_TIMEOUT_S,
        idempotent: bool = False,
    ) -> PeerAnswer:
        """Ask a site for something. Raises :class:`RemoteError` if it cannot be reached or is another."""
        ...

    async def upload(self, endpoint: Endpoint, path: str, file: Path, digest: Digest, *, node: NodeId) -> PeerAnswer:
        """Send an artifact. Raises :class:`RemoteError` likewise, :class:`LocalError` if the file cannot be read."""
        ...


class Traces(Protocol):
    """Traces routes (:class:`footloose.topology.traceroute.Tracer`)."""

    async def trace(self, address: str) -> Route:
        """The route to ``address``. Raises :class:`LocalError` if there is none."""
        ...


class Compiles(Protocol):
    """Compiles foreign code (:class:`footloose.runtimes.wasm.compiler.Compiler`)."""

    async def compile(self, wasm: Path, out_dir: Path) -> Path:
        """The compiled form of a module. Raises :class:`LocalError` if it does not compile."""
        ...


class Serves(Protocol):
    """Serves users by a table (:class:`footloose.node.workers.Workers`)."""

    def push(self, table: RoutingTable, compiled: Mapping[Digest, str]) -> None:
        """Have users be served so, soon."""
        ...

    async def applied(self, version: int) -> None:
        """Return when they are."""
        ...


class Artifacts(Protocol):
    """Keeps artifacts (:class:`footloose.state.artifacts.ArtifactStore`)."""

    def has(self, digest: Digest) -> bool:
        """Whether an artifact is here, whole."""
        ...

    def renew(self, digest: Digest) -> bool:
        """Whether it is here; if so it counts as just added."""
        ...

    def path(self, digest: Digest) -> Path:
        """Its file. Raises :class:`LocalError` if it is not here."""
        ...

    def collect(self, keep: AbstractSet[Digest], *, min_age_s: float = 0.0) -> tuple[Digest, ...]:
        """Remove what nothing refers to; what went."""
        ...


class Remembered(Protocol):
    """What the site remembers (:class:`footloose.state.directory.StateDirectory`)."""

    @property
    def identity(self) -> Identity: ...
    @property
    def apps(self) -> AppStore: ...
    @property
    def leases(self) -> LeaseStore: ...
    @property
    def orders(self) -> OrderStore: ...
    @property
    def decisions(self) -> DecisionLog: ...
    @property
    def guest_logs(self) -> GuestLogs: ...
    @property
    def sites(self) -> SiteBook: ...
    @property
    def artifacts(self) -> Artifacts: ...
    @property
    def compiled(self) -> Path: ...


@dataclass(frozen=True)
class Surroundings:
    """All of it for one site. ``rng`` is only for runs that are to repeat themselves."""

    clock: Clock
    state: Remembered
    peers: Peers
    tracer: Traces
    finders: Sequence[Finder]
    compiler: Compiles
    workers: Serves
    probe: Probe
    rng: Random | None = None
