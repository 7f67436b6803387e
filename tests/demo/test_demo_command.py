"""The command ``footloose demo``: what it refuses in one line, how it ends, and what it looks like in a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest
from demo_runs import FOOTLOOSE, demo_run
from test_demo_loopback import SMALL

from footloose.testbed import available

needs_namespaces = pytest.mark.skipif(not available(), reason=available().why)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.mark.parametrize(
    ("line", "count"),
    [("role: home", "0 hosts with role home"), ("role: site", "0 with role site"), ("role: user", "0 with role user")],
)
def test_a_network_that_lacks_a_role_is_refused_in_one_line(small: Path, line: str, count: str) -> None:
    small.write_text(SMALL.replace(line, "role: host"))
    with demo_run("--headless", "--topology", str(small)) as run:
        ended = run.ended()
    assert ended.code == 1
    assert count in ended.err
    assert "fix: give it exactly one home, at least one site and at least one user" in ended.err
    assert len(ended.err.splitlines()) == 2


def test_a_file_that_is_no_topology_is_named_with_its_line(small: Path) -> None:
    small.write_text(SMALL.replace("delay_ms: 40", "delay_ms: -1"))
    with demo_run("--headless", "--topology", str(small)) as run:
        ended = run.ended()
    assert ended.code == 1
    assert re.search(r"small\.yaml:\d+: links\[1\]", ended.err)
    assert "Traceback" not in ended.err


def test_a_taken_port_for_the_page_is_said_before_anything_is_built(small: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with demo_run("--headless", "--page-port", port, "--topology", str(small), "--loopback") as run:
            ended = run.ended()
    assert ended.code == 1
    assert ended.err.splitlines() == [
        f"error: 127.0.0.1:{port}: the port for the page is taken",
        "    fix: choose another with --page-port, or 0 for no page",
    ]
    assert "building" not in ended.out


@pytest.mark.root
@pytest.mark.slow
@needs_namespaces
@pytest.mark.parametrize(
    ("number", "after"), [(signal.SIGINT, "starting home"), (signal.SIGTERM, "is served by")], ids=["Ctrl-C", "SIGTERM"]
)
def test_it_can_be_interrupted_at_any_moment_and_leaves_nothing_behind(
    small: Path, number: signal.Signals, after: str
) -> None:
    with demo_run("--headless", "--topology", str(small)) as run:
        run.line_with(after)
        run.signal(number)
        ended = run.ended()
    assert ended.code == 130
    assert ended.left_behind == ()
    assert "Traceback" not in ended.err


@pytest.mark.root
@pytest.mark.slow
@needs_namespaces
def test_not_every_user_at_its_nearest_site_is_a_failure(small: Path) -> None:
    with demo_run("--headless", "--topology", str(small), "--seconds", "1") as run:
        ended = run.ended()
    assert ended.code == 1
    assert "0 of 2 users are settled at their nearest site" in ended.out


@pytest.mark.root
@pytest.mark.slow
@needs_namespaces
def test_in_a_terminal_of_80_columns_the_story_is_told_without_a_wrapped_line(small: Path) -> None:
    shown = Terminal(80, 24, "--topology", str(small), "--stay", "--page-port", "0")
    try:
        shown.until("all users have settled")
        frame = shown.frame()
        shown.interrupt()
        code = shown.ended()
    finally:
        shown.kill()
    assert code == 0
    assert max(map(len, frame)) <= 80
    assert len(frame) < 24
    text = "\n".join(frame)
    for heading in ("USER", "SERVED BY", "AT FIRST", "NOW", "BEST", "ROUND TRIPS"):
        assert heading in text
    assert re.search(r"near-user +near-site ✓ +\d+\.\d ms +\d+\.\d ms +\d+\.\d ms +(\d+\.\d s +)?[▁▂▃▄▅▆▇█]+", text)
    assert re.search(r"redirect +near-user: near-site — serves and is nearer: \d", text)
    assert "2 of 2 users are settled at their nearest site; 0 errors seen by users" in shown.plain()


class Terminal:
    """The demo in a terminal of this size, and what it draws there."""

    def __init__(self, columns: int, rows: int, *arguments: str) -> None:
        self._rows = rows
        self._screen = b""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        environment.pop("COLUMNS", None)
        self._process = subprocess.Popen(
            [*FOOTLOOSE, "demo", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        self._terminal = ours

    def until(self, text: str, seconds: float = 100) -> None:
        """Wait until ``text`` is drawn, and the frame that it is in is complete."""
        deadline = time.monotonic() + seconds
        while text not in self.plain():
            assert time.monotonic() < deadline and self._read(1.0), self.plain()[-3000:]
        self._read(1.0)

    def _read(self, seconds: float) -> bool:
        """Take in what is drawn within so many seconds; False once the other end is closed."""
        ready, _, _ = select.select([self._terminal], [], [], seconds)
        if not ready:
            return True
        try:
            more = os.read(self._terminal, 65536)
        except OSError:
            return False
        self._screen += more
        return bool(more)

    def plain(self) -> str:
        """All that was ever drawn, without colours and movements."""
        return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", self._screen).decode(errors="replace").replace("\r", "")

    def frame(self) -> list[str]:
        """The last whole frame: what was drawn between two jumps back to its beginning."""
        frames = re.split(rb"(?:\x1b\[1A\x1b\[2K|\x1b\[2K)+", self._screen)
        last = [each for each in frames if b"USER" in each][-2]
        plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", last).decode().replace("\r", "")
        return [line.rstrip() for line in plain.split("\n")]

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._terminal, b"\x03")
        os.killpg(self._process.pid, signal.SIGINT)

    def ended(self) -> int:
        """Its exit code."""
        while self._read(60.0):
            pass
        return self._process.wait(60)

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)
        os.close(self._terminal)
