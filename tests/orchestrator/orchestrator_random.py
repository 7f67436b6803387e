"""Worlds made from a seed, faults included; and what must be so in all of them."""

import sys
from collections.abc import Iterable
from random import Random

from orchestrator_world import Place, Site, User, World, an_app, node

from footloose.core.limits import PREFIXES_PER_SERVICE, SITES_KNOWN, SITES_PER_PREFIX
from footloose.market.desk import State as LeaseState
from footloose.migration.switch import State
from footloose.model.app import Budget, ServiceId, Where
from footloose.orchestrator.messages import Effect, SetRedirects

LINKS_MS = (3.0, 8.0, 15.0)
ACCESS_MS = (0.5, 2.0, 5.0)
FORBIDDEN = "elsewhere"
GRACE_FOR_FAULTS_S = 10.0
"""How long after a fault what is known of a site may be wrong: it is found out by polls."""


class RandomWorld:
    """A tree of routers with sites and users all over, and a home. Some sites are too dear, forbidden or full."""

    def __init__(self, seed: int, *, copies: int = 8, users: int = 5, liars: int = 0, noise_ms: float = 0.0) -> None:
        self.random = Random(seed)
        self.world = World(seed)
        self.world.noise_ms = noise_ms
        self.faulty_at: dict[Place, float] = {}
        self.wrong: list[str] = []
        self.allowed: set[Place] = {"home"}
        self.budget = copies
        self._routers()
        self._sites(liars)
        spec = {"budget": Budget(copies, price_per_hour=1.0), "where": Where(regions=("here",))}
        self.services = [self.world.deploy(an_app("home", name, **spec)) for name in ("shop", "wiki")]
        self.users = [self._user(number) for number in range(users)]
        self.world.watchers.append(self._watch)

    def _routers(self) -> None:
        names = ["core"]
        for number in range(self.random.randint(4, 9)):
            self.world.router(f"r{number}", self.random.choice(names), self.random.choice(LINKS_MS))
            names.append(f"r{number}")

    def _sites(self, liars: int) -> None:
        self.world.site("home", self.random.choice(self.world.net.routers), region="here")
        for number in range(self.random.randint(3, 7)):
            name, kind = f"s{number}", self.random.random()
            policy = {"region": FORBIDDEN if kind < 0.1 else "here", "price_per_hour": 2.0 if kind > 0.9 else 0.5}
            if 0.1 <= kind < 0.2:
                policy["max_leases"] = 0
            self.world.site(name, self.random.choice(self.world.net.routers), self.random.choice(ACCESS_MS), **policy)
            if 0.2 <= kind <= 0.9:
                self.allowed.add(name)
            if number < liars:
                self.world.lies_ms[name] = 0.1
            self.world.listed.add(name)

    def _user(self, number: int) -> User:
        at, service = self.random.choice(self.world.net.routers), self.random.choice(self.services)
        every_s, comes_home = self.random.choice((0.5, 2.0, 5.0)), self.random.random() < 0.5
        return self.world.user(f"u{number}", at, service, every_s=every_s, comes_home=comes_home)

    # Faults

    def trouble(self, seconds: float, faults: int) -> None:
        """Live through faults of all kinds, spread over some time."""
        self.world.lossy, self.world.late_s = self.random.choice(((0.0, 0.0), (0.1, 1.0), (0.3, 3.0)))
        if self.world.lossy:
            self._blame(*self.world.sites)
        for _ in range(faults):
            self.world.run(seconds / (faults + 1))
            self._fault()
        self.world.run(seconds / (faults + 1))

    def _fault(self) -> None:
        world, pick = self.world, self.random.choice
        a, b = pick(list(world.sites)), pick(list(world.sites))
        user = pick(self.users)
        match self.random.randrange(8):
            case 0:
                world.lose(a)
            case 1:
                if not world.sites[a].up:
                    world.restart(a, forgets=a != "home" and self.random.random() < 0.5)
            case 2:
                world.cut_off(a, b)
            case 3:
                world.cut.clear()
            case 4:
                if a != "home":
                    world.drain(a)
            case 5:
                world.sites[a].desk.resume()
            case 6:
                world.net.move(user.name, pick(world.net.routers), 1.0)
            case 7:
                user.active = not user.active
        self._blame(a, b)

    def _blame(self, *sites: Place) -> None:
        self.faulty_at |= dict.fromkeys(sites, self.world.now)

    def calm(self, seconds: float) -> None:
        """No more faults, all sites up, all users about."""
        world = self.world
        self._blame(*world.sites)
        world.heal()
        for name, site in world.sites.items():
            site.desk.resume()
            if not site.up:
                world.restart(name)
        for user in self.users:
            user.active = True
        world.run(seconds)

    # What must be so at every moment

    def _watch(self, site: Site, effect: Effect) -> None:
        if isinstance(effect, SetRedirects):
            self._check_redirects(site, effect)
        for running in site.loop.services.values():
            if len(running.copies) > self.budget:
                self.wrong.append(f"{self.world.now}: {len(running.copies)} copies from {site.name}")

    def _check_redirects(self, site: Site, effect: SetRedirects) -> None:
        """Users are sent only where the service runs under a lease of ours, or that leases it here."""
        for redirect in effect.redirects:
            target = self.world.site_at(redirect.url)
            running = site.loop.services[effect.service]
            copy = running.copies.get(target.node) if not running.is_customer(target.node) else None
            ours = any(
                held.lease.customer == site.node and held.lease.service == effect.service
                for held in target.held.values()
                if held.state is not LeaseState.ENDED
            )
            theirs = any(
                held.lease.customer == target.node and held.lease.service == effect.service
                for held in site.held.values()
            )
            if copy is not None and (copy.state is not State.SERVING or redirect.until <= self.world.now):
                self.wrong.append(f"{self.world.now}: {site.name} sends users to {target.name}, which it does not use")
            if self._faulty(site.name, target.name):
                continue
            if effect.service not in target.runs or not (ours or theirs):
                self.wrong.append(f"{self.world.now}: {site.name} sends users to {target.name}, which does not serve")

    def _faulty(self, *sites: Place) -> bool:
        return any(self.world.now - self.faulty_at.get(site, -1e9) < GRACE_FOR_FAULTS_S for site in sites)

    def circles(self) -> list[list[Place]]:
        """Ways on which sites would send a user round and round, as things stand."""
        found = []
        for user in self.users:
            for start in self.world.sites.values():
                way, site = [start.name], start
                while (onward := self.world.redirect_of(site, user)) is not None and onward not in way:
                    way.append(onward)
                    site = self.world.sites[onward]
                if onward is not None:
                    found.append([*way, onward])
        return found

    # What must be so in the end

    def best_ms(self, user: User) -> float:
        return self.world.best(user, self.allowed)

    def served_ms(self, user: User, last_s: float) -> set[float]:
        """The round trips a user had of late."""
        places = self.world.served_at(user, self.world.now - last_s)
        return {self.world.net.rtt_ms(place, user.name) for place in places}

    def tables(self) -> Iterable[tuple[str, int, int]]:
        """Every table of every loop: its name, its size, and the most it may hold here."""
        sites, users = len(self.world.sites), len(self.users)
        for name, site in self.world.sites.items():
            loop = site.loop
            yield f"{name}.sites", len(loop.sites), min(sites, SITES_KNOWN)
            yield f"{name}.node_at", len(loop._node_at), sites
            yield f"{name}.identifying", len(loop._identifying), sites
            yield f"{name}.located", len(loop.located), users
            yield f"{name}.settling", len(loop._settling), len(loop.located)
            for place in loop.located.values():
                for table in (place.sightings, place.rtt_ms, place.measuring, place.silent, place._missed):
                    yield f"{name}.{place.prefix}", len(table), min(sites, SITES_PER_PREFIX)
            for service, running in loop.services.items():
                yield f"{name}.{service}.users", len(running.users), min(users, PREFIXES_PER_SERVICE)
                yield f"{name}.{service}.busy_at", len(running.busy_at), len(running.copies)
                yield f"{name}.{service}.requests_at", len(running.requests_at), len(running.copies) + 1
                for table in (running.refusals, running.excluded, running.customers):
                    yield f"{name}.{service}", len(table), sites
                yield f"{name}.{service}.assignment", len(running.placement.assignment), len(running.users)


def digest(seed: int) -> str:
    """All that happens in a world with everything in it."""
    made = RandomWorld(seed, copies=2, users=12, liars=1, noise_ms=0.5)
    made.trouble(60.0, 8)
    made.calm(60.0)
    return made.world.digest()


def named(service: ServiceId) -> str:
    return service.split("-", maxsplit=1)[0]


if __name__ == "__main__":
    print(digest(int(sys.argv[1])), node("home"))
