"""What runs at this site, and the table that tells the workers so."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from footloose.core.digest import Digest
from footloose.core.limits import REDIRECT_LIFETIME_S
from footloose.model.app import HttpRoute, Service, ServiceId
from footloose.model.routing import Moved, Redirect, RelayUplink, RoutingTable, ServiceRoute

MOVED_FOR_S = 6 * REDIRECT_LIFETIME_S
"""How long a site sends users of a copy it no longer has to where that came from: outlasts every cached redirect."""


class Hosted(msgspec.Struct, frozen=True):
    """A service this site runs: at its home with its ``route``, as a copy with its ``uplink``; ``since`` in seconds."""

    service: ServiceId
    spec: Service
    compiled: Path
    since: float
    route: HttpRoute | None = None
    uplink: RelayUplink | None = None
    redirects: tuple[Redirect, ...] = ()
    relay_tokens: tuple[str, ...] = ()


class Services:
    """The services of one site. Every change makes a new version of the table and hands it to ``push``."""

    def __init__(self, site_name: str, push: Callable[[RoutingTable, dict[Digest, str]], None]) -> None:
        self._site_name = site_name
        self._push = push
        self._hosted: dict[ServiceId, Hosted] = {}
        self._moved: dict[ServiceId, Moved] = {}
        self.version = 0

    def __contains__(self, service: ServiceId) -> bool:
        return service in self._hosted

    @property
    def started_at(self) -> dict[ServiceId, float]:
        """Since when each service runs here."""
        return {service: hosted.since for service, hosted in self._hosted.items()}

    def get(self, service: ServiceId) -> Hosted | None:
        """A service, if it runs here."""
        return self._hosted.get(service)

    def hosted(self) -> list[Hosted]:
        """All that runs here."""
        return list(self._hosted.values())

    def run(self, hosted: Hosted) -> None:
        """Serve a service from now on."""
        self._hosted[hosted.service] = hosted
        self._moved.pop(hosted.service, None)
        self._changed()

    def stop(self, service: ServiceId, moved_to: str | None, now: float) -> None:
        """Serve it no more, if it was served; send its users to ``moved_to`` for a while."""
        if self._hosted.pop(service, None) is None and moved_to is None:
            return
        self._moved = {known: moved for known, moved in self._moved.items() if moved.until > now}
        if moved_to is not None:
            self._moved[service] = Moved(service, moved_to, now + MOVED_FOR_S)
        self._changed()

    def set_redirects(self, service: ServiceId, redirects: tuple[Redirect, ...]) -> None:
        """Send these users of a service on, and no others."""
        hosted = self._hosted.get(service)
        if hosted is not None:
            self._hosted[service] = msgspec.structs.replace(hosted, redirects=redirects)
            self._changed()

    def set_uplink(self, service: ServiceId, uplink: RelayUplink) -> None:
        """Join the service's live topics there from now on."""
        hosted = self._hosted.get(service)
        if hosted is not None and hosted.uplink != uplink:
            self._hosted[service] = msgspec.structs.replace(hosted, uplink=uplink)
            self._changed()

    def set_relay_tokens(self, service: ServiceId, tokens: tuple[str, ...]) -> None:
        """The tokens with which this site's copies may join the service's live topics."""
        hosted = self._hosted.get(service)
        if hosted is not None and hosted.relay_tokens != tokens:
            self._hosted[service] = msgspec.structs.replace(hosted, relay_tokens=tokens)
            self._changed()

    def table(self) -> RoutingTable:
        """What the workers are to know."""
        routes = tuple(self._route(hosted) for hosted in self._hosted.values())
        return RoutingTable(self.version, routes, tuple(self._moved.values()))

    def _route(self, hosted: Hosted) -> ServiceRoute:
        spec = hosted.spec
        own = (("FOOTLOOSE_SITE", self._site_name), ("FOOTLOOSE_SERVICE", str(hosted.service)))
        return ServiceRoute(
            service=hosted.service,
            artifact=spec.artifact,
            guest=spec.guest,
            limits=spec.limits,
            instances=spec.instances,
            environment=(*spec.environment, *own),
            route=hosted.route,
            redirects=hosted.redirects,
            uplink=hosted.uplink,
            relay_tokens=hosted.relay_tokens,
        )

    def _changed(self) -> None:
        self.version += 1
        compiled = {hosted.spec.artifact: str(hosted.compiled) for hosted in self._hosted.values()}
        self._push(self.table(), compiled)
