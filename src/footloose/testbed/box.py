"""The router process: one thread that moves packets between hosts' links and the :class:`Fabric`.

Started by :class:`footloose.testbed.net.Testbed` as ``python -m footloose.testbed.box DESCRIPTOR OWNER``. It ends when
the socket closes and when its owner ends, however that comes about. Then it kills all processes inside its hosts; the
namespaces, which have no names, go with it.
"""

import contextlib
import gc
import os
import resource
import select
import signal
import socket
import statistics
import sys
import time
from typing import Final

import msgspec

from footloose.core.errors import LocalError
from footloose.testbed import kernel, namespaces
from footloose.testbed.fabric import Fabric
from footloose.testbed.ports import Port
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

_BATCH: Final = 32
"""Packets read from one host before others get their turn."""
_WARM_S: Final = 0.25
_LEAD_TRIALS: Final = 15
_LEAD_MOST_S: Final = 300e-6


class Box:
    """The hosts, the fabric between them, and the loop."""

    def __init__(self, control: socket.socket, owner: int) -> None:
        self._control = control
        self._owner = owner
        self._lines = bytearray()
        self._epoll = select.epoll()
        self._timer = kernel.Timer()
        self._ports: dict[str, Port] = {}
        self._networks: dict[str, int] = {}
        self._lead_s = 0.0

    def run(self) -> None:
        """Build what the first line asks for, and serve until the end."""
        try:
            setup = msgspec.json.decode(self._first_line(), type=Setup)
            ready = self._build(setup)
        except (LocalError, OSError) as error:
            what, fix = (error.what, error.fix) if isinstance(error, LocalError) else (str(error), None)
            self._say(Failed(what, fix))
            self._end()
            return
        self._say(ready)
        gc.freeze()
        gc.disable()  # nothing here makes cycles, and a collection would hold packets up
        try:
            self._loop()
        finally:
            self._end()

    def _build(self, setup: Setup) -> Ready:
        _allow_descriptors()
        own_users = namespaces.leave_for_own(root=setup.root)
        tun = setup.tun and namespaces.tun_opens()
        self._fabric = Fabric(setup.topology)
        self._own = kernel.own_network()
        remarks: dict[str, None] = {}
        for number, (host, address) in enumerate(self._fabric.plan.hosts.items()):
            network, port, said = namespaces.add_host(number, address, self._own, tun=tun)
            self._networks[host], self._ports[host] = network, port
            remarks.update(dict.fromkeys(said))
        realtime = _raise_priority()
        self._lead_s = _lateness_s()
        deadline = time.monotonic() + _WARM_S
        for _ in self._fabric.warm():
            if time.monotonic() > deadline:
                break
        return Ready(os.getpid(), self._networks, tun, own_users, realtime, self._lead_s * 1e6, tuple(remarks))

    # The loop

    def _loop(self) -> None:
        hosts = {port.fileno(): (host, port) for host, port in self._ports.items()}
        for descriptor in (*hosts, self._timer.descriptor, self._control.fileno(), self._owner):
            self._epoll.register(descriptor, select.EPOLLIN)
        armed: float | None = None
        while True:
            self._deliver()
            due = self._fabric.next_deadline()
            if due != armed:
                self._timer.set(None if due is None else due - self._lead_s)
                armed = due
            for descriptor, _ in self._epoll.poll():
                if descriptor in hosts:
                    self._take(*hosts[descriptor])
                elif descriptor == self._timer.descriptor:
                    self._timer.clear()
                    armed = None
                elif descriptor == self._owner or not self._serve():
                    return

    def _deliver(self) -> None:
        ports = self._ports
        for host, packet in self._fabric.wake(time.monotonic() + self._lead_s):
            with contextlib.suppress(OSError):  # the host took its link down, or its queue is full
                ports[host].write(packet)

    def _take(self, host: str, port: Port) -> None:
        receive, read, clock = self._fabric.receive, port.read, time.monotonic
        try:
            for _ in range(_BATCH):
                packet = read()
                receive((host, packet), clock())
        except BlockingIOError:
            return
        except OSError:  # the host took its link down: there is nothing to read until it is up again
            return

    # What the owner asks

    def _first_line(self) -> bytes:
        while b"\n" not in self._lines:
            if not self._more():
                raise LocalError("the owner went away", where="testbed")
        return self._next_line()

    def _more(self) -> bool:
        try:
            chunk = self._control.recv(1 << 16)
        except ConnectionResetError:
            return False
        self._lines += chunk
        return bool(chunk) and len(self._lines) <= LINE_BYTES

    def _next_line(self) -> bytes:
        line, _, rest = bytes(self._lines).partition(b"\n")
        self._lines = bytearray(rest)
        return line

    def _serve(self) -> bool:
        """Answer what has come in; False when the owner has gone."""
        if not self._more():
            return False
        while b"\n" in self._lines:
            request = msgspec.json.decode(self._next_line(), type=Request)
            try:
                if isinstance(request, OpenSocket):
                    self._open_socket(request)
                else:
                    self._say(self._do(request))
            except LocalError as error:
                self._say(Failed(error.what, error.fix))
            except OSError as error:
                self._say(Failed(str(error)))
        return True

    def _do(self, request: Cut | Heal | Change | Count) -> Answer:
        match request:
            case Cut(links):
                self._fabric.cut(links)
            case Heal(links):
                self._fabric.heal(links)
            case Change(link):
                self._fabric.change(link)
            case Count():
                return Done(self._fabric.counters)
        return Done()

    def _open_socket(self, request: OpenSocket) -> None:
        kernel.enter_network(self._networks[request.host])
        try:
            opened = socket.socket(request.family, request.kind, request.protocol)
        finally:
            kernel.enter_network(self._own)
        with opened:
            socket.send_fds(self._control, [msgspec.json.encode(Done()) + b"\n"], [opened.fileno()])

    def _say(self, message: Ready | Answer) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the loop sees that the owner has gone
            self._control.sendall(msgspec.json.encode(message) + b"\n")

    def _end(self) -> None:
        namespaces.kill_all_inside(self._networks.values())
        for port in self._ports.values():
            port.close()


def _allow_descriptors() -> None:
    """Take as many descriptors as are allowed: each host needs two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _raise_priority() -> bool:
    """Get the processor as soon as a packet is due, also on a busy machine; only root may."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        return False
    return True


def _lateness_s() -> float:
    """How late a timer usually fires on this machine."""
    timer, late = kernel.Timer(), []
    poll = select.poll()
    poll.register(timer.descriptor, select.POLLIN)
    for _ in range(_LEAD_TRIALS):
        due = time.monotonic() + 1e-3
        timer.set(due)
        poll.poll()
        late.append(time.monotonic() - due)
        timer.clear()
    timer.close()
    return min(statistics.median(late), _LEAD_MOST_S)


def main() -> None:
    """Serve the owner at the other end of the descriptor given."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner, who then ends us
    descriptor, owner = int(sys.argv[1]), int(sys.argv[2])
    try:
        watch = os.pidfd_open(owner)
    except ProcessLookupError:
        return
    with socket.socket(fileno=descriptor) as control:
        Box(control, watch).run()


if __name__ == "__main__":
    main()
