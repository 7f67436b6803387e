"""The command line run inside the test, with the toy for a world."""

from pathlib import Path

import pytest
from simulation_ran import TOY, Ran, Simulate

from footloose.cli.main import run


@pytest.fixture
def toy_file(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(TOY)
    return path


@pytest.fixture
def simulate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Simulate:
    """Runs ``footloose simulate`` with these arguments in a folder of its own."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def simulate(*arguments: str) -> Ran:
        code = run(["simulate", "--world", "simulation_toy:run", *arguments])
        printed = capsys.readouterr()
        return Ran(int(code), printed.out, printed.err)

    return simulate
