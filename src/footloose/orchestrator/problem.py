"""What the loop knows, put as a question to a placer; and the placer's answer, checked."""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from footloose.core.errors import LocalError
from footloose.core.identity import NodeId
from footloose.model.app import Service
from footloose.model.network import Prefix, RouterId
from footloose.model.site import SiteRecord
from footloose.orchestrator.memory import Located, Running, User
from footloose.placement.interface import Candidate, Placement, Problem
from footloose.topology.estimate import estimate


def why_excluded(record: SiteRecord, spec: Service) -> str | None:
    """Why the owner would not have ``spec`` run at a site, or None if it may."""
    where, price = spec.where, spec.budget.price_per_hour
    if where.regions and record.region not in where.regions:
        return f"the app file does not allow region {record.region!r}"
    if record.provider in where.not_providers or (where.providers and record.provider not in where.providers):
        return "the app file does not allow its provider"
    if price is not None and record.price_per_hour > price:
        return f"its price of {record.price_per_hour:g} an hour is over the budget of {price:g}"
    if "wasm" not in record.runtimes:
        return "it does not run Wasm"
    return None


def origin_rtt_ms(user: User, located: Located, here: NodeId) -> float | None:
    """What users have, or would have, if served from here.

    Measured as other sites measure theirs, once it is, so that like is compared with like: two sites that each
    compared the kernel's figure with the other's probe could send a user back and forth for ever.
    """
    if here in located.rtt_ms:
        return located.rtt_ms[here]
    traced = located.route.rtt_ms if located.route is not None else None
    return min((one for one in (traced, user.rtt_at_ms.get(here)) if one is not None), default=None)


def rtts_to(user: User, located: Located, here: NodeId, now: float) -> dict[NodeId, float]:
    """Round trip from each site to one prefix: measured, or estimated where that is enough to act on (design rule 2).

    Empty until the prefix has settled, unless a record's own figure makes the choice clear-cut. Users who answer no
    site's probes are placed by estimates; where they have been served, by what the kernel there measured.
    """
    settled, present = located.settled(now), origin_rtt_ms(user, located, here)
    known = {site: rtt_ms for site, rtt_ms in located.rtt_ms.items() if site != here} if settled else {}
    if known or present is None:
        return known
    for site, sighting in located.sightings.items():
        if located.route is None or site in located.silent:
            continue
        guess = estimate(located.route, sighting, present)
        if guess is not None and (settled or guess.clear_cut):
            known[site] = located.rtt_ms.get(site, guess.rtt_ms)
    return known | {site: rtt_ms for site, rtt_ms in user.rtt_at_ms.items() if site in located.sightings}


def problem_of(
    running: Running,
    located: Mapping[Prefix, Located],
    path: Callable[[Prefix], tuple[RouterId, ...]],
    sites: Mapping[NodeId, SiteRecord],
    may_use: Callable[[NodeId], bool],
    here: NodeId,
    now: float,
) -> Problem | None:
    """The placement problem of one service, or None while there is nothing to choose from."""
    demand: dict[Prefix, float] = {}
    origin: dict[Prefix, float] = {}
    served_at: dict[Prefix, NodeId] = {}
    rtts: dict[NodeId, dict[Prefix, float]] = {}
    routers: dict[NodeId, RouterId | None] = {}
    for user, place in _placeable(running, located):
        present, known = origin_rtt_ms(user, place, here), rtts_to(user, place, here, now)
        if present is None or not known:
            continue
        demand[user.prefix], origin[user.prefix] = user.demand(now), present
        at = user.site if running.serves(user.site) else running.placement.assignment.get(user.prefix)
        if at is not None:
            served_at[user.prefix] = at
        for site, rtt_ms in known.items():
            rtts.setdefault(site, {})[user.prefix] = rtt_ms
            if routers.get(site) is None:
                routers[site] = place.sightings[site].router if site in place.sightings else None
    if not demand:
        return None
    return Problem(
        demand=demand,
        origin_rtt_ms=origin,
        candidates=tuple(
            Candidate(site, rtts[site], routers[site], sites[site].price_per_hour, running.serves(site))
            for site in sorted(rtts)
            if may_use(site)
        ),
        copies=running.spec.budget.copies,
        paths={prefix: path(prefix) for prefix in demand},
        served_at=served_at,
        slo_latency_ms=running.spec.slo.latency_ms,
    )


def _placeable(running: Running, located: Mapping[Prefix, Located]) -> Iterator[tuple[User, Located]]:
    for user in running.users.values():
        place = located.get(user.prefix)
        if place is not None and not place.tracing:
            yield user, place


def serving_only(problem: Problem) -> Problem:
    """The same question, with those sites alone to choose from that can take users at once."""
    serving = tuple(candidate for candidate in problem.candidates if candidate.running)
    return msgspec.structs.replace(problem, candidates=serving)


def checked(placement: Placement, problem: Problem) -> Placement:
    """``placement``, if it answers ``problem``. Raises :class:`LocalError` if it does not: placers are plug-ins."""
    chosen = [choice.site for choice in placement.choices]
    if not {candidate.site for candidate in problem.candidates} >= set(chosen):
        raise LocalError("it chose a site that was no candidate")
    if len(set(chosen)) != len(chosen) or len(chosen) > problem.copies:
        raise LocalError(f"it chose {len(chosen)} sites where at most {problem.copies}, each once, were wanted")
    if not set(chosen) >= set(placement.assignment.values()):
        raise LocalError("it sends users to a site it did not choose")
    if not problem.demand.keys() >= placement.assignment.keys():
        raise LocalError("it sends users nobody asked about")
    return placement
