"""``footloose demo`` as a process, as a person would start it, and what it leaves behind."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PATIENCE_S = 100.0
FOOTLOOSE = (sys.executable, "-m", "footloose")


class Ended(NamedTuple):
    """How a run ended: its exit code, what it printed, and what of it was still there afterwards."""

    code: int
    out: str
    err: str
    left_behind: tuple[str, ...]


class Run:
    """A run of the demo. Its lines come on standard error with ``--json``, else on standard output."""

    def __init__(self, arguments: Sequence[str], footloose: Sequence[str] = FOOTLOOSE, cwd: Path | None = None) -> None:
        self._mark = f"FOOTLOOSE_TEST_RUN={uuid.uuid4().hex}"
        name, _, value = self._mark.partition("=")
        environment: Mapping[str, str] = os.environ | {name: value}
        self._process = subprocess.Popen(
            [*footloose, "demo", *arguments],
            env=environment,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._printed: dict[str, list[str]] = {"out": [], "err": []}
        self._news = threading.Condition()
        self._readers = [threading.Thread(target=self._read, args=(name,)) for name in self._printed]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        stream = self._process.stdout if name == "out" else self._process.stderr
        assert stream is not None
        for line in stream:
            with self._news:
                self._printed[name].append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def line_with(self, text: str) -> str:
        """The first line printed that has ``text`` in it; waits for it. Fails if the run ends without it."""
        deadline = time.monotonic() + PATIENCE_S
        with self._news:
            while True:
                for line in (*self._printed["err"], *self._printed["out"]):
                    if text in line:
                        return line.rstrip("\n")
                over = not any(reader.is_alive() for reader in self._readers)
                assert not over and time.monotonic() < deadline, f"no {text!r} in:\n{self.printed}"
                self._news.wait(1.0)

    @property
    def printed(self) -> str:
        """All that was printed so far."""
        return "".join((*self._printed["err"], *self._printed["out"]))

    @property
    def admin_socket(self) -> str:
        """Where the home's operator comes."""
        return self.line_with("--socket").rpartition(" ")[2]

    def ask_home(self, *arguments: str) -> str:
        """What a command prints that asks the home."""
        environment = os.environ | {"FOOTLOOSE_SOCKET": self.admin_socket}
        return subprocess.run(
            [*FOOTLOOSE, *arguments], env=environment, capture_output=True, text=True, check=True
        ).stdout

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, as Ctrl-C at a terminal does: to the whole of its process group."""
        os.killpg(self._process.pid, number)

    def ended(self) -> Ended:
        """Wait for its end."""
        code = self._process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join(PATIENCE_S)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        return Ended(code, "".join(self._printed["out"]), "".join(self._printed["err"]), self._left_behind())

    def _left_behind(self) -> tuple[str, ...]:
        """Processes it started that are still there, and the directory of its sites if that is."""
        left = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if self._mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                        left.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
                except OSError:
                    continue
        sockets = [line.rpartition(" ")[2].strip() for line in self.printed.splitlines() if "--socket" in line]
        directories = {str(Path(socket).parents[2]) for socket in sockets}
        return (*left, *(each for each in directories if Path(each).exists()))

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
        self.ended()


@contextmanager
def demo_run(*arguments: str, footloose: Sequence[str] = FOOTLOOSE, cwd: Path | None = None) -> Iterator[Run]:
    """A run that is over at the end of the ``with`` block."""
    run = Run(arguments, footloose, cwd)
    try:
        yield run
    finally:
        run.kill()
