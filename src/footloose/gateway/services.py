"""The services of the table in force: what a worker keeps of each, and how one table follows another."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from footloose.core.digest import Digest
from footloose.core.errors import FootlooseError
from footloose.core.limits import EAGER_GUESTS, LOADED_GUESTS
from footloose.gateway.calls import Pace
from footloose.gateway.loading import LazyGuest, LoadedGuests
from footloose.gateway.meta import service_environment
from footloose.gateway.routes import Routes
from footloose.gateway.running import number_of
from footloose.model.app import ServiceId
from footloose.model.guest import Guest, Runtime
from footloose.model.network import Prefix
from footloose.model.routing import Moved, Redirect, RoutingTable, ServiceRoute


class Served:
    """One service as the table in force has it."""

    __slots__ = ("compiled", "environment", "lazy", "number", "pace", "redirects", "route", "service")

    def __init__(self, route: ServiceRoute, compiled: Path | None, lazy: LazyGuest, pace: Pace) -> None:
        self.route = route
        self.service = route.service
        self.number = number_of(route.service)
        self.compiled = compiled
        self.lazy = lazy
        self.pace = pace
        self.environment = service_environment(route.environment)
        self.redirects = {redirect.prefix: redirect for redirect in route.redirects}

    @property
    def guest(self) -> Guest | None:
        """What answers, loaded now if it was not; None if it cannot be run here."""
        return self.lazy.get()

    @property
    def streams(self) -> bool:
        """Whether what answers can read and write as it goes on."""
        guest = self.lazy.get()
        return guest is not None and guest.streams

    def redirect_for(self, prefix: Prefix, now: float) -> Redirect | None:
        """Where users of ``prefix`` are better served at ``now`` (seconds since 1970), if anywhere."""
        redirect = self.redirects.get(prefix)
        return redirect if redirect is not None and redirect.until > now else None

    def runs_same(self, route: ServiceRoute, compiled: Path | None) -> bool:
        """Whether the guest of this entry is the one ``route`` wants."""
        own = self.route
        return not self.lazy.failed and (own.artifact, own.guest, own.limits, own.instances, self.compiled) == (
            route.artifact,
            route.guest,
            route.limits,
            route.instances,
            compiled,
        )


class Services:
    """The table in force. ``complain`` is told why a service cannot be run."""

    def __init__(self, runtime: Runtime, complain: Callable[[ServiceId, str], None]) -> None:
        self._runtime = runtime
        self._complain = complain
        self._loaded = LoadedGuests(LOADED_GUESTS)
        self.version = -1
        self.by_id: dict[ServiceId, Served] = {}
        self.moved: dict[str, Moved] = {}
        self.routes: Routes[Served] = Routes()

    def install(self, table: RoutingTable, compiled: Mapping[Digest, Path]) -> bool:
        """Obey ``table`` from now on; False if it is no newer than the one in force.

        ``compiled`` says where the compiled artifact of each digest lies.
        """
        if table.version <= self.version:
            return False
        before = self.by_id
        self.by_id = {
            route.service: self._served(route, compiled.get(route.artifact), before.get(route.service))
            for route in table.services
        }
        self.moved = {moved.service: moved for moved in table.moved}
        self.routes = Routes((served.service, served.route.route, served) for served in self.by_id.values())
        self.version = table.version
        self._loaded.keep_only({served.lazy for served in self.by_id.values()})
        if len(self.by_id) <= EAGER_GUESTS:
            for served in self.by_id.values():
                served.lazy.get()
        return True

    def tidy(self) -> None:
        """Give back what has been idle for long."""
        self._loaded.tidy()
        self._runtime.tidy()

    def _served(self, route: ServiceRoute, compiled: Path | None, before: Served | None) -> Served:
        if before is not None and before.runs_same(route, compiled):
            return before if before.route == route else Served(route, compiled, before.lazy, before.pace)
        return Served(route, compiled, LazyGuest(partial(self._load, route, compiled)), Pace())

    def _load(self, route: ServiceRoute, compiled: Path | None, lazy: LazyGuest) -> Guest | None:
        if compiled is None:
            self._complain(route.service, f"artifact {route.artifact} is not compiled here")
            return None
        try:
            guest = self._runtime.load(compiled, route.guest, route.limits, route.instances)
        except FootlooseError as error:
            self._complain(route.service, f"cannot be loaded: {error}")
            return None
        self._loaded.add(lazy)
        return guest

    def moved_to(self, path: str, now: float) -> tuple[Moved, int] | None:
        """Where the service that ``path`` names by its id has gone, and how much of the path names it."""
        if not self.moved:
            return None
        end = path.find("/", path.find("/", 1) + 1)
        end = len(path) if end < 0 else end
        moved = self.moved.get(path[1:end])
        return (moved, end) if moved is not None and moved.until > now else None
