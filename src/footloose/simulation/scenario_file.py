"""From a scenario file to a :class:`Scenario`, or to all that is wrong with it."""

import json
from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from footloose.core.limits import APP_FILE_BYTES
from footloose.model.appfile.document import Document, read_document
from footloose.model.appfile.problems import AppFileError, FileProblems, Problem, Spot
from footloose.simulation.form import Placed
from footloose.simulation.scenario import FaultKind, Scenario, SiteSpec
from footloose.simulation.scenario_form import scenario_form
from footloose.simulation.scenario_sense import check_sense, names_of

_START = "start with `duration:`, `sites:` and `apps:`"


class ScenarioError(FileProblems):
    """A scenario file that cannot be used."""


def scenario_names() -> tuple[str, ...]:
    """The scenarios that come with Footloose."""
    folder = files("footloose.simulation") / "scenarios"
    return tuple(sorted(each.name.removesuffix(".yaml") for each in folder.iterdir() if each.name.endswith(".yaml")))


def load_scenario(file: str, *, placements: Collection[str]) -> Scenario:
    """The scenario in ``file``: a path, or the name of one that comes with Footloose.

    ``placements`` are the placement algorithms there are. Raises :class:`ScenarioError` if it cannot be read or used.
    """
    if file in scenario_names():
        content = (files("footloose.simulation") / "scenarios" / f"{file}.yaml").read_bytes()
        return parse_scenario(content, file, Path(), placements=placements)
    path = Path(file)
    try:
        with path.open("rb") as opened:
            content = opened.read(APP_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        fix = f"give the path of a scenario file, or one of {', '.join(scenario_names())}"
        raise ScenarioError(file, [Problem(Spot(), "", f"cannot be read: {why}", fix)]) from error
    return parse_scenario(content, file, path.parent, placements=placements)


def parse_scenario(content: bytes, file: str, base: Path, *, placements: Collection[str]) -> Scenario:
    """The scenario in ``content``. Paths in it are relative to ``base``; ``file`` names it in problems.

    Raises :class:`ScenarioError` with every problem found.
    """
    try:
        document = read_document(content, file, kind="a scenario file", start=_START)
    except AppFileError as error:
        raise ScenarioError(file, error.problems) from error
    scenario = _scenario(document, Path(file).stem, base, placements)
    if scenario is None:
        raise ScenarioError(file, document.problems)
    return scenario


def scenario_schema() -> str:
    """The JSON Schema (draft 2020-12) of scenario files."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A scenario of `footloose simulate`",
        **scenario_form(Path()).schema(),
        "patternProperties": {"^x-": {}},
    }
    return json.dumps(schema, indent=2) + "\n"


def _scenario(document: Document, name: str, base: Path, placements: Collection[str]) -> Scenario | None:
    form = scenario_form(base)
    if not isinstance(document.data, dict):
        form.refuse(document, (), document.data)
        return None
    found, whole = form.fields(document, (), document.data)
    check_sense(document, found, placements)
    return None if document.problems or not whole else Scenario(**{"name": name, **_plain(found)})


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields without their places, in the shape a scenario has."""
    fields = {name: _without_places(value) if isinstance(value, tuple) else value for name, value in found.items()}
    if isinstance(fields["sites"], int):
        fields["sites"] = tuple(SiteSpec(name) for name in names_of(fields["sites"]))
    only_app = fields["apps"][0].name
    fields["users"] = tuple(
        each if each.app else msgspec.structs.replace(each, app=only_app) for each in fields.get("users", ())
    )
    fields["script"] = tuple(fault for faults in fields.get("script", ()) for fault in faults)
    fields["faults"] = tuple(sorted(fields.get("faults", ()), key=lambda cause: _KINDS.index(cause.kind)))
    return fields


_KINDS = list(FaultKind)


def _without_places(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(each.value if isinstance(each, Placed) else each for each in values)
