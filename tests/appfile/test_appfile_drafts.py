"""What a good file becomes."""

from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import json

from footloose.model.app import Budget, GuestKind, HttpRoute, Limits, Slo, Where
from footloose.model.appfile import (
    AppDraft,
    AppFileError,
    ServiceDraft,
    Spot,
    load_app_file,
    parse_app_file,
    schema_text,
)
from footloose.model.appfile.units import milliseconds, size_bytes

PROVIDERS = ("a" * 52, "b" * 52)


def parse(text: str) -> AppDraft:
    return parse_app_file(dedent(text).encode(), "compose.yaml", Path("/apps/pulse"))


def test_a_file_that_says_everything_is_read_in_full() -> None:
    draft = parse(f"""
        name: pulse
        version: "3.8"
        services:
          web:
            image: ./pulse.wasm
            platform: wasi/wasm
            environment: {{GREETING: hi, VERSION: 1.10, DEBUG: true, PRICE: 5$$}}
            deploy: {{resources: {{limits: {{memory: 8m}}}}}}
            x-footloose:
              guest: handler
              route: {{host: Pulse.Example, path: /live/}}
              slo: {{latency: 1.5s}}
              budget: {{copies: 5, price: 0.02}}
              limits: {{memory: 8MiB, time: 50ms, output: 1KiB}}
              where:
                regions: [eu-west, eu-north]
                providers: {{allow: [{PROVIDERS[0]}], deny: [{PROVIDERS[1]}]}}
              placement: betweenness
              follow_users: false
              state: none
        """)
    web = ServiceDraft(
        name="web",
        image=Path("/apps/pulse/pulse.wasm"),
        image_at=Spot(6, 12),
        guest=GuestKind.HANDLER,
        route=HttpRoute("pulse.example", "/live"),
        environment=(("GREETING", "hi"), ("VERSION", "1.10"), ("DEBUG", "true"), ("PRICE", "5$")),
        limits=Limits(8 * 1024**2, 50.0, 1024),
        slo=Slo(1500.0),
        budget=Budget(5, 0.02),
        where=Where(("eu-west", "eu-north"), (PROVIDERS[0],), (PROVIDERS[1],)),
        placement="betweenness",
        follow_users=False,
    )
    assert draft == AppDraft("pulse", (web,), "compose.yaml")


def test_a_file_that_says_the_least_gets_the_defaults() -> None:
    draft = parse("name: a\nservices: {web: {image: ./a.wasm}}")
    assert draft.services == (ServiceDraft("web", Path("/apps/pulse/a.wasm"), Spot(2, 25)),)


def test_both_forms_of_environment_say_the_same() -> None:
    mapping = parse("name: a\nservices: {web: {image: ./a.wasm, environment: {A: 1, B: 'x=y', C: ''}}}")
    listing = parse("name: a\nservices: {web: {image: ./a.wasm, environment: [A=1, 'B=x=y', 'C=']}}")
    assert mapping.services[0].environment == (("A", "1"), ("B", "x=y"), ("C", ""))
    assert listing.services[0].environment == mapping.services[0].environment


def test_words_that_only_older_yaml_takes_for_booleans_stay_words() -> None:
    draft = parse(
        "name: on\nservices: {web: {image: ./a.wasm, environment: {A: yes, B: 12:30, C: 2026-01-01, D: 010}}}"
    )
    assert draft.name == "on"
    assert draft.services[0].environment == (("A", "yes"), ("B", "12:30"), ("C", "2026-01-01"), ("D", "010"))


def test_a_route_may_be_just_a_path() -> None:
    draft = parse("name: a\nservices: {web: {image: ./a.wasm, x-footloose: {route: /}}}")
    assert draft.services[0].route == HttpRoute("*", "/")


def test_no_copies_means_not_following_users() -> None:
    draft = parse("name: a\nservices: {web: {image: ./a.wasm, x-footloose: {budget: {copies: 0}}}}")
    assert draft.services[0].follow_users is False
    assert draft.services[0].budget.copies == 0


def test_anchors_and_merge_keys_serve_several_services_and_own_keys_win() -> None:
    draft = parse("""
        name: a
        x-env: &env {LEVEL: info, HOST: h}
        x-base: &base
          image: ./base.wasm
          environment: &own {<<: *env, LEVEL: debug}
        services:
          one: {<<: *base}
          two:
            <<: [*base, {platform: wasi/wasm}]
            image: ./two.wasm
        """)
    one, two = draft.services
    assert one.image.name == "base.wasm"
    assert dict(one.environment) == {"LEVEL": "debug", "HOST": "h"}
    assert two.image.name == "two.wasm"
    assert two.environment == one.environment


def test_foreign_extensions_are_left_alone_whatever_they_hold() -> None:
    draft = parse("name: a\nx-notes: {a: 1, a: 2, b: $HOME}\nservices: {web: {image: ./a.wasm, x-other: !odd [1]}}")
    assert len(draft.services) == 1


def test_a_service_may_be_called_like_an_extension() -> None:
    draft = parse("name: a\nservices: {x-web: {image: ./a.wasm}, x-footloose: {image: ./b.wasm}}")
    assert [service.name for service in draft.services] == ["x-web", "x-footloose"]


@pytest.mark.parametrize("image", ["./a.wasm", "a.wasm", "../b/a.wasm", "/srv/a.wasm", "./module"])
def test_paths_are_told_from_oci_references(image: str) -> None:
    draft = parse(f"name: a\nservices: {{web: {{image: {image}}}}}")
    assert draft.services[0].image == Path("/apps/pulse") / image


def test_a_file_is_read_from_disk_and_its_paths_from_beside_it(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("name: a\nservices: {web: {image: ./a.wasm}}")
    draft = load_app_file(tmp_path / "compose.yaml")
    assert draft.services[0].image == tmp_path / "a.wasm"


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(AppFileError, match="cannot be read"):
            load_app_file(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30ms", 30),
        ("2s", 2000),
        ("1m30s", 90_000),
        ("500us", 0.5),
        ("1h", 3_600_000),
        ("0.5s", 500),
        ("1s500ms", 1500),
    ],
)
def test_times_are_read_with_their_units(text: str, expected: float) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("2b", 2), ("2", 2), (2, 2), (2.0, 2), ("1024kb", 1024**2), ("2048k", 2 * 1024**2), ("300m", 300 * 1024**2)),
        *(("1gb", 1024**3), ("16MiB", 16 * 1024**2), ("1.5 KiB", 1536), ("16MB", 16 * 1024**2)),
    ],
)
def test_sizes_are_read_as_docker_reads_them(text: str | float, expected: int) -> None:
    assert size_bytes(text) == expected


def test_the_published_schema_is_a_valid_one_and_takes_a_good_file() -> None:
    schema = json.decode(schema_text())
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate({"name": "a", "services": {"web": {"image": "./a.wasm", "x-other": 1}}})


def test_every_leaf_of_the_schema_says_what_it_must_be() -> None:
    def silent(schema: object, path: str = "") -> list[str]:
        if not isinstance(schema, dict):
            return []
        here = [path] if {"type", "enum"} & schema.keys() and "description" not in schema else []
        return here + [place for key, part in schema.items() if key != "if" for place in silent(part, f"{path}/{key}")]

    assert silent(json.decode(schema_text())) == []


@pytest.mark.parametrize(("written", "meant"), [("name: 12", 'write "12"'), ("name: true", 'write "true"')])
def test_text_that_looks_like_a_number_is_said_to_need_quotes(written: str, meant: str) -> None:
    with pytest.raises(AppFileError, match=meant):
        parse(f"{written}\nservices: {{web: {{image: ./a.wasm}}}}")


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.booleans())
@example("5$", False)
def test_any_printable_text_is_passed_on_in_the_environment_just_as_it_is(text: str, as_list: bool) -> None:
    kept = "".join(letter for letter in text if letter.isprintable())
    quoted = json.encode("A=" + kept if as_list else kept).decode().replace("$", "$$")
    environment = f"[{quoted}]" if as_list else f"{{A: {quoted}}}"
    draft = parse(f"name: a\nservices: {{web: {{image: ./a.wasm, environment: {environment}}}}}")
    assert draft.services[0].environment == (("A", kept),)
