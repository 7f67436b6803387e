"""Real Footloose sites, as processes on the hosts of a testbed."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

import msgspec

from footloose.core.errors import LocalError
from footloose.core.identity import NodeId

GATEWAY_PORT = 80
API_PORT = 7443
DHT_PORT = 7444
MEMBERSHIP_PORT = 7445
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


class Place(Protocol):
    """A host, real or only a loopback address. ``address`` is where others reach it."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def address(self) -> str:
        """Where others reach it."""
        ...

    def popen(self, command: Sequence[str], **options: object) -> "subprocess.Popen[bytes]":
        """Start a command there."""
        ...


class SiteOptions(msgspec.Struct, frozen=True):
    """What a site is told beyond its address; ``extra`` are further arguments of ``footloose node``."""

    region: str = ""
    join: str | None = None
    resolver: str | None = None
    gateway_port: int = GATEWAY_PORT
    extra: tuple[str, ...] = ()


class SiteProcess:
    """One ``footloose node``. Its state directory outlives :meth:`kill`, so that :meth:`start` finds it again."""

    def __init__(self, place: Place, state: Path, options: SiteOptions) -> None:
        self.place = place
        self.state = state
        self.options = options
        self.log_path = state.with_suffix(".log")
        self.node: NodeId | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._reading = threading.Lock()

    @property
    def name(self) -> str:
        """Its host's name, and its own."""
        return self.place.name

    @property
    def url(self) -> str:
        """Where users come."""
        port = "" if self.options.gateway_port == 80 else f":{self.options.gateway_port}"
        return f"http://{self.place.address}{port}/"

    @property
    def admin_socket(self) -> Path:
        """Where its operator comes."""
        return self.state / "run" / "admin.sock"

    @property
    def pid(self) -> int:
        """The node's process id. Raises :class:`LocalError` if it does not run."""
        if self._process is None:
            raise LocalError("the site does not run", where=self.name)
        return self._process.pid

    def start(self) -> Self:
        """Start the process; see :meth:`wait_ready`."""
        command = [sys.executable, "-m", "footloose", "node", "--json", "--name", self.name]
        command += ["--state", str(self.state), "--address", self.place.address]
        command += ["--gateway-port", str(self.options.gateway_port)]
        command += ["--api-port", str(API_PORT), "--dht-port", str(DHT_PORT)]
        command += ["--membership-port", str(MEMBERSHIP_PORT)]
        if self.options.region:
            command += ["--region", self.options.region]
        if self.options.join is not None:
            command += ["--join", self.options.join]
        if self.options.resolver is not None:
            command += ["--resolver", self.options.resolver]
        with self.log_path.open("ab") as log:
            # In a process group of its own: Ctrl-C at the terminal is for the owner, who then stops it.
            self._process = self.place.popen(
                [*command, *self.options.extra], stdout=subprocess.PIPE, stderr=log, process_group=0
            )
        return self

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> Self:
        """Wait until it serves. Raises :class:`LocalError` with what it said if it ends before.

        May be called from another thread than the rest: it returns soon after the site was stopped.
        """
        with self._reading:
            stream = self._process.stdout if self._process is not None else None
            line = _line(stream, timeout_s) if stream is not None else b""
        if not line:
            raise LocalError(f"the site did not start: {self.last_words()}", where=self.name)
        self.node = NodeId(json.loads(line)["node"])
        return self

    def last_words(self) -> str:
        """The end of its log."""
        return self.log_path.read_text(errors="replace")[-2000:].strip()

    def ask_to_stop(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.ask_to_stop()
        if self._process is not None:
            self._reap()

    def kill(self) -> None:
        """Kill the node as ``kill -9`` does, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def processes(self) -> list[int]:
        """The process ids of the node and of all that it started, the node's first."""
        found = [self.pid]
        for pid in found:
            with contextlib.suppress(OSError):  # it has ended
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())
        return found

    def power_off(self) -> None:
        """Kill all its processes at once, as when the power fails, and wait until none is left."""
        watches = []
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                watches.append(os.pidfd_open(pid))
        for watch in watches:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(watch, signal.SIGKILL)
        self.kill()
        for watch in watches:
            gone = select.poll()
            gone.register(watch, select.POLLIN)
            gone.poll(STOP_TIMEOUT_S * 1e3)
            os.close(watch)

    def _reap(self) -> None:
        assert self._process is not None  # noqa: S101  the callers looked
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        process, self._process = self._process, None
        with self._reading:
            if process.stdout is not None:
                process.stdout.close()


class Sites:
    """Several sites together: started side by side, all stopped at the end of the ``with`` block."""

    def __init__(self, directory: Path | None = None) -> None:
        self._own = tempfile.TemporaryDirectory(prefix="footloose-") if directory is None else None
        self._directory = directory or Path(self._own.name if self._own else "")
        self._sites: list[SiteProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for site in self._sites:
            site.ask_to_stop()
        for site in self._sites:
            site.stop()
        if self._own is not None:
            self._own.cleanup()

    def start(self, place: Place, options: SiteOptions | None = None) -> SiteProcess:
        """Start a site on a host; it is ready when :meth:`SiteProcess.wait_ready` returns."""
        site = SiteProcess(place, self._directory / place.name, options or SiteOptions())
        self._sites.append(site)
        return site.start()


def command_line(socket: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a ``footloose`` command against the node at ``socket``, as its operator would."""
    environment = os.environ | {"FOOTLOOSE_SOCKET": str(socket)}
    command = [sys.executable, "-m", "footloose", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _line(stream: IO[bytes], timeout_s: float) -> bytes:
    """One line, or nothing if the stream ends or nothing comes in time."""
    deadline, line = time.monotonic() + timeout_s, b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        more = os.read(stream.fileno(), 4096) if ready else b""
        if not more:
            return b""
        line += more
    return line
