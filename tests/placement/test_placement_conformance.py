"""Every registered placer keeps the rules; so does the one in the how-to, registered as it says."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from placement_problems import problems
from placer_conformance import check_placer

from footloose.core.errors import LocalError
from footloose.placement.interface import Placer, Problem
from footloose.placement.registry import placer, placer_names

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-placer.md"


@pytest.mark.parametrize("name", placer_names())
@given(problem=problems)
def test_a_placer_keeps_the_rules(name: str, problem: Problem) -> None:
    check_placer(placer(name), problem)


@pytest.mark.parametrize("name", placer_names())
def test_a_placer_goes_by_its_own_name(name: str) -> None:
    assert placer(name).name == name


def test_an_unknown_placer_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(LocalError, match=r"no placer 'gredy'.*greedy, betweenness, most-clients, random"):
        placer("gredy")


def code_block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", HOW_TO.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


class Installed:
    """A package put on the path as an installer would."""

    def __init__(self, site_packages: Path) -> None:
        self._site_packages = site_packages

    def add(self, module: str, code: str, entry_points: str) -> None:
        (self._site_packages / f"{module}.py").write_text(code)
        information = self._site_packages / f"{module}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(entry_points)
        importlib.invalidate_caches()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    monkeypatch.syspath_prepend(tmp_path)
    modules = set(sys.modules)
    yield Installed(tmp_path)
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and Path(str(sys.modules[name].__file__)).parent == tmp_path:
            del sys.modules[name]


@pytest.fixture
def from_the_how_to(installed: Installed) -> Placer:
    pyproject = re.search(r'^\[project\.entry-points\."footloose\.placers"\]\n(.*)', code_block("toml"), re.MULTILINE)
    assert pyproject is not None
    name, module = re.fullmatch(r'([\w-]+) = "(\w+):\w+"', pyproject[1]).groups()  # type: ignore[union-attr]
    installed.add(module, code_block("python"), f"[footloose.placers]\n{pyproject[1].replace(chr(34), '')}\n")
    assert name in placer_names()
    return placer(name)


def test_the_placer_of_the_how_to_is_found_and_keeps_the_rules(from_the_how_to: Placer) -> None:
    @given(problem=problems)
    def keeps_the_rules(problem: Problem) -> None:
        check_placer(from_the_how_to, problem)

    assert type(from_the_how_to).__module__ not in (Placer.__module__, __name__)
    keeps_the_rules()


def test_a_package_cannot_take_the_name_of_a_built_in_placer(installed: Installed) -> None:
    built_in = placer("greedy")
    installed.add("usurper", "class Greedy:\n    pass\n", "[footloose.placers]\ngreedy = usurper:Greedy\n")
    assert placer("greedy") is built_in
    assert placer_names().count("greedy") == 1


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise RuntimeError('out of order')", "out of order"),
        ("class Other: pass", "cannot be loaded"),
        ("class Broken:\n    pass", "no method place"),
    ],
)
def test_a_package_that_offers_no_placer_is_refused_and_harms_no_other(
    installed: Installed, code: str, why: str
) -> None:
    installed.add("broken", code, "[footloose.placers]\nbroken = broken:Broken\n")
    with pytest.raises(LocalError, match=why):
        placer("broken")
    assert placer("greedy").name == "greedy"
