"""What a node tells its workers: which services to serve, and which users to send on."""

import msgspec

from footloose.core.digest import Digest
from footloose.model.app import GuestKind, HttpRoute, Instances, Limits, ServiceId
from footloose.model.network import Observation, Prefix


class Redirect(msgspec.Struct, frozen=True):
    """Users of ``prefix`` are better served at ``url`` (scheme, host, path of the copy), until ``until`` (seconds)."""

    prefix: Prefix
    url: str
    until: float


class RelayUplink(msgspec.Struct, frozen=True):
    """Where a copy joins its service's live topics: the parent's gateway, and the token the lease agreed."""

    url: str
    token: str


class ServiceRoute(msgspec.Struct, frozen=True):
    """One service a worker serves: at ``/<service id>/`` always, and at ``route`` if it has one here.

    ``relay_tokens`` are those with which this site's own copies may join the service's live topics.
    """

    service: ServiceId
    artifact: Digest
    guest: GuestKind
    limits: Limits = Limits()
    instances: Instances = Instances.FRESH
    environment: tuple[tuple[str, str], ...] = ()
    route: HttpRoute | None = None
    redirects: tuple[Redirect, ...] = ()
    uplink: RelayUplink | None = None
    relay_tokens: tuple[str, ...] = ()


class Moved(msgspec.Struct, frozen=True):
    """A service that was served here and is no more: its users are sent to ``url`` until ``until``."""

    service: ServiceId
    url: str
    until: float


class RoutingTable(msgspec.Struct, frozen=True):
    """All a worker needs to know. A worker obeys the highest version it has seen."""

    version: int
    services: tuple[ServiceRoute, ...] = ()
    moved: tuple[Moved, ...] = ()


class GuestLog(msgspec.Struct, frozen=True):
    """Something a guest wrote to its log, or how it failed."""

    at: float
    service: ServiceId
    text: str


class WorkerReport(msgspec.Struct, frozen=True):
    """What a worker tells its node: users seen since the last report, and guests' logs."""

    worker: int
    table_version: int
    observations: tuple[Observation, ...] = ()
    logs: tuple[GuestLog, ...] = ()
