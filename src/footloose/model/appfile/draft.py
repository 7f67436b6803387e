"""An app as its file describes it, before its artifacts have been read."""

from pathlib import Path

import msgspec

from footloose.model.app import Budget, GuestKind, HttpRoute, Instances, Limits, Slo, Where
from footloose.model.appfile.problems import Spot


class ServiceDraft(msgspec.Struct, frozen=True):
    """One service. ``image`` is where its module lies, ``image_at`` where the file says so.

    ``instances_at`` is where it says what instances are. ``guest`` is None where the module's exports are to tell.
    """

    name: str
    image: Path
    image_at: Spot = Spot()
    instances_at: Spot = Spot()
    guest: GuestKind | None = None
    route: HttpRoute | None = None
    environment: tuple[tuple[str, str], ...] = ()
    limits: Limits = Limits()
    instances: Instances = Instances.FRESH
    slo: Slo = Slo()
    budget: Budget = Budget()
    where: Where = Where()
    placement: str = "greedy"
    follow_users: bool = True


class AppDraft(msgspec.Struct, frozen=True):
    """An app. ``file`` is the name its problems are reported under."""

    name: str
    services: tuple[ServiceDraft, ...]
    file: str = "compose.yaml"
