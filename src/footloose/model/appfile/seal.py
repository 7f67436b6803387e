"""From a draft to an app: the modules it names are read, addressed by content, and found to be what they should be."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from footloose.core.codec import encode
from footloose.core.digest import Digest, digest_of
from footloose.core.errors import FootlooseError
from footloose.core.identity import NodeId
from footloose.core.limits import APP_BYTES, ARTIFACT_BYTES
from footloose.model.app import App, GuestKind, Instances, Service
from footloose.model.appfile.draft import AppDraft, ServiceDraft
from footloose.model.appfile.problems import AppFileError, Problem, Spot

WASM_MODULE = b"\0asm\x01\0\0\0"
"""How a core Wasm module begins (WebAssembly core specification §5.5.16)."""
WASM_COMPONENT = b"\0asm\x0d\0\x01\0"
"""How a component begins (component model, binary format)."""

Inspect = Callable[[bytes], GuestKind]
"""Tells from a module's exports how it is called. Raises :class:`FootlooseError` if it can be called in no way."""


class Artifact(msgspec.Struct, frozen=True):
    """A module, read: its content address, its bytes, and how it is called."""

    digest: Digest
    content: bytes
    guest: GuestKind


class _Unfit(Exception):
    """A module that cannot be used: what is wrong, and the fix."""


def read_artifacts(draft: AppDraft, inspect: Inspect | None) -> Mapping[str, Artifact]:
    """The modules of ``draft``, by service.

    Raises :class:`AppFileError` naming every one that is missing, too large, no Wasm module, of another kind than
    its ``guest:`` says, or of a kind that nobody knows (no ``guest:`` and no ``inspect``).
    """
    artifacts: dict[str, Artifact] = {}
    problems: list[Problem] = []
    for service in draft.services:
        try:
            content = _read_module(service.image)
            kind = _kind(service, content, inspect)
            artifacts[service.name] = Artifact(digest_of(content), content, kind)
            if service.instances is Instances.WARM and kind is not GuestKind.HANDLER:
                problems.append(_not_warm(service))
        except _Unfit as unfit:
            what, fix = unfit.args
            problems.append(Problem(service.image_at, f"services.{service.name}.image", what, fix))
    if problems:
        raise AppFileError(draft.file, problems)
    return artifacts


def seal(draft: AppDraft, owner: NodeId, artifacts: Mapping[str, Artifact]) -> App:
    """The app that ``draft`` describes, owned by ``owner``. Raises :class:`AppFileError` if too large to travel."""
    app = App(draft.name, owner, tuple(_sealed(service, artifacts[service.name]) for service in draft.services))
    size = len(encode(app))
    if size > APP_BYTES:
        what = f"{size} bytes as an app, more than the {APP_BYTES} that travel in one message"
        raise AppFileError(draft.file, [Problem(Spot(), "", what, "shorten `environment`")])
    return app


def _sealed(draft: ServiceDraft, artifact: Artifact) -> Service:
    return Service(
        name=draft.name,
        artifact=artifact.digest,
        guest=artifact.guest,
        route=draft.route,
        environment=draft.environment,
        limits=draft.limits,
        instances=draft.instances,
        slo=draft.slo,
        budget=draft.budget,
        where=draft.where,
        placement=draft.placement,
        follow_users=draft.follow_users,
    )


def _not_warm(service: ServiceDraft) -> Problem:
    what = f"{service.image} is a command, which ends with each request, so it cannot be warm"
    key = f"services.{service.name}.x-footloose.instances"
    return Problem(service.instances_at, key, what, "leave `instances` out, or build a handler")


def _read_module(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(ARTIFACT_BYTES + 1)
    except OSError as error:
        raise _Unfit(f"{path} cannot be read: {error.strerror}", "build the module, or correct the path") from error
    if len(content) > ARTIFACT_BYTES:
        raise _Unfit(f"{path} is larger than the {ARTIFACT_BYTES // 1024**2} MiB a site stores", "make it smaller")
    if content.startswith(WASM_COMPONENT):
        raise _Unfit(f"{path} is a Wasm component, and components are not run yet", "build a core module")
    if not content.startswith(WASM_MODULE):
        raise _Unfit(f"{path} is not a Wasm module", "compile it to WebAssembly, version 1")
    return content


def _kind(service: ServiceDraft, content: bytes, inspect: Inspect | None) -> GuestKind:
    if inspect is None:
        if service.guest is None:
            raise _Unfit("nothing here can tell how the module is called", "write `guest: handler` or `guest: command`")
        return service.guest
    try:
        found = inspect(content)
    except FootlooseError as error:
        raise _Unfit(
            f"{service.image} cannot be a guest: {error.what}", error.fix or "see the guest interface"
        ) from error
    if service.guest is not None and found is not service.guest:
        what = f"`guest: {service.guest.value}`, but by its exports {service.image} is a {found.value}"
        raise _Unfit(what, f"write `guest: {found.value}`, or leave it out")
    return found
