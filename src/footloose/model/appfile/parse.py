"""From the bytes of an app file to a draft, or to all that is wrong with it."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from footloose.core.limits import APP_FILE_BYTES, GUEST_MEMORY_BYTES, GUEST_OUTPUT_BYTES, GUEST_TIME_MS
from footloose.model.app import Budget, GuestKind, Instances, Limits, Slo, Where
from footloose.model.appfile.document import Document, read_document
from footloose.model.appfile.draft import AppDraft, ServiceDraft
from footloose.model.appfile.problems import AppFileError, Problem, Spot
from footloose.model.appfile.sense import MEMORY_KEYS, at, check_sense, environment_of, route_of
from footloose.model.appfile.shape import check_shape
from footloose.model.appfile.units import milliseconds, size_bytes


def load_app_file(path: Path, *, placements: Collection[str] | None = None) -> AppDraft:
    """The draft of the app file at ``path``. Raises :class:`AppFileError` if it cannot be read or used."""
    try:
        with path.open("rb") as file:
            content = file.read(APP_FILE_BYTES + 1)
    except OSError as error:
        problem = Problem(Spot(), "", f"cannot be read: {error.strerror}", "give the path of a Compose file")
        raise AppFileError(str(path), [problem]) from error
    return parse_app_file(content, str(path), path.parent, placements=placements)


def parse_app_file(content: bytes, file: str, base: Path, *, placements: Collection[str] | None = None) -> AppDraft:
    """The draft in ``content``. Relative ``image:`` paths are taken from ``base``; ``file`` names it in problems.

    ``placements`` are the placement algorithms there are; None leaves their names unchecked.
    Raises :class:`AppFileError` with every problem found.
    """
    document = read_document(content, file)
    check_shape(document)
    check_sense(document, placements)
    if document.problems:
        raise AppFileError(file, document.problems)
    services = tuple(_service(document, name, service, base) for name, service in document.data["services"].items())
    return AppDraft(document.data["name"], services, file)


def _service(document: Document, name: str, service: Mapping[str, Any], base: Path) -> ServiceDraft:
    path = ("services", name)
    own = service.get("x-footloose", {})
    latency = at(own, ("slo", "latency"))
    providers = at(own, ("where", "providers")) or {}
    budget = Budget(
        copies=int(at(own, ("budget", "copies")) if at(own, ("budget", "copies")) is not None else Budget().copies),
        price_per_hour=at(own, ("budget", "price")),
    )
    return ServiceDraft(
        name=name,
        image=base / service["image"],
        image_at=document.value_spot((*path, "image")),
        guest=GuestKind(own["guest"]) if "guest" in own else None,
        route=route_of(service),
        environment=tuple((name, value) for _, name, value in environment_of(document, path, service)),
        limits=_limits(service),
        instances=Instances(own.get("instances", Instances.FRESH.value)),
        instances_at=document.value_spot((*path, "x-footloose", "instances")) if "instances" in own else Spot(),
        slo=Slo(milliseconds(latency) if latency is not None else None),
        budget=budget,
        where=Where(
            regions=tuple(at(own, ("where", "regions")) or ()),
            providers=tuple(providers.get("allow", ())),
            not_providers=tuple(providers.get("deny", ())),
        ),
        placement=own.get("placement", "greedy"),
        follow_users=own.get("follow_users", budget.copies > 0),
    )


def _limits(service: Mapping[str, Any]) -> Limits:
    memory = next((size_bytes(value) for key in MEMORY_KEYS if (value := at(service, key)) is not None), None)
    time = at(service, ("x-footloose", "limits", "time"))
    output = at(service, ("x-footloose", "limits", "output"))
    return Limits(
        memory_bytes=memory if memory is not None else GUEST_MEMORY_BYTES,
        time_ms=milliseconds(time) if time is not None else GUEST_TIME_MS,
        output_bytes=size_bytes(output) if output is not None else GUEST_OUTPUT_BYTES,
    )
