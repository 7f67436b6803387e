"""Apps and services as their owner describes them (a Compose file with ``x-footloose``), in immutable types."""

from enum import Enum
from typing import NewType

import msgspec

from footloose.core.digest import Digest
from footloose.core.identity import NodeId, short
from footloose.core.limits import GUEST_MEMORY_BYTES, GUEST_OUTPUT_BYTES, GUEST_TIME_MS

AppId = NewType("AppId", str)
"""An app wherever it runs: its name, a hyphen, and the first characters of its owner's key."""

ServiceId = NewType("ServiceId", str)
"""A service wherever it runs: the app id, a slash, and the service's name. Also its path at every gateway."""


class GuestKind(Enum):
    """How a Wasm module is called (design §5)."""

    COMMAND = "command"
    """A WASI command: CGI (RFC 3875) on environment, stdin and stdout."""
    HANDLER = "handler"
    """Exports ``memory``, ``footloose_alloc`` and ``footloose_handle``; the same request as SCGI bytes."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one request may use."""

    memory_bytes: int = GUEST_MEMORY_BYTES
    time_ms: float = GUEST_TIME_MS
    output_bytes: int = GUEST_OUTPUT_BYTES


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
    slo: Slo = Slo()
    budget: Budget = Budget()
    where: Where = Where()
    placement: str = "greedy"
    follow_users: bool = True


class App(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An app as its owner intends it; signed by the owner and shown to every site asked to run it."""

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
