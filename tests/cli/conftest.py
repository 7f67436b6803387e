"""A fake node, and the command line run inside the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_fake_node import FakeNode, fake_node
from cli_ran import Cli, Ran

from footloose.cli.main import run


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """A node that commands find by themselves."""
    path = tmp_path / "admin.sock"
    monkeypatch.setenv("FOOTLOOSE_SOCKET", str(path))
    with fake_node(path) as running:
        yield running


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs ``footloose`` with these arguments, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def cli(*arguments: str) -> Ran:
        code = run(arguments)
        printed = capsys.readouterr()
        return Ran(int(code), printed.out, printed.err)

    return cli
