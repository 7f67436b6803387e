"""What a schema cannot say of an app file: contradictions, and things that are well-formed but cannot be done."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from footloose.core.limits import GUEST_MEMORY_CEILING_BYTES, GUEST_OUTPUT_CEILING_BYTES, GUEST_TIME_CEILING_MS
from footloose.model.app import HttpRoute
from footloose.model.appfile.document import Document, Path, shown
from footloose.model.appfile.units import milliseconds, size_bytes

WASM_PAGE_BYTES = 64 * 1024
WASM_PLATFORM = "wasi/wasm"
MEMORY_KEYS: tuple[Path, ...] = (
    ("x-footloose", "limits", "memory"),
    ("deploy", "resources", "limits", "memory"),
    ("mem_limit",),
)
"""Where a memory limit may stand; the first is ours, the others are Compose's."""

_META_VARIABLES = frozenset(
    (
        *("AUTH_TYPE", "CONTENT_LENGTH", "CONTENT_TYPE", "GATEWAY_INTERFACE", "PATH_INFO", "PATH_TRANSLATED"),
        *("QUERY_STRING", "REMOTE_ADDR", "REMOTE_HOST", "REMOTE_IDENT", "REMOTE_USER", "REQUEST_METHOD", "SCGI"),
        *("SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "SERVER_SOFTWARE"),
    )
)
"""What a gateway tells a guest of each request (RFC 3875 §4.1)."""


def check_sense(document: Document, placements: Collection[str] | None) -> None:
    """Note what makes no sense in a document whose shape is right. ``placements``: the algorithms known, if any are."""
    routes: dict[HttpRoute, Path] = {}
    for name, service in document.data.get("services", {}).items():
        path: Path = ("services", name)
        _check_extensions(document, path, service)
        _check_image(document, path, service)
        _check_environment(document, path, service)
        _check_memory(document, path, service)
        _check_time(document, path, service)
        _check_output(document, path, service)
        _check_following(document, path, service)
        _check_providers(document, path, service)
        _check_placement(document, path, service, placements)
        _check_route(document, path, service, routes)


def at(service: Mapping[str, Any], path: Path) -> Any:
    """What stands at ``path`` in a service, None if nothing does."""
    value: Any = service
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def is_module_path(image: str) -> bool:
    """Whether ``image`` is a path rather than an OCI reference."""
    return image.endswith(".wasm") or image.startswith(("./", "../", "/"))


def route_of(service: Mapping[str, Any]) -> HttpRoute | None:
    """A service's route: host in lower case, no slash at the path's end."""
    route = at(service, ("x-footloose", "route"))
    if route is None:
        return None
    parts = {"path": route} if isinstance(route, str) else route
    return HttpRoute(parts.get("host", "*").lower(), parts.get("path", "/").rstrip("/") or "/")


def environment_of(document: Document, path: Path, service: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    """Place, name and value of each variable, as written, whichever form the file uses."""
    environment = service.get("environment", {})
    place = (*path, "environment")
    if isinstance(environment, list):
        for index, item in enumerate(environment):
            if item is not None:
                name, _, value = item.partition("=")
                yield (*place, index), name, value
    else:
        for name in environment:
            yield (*place, name), name, document.written((*place, name))


def _check_extensions(document: Document, path: Path, service: Mapping[str, Any]) -> None:
    """Foreign ``x-`` keys are left alone, but a slip of the pen must not lose all our settings."""
    for key in service:
        if (
            key != "x-footloose"
            and key.startswith("x-")
            and difflib.get_close_matches(key, ["x-footloose"], cutoff=0.8)
        ):
            place = (*path, key)
            what = f"unknown key `{shown(key)}`"
            document.complain(place, what, "did you mean `x-footloose`?", at=document.key_spot(place))


def _check_image(document: Document, path: Path, service: Mapping[str, Any]) -> None:
    image, platform = service.get("image"), service.get("platform", WASM_PLATFORM)
    if platform != WASM_PLATFORM:
        what = f"`{shown(platform)}` cannot be run: containers are not run yet"
        document.complain((*path, "platform"), what, f"compile to Wasm and write `platform: {WASM_PLATFORM}`")
    if image is not None and not is_module_path(image):
        what = f"`{shown(image)}` is an OCI reference, and containers are not run yet"
        document.complain((*path, "image"), what, "give the path of a .wasm file, such as `./web.wasm`")


def _check_environment(document: Document, path: Path, service: Mapping[str, Any]) -> None:
    seen: set[str] = set()
    for place, name, _ in environment_of(document, path, service):
        if name in _META_VARIABLES or name.startswith(("HTTP_", "FOOTLOOSE_")):
            what = f"`{shown(name)}` is set by the gateway on each request"
            document.complain(place, what, "choose another name", at=document.key_spot(place))
        if name in seen:
            document.complain(place, f"`{shown(name)}` is given twice", "keep one of them")
        seen.add(name)


def _check_memory(document: Document, path: Path, service: Mapping[str, Any]) -> None:
    given = [key for key in MEMORY_KEYS if at(service, key) is not None]
    sizes = {key: size_bytes(at(service, key)) for key in given}
    for key, size in sizes.items():
        if not WASM_PAGE_BYTES <= size <= GUEST_MEMORY_CEILING_BYTES:
            document.complain((*path, *key), "Wasm memory is between 64KiB and 4GiB", 'for example "16MiB"')
    for key in given[1:]:
        if sizes[key] != sizes[given[0]]:
            first = document.key_spot((*path, *given[0])).line
            what = f"another memory limit than {'.'.join(map(str, given[0]))} on line {first}"
            document.complain((*path, *key), what, "keep one of them")


def _check_time(document: Document, path: Path, service: Mapping[str, Any]) -> None:
    limit, latency = ("x-footloose", "limits", "time"), ("x-footloose", "slo", "latency")
    time_ms, latency_ms = (
        milliseconds(text) if (text := at(service, key)) is not None else None for key in (limit, latency)
    )
    if time_ms is not None and not 0 < time_ms <= GUEST_TIME_CEILING_MS:
        what = f"a request may take more than 0 and at most {GUEST_TIME_CEILING_MS / 1000:.0f} s"
        document.complain((*path, *limit), what, 'for example "50ms"')
    if latency_ms is not None and latency_ms <= 0:
        document.complain((*path, *latency), "no latency is 0", 'for example "30ms"')
    elif time_ms is not None and latency_ms is not None and time_ms > latency_ms:
        what = f"one request may take longer than slo.latency allows ({at(service, latency)})"
        document.complain((*path, *limit), what, "lower this, or raise slo.latency")


def _check_output(document: Document, path: Path, service: Mapping[str, Any]) -> None:
    key = ("x-footloose", "limits", "output")
    output = at(service, key)
    if output is not None and not 0 < size_bytes(output) <= GUEST_OUTPUT_CEILING_BYTES:
        what = f"an answer is more than 0 bytes and at most {GUEST_OUTPUT_CEILING_BYTES // 1024**2}MiB"
        document.complain((*path, *key), what, 'for example "1MiB"')


def _check_following(document: Document, path: Path, service: Mapping[str, Any]) -> None:
    copies, follow = ("x-footloose", "budget", "copies"), ("x-footloose", "follow_users")
    if at(service, copies) == 0 and at(service, follow) is True:
        what = "no copies, and yet follow_users is true"
        document.complain((*path, *copies), what, "allow at least 1 copy, or write `follow_users: false`")


def _check_providers(document: Document, path: Path, service: Mapping[str, Any]) -> None:
    key = ("x-footloose", "where", "providers")
    allowed, denied = at(service, (*key, "allow")) or [], at(service, (*key, "deny")) or []
    for index, provider in enumerate(denied):
        if provider is not None and provider in allowed:
            what = "this provider is both allowed and denied"
            document.complain((*path, *key, "deny", index), what, "remove it from one of the lists")


def _check_placement(
    document: Document, path: Path, service: Mapping[str, Any], placements: Collection[str] | None
) -> None:
    key = ("x-footloose", "placement")
    name = at(service, key)
    if name is None or placements is None or name in placements:
        return
    near = difflib.get_close_matches(name, placements, n=1)
    fix = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(sorted(placements))}"
    document.complain((*path, *key), f"no placement algorithm is called `{shown(name)}`", fix)


def _check_route(document: Document, path: Path, service: Mapping[str, Any], routes: dict[HttpRoute, Path]) -> None:
    route, place = route_of(service), (*path, "x-footloose", "route")
    if route is None or not document.is_sound(place):
        return
    if route in routes:
        first = routes[route]
        what = f"the same route as {shown(str(first[1]))} has on line {document.key_spot(first).line}"
        document.complain(place, what, "give each service a route of its own")
    routes.setdefault(route, place)
    segments = route.path.split("/")
    if "." in segments or ".." in segments or "" in segments[1:-1]:
        document.complain(place, "a path with `.`, `..` or empty segments never matches", "write it out")
    if segments[1:2] == [".well-known"]:
        document.complain(place, "/.well-known/ belongs to the gateway", "choose another path")
