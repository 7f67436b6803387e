"""What this site runs, for its owner and for others: start, stop, leases granted, all of it again after a restart."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from footloose.core.clock import Clock
from footloose.core.codec import Signed, open_signed, sign
from footloose.core.digest import Digest
from footloose.core.errors import FootlooseError, LocalError, RemoteError
from footloose.core.identity import Identity, NodeId
from footloose.core.limits import ARTIFACT_UNUSED_S
from footloose.market.desk import Accepted, Desk, DeskEffect, EndCopy, Held, LeaseChanged
from footloose.market.desk import State as LeaseState
from footloose.migration.switch import State
from footloose.model.app import App, AppId, Service, ServiceId, check_app
from footloose.model.network import Observation
from footloose.model.routing import RelayUplink
from footloose.model.terms import Lease, LeaseAnswer, LeaseRequest
from footloose.node.awaited import Awaited
from footloose.node.driver import Driver
from footloose.node.leases import GivenLeases, HeldLeases
from footloose.node.meter import Meter
from footloose.node.services import Hosted, Services
from footloose.node.surroundings import Artifacts, Compiles
from footloose.orchestrator.loop import Loop
from footloose.orchestrator.messages import CustomerHeard, CustomerLeft, Event, Parent, ServiceStarted, ServiceStopped
from footloose.runtimes.wasm.guest import check_limits
from footloose.state.apps import AppStore
from footloose.transport.signatures import Evidence

log = logging.getLogger(__name__)


class Host:
    """Runs services at this site. ``applied`` waits until all workers serve what the table says."""

    def __init__(
        self,
        *,
        identity: Identity,
        clock: Clock,
        desk: Desk,
        services: Services,
        compiler: Compiles,
        compiled: Path,
        artifacts: Artifacts,
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
        self._awaited = Awaited()

    @property
    def draining(self) -> str | None:
        """Why this site takes no new copies, or None if it does."""
        return self._desk.draining

    def url_of(self, service: ServiceId) -> str:
        """Where users reach a service at this site."""
        return f"{self._gateway()}/{service}/"

    def leases_held(self) -> list[Held]:
        """The leases on copies here that have not ended."""
        return self._desk.all_held()

    # For the owner of this site: apps whose home it is

    async def deploy(self, name: str, services: tuple[Service, ...]) -> tuple[AppId, tuple[str, ...]]:
        """Run an app whose home this site is, in place of what ran under its name; its id, and its services' URLs.

        Raises :class:`RemoteError` if it is no app that can run, :class:`LocalError` if an artifact is missing or does
        not compile or the disk is full; what ran before then runs on.
        """
        app = App(name, self._identity.node_id, services)
        check_app(app)
        self._check_routes(app)
        ready = [(service, await self._compile(service)) for service in services]
        before = self._apps.get(app.app_id)
        now = self._clock.now()
        app = App(name, self._identity.node_id, services, max(int(now), before.app.version + 1 if before else 1))
        envelope = sign(app, self._identity)
        self._apps.put(envelope, now)
        for old in before.app.services if before is not None else ():
            if app.service(old.name) is None:
                self._stop(app.service_id(old), "no longer part of the app", None)
        for service, compiled in ready:
            self._run_at_home(app, envelope, service, compiled)
        await self._applied()
        return app.app_id, tuple(self.url_of(app.service_id(service)) for service in services)

    def _check_routes(self, app: App) -> None:
        """Raises :class:`LocalError` if another app has one of this app's routes: its users would not notice."""
        taken = {
            service.route: known.app.name
            for known in self._apps.list()
            for service in known.app.services
            if known.app.app_id != app.app_id and service.route is not None
        }
        for service in app.services:
            if service.route in taken:
                what = f"the route {service.route.host}{service.route.path} is that of the app {taken[service.route]!r}"
                raise LocalError(what, where=service.name, fix="give it another host or path, or remove that app")

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
        hosted = self._services.get(service_id)
        if hosted is not None and hosted.spec == service and hosted.uplink is None:
            return  # a new version of the app, but not of this service
        self._replaced(hosted)
        leases = tuple(self._given.leases_of(service_id))
        tokens = self._given.tokens_of(service_id)
        now = self._clock.now()
        self._services.run(Hosted(service_id, service, compiled, now, route=service.route, relay_tokens=tokens))
        self._tell(ServiceStarted(service_id, service, envelope, None, leases))

    def _replaced(self, hosted: Hosted | None) -> None:
        """Another version is about to take a service's place: users go on being served, its copies come to an end."""
        if hosted is not None:
            self._tell(ServiceStopped(hosted.service, "replaced by another version of the app"))

    # For other sites: copies under lease

    async def lease(self, request: LeaseRequest, caller: NodeId, evidence: Evidence) -> LeaseAnswer:
        """Start what is asked, if this site would run it. Raises :class:`RemoteError` with the reason if not."""
        accepted = self._consider(request, caller)
        artifact = accepted.service.artifact
        if not self._artifacts.renew(artifact):
            self._awaited.add(caller, artifact, self._clock.now())
            return LeaseAnswer(needs_artifact=artifact)
        try:
            compiled = await self._compile(accepted.service)
        except LocalError as error:
            raise RemoteError(error.what, where=f"artifact {artifact}") from error
        accepted = self._consider(request, caller)  # what was so before the wait may be so no more
        lease = self._granted(request, accepted, evidence)
        self._run_copy(request, accepted.service_id, accepted.service, compiled)
        await self._applied()
        return LeaseAnswer(lease=sign(lease, self._identity))

    def _consider(self, request: LeaseRequest, caller: NodeId) -> Accepted:
        accepted = self._desk.consider(request, caller, self._own_copies(request))
        hosted = self._services.get(accepted.service_id)
        if hosted is not None and hosted.uplink is None and hosted.spec != accepted.service:
            raise RemoteError("this is its home, and another version runs here", where=accepted.service_id)
        if self._held.has_ended(request):
            raise RemoteError("the lease given on this request has ended", where=accepted.service_id, fix="ask anew")
        return accepted

    def _granted(self, request: LeaseRequest, accepted: Accepted, evidence: Evidence) -> Lease:
        """The lease, on the disk. Raises :class:`LocalError` if it cannot be written; then nothing was promised."""
        now = self._clock.now()
        lease, effects = self._desk.grant(request, accepted, self.url_of(accepted.service_id), now)
        for effect in effects:
            if isinstance(effect, LeaseChanged):
                try:
                    self._held.keep(effect.held, evidence)
                except LocalError:
                    self._desk.release(lease.lease_id, request.customer, "it could not be written down")
                    raise
                self._meter.open(lease.lease_id, lease.service, now)
        self._desk_driver.carry_out([])
        return lease

    def awaits(self, customer: NodeId, digest: Digest) -> bool:
        """Whether this site asked ``customer`` for that artifact, to run a copy for it."""
        return self._desk.draining is None and self._awaited.takes(customer, digest, self._clock.now())

    def poll(self, lease_id: str, caller: NodeId, *, renew: bool, hold: bool, prefixes: int) -> LeaseAnswer:
        """The meter reading of a lease, its renewal if asked for, and whether this site wants to end it.

        With ``hold`` the customer wants its users to stay here.
        """
        held, effects = self._desk.poll(lease_id, caller, renew=renew, now=self._clock.now())
        renewed = renew and held.ending is None
        try:
            for effect in effects:
                if isinstance(effect, LeaseChanged):
                    self._held.keep(effect.held, renewed=True)
        except LocalError as error:
            log.error("lease %s is not renewed: %s", lease_id, error)
            renewed = False  # what cannot be written is not promised; the copy runs on all the same
        if effects:
            self._desk_driver.carry_out([])
        self._tell(CustomerHeard(held.lease.service, _parent(held.request), hold))
        reading = self._meter.read(lease_id, prefixes, self._clock.now())
        return LeaseAnswer(sign(held.lease, self._identity) if renewed else None, ending=held.ending, reading=reading)

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

    def users_seen(self, observations: tuple[Observation, ...], site: NodeId, *, pass_on: bool = True) -> None:
        """Users of services here, or of copies of them at ``site``: so that no used copy ends, and for the meters.

        Without ``pass_on`` our own customers learn of them from somebody else.
        """
        if pass_on:
            self._meter.add(observations, site)
        now = self._clock.now()
        for service in {one.service for one in observations if one.requests or one.open_websockets}:
            self._desk.users_seen(ServiceId(service), now)

    def stood_still(self, seconds: float) -> None:
        """This site did nothing for so long: no copy here counts as unused for that."""
        self._desk.stood_still(seconds)

    def relay_token(self, service: ServiceId, site: NodeId) -> str:
        """The token for a copy about to be leased at ``site``; this site's gateway knows it from now on."""
        token = self._given.token(service, site)
        self._services.set_relay_tokens(service, self._given.tokens_of(service))
        return token

    def copy_ended(self, service: ServiceId, site: NodeId, lease_id: str | None, reason: str) -> None:
        """A copy this site leased has ended. Raises :class:`LocalError` if that cannot be written."""
        running = self._loop.services.get(service)
        if running is None or site not in running.copies:  # else the next copy there has the token already
            self._given.forget_token(service, site)
            self._services.set_relay_tokens(service, self._given.tokens_of(service))
        if lease_id is not None:
            self._given.ended(lease_id, reason)

    def _own_copies(self, request: LeaseRequest) -> frozenset[NodeId]:
        """Sites this one leased the service at, which it will not lease it to; the app's home it will.

        Of two that ask each other at once, the one with the lesser id may.
        """
        app = open_signed(request.app, App, where="app")
        running = self._loop.services.get(ServiceId(f"{app.app_id}/{request.service}"))
        if running is None:
            return frozenset()
        asking, own = (State.ASKING, State.SENDING), self._identity.node_id
        leased = frozenset(site for site, copy in running.copies.items() if copy.state not in asking or own < site)
        return leased - {app.owner}

    def _run_copy(self, request: LeaseRequest, service_id: ServiceId, service: Service, compiled: Path) -> None:
        hosted = self._services.get(service_id)
        if hosted is not None and hosted.spec == service:
            return  # another customer's copy, or this is its home
        self._replaced(hosted)
        tokens = self._given.tokens_of(service_id)
        uplink = _uplink(request, service_id)
        now = self._clock.now()
        self._services.run(Hosted(service_id, service, compiled, now, uplink=uplink, relay_tokens=tokens))
        leases = tuple(self._given.leases_of(service_id))
        self._tell(ServiceStarted(service_id, service, request.app, _parent(request), leases))

    def _customer_left(self, lease: Lease) -> None:
        """Who leases a copy here no more need not run the service any more: no users can be sent back there."""
        if lease.customer not in [held.lease.customer for held in self._desk.leases_of(lease.service)]:
            self._tell(CustomerLeft(lease.service, lease.customer))

    def _follow_another(self, service_id: ServiceId) -> None:
        """A copy's customer has gone: if another leases the copy too, its users and topics are that one's now."""
        hosted, others = self._services.get(service_id), self._desk.leases_of(service_id)
        if hosted is None or hosted.uplink is None or not others:
            return
        if hosted.uplink not in [_uplink(held.request, service_id) for held in others]:
            heir = others[0].request
            self._services.set_uplink(service_id, _uplink(heir, service_id))
            self._tell(ServiceStarted(service_id, hosted.spec, heir.app, _parent(heir)))

    # After a restart: everything this site agreed to run, from its own disk, with no network

    async def recover(self) -> None:
        """Run again all that ran. What cannot be run is named in the log and given up; the rest runs."""
        at_home = [(known, service) for known in self._apps.list() for service in known.app.services]
        ready = await self._compile_all([service for _, service in at_home])
        for (known, service), compiled in zip(at_home, ready, strict=True):
            if isinstance(compiled, FootlooseError):
                log.error("cannot run %s again: %s", known.app.service_id(service), compiled)
            else:
                self._run_at_home(known.app, known.signed, service, compiled)
        self._desk_driver.carry_out(self._desk.wake(self._clock.now()))  # what ran out meanwhile does not run again
        await self._recover_copies(sorted(self._desk.all_held(), key=lambda one: -one.app.version))

    async def _recover_copies(self, leased: Sequence[Held]) -> None:
        """Of several versions of a service the newest comes first, and stands for all."""
        ready = await self._compile_all([_service_of(held) for held in leased])
        given_up: set[ServiceId] = set()
        for held, compiled in zip(leased, ready, strict=True):
            service = held.lease.service
            if service in given_up:
                continue
            self._meter.open(held.lease.lease_id, service, self._clock.now())
            if service in self._services:
                continue
            if isinstance(compiled, FootlooseError):
                log.error("cannot run %s again: %s", service, compiled)
                given_up.add(service)
                self._desk_driver.carry_out(self._desk.give_up(service, f"it cannot be run here: {compiled}"))
            else:
                self._run_copy(held.request, service, _service_of(held), compiled)

    async def _compile_all(self, services: Sequence[Service]) -> list[Path | FootlooseError]:
        """Where each is compiled, or why it is not; side by side, as most of it is reading files and taking digests."""

        async def outcome(service: Service) -> Path | FootlooseError:
            try:
                return await self._compile(service)
            except FootlooseError as error:
                return error

        return await asyncio.gather(*(outcome(service) for service in services))

    async def _compile(self, service: Service) -> Path:
        check_limits(service.limits)
        if not self._artifacts.has(service.artifact):
            raise LocalError("artifact is missing", where=f"{service.name}: {service.artifact}", fix="deploy it again")
        return await self._compiler.compile(self._artifacts.path(service.artifact), self._compiled)

    # Ends

    def _desk_effect(self, effect: DeskEffect) -> None:
        match effect:
            case LeaseChanged():
                if effect.held.state is LeaseState.ENDED:
                    self._meter.close(effect.held.lease.lease_id)
                    self._customer_left(effect.held.lease)
                    self._follow_another(effect.held.lease.service)
                self._held.keep(effect.held)
            case EndCopy():
                if not self._is_home_of(effect.service):  # there it was a lease on what runs anyway
                    self._stop(effect.service, effect.reason, effect.parent_url)

    def _stop(self, service: ServiceId, reason: str, moved_to: str | None) -> None:
        log.info("stopping %s: %s", service, reason)
        self._services.stop(service, moved_to, self._clock.now())
        self._tell(ServiceStopped(service, reason))
        self.collect_garbage()

    def _is_home_of(self, service: ServiceId) -> bool:
        return self._apps.get(AppId(service.split("/")[0])) is not None

    def collect_garbage(self) -> None:
        """Drop artifacts that nothing here refers to any more."""
        kept = {hosted.spec.artifact for hosted in self._services.hosted()}
        for known in self._apps.list():
            kept |= {service.artifact for service in known.app.services}
        kept |= {held.lease.artifact for held in self._desk.all_held()}
        try:
            self._artifacts.collect(kept, min_age_s=ARTIFACT_UNUSED_S)
        except LocalError as error:
            log.error("unused artifacts are not removed: %s", error)

    def close(self) -> None:
        """End nothing: what is agreed is on disk and runs again at the next start."""
        self._desk_driver.close()


def _service_of(held: Held) -> Service:
    service = held.app.service(held.request.service)
    assert service is not None  # noqa: S101  the desk took no lease for a service its app does not have
    return service


def _parent(request: LeaseRequest) -> Parent:
    return Parent(request.customer, request.parent_url)


def _uplink(request: LeaseRequest, service: ServiceId) -> RelayUplink:
    """Where the parent's gateway takes relay links, from the URL of its copy."""
    base = request.parent_url.removesuffix(f"/{service}/")
    url = f"{base.replace('http', 'ws', 1)}/.well-known/footloose/relay/{service}"
    return RelayUplink(url, request.relay_token)
