"""Steering a running testbed from other processes: a Unix socket that takes and gives one line of JSON.

The socket is in ``$XDG_RUNTIME_DIR/footloose`` or, without that, ``/tmp/footloose-<uid>``. Only its user may go there.
"""

import asyncio
import contextlib
import os
import select
import signal
import socket
import stat
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from footloose.core.errors import LocalError
from footloose.testbed.net import Testbed
from footloose.testbed.topology import NAME, Link

LINE_BYTES: Final = 4 * 1024 * 1024
TIMEOUT_S: Final = 15.0
_SUFFIX: Final = ".sock"


class HostView(msgspec.Struct, frozen=True):
    """A host, and the arguments that run a command inside it."""

    name: str
    address: str
    role: str
    region: str
    enter: tuple[str, ...]


class TestbedView(msgspec.Struct, frozen=True):
    """A running testbed as seen from outside."""

    __test__ = False  # pytest: not a test

    name: str
    topology: str
    owner: int
    routers: int
    hosts: tuple[HostView, ...]
    links: tuple[Link, ...]
    cut: tuple[tuple[str, str], ...]


class Order(msgspec.Struct, frozen=True):
    """What to do: ``show``, ``cut``, ``heal`` or ``down``; ``a`` and ``b`` name a link's ends."""

    do: str
    a: str = ""
    b: str = ""


class Reply(msgspec.Struct, frozen=True):
    """How it is afterwards, or what was wrong."""

    testbed: TestbedView | None = None
    error: str = ""
    fix: str | None = None


def run_directory() -> Path:
    """The directory of the sockets, made if need be. Raises :class:`LocalError` if it is another user's."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    directory = Path(runtime) / "footloose" if runtime else Path(tempfile.gettempdir()) / f"footloose-{os.getuid()}"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        fix = "set XDG_RUNTIME_DIR to a directory of your own"
        raise LocalError("is not this user's directory", where=str(directory), fix=fix)
    return directory


def running() -> tuple[str, ...]:
    """Names of the testbeds that answer; sockets nobody listens on are removed."""
    names = []
    for path in sorted(run_directory().glob(f"*{_SUFFIX}")):
        if _answers(path):
            names.append(path.name.removesuffix(_SUFFIX))
        else:
            path.unlink(missing_ok=True)
    return tuple(names)


def ask(name: str, order: Order) -> TestbedView:
    """Have a running testbed do something; returns how it is then. Raises :class:`LocalError`."""
    path = _socket_path(name)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(order) + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline(LINE_BYTES)
        except OSError as error:
            fix = "start it with `footloose testbed up`, or see `footloose testbed ls`"
            raise LocalError(f"no testbed {name!r} is running", where=str(path), fix=fix) from error
    reply = msgspec.json.decode(line, type=Reply) if line else Reply(error="it ended before it answered")
    if reply.testbed is None:
        raise LocalError(reply.error, where=f"testbed {name}", fix=reply.fix)
    return reply.testbed


def end(name: str) -> TestbedView:
    """End a running testbed and wait until its process has gone; returns how it was. Raises :class:`LocalError`."""
    owner = os.pidfd_open(ask(name, Order("show")).owner)
    try:
        last = ask(name, Order("down"))
        gone = select.poll()
        gone.register(owner, select.POLLIN)
        if not gone.poll(TIMEOUT_S * 1e3):
            raise LocalError(f"process {last.owner} does not end", where=f"testbed {name}", fix="kill it")
    finally:
        os.close(owner)
    return last


async def serve(net: Testbed, name: str, ready: Callable[[TestbedView], None]) -> None:
    """Take orders for a testbed until told ``down``, or by SIGINT or SIGTERM. ``ready`` is called once they are taken.

    Raises :class:`LocalError` if another testbed of this name is running.
    """
    path = _socket_path(name)
    if name in running():
        fix = f"end it with `footloose testbed down --name {name}`, or choose another --name"
        raise LocalError(f"a testbed {name!r} is running already", where=str(path), fix=fix)
    end = asyncio.Event()
    server = await asyncio.start_unix_server(_handler(net, name, end), path, limit=LINE_BYTES)
    try:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end.set)
        ready(view(net, name))
        await end.wait()
    finally:
        server.close()
        path.unlink(missing_ok=True)


def view(net: Testbed, name: str) -> TestbedView:
    """A running testbed as it is now."""
    hosts = []
    for host in net.topology.hosts:
        live = net.host(host.name)
        hosts.append(HostView(host.name, live.address, host.role.value, host.region, tuple(live.argv(()))))
    cut = tuple((link.a, link.b) for link in net.cut_links)
    return TestbedView(name, net.topology.name, os.getpid(), len(net.topology.routers), tuple(hosts), net.links, cut)


def _handler(
    net: Testbed, name: str, end: asyncio.Event
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        down = False
        with contextlib.suppress(
            ConnectionError, asyncio.LimitOverrunError, ValueError
        ):  # it went away, or is no client
            line = await asyncio.wait_for(reader.readline(), TIMEOUT_S)
            if line:
                reply, down = _obey(net, name, line)
                writer.write(msgspec.json.encode(reply) + b"\n")
                await writer.drain()
        writer.close()
        if down:
            end.set()

    return handle


def _obey(net: Testbed, name: str, line: bytes) -> tuple[Reply, bool]:
    try:
        order = msgspec.json.decode(line, type=Order)
        match order.do:
            case "cut":
                net.cut(order.a, order.b)
            case "heal":
                net.heal(order.a, order.b)
            case "show" | "down":
                pass
            case other:
                return Reply(error=f"cannot do {other!r}", fix="show, cut, heal or down"), False
        return Reply(view(net, name)), order.do == "down"
    except LocalError as error:
        return Reply(error=error.what, fix=error.fix), False
    except msgspec.DecodeError as error:
        return Reply(error=f"not an order: {error}"), False


def _socket_path(name: str) -> Path:
    if not NAME.match(name):
        raise LocalError(f"{name!r} is not a name", where="--name", fix="use lower-case letters, digits and hyphens")
    return run_directory() / f"{name}{_SUFFIX}"


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True
