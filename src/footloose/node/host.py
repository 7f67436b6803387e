"""What this site runs, for its owner and for others: start, stop, leases granted, all of it again after a restart."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from footloose.core.clock import Clock
from footloose.core.codec import Signed, open_signed, sign
from footloose.core.errors import FootlooseError, LocalError, RemoteError
from footloose.core.identity import Identity, NodeId
from footloose.market.desk import Accepted, Desk, DeskEffect, EndCopy, Held, LeaseChanged
from footloose.migration.switch import State
from footloose.model.app import App, AppId, Service, ServiceId
from footloose.model.network import Observation
from footloose.model.routing import RelayUplink
from footloose.model.terms import Lease, LeaseAnswer, LeaseRequest
from footloose.node.driver import Driver
from footloose.node.leases import GivenLeases, HeldLeases
from footloose.node.meter import Meter
from footloose.node.services import Hosted, Services
from footloose.orchestrator.loop import Loop
from footloose.orchestrator.messages import Event, Parent, ServiceStarted, ServiceStopped
from footloose.runtimes.wasm.compiler import Compiler
from footloose.state.apps import AppStore
from footloose.state.artifacts import ArtifactStore
from footloose.transport.signatures import Evidence

log = logging.getLogger(__name__)

UNUSED_ARTIFACT_S = 300.0
"""How long an artifact nothing refers to is kept: its lease may still be on the way."""


class Host:
    """Runs services at this site. ``applied`` waits until all workers serve what the table says."""

    def __init__(
        self,
        *,
        identity: Identity,
        clock: Clock,
        desk: Desk,
        services: Services,
        compiler: Compiler,
        compiled: Path,
        artifacts: ArtifactStore,
        apps: AppStore,
        held: HeldLeases,
        given: GivenLeases,
        meter: Meter,
        loop: Loop,
        tell: Callable[[Event], None],
        applied: Callable[[], Awaitable[None]],
        gateway: Callable[[], str],
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._desk = desk
        self._desk_driver: Driver[DeskEffect] = Driver(desk, clock, self._desk_effect)
        self._services = services
        self._compiler = compiler
        self._compiled = compiled
        self._artifacts = artifacts
        self._apps = apps
        self._held = held
        self._given = given
        self._meter = meter
        self._loop = loop
        self._tell = tell
        self._applied = applied
        self._gateway = gateway
        self._starting = asyncio.Lock()

    @property
    def draining(self) -> str | None:
        """Why this site takes no new copies, or None if it does."""
        return self._desk.draining

    def url_of(self, service: ServiceId) -> str:
        """Where users reach a service at this site."""
        return f"{self._gateway()}/{service}/"

    # For the owner of this site: apps whose home it is

    async def deploy(self, app: App) -> dict[str, str]:
        """Run an app whose home this site is, in place of what ran under its name; the URLs of its services.

        Raises :class:`LocalError` if an artifact is missing or does not compile; what ran before then runs on.
        """
        ready = [(service, await self._compile(service)) for service in app.services]
        before = self._apps.get(app.app_id)
        envelope = sign(app, self._identity)
        self._apps.put(envelope, self._clock.now())
        for old in before.app.services if before is not None else ():
            if app.service(old.name) != old:
                self._stop(app.service_id(old), "replaced by a new version of the app", None)
        for service, compiled in ready:
            if app.service_id(service) not in self._services:
                self._run_at_home(app, envelope, service, compiled)
        await self._applied()
        return {service.name: self.url_of(app.service_id(service)) for service in app.services}

    def remove(self, app_id: AppId) -> None:
        """Stop an app everywhere. Raises :class:`LocalError` if this is not its home."""
        known = self._apps.get(app_id)
        if known is None:
            raise LocalError("no such app at this site", where=app_id, fix="see `footloose ps`")
        self._apps.remove(app_id)
        for service in known.app.services:
            self._stop(known.app.service_id(service), "the app was removed", None)

    def _run_at_home(self, app: App, envelope: Signed, service: Service, compiled: Path) -> None:
        service_id = app.service_id(service)
        leases = tuple(self._given.leases_of(service_id))
        tokens = self._given.tokens_of(service_id)
        now = self._clock.now()
        self._services.run(Hosted(service_id, service, compiled, now, route=service.route, relay_tokens=tokens))
        self._tell(ServiceStarted(service_id, service, envelope, None, leases))

    # For other sites: copies under lease

    async def lease(self, request: LeaseRequest, caller: NodeId, evidence: Evidence) -> LeaseAnswer:
        """Start what is asked, if this site would run it. Raises :class:`RemoteError` with the reason if not."""
        accepted = self._desk.consider(request, caller, self._own_copies(request))
        if not self._artifacts.has(accepted.service.artifact):
            return LeaseAnswer(needs_artifact=accepted.service.artifact)
        async with self._starting:
            await self._start_copy(request, accepted)
            now = self._clock.now()
            lease, effects = self._desk.grant(request, accepted, self.url_of(accepted.service_id), now)
            for effect in effects:
                if isinstance(effect, LeaseChanged):
                    self._held.keep(effect.held, evidence)
                    self._meter.open(lease.lease_id, lease.service, now)
            self._desk_driver.carry_out([])
        return LeaseAnswer(lease=sign(lease, self._identity))

    def poll(self, lease_id: str, caller: NodeId, *, renew: bool, prefixes: int) -> LeaseAnswer:
        """The meter reading of a lease, its renewal if asked for, and whether this site wants to end it."""
        held, effects = self._desk.poll(lease_id, caller, renew=renew, now=self._clock.now())
        self._desk_driver.carry_out(effects)
        reading = self._meter.read(lease_id, prefixes, self._clock.now())
        lease = sign(held.lease, self._identity) if renew and held.ending is None else None
        return LeaseAnswer(lease=lease, ending=held.ending, reading=reading)

    def release(self, lease_id: str, caller: NodeId, reason: str) -> None:
        """The customer ends its lease."""
        self._desk_driver.carry_out(self._desk.release(lease_id, caller, reason))

    def drain(self, reason: str) -> int:
        """Send all copies home and take no new ones; how many leases were given notice."""
        effects = self._desk.drain(reason, self._clock.now())
        self._desk_driver.carry_out(effects)
        return len(effects)

    def resume(self) -> None:
        """Take new copies again."""
        self._desk.resume()

    def users_seen(self, observations: tuple[Observation, ...], site: NodeId) -> None:
        """Users of services here, or of copies of them at ``site``: for the meters, and so that no used copy ends."""
        self._meter.add(observations, site)
        now = self._clock.now()
        for service in {one.service for one in observations if one.requests or one.open_websockets}:
            self._desk.users_seen(ServiceId(service), now)

    def relay_token(self, service: ServiceId, site: NodeId) -> str:
        """The token for a copy about to be leased at ``site``; this site's gateway knows it from now on."""
        token = self._given.token(service, site)
        self._services.set_relay_tokens(service, self._given.tokens_of(service))
        return token

    def copy_ended(self, service: ServiceId, site: NodeId, reason: str) -> None:
        """A copy this site leased has ended."""
        self._given.end(service, site, reason)
        self._services.set_relay_tokens(service, self._given.tokens_of(service))

    def _own_copies(self, request: LeaseRequest) -> frozenset[NodeId]:
        app = open_signed(request.app, App, where="app")
        running = self._loop.services.get(ServiceId(f"{app.app_id}/{request.service}"))
        if running is None:
            return frozenset()
        return frozenset(site for site, copy in running.copies.items() if copy.state is not State.ENDED)

    async def _start_copy(self, request: LeaseRequest, accepted: Accepted) -> None:
        if accepted.service_id in self._services:
            return
        try:
            compiled = await self._compile(accepted.service)
        except LocalError as error:
            raise RemoteError(error.what, where=f"artifact {accepted.service.artifact}") from error
        self._run_copy(request, accepted.service_id, accepted.service, compiled)
        await self._applied()

    def _run_copy(self, request: LeaseRequest, service_id: ServiceId, service: Service, compiled: Path) -> None:
        parent = Parent(request.customer, request.parent_url)
        uplink = RelayUplink(_relay_url(request.parent_url, service_id), request.relay_token)
        tokens = self._given.tokens_of(service_id)
        now = self._clock.now()
        self._services.run(Hosted(service_id, service, compiled, now, uplink=uplink, relay_tokens=tokens))
        leases = tuple(self._given.leases_of(service_id))
        self._tell(ServiceStarted(service_id, service, request.app, parent, leases))

    # After a restart: everything this site agreed to run, from its own disk, with no network

    async def recover(self) -> None:
        """Run again all that ran. What cannot be run is named in the log and given up; the rest runs."""
        for known in self._apps.list():
            for service in known.app.services:
                compiled = await self._compile_again(service, known.app.service_id(service))
                if compiled is not None:
                    self._run_at_home(known.app, known.signed, service, compiled)
        for held in self._desk.all_held():
            await self._recover_copy(held)
        await self._applied()
        self._desk_driver.carry_out(self._desk.wake(self._clock.now()))

    async def _recover_copy(self, held: Held) -> None:
        service = held.app.service(held.request.service)
        if service is None:
            raise AssertionError(f"lease {held.lease.lease_id} is for a service its app does not have")
        self._meter.open(held.lease.lease_id, held.lease.service, self._clock.now())
        if held.lease.service in self._services:
            return
        compiled = await self._compile_again(service, held.lease.service)
        if compiled is not None:
            self._run_copy(held.request, held.lease.service, service, compiled)

    async def _compile_again(self, service: Service, service_id: ServiceId) -> Path | None:
        try:
            return await self._compile(service)
        except FootlooseError as error:
            log.error("cannot run %s again: %s", service_id, error)
            return None

    async def _compile(self, service: Service) -> Path:
        if not self._artifacts.has(service.artifact):
            raise LocalError("artifact is missing", where=f"{service.name}: {service.artifact}", fix="deploy it again")
        return await self._compiler.compile(self._artifacts.path(service.artifact), self._compiled)

    # Ends

    def _desk_effect(self, effect: DeskEffect) -> None:
        match effect:
            case LeaseChanged():
                self._held.keep(effect.held)
                if effect.held.lease.lease_id not in {one.lease.lease_id for one in self._desk.all_held()}:
                    self._meter.close(effect.held.lease.lease_id)
            case EndCopy():
                self._stop(effect.service, effect.reason, effect.parent_url)

    def _stop(self, service: ServiceId, reason: str, moved_to: str | None) -> None:
        if moved_to is not None and self._is_home_of(service):
            return  # a copy's lease on what runs here anyway
        log.info("stopping %s: %s", service, reason)
        self._services.stop(service, moved_to, self._clock.now())
        self._tell(ServiceStopped(service, reason))
        self._collect_garbage()

    def _is_home_of(self, service: ServiceId) -> bool:
        return self._apps.get(AppId(service.split("/")[0])) is not None

    def _collect_garbage(self) -> None:
        """Drop artifacts that nothing here refers to any more."""
        kept = {hosted.spec.artifact for hosted in self._services.hosted()}
        for known in self._apps.list():
            kept |= {service.artifact for service in known.app.services}
        kept |= {held.lease.artifact for held in self._desk.all_held()}
        self._artifacts.collect(kept, min_age_s=UNUSED_ARTIFACT_S)

    def leases(self) -> list[Lease]:
        """The leases this site holds."""
        return [held.lease for held in self._desk.all_held()]

    def close(self) -> None:
        """End nothing: what is agreed is on disk and runs again at the next start."""
        self._desk_driver.close()


def _relay_url(parent_url: str, service: ServiceId) -> str:
    """Where the parent's gateway takes relay links, from the URL of its copy."""
    base = parent_url.removesuffix(f"/{service}/")
    return f"{base.replace('http', 'ws', 1)}/.well-known/footloose/relay/{service}"
