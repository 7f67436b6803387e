"""An internet in a box, up for as long as a ``with`` block.

    with Testbed(icon()) as net:
        net.host("client").run(["traceroute", "-n", net.host("root").address])

Each host is a network namespace of its own; one router process carries all packets between them. It needs the machine's
root, or a kernel that lets users have namespaces. When the owner ends, killed or not, everything goes with it.
"""

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from footloose.core.errors import LocalError
from footloose.testbed.addresses import AddressPlan
from footloose.testbed.fabric import Counters
from footloose.testbed.protocol import (
    LINE_BYTES,
    Answer,
    Change,
    Count,
    Cut,
    Done,
    Failed,
    Heal,
    OpenSocket,
    Ready,
    Request,
    Setup,
)
from footloose.testbed.routes import Routes
from footloose.testbed.topology import Link, Topology

START_TIMEOUT_S = 60.0
"""How long the router process may take to build the largest topology on a busy machine."""
ANSWER_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0


class LiveHost:
    """A host of a running testbed."""

    def __init__(self, net: "Testbed", name: str, address: str, prefix_arguments: tuple[str, ...]) -> None:
        self.name = name
        self.address = address
        self._net = net
        self._prefix_arguments = prefix_arguments

    def argv(self, command: Sequence[str]) -> list[str]:
        """The arguments that run ``command`` inside this host, for whatever starts processes (asyncio, a shell)."""
        return [*self._prefix_arguments, *command]

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start ``command`` inside this host, its pid its own; ``options`` as for :class:`subprocess.Popen`."""
        process: subprocess.Popen[Any] = subprocess.Popen(self.argv(command), **options)
        self._net.keep(process)
        return process

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run ``command`` inside this host to its end; ``options`` as for :func:`subprocess.run`."""
        return subprocess.run(self.argv(command), check=options.pop("check", False), **options)

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """A new socket that lives inside this host though this process uses it. Raises :class:`LocalError`."""
        return self._net.socket_in(self.name, family, kind, protocol)


class Testbed:
    """A topology made real. All methods may be called from any thread."""

    __test__ = False  # pytest: not a test

    def __init__(self, topology: Topology, *, tun: bool = True, root: bool = True) -> None:
        """``tun`` and ``root`` False do without the TUN device and without being root even where they can be had."""
        self.topology = topology
        self.plan = AddressPlan(topology)
        self.ready: Ready | None = None
        self._routes = Routes(topology)
        self._setup = Setup(topology, tun, root)
        self._lock = threading.Lock()
        self._lines = bytearray()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[Any]] = []
        self._hosts: dict[str, LiveHost] = {}

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # Up and down

    def up(self) -> Self:
        """Start the router process and make the hosts. Raises :class:`LocalError` if this machine does not allow it."""
        if self._process is not None:
            raise LocalError("the testbed is up already", where=self.topology.name)
        enter = shutil.which("nsenter")
        if enter is None:
            fix = "install util-linux"
            raise LocalError("nsenter is not installed", where=self.topology.name, fix=fix)
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = [sys.executable, "-m", "footloose.testbed.box", str(theirs.fileno()), str(os.getpid())]
            self._process = subprocess.Popen(
                arguments, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        self._control = ours
        try:
            ready = self._begin(ours)
        except BaseException:
            self.down()
            raise
        self.ready = ready
        for name, address in self.plan.hosts.items():
            prefix = _enter_arguments(enter, ready, ready.networks[name])
            self._hosts[name] = LiveHost(self, name, address, prefix)
        return self

    def _begin(self, control: socket.socket) -> Ready:
        control.settimeout(START_TIMEOUT_S)
        self._send(control, self._setup)
        answer = msgspec.json.decode(self._receive(control)[0], type=Ready | Failed)
        if isinstance(answer, Failed):
            raise answer.error(self.topology.name)
        control.settimeout(ANSWER_TIMEOUT_S)
        return answer

    def down(self) -> None:
        """End all that was started, at once. Does nothing when the testbed is not up."""
        with self._lock:
            process, control, started = self._process, self._control, self._started
            self._process, self._control, self._started, self._hosts = None, None, [], {}
        if control is not None:
            control.close()
        if process is not None:
            _end(process)
        for inside in started:
            inside.kill()  # the router process has done so already, unless it died itself
            inside.wait()

    def keep(self, process: subprocess.Popen[Any]) -> None:
        """Remember a process started inside, to wait for it at the end."""
        with self._lock:
            self._started = [each for each in self._started if each.poll() is None]
            self._started.append(process)

    # What is there

    def host(self, name: str) -> LiveHost:
        """A host by name. Raises :class:`LocalError` if there is none or the testbed is not up."""
        host = self._hosts.get(name)
        if host is None:
            self.topology.host(name)
            raise LocalError("the testbed is not up", where=self.topology.name, fix="use it in a with statement")
        return host

    @property
    def hosts(self) -> Mapping[str, LiveHost]:
        """All hosts by name."""
        return dict(self._hosts)

    def rtt_ms(self, a: str, b: str) -> float:
        """The round trip between two nodes as the links have it now, without jitter and queues.

        Raises :class:`LocalError` if no way is left between them.
        """
        one_way = self._routes.delay_ms(a, b)
        if one_way is None:
            raise LocalError(f"no way is left from {a} to {b}", where=self.topology.name, fix="heal a link")
        return 2 * one_way

    def hops(self, a: str, b: str) -> tuple[str, ...]:
        """The addresses a traceroute from ``a`` to ``b`` shows, silent routers' too; the last is that of ``b``.

        Raises :class:`LocalError` if no way is left between them.
        """
        path = self._routes.path(a, b)
        if path is None:
            raise LocalError(f"no way is left from {a} to {b}", where=self.topology.name, fix="heal a link")
        return self.plan.hops(path)

    @property
    def links(self) -> tuple[Link, ...]:
        """All links as they are now."""
        return self._routes.links

    @property
    def cut_links(self) -> tuple[Link, ...]:
        """The links that are cut."""
        return self._routes.cut_links

    def counters(self) -> Counters:
        """What became of packets so far."""
        done, _ = self._ask(Count())
        return done.counters or Counters()

    # Changes

    def cut(self, a: str, b: str) -> None:
        """Take the link between two neighbours out. Packets go another way, or their senders are told there is none."""
        self._cut((self._routes.link(a, b),))

    def heal(self, a: str, b: str) -> None:
        """Put a link back."""
        self._heal((self._routes.link(a, b),))

    def partition(self, nodes: Iterable[str]) -> tuple[Link, ...]:
        """Cut every link between ``nodes`` and the rest, at once; returns those cut."""
        links = tuple(link for link in self._routes.crossing(nodes) if not self._routes.is_cut(link.a, link.b))
        self._cut(links)
        return links

    def heal_all(self) -> tuple[Link, ...]:
        """Put all cut links back; returns them."""
        links = self._routes.cut_links
        self._heal(links)
        return links

    def change(self, a: str, b: str, **figures: float | None) -> None:
        """Give a link other figures, by the names they have in :class:`Link`, such as ``loss=0.1``."""
        link = msgspec.structs.replace(self._routes.link(a, b), **figures)
        self._ask(Change(link))
        self._routes.change(link)

    def _cut(self, links: Sequence[Link]) -> None:
        self._ask(Cut(tuple((link.a, link.b) for link in links)))
        for link in links:
            self._routes.cut(link.a, link.b)

    def _heal(self, links: Sequence[Link]) -> None:
        self._ask(Heal(tuple((link.a, link.b) for link in links)))
        for link in links:
            self._routes.heal(link.a, link.b)

    def socket_in(
        self, host: str, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0
    ) -> socket.socket:
        """A new socket that lives inside a host though this process uses it: bind, listen or connect as usual.

        Raises :class:`LocalError` if there is no such host or kind of socket.
        """
        self.topology.host(host)
        _, opened = self._ask(OpenSocket(host, int(family), int(kind), protocol))
        if opened is None:
            raise LocalError("no socket came from the router process", where=host)
        return opened

    # Talking to the router process

    def _ask(self, request: Request) -> tuple[Done, socket.socket | None]:
        with self._lock:
            if self._control is None:
                raise LocalError("the testbed is not up", where=self.topology.name, fix="use it in a with statement")
            self._send(self._control, request)
            line, descriptors = self._receive(self._control)
        answer: Answer = msgspec.json.decode(line, type=Answer)
        if isinstance(answer, Failed):
            raise answer.error(self.topology.name)
        return answer, socket.socket(fileno=descriptors[0]) if descriptors else None

    def _send(self, control: socket.socket, message: Setup | Request) -> None:
        try:
            control.sendall(msgspec.json.encode(message) + b"\n")
        except OSError as error:
            raise self._gone() from error

    def _receive(self, control: socket.socket) -> tuple[bytes, list[int]]:
        """The next line, and the descriptors that came with it."""
        descriptors: list[int] = []
        while b"\n" not in self._lines:
            try:
                chunk, received, _, _ = socket.recv_fds(control, 1 << 16, 1)
            except OSError as error:
                raise self._gone() from error
            descriptors += received
            self._lines += chunk
            if not chunk or len(self._lines) > LINE_BYTES:
                raise self._gone()
        line, _, rest = bytes(self._lines).partition(b"\n")
        self._lines = bytearray(rest)
        return line, descriptors

    def _gone(self) -> LocalError:
        return LocalError("the router process does not answer", where=self.topology.name, fix="start it again")


def _enter_arguments(enter: str, ready: Ready, network: int) -> tuple[str, ...]:
    """What to put before a command so that it runs inside a host."""
    users = (f"--user=/proc/{ready.process}/ns/user", "--preserve-credentials") if ready.own_users else ()
    return (enter, *users, f"--net=/proc/{ready.process}/fd/{network}", "--")


def _end(process: subprocess.Popen[Any]) -> None:
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
