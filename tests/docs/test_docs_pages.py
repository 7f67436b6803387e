"""The pages hang together: links lead somewhere, commands exist, nothing depends on one machine."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from docs_session import commands_of

from footloose import __version__
from footloose.cli.main import COMMANDS, footloose
from markdown_pages import ROOT, anchors, blocks, links, pages, prose

PAGES = pages("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs")
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
_INLINE = re.compile(r"`(footloose(?: [^`\n]+)?)`")
_INDENTED = re.compile(r"^ {4,}(footloose [^#\n]*)", re.MULTILINE)
_MAKE = re.compile(r"\bmake ([a-z]+)")
_ENDS = re.compile(r"[;&|<>]|\)$")


@pytest.fixture(scope="module")
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for link in links(page.read_text()):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target.read_text()), f"{link}: no such heading"


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs/index.md"
    listed = {(index.parent / link).resolve() for link in links(index.read_text())}
    assert {page for page in pages("docs") if page != index} <= listed


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_and_options_that_a_page_names_exist(page: Path) -> None:
    for command in _named_commands(page.read_text()):
        _check_command(command)


@pytest.mark.parametrize(
    "wrong",
    ["footloose nodes", "footloose node --rigion de", "footloose bench swich", "footloose testbed up --detatch"],
)
def test_a_command_or_option_that_does_not_exist_is_noticed(wrong: str) -> None:
    with pytest.raises(AssertionError):
        _check_command(wrong)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_targets_of_make_that_a_page_names_exist(page: Path, make_targets: set[str]) -> None:
    text = page.read_text()
    code = "\n".join([*re.findall(r"`([^`\n]+)`", prose(text)), *re.findall(r"^ {4}(make .*)", text, re.MULTILINE)])
    assert set(_MAKE.findall(code)) <= make_targets


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_does_not_depend_on_the_machine_it_was_written_on(page: Path) -> None:
    text = page.read_text()
    assert str(ROOT) not in text
    assert re.findall(r"(?<![\w.])/(?:root|home|work|Users)/[\w.-]+", text) == []


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    found = re.search(r"^## \[(.+?)] - (unreleased|\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    assert found is not None
    assert found[1] == __version__


def _named_commands(page: str) -> Iterator[str]:
    """Every ``footloose …`` of a page: in its blocks, in its indented lines, in its sentences."""
    yield from _INLINE.findall(prose(page))
    yield from _INDENTED.findall(prose(page))
    for block in blocks(page, "console", "bash"):
        for command in commands_of(block):
            for line in command.line.replace("\\\n", " ").splitlines():
                yield from re.findall(r"(?:^|[;&|(] *|\$\()(footloose [^;&|]*)", line)
    for block in blocks(page, "ini", "text"):
        yield from re.findall(r"^(?:ExecStart=\S*/)?(footloose .*?)(?:   .*)?$", block.text, re.MULTILINE)


def _check_command(line: str) -> None:
    words = shlex.split(line.replace("…", "").replace("[", "").replace("]", ""))[1:]
    command: click.Command = footloose
    context = click.Context(command, info_name="footloose")
    while isinstance(command, click.Group) and words and not words[0].startswith("-") and words[0] != "COMMAND":
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"`{line}`: there is no command {name!r}"
        command, context = found, click.Context(found, parent=context, info_name=name)
    known = {option for parameter in command.get_params(context) for option in parameter.opts}
    for word in words[: words.index("--")] if "--" in words else words:
        if _ENDS.search(word):
            break
        if word.startswith("-"):
            assert word.partition("=")[0] in known, f"`{line}`: there is no option {word!r}"


def test_every_command_is_named_somewhere_outside_the_reference() -> None:
    shown = {
        line.split()[1]
        for page in pages("README.md", "docs/tutorial", "docs/how-to", "docs/explanation")
        for line in _named_commands(page.read_text())
        if len(line.split()) > 1
    }
    assert COMMANDS.keys() <= shown
