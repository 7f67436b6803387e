"""Runs the commands a page shows, in their order, as a reader would, and compares what they print with the page.

A block in ``console`` has commands (``$ …``, continued by a backslash) and below each what it prints; ``...`` stands
for any lines left out. A block in ``bash`` is run as it is. ``<!-- docs-test: … -->`` before a block says more:

* ``not run: WHY``: only looked at
* ``needs PROGRAM``, ``lacks PROGRAM``: left out where that program is missing, or is there
* ``root``: left out for other users than root
* ``namespaces``: left out where there are none; for pages whose machines have addresses of their own

A node runs on in the background, as in a terminal of its own, until it is told to stop or the page ends.
"""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from footloose.testbed import Host, Link, Router, Testbed, Topology, available
from markdown_pages import ROOT, Block, blocks

COLUMNS = 100
"""How wide the terminal of the pages is."""
ADDRESSES = ("192.0.2.10", "203.0.113.10", "203.0.113.20", "198.51.100.7")
"""Addresses for documentation (RFC 5737) that the pages' machines and users have, where there are namespaces."""
PATIENCE_S = 40.0
"""How long a command may take, and how long it may be until a command that looks shows what the page says."""
_LOOKING = re.compile(r"(curl|footloose (ps|sites|members|status|topology|explain|logs)|tail|cat)\b")
_LASTING = re.compile(r"footloose node\b")
_LINKED = ("Makefile", "README.md", "benchmarks", "docs", "scripts", "src", "tests")


class Command(msgspec.Struct, frozen=True):
    """A command line and the lines shown below it."""

    line: str
    shown: tuple[str, ...] = ()

    @property
    def fails(self) -> bool:
        """Whether the page shows that it fails."""
        return any(line.startswith("error: ") for line in self.shown)


def commands_of(block: Block) -> list[Command]:
    """The commands of a block."""
    if block.language == "bash":
        return [Command(block.text.rstrip())]
    found: list[Command] = []
    continued = False
    for line in block.text.splitlines():
        if continued:
            found[-1] = Command(f"{found[-1].line}\n{line}")
        elif line.startswith("$ "):
            found.append(Command(line.removeprefix("$ ")))
        else:
            found[-1] = Command(found[-1].line, (*found[-1].shown, line))
        continued = (continued or line.startswith("$ ")) and line.endswith("\\")
    return found


def why_left_out(block: Block) -> str | None:
    """Why the commands of a block cannot be run here, or None if they can."""
    kind, _, what = block.note.partition(" ")
    if block.note.startswith("not run: "):
        return block.note
    if kind == "needs" and shutil.which(what) is None:
        return f"{what} is not installed"
    if kind == "lacks" and shutil.which(what) is not None:
        return f"{what} is installed"
    if kind == "namespaces" and not available():
        return f"no network namespaces: {available().why}"
    if kind == "root" and os.geteuid() != 0:
        return "needs root"
    return None


def run_page(page: Path) -> str | None:
    """Run the blocks of a page in one shell; the first thing that does not go as shown, None if all does."""
    with Shell() as shell:
        for block in blocks(page.read_text(), "console", "bash"):
            for command in commands_of(block) if why_left_out(block) is None else ():
                failure = shell.failure_of(command)
                if failure is not None:
                    return f"{page.name}:{block.line}: {failure}"
    return None


class Shell:
    """A shell in a folder of its own that looks like a clone, in a network of its own where that is possible."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = stack.enter_context(_clone())
            self._process = stack.enter_context(_bash(stack, self._folder))
            self._lasting: list[tuple[int, Path]] = []
            stack.callback(self._end)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def failure_of(self, command: Command) -> str | None:
        """Run a command; None if all went as shown."""
        if _LASTING.match(command.line) and not command.fails:
            return self._start(command)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            code, printed = self.run(command.line)
            failure = _difference(command, code, printed)
            if failure is None or not _LOOKING.match(command.line) or time.monotonic() > deadline:
                return failure
            time.sleep(0.2)

    def run(self, line: str) -> tuple[int, str]:
        """Exit code of ``line`` and all it printed."""
        assert self._process.stdin is not None
        mark = f"--{os.urandom(8).hex()}--"
        script = f"{{ {line}\n}} 2>&1 </dev/null; printf '\\n{mark} %s\\n' $?\n"
        self._process.stdin.write(script.encode())
        self._process.stdin.flush()
        printed = self._read_until(re.compile(rf"\n{mark} (\d+)\n".encode()), line)
        return int(printed[1]), printed.string[: printed.start()].decode()

    def _read_until(self, end: re.Pattern[bytes], line: str) -> re.Match[bytes]:
        assert self._process.stdout is not None
        read, deadline = b"", time.monotonic() + PATIENCE_S
        while (found := end.search(read)) is None:
            left_s = deadline - time.monotonic()
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, left_s))
            chunk = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            if not chunk:
                raise AssertionError(f"{line!r} did not end; it printed:\n{read.decode()}")
            read += chunk
        return found

    def _start(self, command: Command) -> str | None:
        """Start what runs on; it is there once it has printed what the page shows."""
        log = self._folder / f".terminal-{len(self._lasting)}"
        _, printed = self.run(f"{command.line} >{log} 2>&1 & echo $!")
        pid = int(printed.split()[-1])
        self._lasting.append((pid, log))
        deadline = time.monotonic() + PATIENCE_S
        while True:
            failure = _difference(command, 0, log.read_text() if log.exists() else "")
            if failure is None:
                return None
            if not Path(f"/proc/{pid}").exists() or time.monotonic() > deadline:
                return failure
            time.sleep(0.05)

    def _end(self) -> None:
        for pid, _ in self._lasting:
            _signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        while any(_alive(pid) for pid, _ in self._lasting) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid, _ in self._lasting:
            _signal(pid, signal.SIGKILL)
        while any(_alive(pid) for pid, _ in self._lasting):
            time.sleep(0.05)


def _signal(pid: int, number: signal.Signals) -> None:
    if _alive(pid):
        os.kill(pid, number)


def _alive(pid: int) -> bool:
    """Whether it runs: what has ended and was not yet waited for does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def _clone() -> Iterator[Path]:
    """A folder with what pages use of a clone, short enough a name for sockets."""
    folder = Path(os.path.realpath("/tmp")) / f"footloose-docs-{os.urandom(4).hex()}"  # noqa: S108  random, and short
    folder.mkdir(mode=0o700)
    try:
        for name in _LINKED:
            (folder / name).symlink_to(ROOT / name)
        programs = folder / ".venv/bin"
        programs.mkdir(parents=True)
        for name in ("footloose", "python"):
            (programs / name).write_text(f'#!/bin/sh\nexec {Path(sys.executable).with_name(name)} "$@"\n')
            (programs / name).chmod(0o700)
        (programs / "activate").write_text(f"PATH={programs}:$PATH\n")
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _bash(stack: ExitStack, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = ["bash", "--norc", "--noprofile"]
    if available():
        here = stack.enter_context(Testbed(_NETWORK)).host("here")
        here.run([sys.executable, "-c", _ADD_ADDRESSES, *ADDRESSES], check=True)
        command = here.argv(command)
    environment = {
        "PATH": f"{folder}/.venv/bin:{os.environ['PATH']}",
        "HOME": str(folder),
        "COLUMNS": str(COLUMNS),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    try:
        with process:
            yield process
            assert process.stdin is not None
            process.stdin.close()
    finally:
        process.kill()


_ADD_ADDRESSES = """
import sys
from footloose.testbed.netlink import Netlink
with Netlink() as netlink:
    for address in sys.argv[1:]:
        netlink.add_address("lo", address)
"""
_NETWORK = Topology("docs", (Router("router"),), (Host("here"),), (Link("here", "router", 1.0),))


def _difference(command: Command, code: int, printed: str) -> str | None:
    """How what a command did differs from what the page shows, or None."""
    if (code != 0) != command.fails:
        return f"{command.line!r} ended with {code}; it printed:\n{printed}"
    lines = iter(_shape(line) for line in printed.splitlines())
    for shown in command.shown:
        if shown.strip() not in {"...", ""} and _shape(shown) not in lines:
            return f"{command.line!r} does not print {shown!r} (any more, or there); it printed:\n{printed}"
    return None


_SHAPES = (
    (re.compile(r"\b[a-z2-7]{52}\b"), "<node>"),
    (re.compile(r"\b[a-z2-7]{16}\b"), "<key>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
    (re.compile(r"\b(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\b"), "<time>"),
    (re.compile(r"\d+\.\d+\.\d+\.\d+(?:[:/]\d+)*|(?<![\w.])(\d+\.)?\d+(e-\d+)?(?![\w.])"), ""),
    (re.compile(r"(?<![\w.])\d+[smhd]\b"), "<span>"),
    (re.compile(r"\s+"), " "),
)


def _shape(line: str) -> str:
    """``line`` with all that differs from run to run left out: ids, times, figures. Addresses stay."""
    text = line.strip()
    for pattern, kind in _SHAPES:
        text = pattern.sub(lambda found, kind=kind: kind or _kept(found[0]), text)  # type: ignore[misc]
    return text


def _kept(figure: str) -> str:
    return figure if figure.count(".") == 3 else "<n>"
