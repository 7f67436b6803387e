"""A site in this process: real rooms, a real state directory, a clock that tests set, and nobody to speak to."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from footloose.core.codec import sign
from footloose.core.digest import Digest, digest_of
from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import Identity
from footloose.model.app import App, GuestKind, Service, ServiceId
from footloose.model.network import Route
from footloose.model.routing import RoutingTable
from footloose.model.site import Endpoint
from footloose.model.terms import Lease, LeaseRequest
from footloose.node.config import NodeConfig
from footloose.node.site import Site
from footloose.node.surroundings import Surroundings
from footloose.state.directory import StateDirectory
from footloose.transport.client import PeerAnswer
from footloose.transport.signatures import Evidence

CODE = b"code"
CUSTOMER = Identity.from_seed(b"h" * 32)
APP = App("shop", CUSTOMER.node_id, (Service("web", digest_of(CODE), GuestKind.HANDLER),))
SERVICE = APP.service_id(APP.services[0])
PARENT_URL = f"http://198.51.100.1:8080/{SERVICE}/"
REQUEST = LeaseRequest("1", CUSTOMER.node_id, sign(APP, CUSTOMER), "web", 60.0, PARENT_URL, "token", 0.0)
EVIDENCE = Evidence(CUSTOMER.node_id, "base", b"signature", None, 0.0)


@dataclass
class SetClock:
    """Time that a test sets."""

    at: float = 1_700_000_000.0

    def now(self) -> float:
        """That time."""
        return self.at


class Nobody:
    """The network when all links are cut."""

    async def request(self, endpoint: Endpoint, method: str, path: str, **_options: object) -> PeerAnswer:
        """Nobody answers."""
        raise RemoteError("no route to host", where=f"{method} {path} at {endpoint}")

    async def upload(self, endpoint: Endpoint, path: str, *_what: object, **_options: object) -> PeerAnswer:
        """Nobody takes it."""
        raise RemoteError("no route to host", where=f"{path} at {endpoint}")

    async def trace(self, address: str) -> Route:
        """No router answers."""
        return Route(address, ())


@dataclass
class Compiled:
    """Everything is compiled already, but for the first ``damaged`` times that it is asked for."""

    damaged: int = 0

    async def compile(self, _wasm: Path, out_dir: Path) -> Path:
        """Where it would be."""
        if self.damaged:
            self.damaged -= 1
            raise LocalError("does not compile")
        return out_dir / "code.cwasm"


@dataclass
class Served:
    """What users are served: ``ever`` are all services that ever were, ``table`` is the one of now."""

    ever: set[ServiceId] = field(default_factory=set)
    table: RoutingTable = field(default_factory=lambda: RoutingTable(0))

    def push(self, table: RoutingTable, compiled: Mapping[Digest, str]) -> None:  # noqa: ARG002 - as nodes call it
        """Serve so."""
        self.table = table
        self.ever |= {route.service for route in table.services}

    async def applied(self, version: int) -> None:
        """At once."""
        assert self.table.version >= version


@dataclass
class Up:
    """A running site, what its users are served, and its time."""

    site: Site
    served: Served
    clock: SetClock
    state: StateDirectory

    async def lease(self, customer: Identity = CUSTOMER) -> Lease:
        """Have a customer lease a copy here."""
        await self.state.artifacts.add(CODE)
        request = msgspec.structs.replace(REQUEST, customer=customer.node_id)
        answer = await self.site.host.lease(request, customer.node_id, EVIDENCE)
        assert answer.lease is not None
        return msgspec.json.decode(answer.lease.payload, type=Lease)


async def _no_rtt(_address: str) -> float | None:
    return None


@asynccontextmanager
async def site_up(directory: Path, clock: SetClock, *, damaged: int = 0) -> AsyncIterator[Up]:
    """A site on that state directory, recovered and going, until the end of the block; then it is as if killed."""
    with StateDirectory.open(directory, clock) as state:
        nobody, served = Nobody(), Served()
        around = Surroundings(
            clock=clock,
            state=state,
            peers=nobody,
            tracer=nobody,
            finders=(),
            compiler=Compiled(damaged),
            workers=served,
            probe=_no_rtt,
        )
        site = Site(NodeConfig(state=directory, name="edge"), around)
        try:
            await site.recover()
            site.start()
            yield Up(site, served, clock, state)
        finally:
            await site.close()
