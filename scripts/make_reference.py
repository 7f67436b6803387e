#!/usr/bin/env python3
"""Writes what follows from the code: pages of limits and state diagrams, diagrams elsewhere, the site API's schemas.

``make_reference.py`` writes them; ``make_reference.py --check`` changes nothing and fails if one is out of date.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import yaml

import footloose
from footloose.core import limits
from footloose.core.codec import Signed
from footloose.core.table import TransitionTable
from footloose.model.app import App
from footloose.model.site import SiteRecord
from footloose.model.terms import (
    Lease,
    LeaseAnswer,
    LeaseEnd,
    LeasePoll,
    LeaseRequest,
    ProbeAnswer,
    ProbeRequest,
)
from footloose.transport.problems import Problem

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs/reference"
EXPLANATION = ROOT / "docs/explanation"
_DIAGRAM = re.compile(r"(<!-- diagram: (\S+) -->\n```mermaid\n).*?(?=\n```$)", re.MULTILINE | re.DOTALL)
MARK = "# What follows is made from the types in footloose.model by scripts/make_reference.py. Do not edit it here."
SITE_API_TYPES = (
    Signed,
    SiteRecord,
    App,
    ProbeRequest,
    ProbeAnswer,
    LeaseRequest,
    LeaseAnswer,
    Lease,
    LeasePoll,
    LeaseEnd,
    Problem,
)


def main() -> int:
    """Write the pages, or with ``--check`` say which are out of date."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'out of date; run `make docs`' if '--check' in sys.argv else 'written'}")
        if "--check" not in sys.argv:
            path.write_text(pages()[path])
    return 1 if stale and "--check" in sys.argv else 0


def pages() -> dict[Path, str]:
    """All that is made, as it should be."""
    site_api = REFERENCE / "site-api.yaml"
    drawn = {page: with_diagrams(page.read_text()) for page in sorted(EXPLANATION.glob("*.md"))}
    return {
        **drawn,
        REFERENCE / "limits.md": limits_page(inspect.getsource(limits)),
        REFERENCE / "state-diagrams.md": diagrams_page(),
        site_api: site_api.read_text().split(MARK)[0] + MARK + "\n" + site_api_schemas(),
    }


# Limits

_LIMITS_INTRODUCTION = """\
# Limits

Everything has a limit. This page is made from `footloose.core.limits` by `make docs`; do not edit it.

Limits are the same at every site, apart from those that an app file or an option of `footloose node` sets. What is over
a limit (one request, message, guest or record) is refused or dropped, with the reason. The rest goes on."""


def limits_page(source: str) -> str:
    """The page of limits, from the source of ``core/limits.py``."""
    lines = [_LIMITS_INTRODUCTION]
    for section, found in _sections(source):
        lines += ["", f"## {section}", "", "| name | value | what it bounds |", "|---|---|---|"]
        lines += [f"| `{name}` | {_figure(name, value)} | {_cell(meaning)} |" for name, value, meaning in found]
    return "\n".join(lines) + "\n"


def _sections(source: str) -> Iterator[tuple[str, list[tuple[str, float, str]]]]:
    """Each section's title and limits; a section begins with a comment on a line of its own."""
    titles = {number: line[2:] for number, line in enumerate(source.splitlines(), 1) if line.startswith("# ")}
    found: dict[str, list[tuple[str, float, str]]] = {title: [] for title in titles.values()}
    body = ast.parse(source).body
    for assigned, documented in pairwise(body):
        if isinstance(assigned, ast.Assign) and isinstance(assigned.targets[0], ast.Name):
            assert isinstance(documented, ast.Expr) and isinstance(documented.value, ast.Constant), assigned.lineno  # noqa: S101
            title = titles[max(number for number in titles if number < assigned.lineno)]
            name = assigned.targets[0].id
            found[title].append((name, getattr(limits, name), inspect.cleandoc(str(documented.value.value))))
    yield from found.items()


def _figure(name: str, value: float) -> str:
    if "BYTES" in name and "PER" not in name:
        for unit, size in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
            if value >= size and value % size == 0:
                return f"{value / size:g} {unit}"
        return f"{value:,} bytes"
    unit = next(
        (unit for ending, unit in (("_PER_S", " a second"), ("_MS", " ms"), ("_S", " s")) if name.endswith(ending)), ""
    )
    return f"{value:,}{unit}" if isinstance(value, int) else f"{value:,g}{unit}"


def _cell(text: str) -> str:
    return " ".join(_markdown(text).split()).replace("|", "\\|")


# State diagrams

_DIAGRAMS_INTRODUCTION = """\
# State diagrams

Protocols with states keep their legal transitions in a table (`footloose.core.table.TransitionTable`). An event that is
not in the table is a bug and raises `IllegalTransition`. This page is drawn from the tables by `make docs`; do not edit
it."""


def diagrams_page() -> str:
    """The page of all transition tables."""
    lines = [_DIAGRAMS_INTRODUCTION]
    for where, table in transition_tables():
        lines += ["", f"## {table.name[0].upper()}{table.name[1:]}", "", f"`{where}`", ""]
        lines += ["```mermaid", table.mermaid(), "```"]
    return "\n".join(lines) + "\n"


def with_diagrams(page: str) -> str:
    """``page`` with its diagrams drawn anew: those that ``<!-- diagram: MODULE.NAME -->`` stands above."""
    tables = dict(transition_tables())
    return _DIAGRAM.sub(lambda found: found[1] + tables[found[2]].mermaid(), page)


def transition_tables() -> list[tuple[str, TransitionTable[Any, Any]]]:
    """Every table in the package, with the name it has in its module, in the order of the modules."""
    found: dict[int, tuple[str, TransitionTable[Any, Any]]] = {}
    for module in sorted(one.name for one in pkgutil.walk_packages(footloose.__path__, "footloose.")):
        if module.endswith("__main__"):
            continue
        for name, value in vars(importlib.import_module(module)).items():
            if isinstance(value, TransitionTable):
                found.setdefault(id(value), (f"{module}.{name}", value))
    return list(found.values())


# The site API


def site_api_schemas() -> str:
    """The schemas of all messages between sites, as YAML to stand below ``components``."""
    _, schemas = msgspec.json.schema_components(SITE_API_TYPES, ref_template="#/components/schemas/{name}")
    text = yaml.safe_dump({"schemas": _described(schemas)}, sort_keys=False, width=110, allow_unicode=True)
    return "".join(f"  {line}" for line in text.splitlines(keepends=True))


def _described(schema: Any) -> Any:
    """``schema`` with its descriptions as Markdown."""
    if isinstance(schema, dict):
        return {
            key: _cell_of(value) if key == "description" and isinstance(value, str) else _described(value)
            for key, value in schema.items()
        }
    return [_described(item) for item in schema] if isinstance(schema, list) else schema


def _cell_of(docstring: str) -> str:
    return " ".join(_markdown(inspect.cleandoc(docstring)).split())


def _markdown(text: str) -> str:
    """A docstring's reStructuredText as Markdown."""
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text.replace("``", "`"))


if __name__ == "__main__":
    sys.exit(main())
