"""What the documentation shows is what happens."""

import re
from pathlib import Path

import pytest
from cli_docs import EXAMPLE, PAGE, ROOT, commands_of, documented_surroundings, first_app_file, with_outputs
from cli_fake_node import FakeNode
from cli_ran import Cli

from footloose.cli.exits import Exit
from footloose.cli.main import COMMANDS
from footloose.model.appfile import parse_app_file


def test_every_command_the_reference_shows_prints_what_it_says(tmp_path: Path) -> None:
    page = PAGE.read_text()
    with documented_surroundings(tmp_path):
        assert with_outputs(page) == page


def test_the_reference_shows_every_command_of_an_app_and_a_site() -> None:
    shown = {command.split()[1] for command in commands_of(PAGE.read_text())}
    elsewhere = {"node", "demo", "testbed", "bench"}
    assert shown == COMMANDS.keys() - elsewhere


def test_the_example_of_the_app_file_page_is_good() -> None:
    draft = parse_app_file(first_app_file(EXAMPLE.read_text()).encode(), "compose.yaml", Path())
    assert draft.services[0].name == "web"


def test_the_exit_codes_are_all_listed() -> None:
    page = (ROOT / "docs/reference/exit-codes.md").read_text()
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == list(Exit)


@pytest.mark.parametrize(
    "arguments",
    [["ps"], ["sites"], ["members"], ["members", "--regions"], ["topology"], ["explain", "pulse"], ["status"]],
)
def test_nothing_is_wider_than_a_terminal_of_80_columns(node: FakeNode, cli: Cli, arguments: list[str]) -> None:
    ran = cli(*arguments)
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 80
