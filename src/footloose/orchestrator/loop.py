"""The loop that runs at every site, for every service, for the users it sees there:

observe users → locate (trace the path) → discover sites on the path → measure → choose → agree → deploy → redirect

A sans-IO machine (:class:`footloose.core.machine.Machine`): events in, effects out, no clock and no socket. The methods
stand in the order of the figure. Every step records what it did, why, and from which figures.
"""

from collections.abc import Callable, Iterable
from typing import Any

from footloose.core.identity import NodeId, short
from footloose.core.limits import (
    IDLE_BEFORE_RETIRE_S,
    REDISCOVER_S,
    REFUSAL_MEMORY_S,
    SETTLE_S,
    SITES_KNOWN,
)
from footloose.migration.switch import (
    LeaseAnswered,
    PollAnswered,
    RetireWanted,
    State,
    Switch,
    SwitchEvent,
)
from footloose.model.app import ServiceId
from footloose.model.decision import Decision
from footloose.model.network import Observation, Prefix
from footloose.model.routing import Redirect
from footloose.model.site import Endpoint, Sighting, SiteRecord
from footloose.orchestrator.memory import Located, Running
from footloose.orchestrator.messages import (
    CopyEnded,
    CopyEvent,
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
    SiteSighted,
    Trace,
    UsersObserved,
)
from footloose.orchestrator.problem import origin_rtt_ms, problem_of, rtts_to, why_excluded
from footloose.placement.interface import Choice, Placement, Placer
from footloose.topology.tree import RouteTree

HOUSEKEEPING_S = 1.0
"""How often the loop looks for users that left and copies that idle."""

LOOKED_AGAIN_AT_ONCE = 20
"""Prefixes traced and measured again per housekeeping: bounds what watching many users costs."""


class Loop:
    """All services of one site. ``placer`` finds a placement algorithm by name."""

    def __init__(self, here: NodeId, placer: Callable[[str], Placer], now: float) -> None:
        self.here = here
        self.tree = RouteTree(here)
        self.services: dict[ServiceId, Running] = {}
        self.sites: dict[NodeId, SiteRecord] = {}
        self.located: dict[Prefix, Located] = {}
        self._placer = placer
        self._node_at: dict[Endpoint, NodeId] = {}
        self._identifying: dict[tuple[Endpoint, NodeId | None], list[SiteSighted]] = {}
        self._avoided: set[NodeId] = set()
        self._housekeeping_at = now + HOUSEKEEPING_S
        self._effects: list[Effect] = []

    def receive(self, event: Event, now: float) -> list[Effect]:
        """Take one event; return the effects to carry out, in order."""
        match event:
            case ServiceStarted():
                self._start(event, now)
            case ServiceStopped():
                self._stop(event, now)
            case UsersObserved():
                self._observe(event.observations, self.here, now)
            case RouteTraced():
                self._located(event, now)
            case SiteSighted():
                self._sighted(event, now)
            case DiscoveryFinished():
                self._discovered(event, now)
            case SiteIdentified():
                self._identified(event, now)
            case RttMeasured():
                self._measured(event, now)
            case CopyEvent():
                self._copy_event(event, now)
            case MoveWanted():
                self._move(event, now)
            case SiteAvoided():
                self._avoid(event, now)
        return self._take_effects()

    def wake(self, now: float) -> list[Effect]:
        """Do what has fallen due."""
        for running in list(self.services.values()):
            for site, copy in list(running.copies.items()):
                if (due := copy.next_deadline()) is not None and due <= now:
                    before = copy.state
                    self._effects += copy.wake(now)
                    self._copy_changed(running, site, before, now)
        for place in [one for one in self.located.values() if one.settle_at is not None and one.settle_at <= now]:
            place.settled(now)
            place.settle_at = None
            self._choose_for(place.prefix, now)
        if now >= self._housekeeping_at:
            self._housekeeping_at = now + HOUSEKEEPING_S
            self._look_again(now)
            self._retire_idle(now)
        return self._take_effects()

    def next_deadline(self) -> float | None:
        """When :meth:`wake` wants to be called next."""
        due = [one.settle_at for one in self.located.values() if one.settle_at is not None]
        for running in self.services.values():
            due += [at for copy in running.copies.values() if (at := copy.next_deadline()) is not None]
        if self.services:
            due.append(self._housekeeping_at)
        return min(due, default=None)

    # Start and stop of services at this site

    def _start(self, event: ServiceStarted, now: float) -> None:
        known = self.services.get(event.service)
        if known is not None and known.spec == event.spec:
            known.app, known.parent = event.app, event.parent  # goes on for another customer
            self._choose(known, now)
            return
        running = Running(event.service, event.spec, event.app, event.parent)
        self.services[event.service] = running
        for lease in event.leases:
            running.copies[lease.provider_node] = Switch.resumed(event.service, lease, now)

    def _stop(self, event: ServiceStopped, now: float) -> None:
        running = self.services.get(event.service)
        if running is None:
            return
        for site in list(running.copies):
            self._retire(running, site, event.reason, now)
            self._effects.append(CopyEnded(running.service, site, event.reason))
        del self.services[event.service]

    # Observe users

    def _observe(self, observations: Iterable[Observation], reporter: NodeId, now: float) -> None:
        touched: dict[ServiceId, Running] = {}
        for seen in observations:
            running = self.services.get(ServiceId(seen.service))
            if running is None:
                continue
            site = seen.site or reporter
            new = seen.prefix not in running.users
            running.user(seen, site, now).see(seen, site, now)
            if site in (self.here, reporter):
                running.requests_at[site] = running.requests_at.get(site, 0) + seen.requests
            if new:
                inputs = {"address": seen.address, "rtt_ms": seen.rtt_ms, "at": site}
                self._note(running.service, "observe", seen.prefix, "new users", "first seen", inputs, now)
            if reporter != self.here:
                continue
            if running.spec.follow_users:
                self._locate(seen)
            if new or (running.pinned is not None and seen.prefix not in running.placement.assignment):
                touched[running.service] = running
        for running in touched.values():
            self._choose(running, now)

    # Locate: trace the path

    def _locate(self, seen: Observation) -> None:
        place = self.located.get(seen.prefix)
        if place is None:
            self.located[seen.prefix] = Located(seen.prefix, seen.address)
            self._effects.append(Trace(seen.prefix, seen.address))
        else:
            place.address = seen.address

    def _located(self, event: RouteTraced, now: float) -> None:
        place = self.located.get(event.prefix)
        if place is None:
            return
        place.tracing = False
        if event.route is None:
            self._note_all(event.prefix, "trace", "no route", event.reason, {}, now)
            return
        known, place.route = place.route, event.route
        self.tree.update(event.prefix, event.route, now)
        hops = [hop.address for hop in event.route.hops]
        answered = sum(hop is not None for hop in hops)
        reason = f"{answered} of {len(hops)} routers answered"
        inputs: dict[str, Any] = {"hops": hops, "rtt_ms": event.route.rtt_ms}
        if known is None or [hop.router for hop in known.hops] != [hop.router for hop in event.route.hops]:
            self._note_all(event.prefix, "trace", "route traced", reason, inputs, now)
        self._discover(place)

    # Discover sites on the path

    def _discover(self, place: Located) -> None:
        if place.route is not None and not place.discovering:
            place.discovering = True
            self._effects.append(Discover(place.prefix, place.route))

    def _sighted(self, event: SiteSighted, now: float) -> None:
        sighting = event.sighting
        place = self.located.get(event.prefix)
        if place is None or sighting.node == self.here:
            return
        node = self._known_at(sighting, now)
        if node is not None:
            self._nominate(place, node, sighting, now)
            return
        # A claim to be at an address is unproven, and must not hide who else may be there.
        claim = (sighting.api, sighting.node)
        waiting = self._identifying.setdefault(claim, [])
        if not waiting:
            self._effects.append(Identify(*claim))
        waiting.append(event)
        place.identifying.add(claim)

    def _known_at(self, sighting: Sighting, now: float) -> NodeId | None:
        """Who is sighted, if its record is known, good still, and was shown at that address."""
        node = self._node_at.get(sighting.api)
        if node is None or sighting.node not in (None, node):
            return None
        record = self.sites.get(node)
        return node if record is not None and record.expires_at > now else None

    def knows(self, endpoint: Endpoint, now: float) -> bool:
        """Whether the site at ``endpoint`` has shown a record that is good still."""
        record = self.sites.get(self._node_at[endpoint]) if endpoint in self._node_at else None
        return record is not None and record.expires_at > now

    def _identified(self, event: SiteIdentified, now: float) -> None:
        claim = (event.endpoint, event.claimed)
        waiting = self._identifying.pop(claim, [])
        for sighted in waiting:
            if (place := self.located.get(sighted.prefix)) is not None:
                place.identifying.discard(claim)
        record = event.record
        if record is None:
            for sighted in waiting:
                subject = f"{event.endpoint} ({sighted.sighting.source.value})"
                self._note_all(sighted.prefix, "discover", "no such site", event.reason, {"at": subject}, now)
                self._choose_for(sighted.prefix, now)
            return
        if record.node == self.here:
            return
        self._meet(event.endpoint, record)
        for sighted in waiting:
            if (place := self.located.get(sighted.prefix)) is not None:
                self._nominate(place, record.node, sighted.sighting, now)

    def _meet(self, endpoint: Endpoint, record: SiteRecord) -> None:
        """Remember a site, at the cost of the one met longest ago that is of no use now."""
        self._node_at.pop(endpoint, None)
        self._node_at[endpoint] = record.node
        self.sites[record.node] = record
        if len(self.sites) > SITES_KNOWN:
            used = {site for running in self.services.values() for site in running.copies}
            used |= {site for place in self.located.values() for site in place.sightings}
            unused = next((site for site in self.sites if site not in used), record.node)
            del self.sites[unused]
        if len(self._node_at) > 2 * SITES_KNOWN:
            del self._node_at[next(iter(self._node_at))]

    def _discovered(self, event: DiscoveryFinished, now: float) -> None:
        place = self.located.get(event.prefix)
        if place is None:
            return
        first = place.discovered_at is None
        place.discovering = False
        place.discovered_at = now
        if first:
            place.settle_at = now + SETTLE_S
            found = len(place.sightings) + len(place.identifying)
            reason = "; ".join(event.failures) or "all finders answered"
            self._note_all(event.prefix, "discover", f"{found} sites near the path", reason, {}, now)
        self._choose_for(event.prefix, now)

    # Measure: what was found proposes, a direct measurement decides

    def _nominate(self, place: Located, node: NodeId, sighting: Sighting, now: float) -> None:
        known = place.sightings.get(node)
        if known is None:
            reason = f"found by {sighting.source.value}" + (f" at router {sighting.router}" if sighting.router else "")
            inputs = {"site": node, "found_by": sighting.source.value, "rtt_to_router_ms": sighting.rtt_ms}
            self._note_all(place.prefix, "discover", self._name(node), reason, inputs, now)
        if known is None or (known.rtt_ms is None and sighting.rtt_ms is not None):
            place.sightings[node] = sighting
        if node not in place.measuring and node not in place.rtt_ms:
            place.measuring.add(node)
            self._effects.append(Measure(self.sites[node], place.prefix, place.address))
            self._choose_for(place.prefix, now)

    def _measure_again(self, site: NodeId) -> None:
        """A site is back that was silent: what could not be measured meanwhile is measured now."""
        if (record := self.sites.get(site)) is None:
            return
        for place in self.located.values():
            if site in place.sightings and site not in place.rtt_ms and site not in place.measuring:
                place.measuring.add(site)
                self._effects.append(Measure(record, place.prefix, place.address))

    def _measured(self, event: RttMeasured, now: float) -> None:
        place = self.located.get(event.prefix)
        if place is None:
            return
        place.measuring.discard(event.site)
        first = event.site not in place.rtt_ms
        outcome = "no answer" if event.rtt_ms is None else f"{event.rtt_ms:.1f} ms"
        reason = event.reason or f"measured by {self._name(event.site)} itself"
        if first:
            inputs = {"site": event.site, "rtt_ms": event.rtt_ms}
            self._note_all(event.prefix, "measure", outcome, reason, inputs, now)
        if event.rtt_ms is None:
            place.rtt_ms.pop(event.site, None)
        else:
            place.rtt_ms[event.site] = event.rtt_ms
        self._choose_for(event.prefix, now)

    # Choose

    def _choose_for(self, prefix: Prefix, now: float) -> None:
        for running in self.services.values():
            if prefix in running.users:
                self._choose(running, now)

    def _choose(self, running: Running, now: float) -> None:
        placement = self._placement(running, now)
        if placement is None:
            return
        before = running.placement
        running.placement = placement
        self._note_choices(running, before, now)
        for choice in placement.choices:
            self._agree(running, choice, now)
        self._redirect(running, now)
        self._gather(running, now)

    def _placement(self, running: Running, now: float) -> Placement | None:
        """Where users should be served, None while that cannot be said."""
        if running.pinned is not None:
            return self._pinned_placement(running, running.pinned)
        if not running.spec.follow_users:
            return Placement((), {})
        paths = {prefix: self.tree.path(prefix) for prefix in running.users if prefix in self.located}
        problem = problem_of(running, self.located, paths, self._usable_sites(), self.here, now)
        if problem is None:
            return None
        try:
            return self._placer(running.spec.placement).place(problem)
        except Exception as error:  # noqa: BLE001 - a placer is a plug-in: however it fails, the service runs on
            reason = f"placer {running.spec.placement!r}: {error}"
            if reason != running.placer_failure:
                running.placer_failure = reason
                self._note(running.service, "choose", "", "all stay where they are", reason, {}, now)
            return None

    def _usable_sites(self) -> dict[NodeId, SiteRecord]:
        return {node: record for node, record in self.sites.items() if node not in self._avoided}

    def _pinned_placement(self, running: Running, site: NodeId) -> Placement:
        if site == self.here:
            return Placement((), {})
        choice = Choice(site, "moved there by hand", 0.0)
        return Placement((choice,), dict.fromkeys(running.users, site))

    def _note_choices(self, running: Running, before: Placement, now: float) -> None:
        known = {choice.site for choice in before.choices}
        for choice in running.placement.choices:
            if choice.site not in known:
                inputs = {"gain_ms": choice.gain_ms, "placer": running.spec.placement}
                self._note(running.service, "choose", choice.site, self._name(choice.site), choice.reason, inputs, now)
        for prefix in running.users:
            place = self.located.get(prefix)
            to, was = running.placement.assignment.get(prefix), before.assignment.get(prefix)
            if place is None or not place.settled(now) or to == was:
                continue
            figures = {
                self._name(site): rtt_ms for site, rtt_ms in sorted(place.rtt_ms.items(), key=lambda one: one[1])
            }
            outcome = "stay here" if to is None else self._name(to)
            reason = "no site is better by enough" if to is None else "best round trip among the chosen sites"
            self._note(running.service, "choose", prefix, outcome, reason, {"rtt_ms": figures}, now)

    # Agree

    def _agree(self, running: Running, choice: Choice, now: float) -> None:
        site = choice.site
        at_parent = running.parent is not None and running.parent.node == site
        if site in running.copies or at_parent or running.refused_until.get(site, 0.0) > now:
            return
        record = self.sites[site]
        inputs = {"price_per_hour": record.price_per_hour, "api": str(record.api)}
        self._note(running.service, "agree", site, f"asking {self._name(site)}", choice.reason, inputs, now)
        switch = running.copies[site] = Switch(running.service, site, now)
        self._effects += switch.start()

    # Deploy

    def _copy_event(self, event: CopyEvent, now: float) -> None:
        running = self.services.get(event.service)
        switch = running.copies.get(event.site) if running is not None else None
        if running is None or switch is None:
            # The service stopped, or the copy was given up, while the answer was on its way: end what was granted.
            late = Switch(event.service, event.site, now)
            late.receive(RetireWanted("the service no longer runs where it was leased from"), now)
            self._effects += late.receive(event.event, now) if isinstance(event.event, LeaseAnswered) else []
            return
        before = switch.state
        effects = switch.receive(event.event, now)
        self._hear(running, event.site, event.event, now)
        if switch.state is State.RETIRING and before is not State.RETIRING:
            self._redirect(running, now)  # users first, then the lease
        self._effects += effects
        self._copy_changed(running, event.site, before, now)

    def _hear(self, running: Running, site: NodeId, event: SwitchEvent, now: float) -> None:
        if isinstance(event, PollAnswered):
            self._observe(event.observations, site, now)
            if any(seen.requests or seen.open_websockets for seen in event.observations):
                running.busy_at[site] = now
            if event.lease is not None:
                self._redirect(running, now)

    def _copy_changed(self, running: Running, site: NodeId, before: State, now: float) -> None:
        switch, name = running.copies[site], self._name(site)
        if switch.state is before:
            return
        if switch.state is State.SENDING:
            self._note(running.service, "deploy", site, "sending the code", f"{name} does not have it", {}, now)
        elif switch.state is State.SERVING:
            running.busy_at[site] = now
            kind = "again" if before is State.SUSPECT else "cold" if switch.cold else "hot"
            inputs = {"kind": kind, "took_ms": round((now - switch.asked_at) * 1000, 1)}
            self._note(running.service, "deploy", site, "serving", f"{name} runs a copy ({kind})", inputs, now)
            if before is State.SUSPECT:
                self._measure_again(site)
        elif switch.state is State.SUSPECT:
            self._note(running.service, "redirect", site, "suspended", f"{name} is not heard of", {}, now)
        elif switch.state is State.ENDED:
            reason = switch.end_reason or "ended"
            del running.copies[site]
            self._effects.append(CopyEnded(running.service, site, reason))
            if before is not State.RETIRING:
                running.refused_until[site] = now + REFUSAL_MEMORY_S
            self._note(running.service, "retire" if switch.lease else "agree", site, "ended", reason, {}, now)
        self._choose(running, now)
        self._redirect(running, now)

    # Redirect

    def _redirect(self, running: Running, now: float) -> None:
        redirects = []
        for prefix, site in sorted(running.placement.assignment.items()):
            if running.parent is not None and running.parent.node == site:
                until = (now // REDISCOVER_S + 2) * REDISCOVER_S  # in steps, or every look would change the table
                redirects.append(Redirect(prefix, running.parent.url, until))
                continue
            copy = running.copies.get(site)
            if copy is not None and copy.lease is not None and copy.usable_until is not None:
                redirects.append(Redirect(prefix, copy.lease.url, copy.usable_until))
        before = {one.prefix: one.url for one in running.redirects}
        if tuple(redirects) == running.redirects:
            return
        running.redirects = tuple(redirects)
        self._effects.append(SetRedirects(running.service, running.redirects))
        for one in redirects:
            if before.get(one.prefix) != one.url:
                self._note_redirect(running, one, now)

    def _note_redirect(self, running: Running, redirect: Redirect, now: float) -> None:
        site, prefix = running.placement.assignment[redirect.prefix], redirect.prefix
        inputs: dict[str, Any] = {"site": site, "until": redirect.until}
        user, place = running.users.get(prefix), self.located.get(prefix)
        reason = f"{self._name(site)} serves and is nearer"
        if user is not None and place is not None:
            here_ms = origin_rtt_ms(user, place, self.here)
            there_ms = rtts_to(user, place, self.here, now).get(site)
            inputs |= {"rtt_ms": there_ms, "rtt_here_ms": here_ms}
            if here_ms is not None and there_ms is not None:
                reason += f": {there_ms:.1f} ms instead of {here_ms:.1f} ms"
        self._note(running.service, "redirect", prefix, redirect.url, reason, inputs, now)

    # And round again: sites that appeared, users that left, copies that idle

    def _look_again(self, now: float) -> None:
        for running in self.services.values():
            if running.pinned is not None:
                self._choose(running, now)
            for prefix in running.forget_users(now):
                self._note(running.service, "observe", prefix, "users left", "not seen any more", {}, now)
        wanted = {prefix for running in self.services.values() for prefix in running.users}
        for prefix in [one for one in self.located if one not in wanted]:
            del self.located[prefix]
            self.tree.forget(prefix)
        stale = [
            one for one in self.located.values() if one.discovered_at and now - one.discovered_at > one.look_again_s
        ]
        for place in sorted(stale, key=lambda one: one.discovered_at or 0.0)[:LOOKED_AGAIN_AT_ONCE]:
            place.discovered_at = now
            place.look_again_s = min(2 * place.look_again_s, REDISCOVER_S)
            self._effects.append(Trace(place.prefix, place.address))
            for site in sorted(place.rtt_ms.keys() & self.sites.keys()):
                self._effects.append(Measure(self.sites[site], place.prefix, place.address))

    def _retire_idle(self, now: float) -> None:
        for running in self.services.values():
            for site, copy in list(running.copies.items()):
                idle_s = now - running.busy_at.get(site, now)
                if copy.state is State.SERVING and idle_s > IDLE_BEFORE_RETIRE_S and running.pinned != site:
                    self._retire(running, site, f"no users for {idle_s:.0f} s", now)

    def _retire(self, running: Running, site: NodeId, reason: str, now: float) -> None:
        copy = running.copies[site]
        if copy.state in (State.RETIRING, State.ENDED):
            return
        effects = copy.receive(RetireWanted(reason), now)
        self._note(running.service, "retire", site, f"giving up the copy at {self._name(site)}", reason, {}, now)
        self._redirect(running, now)  # users first, then the lease
        self._effects += effects

    # What people ask for

    def _move(self, event: MoveWanted, now: float) -> None:
        running = self.services.get(event.service)
        if running is None or (event.site not in self.sites and event.site not in (None, self.here)):
            return
        running.pinned = event.site
        outcome = "left to the loop" if event.site is None else f"all users to {self._name(event.site)}"
        self._note(running.service, "choose", event.site or "", outcome, "asked for by hand", {}, now)
        self._choose(running, now)

    def _gather(self, running: Running, now: float) -> None:
        """Give up all other copies once the one asked for by hand serves: nothing else fetches their users back."""
        target = running.pinned
        there = running.copies.get(target) if target is not None else None
        if target is None or not (target == self.here or (there is not None and there.state is State.SERVING)):
            return
        for site in [one for one in running.copies if one != target]:
            self._retire(running, site, f"all users were moved to {self._name(target)} by hand", now)

    def _avoid(self, event: SiteAvoided, now: float) -> None:
        site = event.site
        (self._avoided.add if event.avoid else self._avoided.discard)(site)
        for running in self.services.values():
            if event.avoid and running.pinned == site:
                running.pinned = None
            if event.avoid and site in running.copies:
                self._retire(running, site, "drained by hand", now)
            running.refused_until.pop(site, None)
            self._choose(running, now)

    # Records

    def _name(self, site: NodeId) -> str:
        record = self.sites.get(site)
        return record.name if record is not None else "here" if site == self.here else short(site)

    def _note(
        self, service: ServiceId, step: str, subject: str, outcome: str, reason: str, inputs: dict[str, Any], now: float
    ) -> None:
        decision = Decision(now, self.here, service, step, subject, outcome, reason, inputs)
        self._effects.append(Remember(decision))

    def _note_all(
        self, prefix: Prefix, step: str, outcome: str, reason: str, inputs: dict[str, Any], now: float
    ) -> None:
        for running in self.services.values():
            if prefix in running.users:
                self._note(running.service, step, prefix, outcome, reason, inputs, now)

    def _take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects


def excluded_sites(loop: Loop, service: ServiceId) -> dict[NodeId, str]:
    """Sites the loop knows but may not use for a service, with the reason."""
    spec = loop.services[service].spec
    reasons = ((node, why_excluded(record, spec)) for node, record in loop.sites.items())
    return {node: reason for node, reason in reasons if reason is not None}
