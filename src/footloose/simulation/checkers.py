"""What must hold during every run, whatever befalls the sites: each property by name, with its reason.

A checker looks at the whole world once in a while, and once more at the end. Nothing a checker knows comes from the
sites' own opinion of each other: it sees all machines at once, and the true distances.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from footloose.core.limits import (
    CLOCK_SKEW_S,
    DHT_RECORDS,
    LEASES_PER_SITE,
    MEMBERS_LIVE,
    PREFIXES_PER_SERVICE,
    SITES_PER_PREFIX,
)
from footloose.membership.states import MemberState
from footloose.model.app import ServiceId
from footloose.simulation.outcome import Violation
from footloose.simulation.users import Served, User
from footloose.simulation.world import SimSite, World
from footloose.state.leases import Side

RECOVERY_S = 2.0
"""How soon after its process started a site must serve all it had agreed to run."""
LET_GO_S = 2.0
"""How long a worker may go on with a copy that has ended: as long as it takes to be told."""
CALM_S = 30.0
"""How long after the last fault users may still have no answer."""
ARRIVED_S = 30.0
"""How long users who just came to another place may be on their way to the best site for them."""
CHOSEN_INSTEAD = "other sites were chosen"
"""Why a copy may end that serves users: its owner pays for so few that others do more good."""
NEAR_ENOUGH_MS = 2.5
"""How much farther than the nearest site a user may stay: the hysteresis of placement, and what is not exact."""
TASKS_MOST = 200
"""Tasks one node may have at the end of a calm time, whatever it did before."""


class Checker(Protocol):
    """One property. ``name`` is what violations are told apart by."""

    @property
    def name(self) -> str: ...

    def look(self, world: World) -> Iterator[Violation]:
        """What is wrong now."""
        ...

    def finish(self, world: World) -> Iterator[Violation]:
        """What is wrong at the end, when all faults are over for long."""
        ...


class _Checker:
    name = ""

    def look(self, world: World) -> Iterator[Violation]:  # noqa: ARG002  the interface
        yield from ()

    def finish(self, world: World) -> Iterator[Violation]:  # noqa: ARG002  the interface
        yield from ()

    def _wrong(self, world: World, about: str, what: str, reason: str) -> Violation:
        return Violation(world.engine.now, self.name, about, what, reason)


class Leased(_Checker):
    """What runs at a site that is not its home has a lease that the site itself would compute as valid, or in grace."""

    name = "what runs has a lease"

    def __init__(self) -> None:
        self._without: dict[tuple[str, ServiceId], float] = {}
        """Since when a site has served something without a lease: its worker hears of the end a little later."""

    def look(self, world: World) -> Iterator[Violation]:
        """Every copy that is served."""
        before, self._without = self._without, {}
        for site in world.sites.values():
            life = site.life
            if life is None or life.site is None or not life.up:
                continue
            now, homes = life.memory.clock.now(), world.homes(site)
            valid = {
                held.lease.service
                for held in life.site.host.leases_held()
                if now <= held.lease.ends_at + held.lease.grace_s + RECOVERY_S
            }
            for service in sorted(site.serving - homes - valid):
                since_s = before.get((site.name, service), world.engine.now)
                self._without[site.name, service] = since_s
                if world.engine.now - since_s > LET_GO_S and not (life.node.paused or life.worker.paused):
                    about = f"{service} at {site.name}"
                    yield self._wrong(world, about, "it is served without a lease", f"of {sorted(valid)}")


class Healthy(_Checker):
    """No copy is stopped that serves users to whom it is the nearest."""

    name = "no healthy instance is stopped"

    def __init__(self) -> None:
        self._served: dict[str, tuple[object, frozenset[ServiceId]]] = {}

    def look(self, world: World) -> Iterator[Violation]:
        """Compare what each process serves with what it served before; a process that ended stopped nothing itself."""
        for site in world.sites.values():
            before = self._served.get(site.name)
            now = site.serving
            self._served[site.name] = (site.life, now)
            if before is None or before[0] is not site.life or site.life is None:
                continue
            for service in sorted(before[1] - now):
                users = [user for user in world.users if self._needs(world, user, site, service)]
                ending = _ending(site, service)
                if users and not (CHOSEN_INSTEAD in ending and world.copies_are_few(service)):
                    reason = f"{ending}; it served {', '.join(user.name for user in users)}"
                    yield self._wrong(world, f"{service} at {site.name}", "it was stopped", reason)

    def _needs(self, world: World, user: User, site: SimSite, service: ServiceId) -> bool:
        served = _served_lately(world, user)
        if not user.active or user.service != service or served is None or served.address != site.machine.address:
            return False
        return world.nearest_ms(user) + 1 > world.rtt_ms(user.address, site.machine.address)


class Recovers(_Checker):
    """A site that starts serves all it had agreed to run within a bound, with or without a network."""

    name = "a site that starts runs what it agreed to"

    def __init__(self) -> None:
        self._seen: set[tuple[str, float]] = set()

    def look(self, world: World) -> Iterator[Violation]:
        """Each start once, when the bound is over."""
        for site in world.sites.values():
            life = site.life
            if life is None or world.engine.now < life.began_s + RECOVERY_S + life.stood_still_s or life.node.paused:
                continue
            start = (site.name, life.began_s)
            if start in self._seen:
                continue
            self._seen.add(start)
            missing = site.assignments - site.serving - _ended(site)
            if life.failed or missing:
                what = f"not served {RECOVERY_S:g} s after the start: {', '.join(sorted(missing)) or 'anything'}"
                yield self._wrong(world, site.name, what, life.failed or "each was agreed before it went down")


class Answered(_Checker):
    """Users are sent in no circle and to no place that knows nothing; in calm times they get answers."""

    name = "users are answered"

    def __init__(self) -> None:
        self._seen = 0
        self._faulty_s = 0.0

    def look(self, world: World) -> Iterator[Violation]:
        """Each request that failed since the last look."""
        if world.faulty:
            self._faulty_s = world.engine.now
        for user, trouble in world.troubles[self._seen :]:
            last = world.site_at(trouble.way[-1])
            way = " → ".join(site.name if (site := world.site_at(one)) else one for one in trouble.way)
            if trouble.why == "too many redirects":
                yield self._wrong(world, user.name, "it was sent in a circle", way)
            elif trouble.why == "status 404" and len(trouble.way) > 1 and last is not None:
                yield self._wrong(world, user.name, f"it was sent to {last.name}, which knows nothing of it", way)
            elif trouble.at_s > self._faulty_s + CALM_S:
                yield self._wrong(world, user.name, f"no answer in a calm time: {trouble.why}", way)
        self._seen = len(world.troubles)


class Sound(_Checker):
    """No error goes uncaught, no node fails to start, tables stay within their limits."""

    name = "nothing fails or overflows"

    def look(self, world: World) -> Iterator[Violation]:
        """Every process and its tables."""
        for site in world.sites.values():
            life = site.life
            if life is None:
                continue
            for fault in (*life.node.faults, *life.worker.faults):
                yield self._wrong(world, site.name, "an error nobody caught", fault)
            if life.failed:
                yield self._wrong(world, site.name, "it does not come up", life.failed)
            if life.memory.loss is not None:
                yield self._wrong(world, site.name, "what it had promised is lost", life.memory.loss)
            if life.site is not None:
                for table, size, most in _tables(site):
                    if size > most:
                        yield self._wrong(world, site.name, f"{table} has {size} entries", f"its limit is {most}")


class Idle(_Checker):
    """Nothing leaks: in calm times few tasks and no requests are left over."""

    name = "nothing leaks"

    def finish(self, world: World) -> Iterator[Violation]:
        """Tasks of each node, requests under way."""
        for site in world.sites.values():
            unfinished = site.life.node.unfinished if site.life is not None else []
            if len(unfinished) > TASKS_MOST:
                yield self._wrong(world, site.name, f"{len(unfinished)} tasks", ", ".join(unfinished[:10]))
        most = 20 * (len(world.sites) + len(world.users))
        if world.internet.unanswered > most:
            yield self._wrong(
                world, "", f"{world.internet.unanswered} requests under way", f"at most {most} make sense"
            )


class Converged(_Checker):
    """When all faults are over, every node of the DHT knows the others whose clocks are not too far from its own."""

    name = "the DHT converges"

    def finish(self, world: World) -> Iterator[Violation]:
        """While there are so few that each knows all."""
        up = [site for site in world.sites.values() if site.life is not None and site.life.dht is not None]
        if len(up) > 20:
            return
        for site in up:
            assert site.life is not None and site.life.dht is not None  # noqa: S101  seen above
            known = {contact.host for contact in site.life.dht.contacts()}
            missing = [
                other.name
                for other in up
                if other is not site and other.machine.address not in known and _agree_on_time(site, other)
            ]
            if missing:
                yield self._wrong(world, site.name, f"does not know {', '.join(missing)}", f"knows {len(known)} others")


class Agreed(_Checker):
    """When all faults are over, all members hold each other for alive, if there are so few that each knows all."""

    name = "members agree"

    def finish(self, world: World) -> Iterator[Violation]:
        """The view of each."""
        up = [site for site in world.sites.values() if site.life is not None and site.life.site is not None]
        if len(up) > MEMBERS_LIVE:
            return
        for site in up:
            assert site.life is not None and site.life.site is not None  # noqa: S101  seen above
            state_of = {member.node: member.state for member in site.life.site.members.seen().members}
            for other in up:
                state = state_of.get(other.machine.identity.node_id, "unknown")
                if other is not site and state != MemberState.ALIVE.value and _agree_on_time(site, other):
                    yield self._wrong(world, site.name, f"{other.name} is {state} to it", "both are up for long")


class Settled(_Checker):
    """When all faults are over, every user is where it is best served: within the SLO if that can be, else nearest."""

    name = "users end at the best site"

    def finish(self, world: World) -> Iterator[Violation]:
        """Each user who still comes."""
        for user in world.users:
            if not user.active or world.engine.now - user.arrived_s < ARRIVED_S:
                continue
            best_ms = world.nearest_ms(user)
            served = _served_lately(world, user)
            if served is None:
                yield self._wrong(world, user.name, "it is served nowhere", f"a site is {best_ms:.1f} ms away")
                continue
            rtt_ms = world.rtt_ms(user.address, served.address)
            slo_ms = world.slo_ms(user.service)
            good_ms = max(best_ms + NEAR_ENOUGH_MS, slo_ms if slo_ms is not None and best_ms <= slo_ms else 0.0)
            if rtt_ms > good_ms:
                at = world.site_at(served.address)
                what = f"it is served by {at.name if at else served.address}, {rtt_ms:.1f} ms away"
                yield self._wrong(world, user.name, what, f"a site that could serve it is {best_ms:.1f} ms away")


def all_checkers() -> tuple[Checker, ...]:
    """One of each, for one run."""
    made: Sequence[Callable[[], Checker]] = (
        Leased,
        Healthy,
        Recovers,
        Answered,
        Sound,
        Idle,
        Converged,
        Agreed,
        Settled,
    )
    return tuple(make() for make in made)


def _agree_on_time(one: SimSite, other: SimSite) -> bool:
    """Whether each takes what the other says for neither old nor of the future."""
    assert one.life is not None and other.life is not None  # noqa: S101  both are up
    return abs(one.life.memory.clock.now() - other.life.memory.clock.now()) < CLOCK_SKEW_S - 1


def _served_lately(world: World, user: User) -> Served | None:
    """The last answer a user had, if it is no older than three of its requests and a second."""
    served = user.served
    return served if served is not None and world.engine.now - served.at_s <= 3 * user.every_s + 1 else None


def _ending(site: SimSite, service: ServiceId) -> str:
    """Why the last lease on a service at a site ended."""
    assert site.life is not None  # noqa: S101  it stopped something
    ended = site.life.memory.leases.ended(Side.PROVIDER)
    return next((one.ending or "" for one in ended if one.lease.service == service), "no lease on it ever ended")


def _ended(site: SimSite) -> set[ServiceId]:
    """Services whose leases ended since the site's process began."""
    life = site.life
    assert life is not None  # noqa: S101  seen before
    since = life.memory.clock.now() - RECOVERY_S - life.stood_still_s - 1
    ended = life.memory.leases.ended(Side.PROVIDER)
    return {one.lease.service for one in ended if one.ended_at is not None and one.ended_at >= since}


def _tables(site: SimSite) -> Iterator[tuple[str, int, int]]:
    """A site's tables: name, entries, limit."""
    life = site.life
    assert life is not None and life.site is not None  # noqa: S101  seen before
    loop = life.site.loop
    yield "users located", len(loop.located), PREFIXES_PER_SERVICE * max(1, len(loop.services))
    for prefix, located in loop.located.items():
        yield f"sites near {prefix}", len(located.sightings), SITES_PER_PREFIX
    yield "leases held", len(life.site.host.leases_held()), LEASES_PER_SITE
    if life.dht is not None and life.up:
        yield "DHT records", life.dht.stats().records, DHT_RECORDS
