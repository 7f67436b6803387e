"""No bytes do harm, and every good file is read as it was meant."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from footloose.model.app import Budget, GuestKind, HttpRoute, Limits, Slo, Where
from footloose.model.appfile import AppDraft, AppFileError, ServiceDraft, Spot, parse_app_file

BASE = Path("/apps")
GOOD = b"""\
name: pulse
x-common: &common {platform: wasi/wasm}
services:
  web:
    <<: *common
    image: ./pulse.wasm
    environment: {GREETING: hi, N: 1.10}
    mem_limit: 16m
    x-footloose:
      guest: handler
      route: {host: "*", path: /}
      slo: {latency: 60ms}
      budget: {copies: 5, price: 0.02}
      limits: {memory: 16MiB, time: 50ms}
      where: {regions: [eu], providers: {deny: [%s]}}
      follow_users: true
""" % (b"a" * 52)


def outcome(content: bytes) -> AppDraft | AppFileError:
    try:
        return parse_app_file(content, "compose.yaml", BASE, placements={"greedy"})
    except AppFileError as error:
        assert error.problems
        assert all(line.isprintable() for line in str(error).split("\n"))
        return error


@given(st.binary(max_size=200))
@example(b'"\\ud800"')
@example(b"%YAML 99999999999999999999.1\n---\na")
@example(b"? ? ? a")
@example(b"!!binary a: !!set {a}")
@example(b"&a [*a]")
@example(b"name: !!int x")
@example(b"- !<tag:yaml.org,2002:merge> x")
@example(b"{<<: [[], {<<: {a: b}}]}")
@example(b"!!python/object/apply:os.system ['true']")
def test_garbage_is_refused_in_good_order(content: bytes) -> None:
    assert isinstance(outcome(content), AppFileError)


@given(st.text("abn:-{}[]&*!|>?%@`'\"#, \n\t<$~01.e+x", max_size=120))
def test_text_made_of_yaml_signs_is_refused_in_good_order(text: str) -> None:
    assert isinstance(outcome(text.encode()), AppFileError)


KEYS = st.sampled_from(
    (
        *("name", "services", "web", "image", "platform", "environment", "mem_limit", "deploy", "resources", "limits"),
        *("memory", "x-footloose", "guest", "route", "host", "path", "slo", "latency", "budget", "copies", "price"),
        *(
            "time",
            "output",
            "where",
            "regions",
            "providers",
            "allow",
            "deny",
            "placement",
            "follow_users",
            "state",
            "instances",
        ),
        *("ports", "x-other", "version", "<<"),
    )
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["./a.wasm", "30ms", "16MiB", "handler", "warm", "/", "none", "A=b"])
)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5))


@given(TREES)
def test_any_structure_is_read_or_refused(tree: object) -> None:
    outcome(yaml.safe_dump(tree, allow_unicode=True).encode())


@given(TREES, TREES, TREES)
def test_any_structure_inside_a_service_is_read_or_refused(own: object, environment: object, route: object) -> None:
    service = {"image": "./a.wasm", "environment": environment, "x-footloose": {"route": route, "limits": own}}
    outcome(yaml.safe_dump({"name": "a", "services": {"web": service, "own": own}}).encode())


@given(st.data())
def test_a_good_file_with_some_bytes_changed_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    outcome(bytes(content))


NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True)
PROVIDER_IDS = st.from_regex(r"[a-z2-7]{52}", fullmatch=True)


@st.composite
def services(draw: st.DrawFn, index: int) -> tuple[str, dict[str, Any], ServiceDraft]:
    """A service as a file has it, and what it must become."""
    name = draw(st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,10}", fullmatch=True)) + str(index)
    environment = draw(
        st.dictionaries(st.from_regex(r"V[A-Z_0-9]{0,5}", fullmatch=True), st.text("abc $:#'\n", max_size=8))
    )
    latency, time = draw(st.none() | st.integers(60, 5000)), draw(st.none() | st.integers(1, 60))
    memory = draw(st.none() | st.integers(1, 64))
    copies, price = draw(st.integers(0, 1000)), draw(st.none() | st.decimals(0, 1000, places=3).map(float))
    follow = draw(st.none() | st.booleans()) if copies else None
    path = draw(st.none() | st.just(f"/route{index}"))
    regions = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    providers = draw(st.lists(PROVIDER_IDS, min_size=2, max_size=4, unique=True))
    guest = draw(st.none() | st.sampled_from(GuestKind))
    where = {"regions": regions, "providers": {"allow": providers[:1], "deny": providers[1:]}}
    own: dict[str, Any] = {
        "budget": {"copies": copies, **({"price": price} if price is not None else {})},
        "limits": {
            **({"memory": f"{memory}MiB"} if memory else {}),
            **({"time": f"{time}ms"} if time else {}),
        },
        **({"slo": {"latency": f"{latency}ms"}} if latency else {}),
        **({"route": path} if path else {}),
        **({"follow_users": follow} if follow is not None else {}),
        **({"guest": guest.value} if guest else {}),
        "where": where,
    }
    written = {name: value.replace("$", "$$") for name, value in environment.items()}
    defaults = Limits()
    expected = ServiceDraft(
        name=name,
        image=BASE / f"{index}.wasm",
        guest=guest,
        route=HttpRoute("*", path) if path else None,
        environment=tuple(environment.items()),
        limits=Limits(memory * 1024**2 if memory else defaults.memory_bytes, float(time) if time else defaults.time_ms),
        slo=Slo(float(latency) if latency else None),
        budget=Budget(copies, price),
        where=Where(tuple(regions), tuple(providers[:1]), tuple(providers[1:])),
        follow_users=follow if follow is not None else copies > 0,
    )
    return name, {"image": f"./{index}.wasm", "environment": written, "x-footloose": own}, expected


@given(NAMES, st.integers(1, 4).flatmap(lambda count: st.tuples(*(services(index) for index in range(count)))))
def test_a_good_file_is_read_as_it_was_meant(
    name: str, parts: tuple[tuple[str, dict[str, Any], ServiceDraft], ...]
) -> None:
    file = {"name": name, "services": {service: body for service, body, _ in parts}}
    draft = outcome(yaml.safe_dump(file, sort_keys=False, allow_unicode=True).encode())
    assert isinstance(draft, AppDraft), draft
    assert draft.name == name
    for found, (_, _, expected) in zip(draft.services, parts, strict=True):
        assert found.image_at != Spot()
        assert {**_fields(found), "image_at": None} == {**_fields(expected), "image_at": None}


def _fields(draft: ServiceDraft) -> dict[str, object]:
    return {field: getattr(draft, field) for field in draft.__struct_fields__}
