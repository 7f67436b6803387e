"""``footloose testbed`` as people and scripts use it."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from footloose.cli.main import run
from footloose.cli.testbed import testbed as group
from footloose.testbed import Testbed, control, icon

pytestmark = pytest.mark.root

RUN = "import sys; from footloose.cli.main import run; sys.exit(run())"
SMALL = """\
routers: {r1: , r2: }
hosts: {a: , b: {role: user, region: north}}
links:
  - {between: [a, r1], delay_ms: 1}
  - {between: [r1, r2], delay_ms: 3}
  - {between: [r2, b], delay_ms: 1}
"""


class Cli:
    """Runs the command; its run directory is the test's own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", RUN, "testbed", *arguments]

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What it prints, or its error if it is to end with another ``code`` than 0."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            ended = run(["testbed", *arguments])
        assert ended == code, out.getvalue() + err.getvalue()
        return out.getvalue() if code == 0 else err.getvalue()

    def execute(self, *arguments: str) -> int:
        """How a command run inside a host ends."""
        return subprocess.run(self.argv("exec", *arguments), check=False, timeout=60).returncode

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    cli = Cli(tmp_path)
    yield cli
    for found in cli.json("ls"):
        cli("down", "--name", found["name"])


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


def test_a_detached_testbed_is_used_cut_healed_and_ended(cli: Cli, small: str) -> None:
    view = cli.json("up", small, "--detach")
    assert view["topology"] == "small"
    assert [host["name"] for host in view["hosts"]] == ["a", "b"]
    address = view["hosts"][1]["address"]
    assert view["hosts"][1]["region"] == "north"
    # Connection refused by b's kernel, over 10 ms; no route when the link is cut.
    dial = f"import socket,sys; sys.exit(socket.socket().connect_ex(('{address}', 9)))"
    refused, no_route = 111, 113
    assert cli.execute("a", "--", sys.executable, "-c", dial) == refused
    assert cli("cut", "r1", "r2") == "cut r1 - r2\n"
    assert cli.json("ls")[0]["cut"] == [["r1", "r2"]]
    assert "cut: r1 - r2" in cli("ls")
    assert cli.execute("a", "--", sys.executable, "-c", dial) == no_route
    assert cli.json("heal", "r2", "r1")["cut"] == []
    assert cli.execute("a", sys.executable, "-c", dial) == refused
    assert cli("down") == "ended default\n"
    assert cli.json("ls") == []
    assert "no testbed 'default' is running" in cli("down", code=1)


def test_testbeds_with_names_live_side_by_side(cli: Cli, small: str) -> None:
    cli("up", small, "--detach", "--name", "one")
    cli("up", "icon", "--detach", "--name", "two")
    assert [found["topology"] for found in cli.json("ls")] == ["small", "icon"]
    cli("cut", "client", "isp-access", "--name", "two")
    cli("down", "--name", "one")
    assert [found["name"] for found in cli.json("ls")] == ["two"]


def test_a_name_in_use_is_refused_and_the_running_one_goes_on(cli: Cli, small: str) -> None:
    cli("up", small, "--detach")
    assert "running already" in cli("up", "icon", "--detach", code=1)
    assert "running already" in cli("up", "icon", code=1)
    assert cli.json("ls")[0]["topology"] == "small"


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_one_in_the_foreground_ends_by_signal_and_leaves_nothing_listening(
    cli: Cli, small: str, end: signal.Signals
) -> None:
    with subprocess.Popen(cli.argv("up", small, "--json"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        view = json.loads(process.stdout.readline())
        assert view["owner"] == process.pid
        assert len(cli.json("ls")) == 1
        inside = subprocess.Popen([*view["hosts"][0]["enter"], "sleep", "1000"])
        process.send_signal(end)
        assert process.wait(30) == (-9 if end is signal.SIGKILL else 0)
    assert cli.json("ls") == []
    # Either it ran inside and was killed, or it came too late to enter.
    assert inside.wait(30) in (-9, 1)
    assert list((cli.directory / "footloose").glob("*.sock")) == []


def test_mistakes_are_said_in_one_line(cli: Cli, small: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(SMALL.replace("delay_ms: 3", "delay_ms: three"))
    assert "bad.yaml:5: links[1].delay_ms" in cli("up", str(bad), code=1)
    assert "bad.yaml:5: links[1].delay_ms" in cli("up", str(bad), "--detach", code=1)
    assert "cannot be read" in cli("up", "nowhere.yaml", code=1)
    assert "is not a name" in cli("up", small, "--name", "../x", "--detach", code=1)
    assert "footloose testbed up" in cli("exec", "a", "--", "true", code=1)
    cli("up", small, "--detach")
    assert "hosts are a, b" in cli("exec", "c", "--", "true", code=1)
    assert "no link joins 'a' and 'b'" in cli("cut", "a", "b", code=1)
    assert "no router or host 'x'" in cli("heal", "x", "b", code=1)


def test_check_says_what_works_here(cli: Cli) -> None:
    assert cli.json("check")["available"] is True
    assert cli("check").startswith("available ")


def test_garbage_at_the_control_socket_is_answered_and_survived(cli: Cli, small: str) -> None:
    cli("up", small, "--detach")
    path = cli.directory / "footloose/default.sock"
    for line, said in ((b"{}\n", "not an order"), (b"\xff\xfe\n", "not an order"), (b'{"do":"fly"}\n', "cannot do")):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(line)
            with connection.makefile("rb") as answer:
                assert said in json.loads(answer.readline())["error"]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
    assert len(cli.json("ls")) == 1


def test_a_run_directory_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a directory away")
    (tmp_path / "footloose").mkdir()
    os.chown(tmp_path / "footloose", 12345, 12345)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(control.LocalError, match="not this user's directory"):
        control.running()


def test_every_command_has_help() -> None:
    listed = CliRunner().invoke(group, ["--help"]).output
    for command in ("up", "exec", "cut", "heal", "down", "ls", "check"):
        assert command in listed
        assert CliRunner().invoke(group, [command, "--help"]).exit_code == 0


def test_a_view_shows_what_the_testbed_is() -> None:
    with Testbed(icon()) as net:
        net.cut("client", "isp-access")
        view = control.view(net, "x")
    assert view.routers == 11
    assert view.cut == (("client", "isp-access"),)
    assert view.owner == os.getpid()
