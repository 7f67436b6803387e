"""What the loop knows, put as a question to a placer."""

from collections.abc import Iterator, Mapping

from footloose.core.identity import NodeId
from footloose.migration.switch import State
from footloose.model.app import Service
from footloose.model.network import Prefix, RouterId
from footloose.model.site import SiteRecord
from footloose.orchestrator.memory import Located, Running, User
from footloose.placement.interface import Candidate, Problem
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


def rtts_to(user: User, located: Located, here: NodeId, now: float) -> dict[NodeId, float]:
    """Round trip from each site to one prefix: measured, or estimated where that is enough to act on (design rule 2).

    Empty until the prefix has settled, unless a record's own figure makes the choice clear-cut. Users who answer no
    site's probes are placed by estimates; where they have been served, by what the kernel there measured.
    """
    settled, present = located.settled(now), origin_rtt_ms(user, located, here)
    known = dict(located.rtt_ms) if settled else {}
    if known or located.route is None or present is None:
        return known
    for site, sighting in located.sightings.items():
        guess = estimate(located.route, sighting, present)
        if guess is not None and (settled or guess.clear_cut):
            known[site] = located.rtt_ms.get(site, guess.rtt_ms)
        if site in user.rtt_at_ms:
            known[site] = user.rtt_at_ms[site]
    return known


def origin_rtt_ms(user: User, located: Located, here: NodeId) -> float | None:
    """What a user has, or would have, if served from here: as the kernel measured it, or else the last trace."""
    traced = located.route.rtt_ms if located.route is not None else None
    if user.site == here and user.rtt_ms is not None:
        return user.rtt_ms
    return traced if traced is not None else user.rtt_at_ms.get(here)


def problem_of(
    running: Running,
    located: Mapping[Prefix, Located],
    paths: Mapping[Prefix, tuple[RouterId, ...]],
    sites: Mapping[NodeId, SiteRecord],
    here: NodeId,
    now: float,
) -> Problem | None:
    """The placement problem of one service, or None while there is nothing to choose from."""
    demand: dict[Prefix, float] = {}
    origin: dict[Prefix, float] = {}
    rtts: dict[NodeId, dict[Prefix, float]] = {}
    for user, place in _placeable(running, located):
        present = origin_rtt_ms(user, place, here)
        known = rtts_to(user, place, here, now)
        if present is None or not known:
            continue
        demand[user.prefix] = user.demand(now)
        origin[user.prefix] = present
        for site, rtt_ms in known.items():
            rtts.setdefault(site, {})[user.prefix] = rtt_ms
    candidates = tuple(
        Candidate(
            site=site,
            rtt_ms=by_prefix,
            router=next((place.sightings[site].router for place in located.values() if site in place.sightings), None),
            price_per_hour=sites[site].price_per_hour,
            running=_is_running(running, site),
        )
        for site, by_prefix in sorted(rtts.items())
        if _eligible(running, sites.get(site), site, now)
    )
    if not demand:
        return None
    return Problem(
        demand=demand,
        origin_rtt_ms=origin,
        candidates=candidates,
        copies=running.spec.budget.copies,
        paths={prefix: paths[prefix] for prefix in demand if prefix in paths},
        served_at={user.prefix: user.site for user in running.users.values() if user.site != here},
        slo_latency_ms=running.spec.slo.latency_ms,
    )


def _placeable(running: Running, located: Mapping[Prefix, Located]) -> Iterator[tuple[User, Located]]:
    for user in running.users.values():
        place = located.get(user.prefix)
        if place is not None and not place.tracing:
            yield user, place


def _is_running(running: Running, site: NodeId) -> bool:
    copy = running.copies.get(site)
    at_parent = running.parent is not None and running.parent.node == site
    return at_parent or (copy is not None and copy.state is State.SERVING)


def _eligible(running: Running, record: SiteRecord | None, site: NodeId, now: float) -> bool:
    copy = running.copies.get(site)
    if copy is not None and copy.state in (State.SUSPECT, State.RETIRING):
        return False  # nobody is sent there now: the next best may have to do
    if record is None or running.refused_until.get(site, 0.0) > now:
        return False
    return _is_running(running, site) or why_excluded(record, running.spec) is None
