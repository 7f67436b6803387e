"""The reference says what the code does: made pages are up to date, APIs have the routes of the real ones."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import yaml
from aiohttp import web
from jsonschema import Draft202012Validator

from footloose.bench import coordinates, dht, recovery
from footloose.bench.switch import Result
from footloose.core.clock import SystemClock
from footloose.core.identity import Identity
from footloose.node.admin_api import AdminApi
from footloose.node.site_api import SiteApi
from markdown_pages import ROOT, blocks, pages

SITE_API = ROOT / "docs/reference/site-api.yaml"
METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}


@pytest.fixture(scope="module")
def make_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "scripts/make_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site_api() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(SITE_API.read_text())
    return document


def test_the_pages_made_from_the_code_are_up_to_date(make_reference: ModuleType) -> None:
    stale = [path.name for path, text in make_reference.pages().items() if path.read_text() != text]
    assert stale == [], "run `make docs`"


def test_every_limit_is_in_the_page_of_limits() -> None:
    named = re.findall(r"^([A-Z][A-Z_0-9]+) = ", (ROOT / "src/footloose/core/limits.py").read_text(), re.MULTILINE)
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/reference/limits.md").read_text(), re.MULTILINE)
    assert len(named) > 100
    assert sorted(listed) == sorted(named)


def test_every_transition_table_has_its_diagram(make_reference: ModuleType) -> None:
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    assert len(make_reference.transition_tables()) == len(re.findall(r"= TransitionTable\($", sources, re.MULTILINE))


def test_diagrams_of_states_in_other_pages_are_those_of_the_tables(make_reference: ModuleType) -> None:
    true = {table.mermaid() for _, table in make_reference.transition_tables()}
    for page in pages("docs/explanation", "docs/how-to"):
        for block in blocks(page.read_text(), "mermaid"):
            if block.text.startswith("stateDiagram"):
                assert block.text.rstrip("\n") in true, f"{page.name}:{block.line} differs from its table"


def test_a_diagram_is_drawn_anew_where_its_name_stands(make_reference: ModuleType) -> None:
    page = "<!-- diagram: footloose.market.desk.TABLE -->\n```mermaid\nold\n```\n\n```mermaid\nother\n```\n"
    drawn = make_reference.with_diagrams(page)
    assert "old" not in drawn
    assert "active --> grace: lapsed" in drawn
    assert drawn.endswith("```\n\n```mermaid\nother\n```\n")


def test_the_figures_of_the_switch_in_the_readme_are_those_of_the_results() -> None:
    result = msgspec.json.decode((ROOT / "benchmarks/results/switch.json").read_bytes(), type=Result)
    figures = [(row.mean_ms, row.median_ms, row.p95_ms, row.bound_ms, row.published_ms) for row in result.rows]
    rows = re.findall(r"^\| (?:direct|hot|cold): [^|]+ \|(.*)\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [row.split("|") for row in rows] == [[f" {ms:.0f} ms " for ms in row] for row in figures]
    assert f"{len(result.rows[0].samples_ms)} samples each" in (ROOT / "README.md").read_text()


def test_the_figures_of_recovery_in_the_benchmarks_page_are_those_of_the_results_and_within_the_bar() -> None:
    result = msgspec.json.decode((ROOT / "benchmarks/results/recovery.json").read_bytes(), type=recovery.Result)
    page = (ROOT / "docs/how-to/run-the-benchmarks.md").read_text()
    for row in result.rows:
        figures = (row.assignments, row.first_ms, row.mean_ms, row.median_ms, row.p95_ms, row.stdev_ms)
        assert f"| {' | '.join(f'{one:.0f}' for one in figures)} |" in page
        assert row.p95_ms <= result.bar_ms
        assert f"{len(row.samples_ms)} samples each" in page


def test_the_figures_of_coordinates_are_those_of_the_results() -> None:
    result = msgspec.json.decode((ROOT / "benchmarks/results/coordinates.json").read_bytes(), type=coordinates.Result)
    page = (ROOT / "docs/explanation/membership.md").read_text()
    for row in {row.data: row for row in result.rows}.values():
        extra = [f"{row.extra_p50_ms[probes]:.1f} / {row.extra_p90_ms[probes]:.1f}" for probes in ("0", "3", "5", "10")]
        figures = [f"{row.error_p50:.0%} / {row.error_p90:.0%}".replace("%", " %"), *extra]
        (shown,) = re.findall(rf"^\| {row.data} \| (.*) \|$", page, re.MULTILINE | re.IGNORECASE)
        assert shown.split(" | ") == figures


def test_the_figures_of_the_dht_are_those_of_the_results_and_reach_the_bars() -> None:
    result = msgspec.json.decode((ROOT / "benchmarks/results/dht.json").read_bytes(), type=dht.Result)
    page = (ROOT / "docs/explanation/discovery.md").read_text()
    for row in result.rows:
        figures = [
            f"{row.success:.2%} of {row.lookups:,}".replace("%", " %"),
            f"{row.found_round_trips_p50:.0f} / {row.found_round_trips_p95:.0f}",
            f"{row.found_ms_p50:.0f} / {row.found_ms_p95:.0f} ms",
            f"{row.ended_round_trips_p50:.0f} / {row.ended_round_trips_p95:.0f}",
            f"{row.ended_ms_p50:.0f} / {row.ended_ms_p95:.0f} ms",
            f"{row.requests_mean:.1f}",
        ]
        (shown,) = re.findall(rf"^\| {row.nodes:,} \| (.*) \|$", page, re.MULTILINE)
        assert shown.split(" | ") == figures
        assert row.success >= 0.999
        assert row.found_round_trips_p50 <= 3


def test_the_site_api_has_the_form_of_openapi(site_api: dict[str, Any]) -> None:
    assert site_api["openapi"].startswith("3.1.")
    assert {"title", "version"} <= site_api["info"].keys()
    ids = [operation["operationId"] for _, _, operation in _operations(site_api)]
    assert len(ids) == len(set(ids))
    for path, item, operation in _operations(site_api):
        assert operation["summary"].endswith(".")
        assert operation["responses"]
        declared = [_resolved(site_api, one) for one in [*item.get("parameters", []), *operation.get("parameters", [])]]
        in_path = {one["name"] for one in declared if one["in"] == "path" and one["required"]}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        for scheme in (name for one in operation.get("security", site_api["security"]) for name in one):
            assert scheme in site_api["components"]["securitySchemes"]
        for response in operation["responses"].values():
            assert _resolved(site_api, response)["description"]


def test_every_reference_in_the_site_api_leads_somewhere_and_nothing_lies_idle(site_api: dict[str, Any]) -> None:
    referred = set(_references(site_api))
    for reference in referred:
        _at(site_api, reference)
    envelopes = {"SiteRecord", "App", "Lease"}  # inside a Signed, as bytes
    schemas = {f"#/components/schemas/{name}" for name in site_api["components"]["schemas"].keys() - envelopes}
    assert schemas <= referred


def test_the_schemas_of_the_site_api_are_json_schemas(site_api: dict[str, Any]) -> None:
    for schema in site_api["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_site_api_has_the_routes_of_a_site_and_no_others(site_api: dict[str, Any]) -> None:
    documented = {
        (method.upper(), path) for path, item in site_api["paths"].items() for method in item.keys() & METHODS
    }
    assert documented == _routes(_site_application())


def test_what_needs_no_signature_is_what_the_site_api_says(site_api: dict[str, Any]) -> None:
    public = {
        route.resource.canonical
        for route in _site_application().router.routes()
        if getattr(route.handler, "_footloose_public", False) and route.resource is not None
    }
    assert public == {path for path, _, operation in _operations(site_api) if operation.get("security") == []}


def test_the_admin_api_page_has_the_routes_of_a_node_and_no_others() -> None:
    page = (ROOT / "docs/reference/admin-api.md").read_text()
    look, _, change = page.partition("\n## Change\n")
    everything, views = web.Application(), web.Application()
    api = AdminApi.__new__(AdminApi)
    api.add_to(everything)
    api.add_views_to(views)
    assert _headings(look) == _routes(views)
    assert _headings(look) | _headings(change) == _routes(everything)


def _site_application() -> web.Application:
    """The application of a site of which only the routes are asked: it has an identity and a clock, and no rooms."""
    api = SiteApi.__new__(SiteApi)
    api._identity, api._clock = Identity.from_seed(b"1" * 32), SystemClock()
    return api.application()


def _headings(page: str) -> set[tuple[str, str]]:
    return {(method, path) for method, path in re.findall(r"^### ([A-Z]+) (\S+)$", page, re.MULTILINE)}


def _routes(application: web.Application) -> set[tuple[str, str]]:
    routes = application.router.routes()
    return {(one.method, one.resource.canonical) for one in routes if one.resource is not None and one.method != "HEAD"}


def _operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    return [
        (path, item, item[method])
        for path, item in document["paths"].items()
        for method in sorted(item.keys() & METHODS)
    ]


def _references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [found for value in part.values() for found in _references(value)]
    return [found for item in part for found in _references(item)] if isinstance(part, list) else []


def _at(document: dict[str, Any], reference: str) -> Any:
    place: Any = document
    for step in Path(reference.removeprefix("#/")).parts:
        place = place[step]
    return place


def _resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    resolved: dict[str, Any] = _at(document, part["$ref"]) if "$ref" in part else part
    return resolved
