"""Apps and services as their owner describes them (a Compose file with ``x-footloose``), in immutable types."""

import re
from enum import Enum
from typing import NewType

import msgspec

from footloose.core.codec import Signed, encode, open_signed
from footloose.core.digest import Digest, parse_digest
from footloose.core.errors import LimitExceeded, RemoteError
from footloose.core.identity import NodeId, short
from footloose.core.limits import (
    APP_BYTES,
    GUEST_MEMORY_BYTES,
    GUEST_MEMORY_CEILING_BYTES,
    GUEST_OUTPUT_BYTES,
    GUEST_OUTPUT_CEILING_BYTES,
    GUEST_TIME_CEILING_MS,
    GUEST_TIME_MS,
    SERVICES_PER_APP,
)
from footloose.core.printable import printable

AppId = NewType("AppId", str)
"""An app wherever it runs: its name, a hyphen, and the first characters of its owner's key."""

ServiceId = NewType("ServiceId", str)
"""A service wherever it runs: the app id, a slash, and the service's name. Also its path at every gateway."""


_APP_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}\Z")
_SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class GuestKind(Enum):
    """How a Wasm module is called (as in ``docs/reference/guests.md``)."""

    COMMAND = "command"
    """A WASI command: CGI (RFC 3875) on environment, stdin and stdout."""
    HANDLER = "handler"
    """Exports ``memory``, ``footloose_alloc`` and ``footloose_handle``; the same request as SCGI bytes."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one request may use."""

    memory_bytes: int = GUEST_MEMORY_BYTES
    time_ms: float = GUEST_TIME_MS
    output_bytes: int = GUEST_OUTPUT_BYTES


class Instances(Enum):
    """How many requests one instance of a service answers."""

    FRESH = "fresh"
    """One: each request has an instance of its own, and nothing of it is left."""
    WARM = "warm"
    """Many, one after the other, with its memory kept between them as long as that serves. Handlers only."""


class Slo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the owner wants users to have. ``latency_ms`` is the round trip from a user to its nearest copy."""

    latency_ms: float | None = None


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the owner will spend: at most so many copies from each site, at most this price for each."""

    copies: int = 8
    price_per_hour: float | None = None


class Where(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a service may run. Empty ``regions``/``providers`` allow all; ``not_providers`` always forbids."""

    regions: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    not_providers: tuple[str, ...] = ()


class HttpRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests come to a service at the app's home site. ``host`` may be ``*``."""

    host: str = "*"
    path: str = "/"


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One service of an app. ``artifact`` is the digest of its Wasm module."""

    name: str
    artifact: Digest
    guest: GuestKind
    route: HttpRoute | None = None
    environment: tuple[tuple[str, str], ...] = ()
    limits: Limits = Limits()
    instances: Instances = Instances.FRESH
    slo: Slo = Slo()
    budget: Budget = Budget()
    where: Where = Where()
    placement: str = "greedy"
    follow_users: bool = True


class App(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An app as its owner intends it; signed by the owner and shown to every site asked to run it.

    ``version`` grows each time the owner deploys it: of two, the one with the greater is meant.
    """

    name: str
    owner: NodeId
    services: tuple[Service, ...]
    version: int = 1

    @property
    def app_id(self) -> AppId:
        """The app's id, the same at every site."""
        return AppId(f"{self.name}-{short(self.owner)}")

    def service_id(self, service: Service) -> ServiceId:
        """The id of one of its services."""
        return ServiceId(f"{self.app_id}/{service.name}")

    def service(self, name: str) -> Service | None:
        """The service called ``name``, if there is one."""
        return next((service for service in self.services if service.name == name), None)


def open_app(envelope: Signed, where: str = "app") -> App:
    """The app inside, once it is seen to be its owner's and one that can run.

    Raises :class:`RemoteError` as :func:`check_app` does, and if its owner did not sign it.
    """
    app = open_signed(envelope, App, where=where)
    if app.owner != envelope.signer:
        raise RemoteError("the app is not signed by its owner", where=where)
    check_app(app, where)
    return app


def check_app(app: App, where: str = "app") -> None:
    """Raises :class:`RemoteError` unless the app is within the bounds that app files have.

    An app need not have come from a file of ours: names become parts of URLs, and limits what a guest is held to.
    """
    if app.version < 1:
        raise RemoteError(f"{app.version} is not a version", where=where)
    if not _APP_NAME.match(app.name):
        raise RemoteError(f"{printable(app.name, 60)!r} is not a name for an app", where=where)
    if len(encode(app)) > APP_BYTES:
        raise LimitExceeded(f"more than the {APP_BYTES} bytes an app may have", where=where)
    names = [service.name for service in app.services]
    if not 1 <= len(set(names)) == len(names) <= SERVICES_PER_APP:
        raise RemoteError(f"not 1 to {SERVICES_PER_APP} services, each with a name of its own", where=where)
    for service in app.services:
        _check_service(service, f"{where}: service {printable(service.name, 60)}")


def _check_service(service: Service, where: str) -> None:
    if not _SERVICE_NAME.match(service.name):
        raise RemoteError("this is not a name for a service", where=where)
    parse_digest(service.artifact)
    limits = service.limits
    for what, value, most in (
        ("memory in bytes", limits.memory_bytes, GUEST_MEMORY_CEILING_BYTES),
        ("time in ms", limits.time_ms, GUEST_TIME_CEILING_MS),
        ("output in bytes", limits.output_bytes, GUEST_OUTPUT_CEILING_BYTES),
    ):
        if not 0 < value <= most:
            raise LimitExceeded(f"{value:g} as the limit of {what}, where up to {most:g} is allowed", where=where)
    if service.instances is Instances.WARM and service.guest is not GuestKind.HANDLER:
        raise RemoteError("only a handler can be warm: a command ends with each request", where=where)
    for name, text in service.environment:
        if not _VARIABLE.match(name) or "\0" in text:
            raise RemoteError(f"{printable(name, 60)!r} is not a variable a guest can be given", where=where)
