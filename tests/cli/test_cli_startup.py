"""The command as a process of its own: what it loads, and how it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_fake_node import FakeNode

from footloose.cli.exits import Exit, Unreachable, exit_code_of
from footloose.cli.main import COMMANDS, footloose
from footloose.core.errors import LimitExceeded, LocalError, RemoteError
from footloose.transport.problems import Refused

MAIN = "from footloose.cli.main import main; main()"


def start(*arguments: str, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def test_a_command_that_only_asks_loads_nothing_heavy(node: FakeNode) -> None:
    heavy = ["aiohttp", "asyncio", "jsonschema", "yaml", "wasmtime", "uvloop", "cryptography.x509"]
    program = (
        f"import sys; from footloose.cli.main import run; run(['ps']); print([m for m in {heavy} if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
    assert "berlin" in ran.stdout


def test_listing_the_commands_loads_none_of_them() -> None:
    loaded = "[name for name in sys.modules if name.startswith('footloose.cli.')]"
    program = f"import sys; from footloose.cli.main import run; run(['--help']); print({loaded})"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == str(["footloose.cli.exits", "footloose.cli.main"])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_in_the_table_is_there_and_has_help(name: str) -> None:
    command = footloose.get_command(footloose.make_context("footloose", ["ps"], resilient_parsing=True), name)
    if command is not None:
        assert command.name == name
        assert command.help


def test_a_process_prints_errors_to_stderr_and_ends_with_their_code(tmp_path: Path) -> None:
    process = start("ps", "--socket", str(tmp_path / "none"))
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (Exit.UNREACHABLE, "")
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_a_terminal_without_unicode_still_gets_its_answer(node: FakeNode) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "NO_COLOR": "1"}
    process = start("explain", "pulse", env=environment)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "\\u2014 now: redirect: munich" in out


def test_interrupting_a_stream_ends_it_quietly(tmp_path: Path, node: FakeNode) -> None:
    process = start("events")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LocalError("x"), Exit.FAILED),
        (RemoteError("x"), Exit.REFUSED),
        (LimitExceeded("x"), Exit.REFUSED),
        (Refused(409, "x"), Exit.REFUSED),
        (Unreachable("x"), Exit.UNREACHABLE),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: LocalError | RemoteError, code: Exit) -> None:
    assert exit_code_of(error) is code
