"""The loop that runs at every site, for every service, for the users it sees there:

observe users → locate (trace the path) → discover sites on the path → measure → choose → agree → deploy → redirect

A sans-IO machine (:class:`footloose.core.machine.Machine`): events in, effects out, no clock and no socket. The methods
stand in the order of the figure. Every step records what it did, why, and from which figures.
"""

from collections.abc import Callable
from typing import Any

from footloose.core.identity import NodeId, short
from footloose.core.limits import (
    CUSTOMER_SILENT_S,
    IDLE_BEFORE_RETIRE_S,
    REDISCOVER_S,
    SETTLE_S,
    SITES_ASKED,
    SITES_KNOWN,
)
from footloose.migration.switch import LeaseAnswered, PollAnswered, Release, RetireWanted, State, Switch, SwitchEvent
from footloose.model.app import ServiceId
from footloose.model.decision import Decision
from footloose.model.network import Observation, Prefix, Route
from footloose.model.routing import Redirect
from footloose.model.site import Endpoint, Sighting, SiteRecord, Source
from footloose.model.terms import Lease
from footloose.orchestrator.memory import NOWHERE, Asked, Customer, Located, Running, SiteAsked, oldest
from footloose.orchestrator.messages import (
    Absence,
    CopyEnded,
    CopyEvent,
    CustomerHeard,
    CustomerLeft,
    Discover,
    DiscoveryFinished,
    Effect,
    Event,
    Identify,
    Measure,
    MoveWanted,
    Remember,
    RouteTraced,
    RttMeasured,
    ServiceStarted,
    ServiceStopped,
    SetRedirects,
    SiteAvoided,
    SiteIdentified,
    SitePresence,
    SiteSighted,
    StoodStill,
    Trace,
    UsersObserved,
)
from footloose.orchestrator.problem import (
    checked,
    origin_rtt_ms,
    problem_of,
    rtts_to,
    serving_only,
    why_excluded,
)
from footloose.placement.interface import Choice, Placement, Placer, Problem
from footloose.topology.tree import RouteTree

HOUSEKEEPING_S = 1.0
"""How often the loop looks for users that left and copies that idle."""

LOOKED_AGAIN_AT_ONCE = 20
"""Prefixes traced and measured again per housekeeping: bounds what watching many users costs."""

REST_PER_USER_S = 0.0001
"""For each user a choice is made for, how long the next one is put off: choosing for many takes long."""

FIGURES_NOTED = 8
"""Sites whose round trips a decision names, the nearest first."""


class Loop:
    """All services of one site. ``placer`` finds a placement algorithm by name."""

    def __init__(self, here: NodeId, placer: Callable[[str], Placer], now: float) -> None:
        self.here = here
        self.tree = RouteTree(here)
        self.services: dict[ServiceId, Running] = {}
        self.sites: dict[NodeId, SiteRecord] = {}
        self.located: dict[Prefix, Located] = {}
        self.absent: dict[NodeId, Absence] = {}
        self._placer = placer
        self._node_at: dict[Endpoint, NodeId] = {}
        self._identifying: dict[SiteAsked, Asked] = {}
        self._settling: dict[Prefix, float] = {}
        self._avoided: set[NodeId] = set()
        self._kept_house_at = now
        self._effects: list[Effect] = []

    def receive(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return the effects to carry out, in order."""
        match event:
            case ServiceStarted():
                self._start(event, now)
            case ServiceStopped():
                self._stop(event, now)
            case CustomerHeard():
                self._customer_heard(event, now)
            case CustomerLeft():
                self._customer_left(event, now)
            case UsersObserved():
                self._observe(event, now)
            case RouteTraced():
                self._traced(event, now)
            case SiteSighted():
                self._sighted(event, now)
            case DiscoveryFinished():
                self._discovered(event, now)
            case SiteIdentified():
                self._identified(event, now)
            case SitePresence():
                self._presence(event, now)
            case RttMeasured():
                self._measured(event, now)
            case CopyEvent():
                self._copy_event(event, now)
            case MoveWanted():
                self._move(event, now)
            case SiteAvoided():
                self._avoid(event, now)
            case StoodStill():
                for running in self.services.values():
                    running.stood_still(event.seconds)
        return self._take_effects()

    def wake(self, now: float) -> list[Effect]:
        """Do what has fallen due."""
        for running in list(self.services.values()):
            for site, copy in list(running.copies.items()):
                if (due := copy.next_deadline()) is not None and due <= now:
                    before = copy.state
                    self._effects += copy.wake(now)
                    self._copy_changed(running, site, before, now)
        for prefix in [prefix for prefix, settle_at in self._settling.items() if settle_at <= now]:
            del self._settling[prefix]
            self._choose_for(prefix, now)
        for running in self.services.values():
            if running.choose_at is not None and running.choose_at <= now:
                self._choose(running, now)
        if now >= self._kept_house_at + HOUSEKEEPING_S:
            self._keep_house(now)
        return self._take_effects()

    def next_deadline(self) -> float | None:
        """When :meth:`wake` wants to be called next."""
        due = list(self._settling.values())
        for running in self.services.values():
            due += [at for copy in running.copies.values() if (at := copy.next_deadline()) is not None]
            due += [running.choose_at] if running.choose_at is not None else []
        if self.services:
            due.append(self._kept_house_at + HOUSEKEEPING_S)
        return min(due, default=None)

    # Start and stop of services at this site

    def _start(self, event: ServiceStarted, now: float) -> None:
        known = self.services.get(event.service)
        if known is not None and known.spec == event.spec:
            known.app, known.parent = event.app, event.parent  # goes on for another customer
            self._choose(known, now)
            return
        self._stop(ServiceStopped(event.service, "replaced by another version"), now)
        running = self.services[event.service] = Running(event.service, event.spec, event.app, event.parent)
        for lease in sorted(event.leases, key=lambda one: (one.ends_at, one.lease_id)):
            self._resume(running, lease, now)

    def _resume(self, running: Running, lease: Lease, now: float) -> None:
        """Take up a lease from before a restart. Of several at one site the latest counts; the others run out."""
        site = lease.provider_node
        switch = Switch.resumed(running.service, lease, now)
        if lease.artifact != running.spec.artifact:
            reason = "it is of another version of the service"
            self._note(running, "retire", site, f"giving up the copy at {self._name(site)}", reason, {}, now)
            self._effects += switch.receive(RetireWanted(reason), now)
            self._effects.append(CopyEnded(running.service, site, reason, lease.lease_id))
            return
        known = running.copies.get(site)
        if known is not None and known.lease is not None:
            self._effects.append(CopyEnded(running.service, site, "a later lease replaces it", known.lease.lease_id))
        running.copies[site] = switch

    def _stop(self, event: ServiceStopped, now: float) -> None:
        running = self.services.pop(event.service, None)
        if running is None:
            return
        for site, copy in running.copies.items():
            effects = copy.receive(RetireWanted(event.reason), now)
            self._note(running, "retire", site, f"giving up the copy at {self._name(site)}", event.reason, {}, now)
            self._effects += effects
            # Nobody is left to wait for the answer. A lease granted after this is released as it comes.
            lease_id = copy.lease.lease_id if copy.lease is not None else None
            self._effects.append(CopyEnded(running.service, site, event.reason, lease_id))
        for prefix in running.users:
            self._forget(prefix)

    def _customer_heard(self, event: CustomerHeard, now: float) -> None:
        running = self.services.get(event.service)
        if running is None or running.parent is None:
            return
        node, url = event.customer.node, event.customer.url
        before, held = running.customers.get(node), running.held
        running.customers[node] = Customer(url, now, event.hold)
        if running.held != held:
            outcome = "all users stay here" if running.held else "left to the loop"
            reason = f"asked for by hand at {self._name(node)}, which leases this copy"
            self._note(running, "choose", self.here, outcome, reason, {"customer": node}, now)
        if before is None and node in running.copies:
            self._retire(running, node, "it leases a copy here itself, so users can go there without", now)
        if before is None or (before.url, before.hold) != (url, event.hold):
            self._choose_soon(running, now)

    def _customer_left(self, event: CustomerLeft, now: float) -> None:
        running = self.services.get(event.service)
        if running is not None and running.customers.pop(event.customer, None) is not None:
            self._choose(running, now)

    # Observe users

    def _observe(self, event: UsersObserved, now: float) -> None:
        touched: dict[ServiceId, Running] = {}
        for seen in event.observations:
            running = self.services.get(ServiceId(seen.service))
            if running is None:
                continue
            new = self._saw(running, seen, self.here, now)
            if running.spec.follow_users:
                self._locate(seen, now)
            if new:
                touched[running.service] = running
        for running in touched.values():
            self._choose_soon(running, now)

    def _saw(self, running: Running, seen: Observation, site: NodeId, now: float) -> bool:
        """Take in that users were served at ``site``; whether they are new."""
        new = seen.prefix not in running.users
        dropped = running.see(seen, site, now)
        if dropped is not None:
            self._forget(dropped)
        if site == self.here or site in running.copies:
            running.requests_at[site] = running.requests_at.get(site, 0) + seen.requests
        if new:
            inputs = {"address": seen.address, "rtt_ms": seen.rtt_ms, "at": site}
            self._note(running, "observe", seen.prefix, "new users", "first seen", inputs, now)
        return new

    # Locate: trace the path

    def _locate(self, seen: Observation, now: float) -> None:
        place = self.located.get(seen.prefix)
        if place is None:
            place = self.located[seen.prefix] = Located(seen.prefix, seen.address, now)
            self._effects.append(Trace(seen.prefix, seen.address))
        place.address = seen.address

    def _traced(self, event: RouteTraced, now: float) -> None:
        place = self.located.get(event.prefix)
        if place is None:
            return
        place.tracing = False
        self._effects.append(Measure(self.here, None, place.prefix, place.address))
        if event.route is None:
            self._note_all(event.prefix, "trace", "no route", event.reason, {"address": place.address}, now)
            # Sites that are known by other means than the path can still be found.
            self._discover(place, place.route or Route(place.address, ()))
            return
        known, place.route = place.route, event.route
        self.tree.update(event.prefix, event.route, now)
        hops = [hop.address for hop in event.route.hops]
        answered = sum(hop is not None for hop in hops)
        reason = f"{answered} of {len(hops)} routers answered"
        inputs: dict[str, Any] = {"hops": hops, "rtt_ms": event.route.rtt_ms}
        if known is None or [hop.router for hop in known.hops] != [hop.router for hop in event.route.hops]:
            self._note_all(event.prefix, "trace", "route traced", reason, inputs, now)
        self._discover(place, event.route)

    # Discover sites on the path

    def _discover(self, place: Located, route: Route) -> None:
        if not place.discovering:
            place.discovering = True
            self._effects.append(Discover(place.prefix, route))

    def _sighted(self, event: SiteSighted, now: float) -> None:
        sighting = event.sighting
        place = self.located.get(event.prefix)
        if place is None or sighting.node == self.here:
            return
        at_endpoint = self._node_at.get(sighting.api)
        node = sighting.node or at_endpoint
        record = self.sites.get(node) if node is not None else None
        if record is not None:
            self._nominate(place, record.node, sighting, now)
        if record is None or record.expires_at <= now or record.node != at_endpoint:
            self._identify(place, sighting, now)

    def _identify(self, place: Located, sighting: Sighting, now: float) -> None:
        """Ask who is there; once for all users near it."""
        whom = (sighting.api, sighting.node)
        if whom not in self._identifying:
            if len(self._identifying) >= SITES_ASKED:
                return
            self._identifying[whom] = Asked(now)
            self._effects.append(Identify(sighting.api, sighting.node))
        self._identifying[whom].waiting[place.prefix] = sighting
        place.identifying.add(whom)

    def _identified(self, event: SiteIdentified, now: float) -> None:
        whom = (event.endpoint, event.claimed)
        asked = self._identifying.pop(whom, None)
        record = event.record
        if record is not None and record.node != self.here:
            self._meet(event.endpoint, record)
            self.absent.pop(record.node, None)  # who answers is there, whatever others say
        for prefix, sighting in asked.waiting.items() if asked is not None else ():
            place = self.located.get(prefix)
            if place is None:
                continue
            place.identifying.discard(whom)
            if record is None and event.claimed not in place.sightings:
                inputs = {"at": f"{event.endpoint} ({sighting.source.value})"}
                self._note_all(prefix, "discover", "no such site", event.reason, inputs, now)
            elif record is not None and record.node != self.here:
                self._nominate(place, record.node, sighting, now)
            self._choose_for(prefix, now)

    def _meet(self, endpoint: Endpoint, record: SiteRecord) -> None:
        """Remember a site's record unless a newer one is known; the longest unmet that is not in use makes room."""
        known = self.sites.pop(record.node, record)
        self.sites[record.node] = known if known.issued_at > record.issued_at else record
        self._node_at.pop(endpoint, None)
        self._node_at[endpoint] = record.node
        if len(self.sites) > SITES_KNOWN:
            in_use = {site for running in self.services.values() for site in (*running.copies, running.pinned)}
            self.sites.pop(next((site for site in self.sites if site not in in_use), record.node))
        if len(self._node_at) > SITES_KNOWN:
            del self._node_at[next(iter(self._node_at))]

    def _presence(self, event: SitePresence, now: float) -> None:
        """Others find a site absent, or there again. What it runs for us goes on: our own polls see to that."""
        known = self.absent.pop(event.site, None)
        if event.absence is not None:
            self.absent[event.site] = event.absence
        elif known is None:
            return
        else:
            self._measure_again(event.site)
        for place in self.located.values():
            if event.site in place.sightings:
                self._choose_for(place.prefix, now)

    def knows(self, endpoint: Endpoint, now: float) -> bool:
        """Whether the site at ``endpoint`` has shown a record that is good still."""
        record = self.sites.get(self._node_at[endpoint]) if endpoint in self._node_at else None
        return record is not None and record.expires_at > now

    def _discovered(self, event: DiscoveryFinished, now: float) -> None:
        place = self.located.get(event.prefix)
        if place is None:
            return
        place.discovering = False
        if not place.discovered:
            place.discovered = True
            place.settle_at = self._settling[event.prefix] = now + SETTLE_S
            found = len(place.sightings) + len(place.identifying)
            reason = "; ".join(event.failures) or "all finders answered"
            self._note_all(event.prefix, "discover", f"{found} sites near the path", reason, {}, now)
        self._choose_for(event.prefix, now)

    # Measure: what was found proposes, a direct measurement decides

    def _nominate(self, place: Located, node: NodeId, sighting: Sighting, now: float) -> None:
        known = place.sightings.get(node)
        news = place.sight(node, sighting)
        if news and (known is None or known.source is not sighting.source):
            reason = f"found by {sighting.source.value}" + (f" at router {sighting.router}" if sighting.router else "")
            inputs = {"site": node, "found_by": sighting.source.value, "rtt_to_router_ms": sighting.rtt_ms}
            self._note_all(place.prefix, "discover", self._name(node), reason, inputs, now)
        if node in place.sightings and node not in place.rtt_ms:
            self._measure(place, self.sites[node])
        if news:
            self._choose_for(place.prefix, now)

    def _measure(self, place: Located, site: SiteRecord) -> None:
        """Have a site measure, unless it is doing so already."""
        if site.node not in place.measuring:
            place.measuring.add(site.node)
            self._effects.append(Measure(site.node, site, place.prefix, place.address))

    def _measure_again(self, site: NodeId) -> None:
        """A site is back that was silent: what could not be measured meanwhile is measured now."""
        record = self.sites.get(site)
        for place in self.located.values():
            if record is not None and site in place.sightings and site not in place.rtt_ms:
                self._measure(place, record)

    def _measured(self, event: RttMeasured, now: float) -> None:
        place, site = self.located.get(event.prefix), event.site
        if place is None or (site not in place.sightings and site != self.here):
            return
        if event.rtt_ms is not None:
            self.absent.pop(site, None)  # a direct measurement decides
        if place.measured(site, event.rtt_ms, answered=event.answered):
            outcome = "no answer" if event.rtt_ms is None else f"{event.rtt_ms:.1f} ms"
            reason = event.reason or f"measured by {self._name(site)} itself"
            inputs = {"site": site, "rtt_ms": event.rtt_ms}
            self._note_all(event.prefix, "measure", outcome, reason, inputs, now)
        self._choose_for(event.prefix, now)

    # Choose

    def _choose_for(self, prefix: Prefix, now: float) -> None:
        for running in self.services.values():
            if prefix in running.users:
                self._choose_soon(running, now)

    def _choose_soon(self, running: Running, now: float) -> None:
        """Choose at once, or with very many users after a rest, together with what else is known by then."""
        if now >= running.rested_at:
            self._choose(running, now)
        elif running.choose_at is None:
            running.choose_at = running.rested_at

    def _choose(self, running: Running, now: float) -> None:
        running.choose_at, running.rested_at = None, now + len(running.users) * REST_PER_USER_S
        problem = self._problem(running, now)
        known = {choice.site for choice in running.placement.choices}
        placement = self._wanted(running, problem, now)
        all_serve = all(running.serves(choice.site) for choice in placement.choices)
        # While a site is still being asked, its users go where the service runs already.
        running.meanwhile = NOWHERE if all_serve else self._place(running, problem and serving_only(problem), now)
        running.placement = placement
        self._note_choices(running, known, problem, now)
        for site in running.superfluous():
            gathered = self.here if running.held else running.pinned
            by_hand = f"all users were moved to {self._name(gathered)} by hand" if gathered is not None else ""
            self._retire(running, site, by_hand or "other sites were chosen", now)
        for choice in placement.choices:
            self._agree(running, choice, now)
        self._redirect(running, now)

    def _problem(self, running: Running, now: float) -> Problem | None:
        if not running.spec.follow_users:
            return None
        usable: dict[NodeId, bool] = {}

        def may_use(site: NodeId) -> bool:
            if site not in usable:
                usable[site] = self._may_use(running, site, now)
            return usable[site]

        return problem_of(running, self.located, self.tree.path, self.sites, may_use, self.here, now)

    def _may_use(self, running: Running, site: NodeId, now: float) -> bool:
        record, copy = self.sites.get(site), running.copies.get(site)
        if record is None or site in self._avoided or running.refuses(site, now):
            return False
        if copy is not None and copy.state is State.SUSPECT:
            return False
        absence = self.absent.get(site) if copy is None else None
        reason = None
        if not running.serves(site):
            reason = f"{absence.state}: {absence.reason}" if absence is not None else why_excluded(record, running.spec)
        if reason is None:
            running.excluded.pop(site, None)
        elif running.excluded.get(site) != reason:
            running.excluded[site] = reason
            inputs = {"site": site, "region": record.region, "price_per_hour": record.price_per_hour}
            inputs |= {"provider": record.provider} if absence is None else {"since": absence.since}
            self._note(running, "choose", site, f"not at {self._name(site)}", reason, inputs, now)
        return reason is None

    def _wanted(self, running: Running, problem: Problem | None, now: float) -> Placement:
        """Where users are to be: what a person asked for goes before what is best."""
        pinned = running.pinned
        if running.held or pinned == self.here:
            return NOWHERE
        if pinned is not None:
            return Placement((Choice(pinned, "moved there by hand", 0.0),), dict.fromkeys(running.users, pinned))
        return self._place(running, problem, now)

    def _place(self, running: Running, problem: Problem | None, now: float) -> Placement:
        if problem is None:
            return NOWHERE
        try:
            return checked(self._placer(running.spec.placement).place(problem), problem)
        except Exception as error:  # noqa: BLE001 - a placer is a plug-in: however it fails, the service runs on
            reason = f"placer {running.spec.placement!r}: {error}"
            if reason != running.placer_failure:
                running.placer_failure = reason
                self._note(running, "choose", running.service, "all stay where they are", reason, {}, now)
            return running.placement

    def _note_choices(self, running: Running, known: set[NodeId], problem: Problem | None, now: float) -> None:
        for choice in running.placement.choices:
            if choice.site not in known:
                inputs = {"gain_ms": choice.gain_ms, "placer": running.spec.placement}
                self._note(running, "choose", choice.site, self._name(choice.site), choice.reason, inputs, now)
        if problem is None or running.pinned is not None or running.held:
            return
        for prefix in problem.demand:
            user, place = running.users[prefix], self.located[prefix]
            to = running.placement.assignment.get(prefix, self.here)
            if to == user.decided or (to == self.here and not place.settled(now)):
                continue
            user.decided = to
            reason = "no site is better by enough" if to == self.here else "best round trip among the chosen sites"
            if to != self.here and to not in place.rtt_ms:
                reason += ", as its record has it; a measurement will confirm or correct this"
            figures = {one.site: one.rtt_ms[prefix] for one in problem.candidates if prefix in one.rtt_ms}
            nearest = sorted({self.here: problem.origin_rtt_ms[prefix], **figures}.items(), key=lambda one: one[1])
            inputs = {"rtt_ms": {self._name(site): rtt_ms for site, rtt_ms in nearest[:FIGURES_NOTED]}}
            outcome = "stay here" if to == self.here else self._name(to)
            self._note(running, "choose", prefix, outcome, reason, inputs, now)

    # Agree

    def _agree(self, running: Running, choice: Choice, now: float) -> None:
        site, record = choice.site, self.sites.get(choice.site)
        if record is None or site in running.copies or running.is_customer(site) or running.refuses(site, now):
            return
        if len(running.copies) >= running.spec.budget.copies:
            return  # one is on its way out; its end brings us here again
        inputs = {"price_per_hour": record.price_per_hour, "api": str(record.api)}
        self._note(running, "agree", site, f"asking {self._name(site)}", choice.reason, inputs, now)
        switch = running.copies[site] = Switch(running.service, site, now)
        self._effects += switch.start()

    # Deploy

    def _copy_event(self, event: CopyEvent, now: float) -> None:
        running = self.services.get(event.service)
        switch = running.copies.get(event.site) if running is not None else None
        if running is None or switch is None or switch.request_id != event.request_id:
            self._came_late(event)
            return
        before = switch.state
        effects = switch.receive(event.event, now)
        self._hear(running, event.site, event.event, now)
        if switch.state is State.RETIRING and before is not State.RETIRING:  # the site gave notice
            running.refused(event.site, now)
            self._redirect(running, now)  # users first, then the lease
        self._effects += effects
        self._copy_changed(running, event.site, before, now)

    def _came_late(self, event: CopyEvent) -> None:
        """The copy was given up while an answer was on its way: end what it grants."""
        if isinstance(event.event, LeaseAnswered) and event.event.lease is not None:
            lease_id, reason = event.event.lease.lease_id, "no longer wanted when it was granted"
            self._effects.append(Release(event.service, event.site, event.request_id, lease_id, reason))
            self._effects.append(CopyEnded(event.service, event.site, reason, lease_id))

    def _hear(self, running: Running, site: NodeId, event: SwitchEvent, now: float) -> None:
        if not isinstance(event, PollAnswered):
            return
        for seen in event.observations:
            if seen.service != running.service:
                continue
            self._saw(running, seen, seen.site or site, now)
            self._sight_copy(seen.prefix, seen.site or site, now)
            if (seen.requests or seen.open_websockets) and self._rightly_at(running, seen.prefix, site, now):
                running.busy_at[site] = now
        if event.lease is not None:
            self._redirect(running, now)

    def _rightly_at(self, running: Running, prefix: Prefix, site: NodeId, now: float) -> bool:
        """Whether users seen at a copy are a use of it: no other site is better, or this one was not compared yet."""
        user, place = running.users[prefix], self.located.get(prefix)
        compared = place is not None and site in rtts_to(user, place, self.here, now)
        return not compared or running.belongs(prefix, site, self.here)

    def _sight_copy(self, prefix: Prefix, site: NodeId, now: float) -> None:
        """A copy serves users near whom no finder came upon it (yet, after a restart): its site can be chosen too."""
        place, record = self.located.get(prefix), self.sites.get(site)
        if place is not None and record is not None and site not in place.sightings:
            self._nominate(place, site, Sighting(record.api, Source.COPY, site), now)

    def _copy_changed(self, running: Running, site: NodeId, before: State, now: float) -> None:
        switch, name = running.copies[site], self._name(site)
        if switch.state is before:
            return
        if switch.state is State.SENDING:
            self._note(running, "deploy", site, "sending the code", f"{name} does not have it", {}, now)
        elif switch.state is State.SERVING:
            running.busy_at[site] = now
            running.refusals.pop(site, None)
            kind = "again" if before is State.SUSPECT else "cold" if switch.cold else "hot"
            inputs = {"kind": kind, "took_ms": round((now - switch.asked_at) * 1000, 1)}
            self._note(running, "deploy", site, "serving", f"{name} runs a copy ({kind})", inputs, now)
            if before is State.SUSPECT:
                self._measure_again(site)
        elif switch.state is State.SUSPECT:
            reason = f"{name} is not heard of" + (f": {switch.silence}" if switch.silence is not None else "")
            self._note(running, "redirect", site, "suspended", reason, {}, now)
        elif switch.state is State.ENDED:
            # What was given up here, or ran out while the two were cut off from each other, says nothing of the site.
            by_site = before not in (State.RETIRING, State.SUSPECT)
            self._copy_ended(running, site, switch, by_site=by_site, now=now)
        self._choose(running, now)

    def _copy_ended(self, running: Running, site: NodeId, switch: Switch, *, by_site: bool, now: float) -> None:
        for table in (running.copies, running.busy_at, running.requests_at):
            table.pop(site, None)
        reason = switch.end_reason or "ended"
        lease_id = switch.lease.lease_id if switch.lease is not None else None
        self._effects.append(CopyEnded(running.service, site, reason, lease_id))
        inputs: dict[str, Any] = {"lease": lease_id}
        if by_site:
            running.refused(site, now, unreached=switch.unreached)
            inputs["not_asked_before"] = running.refusals[site].until
        step, outcome = ("retire", "ended") if switch.lease is not None else ("agree", "refused")
        self._note(running, step, site, outcome, reason, inputs, now)

    # Redirect

    def _redirect(self, running: Running, now: float) -> None:
        sent_to: dict[Prefix, tuple[NodeId, Redirect]] = {}
        wanted, meanwhile = running.placement.assignment, running.meanwhile.assignment
        for prefix in sorted({*wanted, *meanwhile} & running.users.keys()):
            for site in (wanted.get(prefix), meanwhile.get(prefix)):
                way = running.way_to(site, now) if site is not None else None
                if site is not None and way is not None:
                    sent_to[prefix] = (site, Redirect(prefix, *way))
                    break
        redirects = tuple(redirect for _, redirect in sent_to.values())
        if redirects == running.redirects:
            return
        before = {one.prefix: one.url for one in running.redirects}
        running.redirects = redirects
        self._effects.append(SetRedirects(running.service, redirects))
        for prefix, (site, redirect) in sent_to.items():
            if before.pop(prefix, None) != redirect.url:
                self._note_redirect(running, site, redirect, now)
        for prefix in sorted(before.keys() & running.users.keys()):
            to = wanted.get(prefix)
            reason = "no site is better by enough" if to is None else f"{self._name(to)} cannot take users now"
            self._note(running, "redirect", prefix, "served here", reason, {"was": before[prefix]}, now)

    def _note_redirect(self, running: Running, site: NodeId, redirect: Redirect, now: float) -> None:
        prefix = redirect.prefix
        inputs: dict[str, Any] = {"site": site, "until": redirect.until}
        place = self.located.get(prefix)
        reason = f"{self._name(site)} serves and is nearer"
        if running.pinned is not None:
            reason = f"{self._name(site)} serves and was asked for by hand"
        if place is not None:
            user = running.users[prefix]
            here_ms, there_ms = origin_rtt_ms(user, place, self.here), rtts_to(user, place, self.here, now).get(site)
            inputs |= {"rtt_ms": there_ms, "rtt_here_ms": here_ms}
            if here_ms is not None and there_ms is not None:
                reason += f": {there_ms:.1f} ms instead of {here_ms:.1f} ms"
        self._note(running, "redirect", prefix, redirect.url, reason, inputs, now)

    # And round again: sites that appeared, users that left, copies that idle

    def _keep_house(self, now: float) -> None:
        since, self._kept_house_at = self._kept_house_at, now
        for running in list(self.services.values()):
            if self._forget_what_passed(running, since, now):
                self._choose(running, now)
            self._retire_idle(running, now)
        for whom in [one for one, asked in self._identifying.items() if now - asked.at > REDISCOVER_S]:
            del self._identifying[whom]
        self._look_again(now)

    def _forget_what_passed(self, running: Running, since: float, now: float) -> bool:
        """Users that left, refusals that are over, customers that fell silent; whether anything changed."""
        gone = running.forget_users(now)
        for prefix in gone:
            self._note(running, "observe", prefix, "users left", "not seen any more", {}, now)
            self._forget(prefix)
        silent = [node for node, one in running.customers.items() if now - one.heard_at > CUSTOMER_SILENT_S]
        for node in silent:
            del running.customers[node]
        over = any(since < refusal.until <= now for refusal in running.refusals.values())
        running.forget_refusals(now)
        return bool(gone or silent or over)

    def _forget(self, prefix: Prefix) -> None:
        """No longer look for sites near users nobody has any more."""
        if not any(prefix in running.users for running in self.services.values()):
            self.located.pop(prefix, None)
            self._settling.pop(prefix, None)
            self.tree.forget(prefix)

    def _look_again(self, now: float) -> None:
        stale = [place for place in self.located.values() if now - place.looked_at > place.look_again_s]
        for place in oldest(stale, LOOKED_AGAIN_AT_ONCE):
            place.look_anew(now)
            self._effects.append(Trace(place.prefix, place.address))
            for site in sorted(place.rtt_ms.keys() & self.sites.keys()):
                self._measure(place, self.sites[site])

    def _retire_idle(self, running: Running, now: float) -> None:
        """Give up copies to which nobody is to be sent, and whose users, if any, would be served better elsewhere."""
        kept = running.to_be_kept() | {running.pinned}
        for site, copy in list(running.copies.items()):
            idle_s = now - running.busy_at.get(site, now)
            if copy.state is State.SERVING and idle_s > IDLE_BEFORE_RETIRE_S and site not in kept:
                self._retire(running, site, f"no users for whom it is the best site, for {idle_s:.0f} s", now)

    def _retire(self, running: Running, site: NodeId, reason: str, now: float) -> None:
        copy = running.copies[site]
        if copy.state in (State.RETIRING, State.ENDED):
            return
        effects = copy.receive(RetireWanted(reason), now)
        self._note(running, "retire", site, f"giving up the copy at {self._name(site)}", reason, {}, now)
        self._redirect(running, now)  # users first, then the lease
        self._effects += effects

    # What people ask for

    def _move(self, event: MoveWanted, now: float) -> None:
        running = self.services.get(event.service)
        if running is None:
            return
        site = event.site
        refused = self._why_not_moved(running, site) if site not in (None, self.here) else None
        if site is not None and refused is not None:
            self._note(running, "choose", site, f"not moved to {self._name(site)}", refused, {"site": site}, now)
            return
        running.pinned = site
        if site is not None:
            running.refusals.pop(site, None)  # who asks by hand wants to know now
        outcome = "left to the loop" if site is None else f"all users to {self._name(site)}"
        self._note(running, "choose", site or self.here, outcome, "asked for by hand", {}, now)
        self._choose(running, now)

    def _why_not_moved(self, running: Running, site: NodeId | None) -> str | None:
        record = self.sites.get(site) if site is not None else None
        if record is None:
            return "it is not known here"
        if record.node in self._avoided:
            return "it is being drained by hand"
        return why_excluded(record, running.spec)

    def _avoid(self, event: SiteAvoided, now: float) -> None:
        site = event.site
        (self._avoided.add if event.avoid else self._avoided.discard)(site)
        for running in self.services.values():
            running.refusals.pop(site, None)
            outcome = f"no copies at {self._name(site)}" if event.avoid else f"copies at {self._name(site)} again"
            self._note(running, "choose", site, outcome, "asked for by hand", {"site": site}, now)
            if event.avoid and running.pinned == site:
                running.pinned = None
            if event.avoid and site in running.copies:
                self._retire(running, site, "drained by hand", now)
            self._choose(running, now)

    # Records

    def _name(self, site: NodeId) -> str:
        record = self.sites.get(site)
        return record.name if record is not None else "here" if site == self.here else short(site)

    def _note(
        self, running: Running, step: str, subject: str, outcome: str, reason: str, inputs: dict[str, Any], now: float
    ) -> None:
        decision = Decision(now, self.here, running.service, step, subject, outcome, reason, inputs)
        self._effects.append(Remember(decision))

    def _note_all(
        self, prefix: Prefix, step: str, outcome: str, reason: str, inputs: dict[str, Any], now: float
    ) -> None:
        for running in self.services.values():
            if prefix in running.users:
                self._note(running, step, prefix, outcome, reason, inputs, now)

    def _take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects
