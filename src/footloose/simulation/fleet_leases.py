"""What sites of a fleet ask each other about copies: the customer's errands, and the provider's host."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from footloose.core.errors import RemoteError
from footloose.core.limits import LEASE_TERM_S
from footloose.market.desk import DeskEffect, EndCopy, LeaseChanged
from footloose.market.desk import State as LeaseState
from footloose.migration.switch import (
    ArtifactSent,
    Ask,
    LeaseAnswered,
    LeaseReleased,
    Poll,
    PollAnswered,
    PollFailed,
    Release,
    Send,
    SwitchEvent,
)
from footloose.model.app import ServiceId
from footloose.model.network import Observation
from footloose.model.terms import LeaseRequest
from footloose.orchestrator.messages import CopyEvent, CustomerHeard, Parent, ServiceStarted, ServiceStopped

if TYPE_CHECKING:
    from footloose.simulation.fleet import Fleet, FleetSite

Errand = Ask | Send | Poll | Release


class Leases:
    """Half a round trip there, what the provider does, half a round trip back."""

    def __init__(self, fleet: "Fleet") -> None:
        self._fleet = fleet

    def send(self, site: "FleetSite", errand: Errand) -> None:
        """Do an errand for a site's loop, and tell it what came of it."""
        fleet, provider = self._fleet, self._fleet.by_node[errand.site]
        half_s = fleet.delay_s(site.number, provider.number)

        def arrive(_: object) -> None:
            outcome = self._at_provider(site, provider, errand)
            event = CopyEvent(errand.service, errand.site, errand.request_id, outcome)
            fleet.tell_after(half_s, site, event)

        fleet.engine.after(half_s, arrive)

    def used(self, site: "FleetSite", seen: Observation) -> None:
        """A service was used: its desk and its meters count."""
        site.desk.users_seen(ServiceId(seen.service), self._fleet.engine.now)
        for lease_id, held in site.held.items():
            if held.lease.service == seen.service:
                site.seen[lease_id].append(seen)

    def carry_out(self, site: "FleetSite", effects: Iterable[DeskEffect]) -> None:
        """Do what a desk wants done."""
        for effect in effects:
            match effect:
                case LeaseChanged():
                    lease_id = effect.held.lease.lease_id
                    if effect.held.state is LeaseState.ENDED:
                        site.held.pop(lease_id, None)
                        site.seen.pop(lease_id, None)
                    else:
                        site.held[lease_id] = effect.held
                        site.seen.setdefault(lease_id, [])
                case EndCopy():
                    site.runs.discard(effect.service)
                    site.redirects.pop(effect.service, None)
                    self._fleet.tell(site, ServiceStopped(effect.service, effect.reason))
        self._fleet.plan_wake(site)

    def _at_provider(self, site: "FleetSite", provider: "FleetSite", errand: Errand) -> SwitchEvent:
        match errand:
            case Ask():
                return self._asked(site, provider, errand)
            case Send():
                running = site.loop.services.get(errand.service)
                if running is None:
                    return ArtifactSent(failed="the service stopped before its code was sent")
                provider.artifacts.add(running.spec.artifact)
                return ArtifactSent()
            case Poll():
                return self._polled(site, provider, errand)
            case Release():
                try:
                    released = provider.desk.release(errand.lease_id, site.node, errand.reason)
                except RemoteError:
                    return LeaseReleased()  # it ended by itself before
                self.carry_out(provider, released)
                return LeaseReleased()

    def _asked(self, site: "FleetSite", provider: "FleetSite", ask: Ask) -> LeaseAnswered:
        running = site.loop.services.get(ask.service)
        if running is None:
            return LeaseAnswered(refused="the service stopped before the site was asked")
        request = LeaseRequest(
            request_id=ask.request_id,
            customer=site.node,
            app=running.app,
            service=running.spec.name,
            term_s=LEASE_TERM_S,
            parent_url=f"{site.gateway}/{ask.service}/",
            relay_token="token",  # noqa: S106  nobody relays here
            price_per_hour=0.0,
        )
        try:
            own = provider.loop.services.get(ask.service)
            accepted = provider.desk.consider(request, site.node, frozenset(own.copies if own is not None else ()))
        except RemoteError as error:
            return LeaseAnswered(refused=str(error))
        if accepted.service.artifact not in provider.artifacts:
            return LeaseAnswered(needs_artifact=True)
        url = f"{provider.gateway}/{ask.service}/"
        lease, effects = provider.desk.grant(request, accepted, url, self._fleet.engine.now)
        self.carry_out(provider, effects)
        if ask.service not in provider.runs:
            provider.runs.add(ask.service)
            parent = Parent(site.node, request.parent_url)
            self._fleet.tell(provider, ServiceStarted(ask.service, accepted.service, request.app, parent))
        site.given[lease.lease_id] = lease
        return LeaseAnswered(lease=lease)

    def _polled(self, site: "FleetSite", provider: "FleetSite", poll: Poll) -> SwitchEvent:
        try:
            held, effects = provider.desk.poll(poll.lease_id, site.node, renew=poll.renew, now=self._fleet.engine.now)
        except RemoteError as error:
            return PollFailed(str(error), gone=True)
        self.carry_out(provider, effects)
        customer = Parent(site.node, held.request.parent_url)
        self._fleet.tell(provider, CustomerHeard(poll.service, customer))
        seen, provider.seen[poll.lease_id] = tuple(provider.seen.get(poll.lease_id, ())), []
        return PollAnswered(seen, held.lease if poll.renew and held.ending is None else None, held.ending)
