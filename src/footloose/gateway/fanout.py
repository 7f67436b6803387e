"""Published messages between the workers of one site: one Unix datagram per message and worker.

Each worker binds ``topics-<index>.sock`` in the run directory. A worker that is not there has no subscribers, so what
is sent to it is dropped; one that is slow has a bounded queue, and what does not fit is dropped and counted.
"""

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from footloose.core.limits import RELAY_UNSENT_BYTES

_DATAGRAM_BYTES = 256 * 1024
_BURST = 64


def socket_name(index: int) -> str:
    """What the socket of worker ``index`` is called in the run directory."""
    return f"topics-{index}.sock"


class Fanout:
    """This worker's socket and the ways to its siblings. ``received`` gets each datagram."""

    def __init__(self, run_dir: Path, index: int, workers: int, received: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = received
        self._path = run_dir / socket_name(index)
        self._path.unlink(missing_ok=True)  # left by a predecessor that was killed
        # A socket's address holds 107 bytes; by way of the open directory, the directory's path may be longer.
        self._directory = os.open(run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        near = Path(f"/proc/self/fd/{self._directory}")
        self._socket = _datagram_socket()
        self._socket.bind(str(near / socket_name(index)))
        self._inode = self._path.stat().st_ino
        self._listening = True
        self._siblings = [_Sibling(near / socket_name(other)) for other in range(workers) if other != index]
        self._loop.add_reader(self._socket, self._readable)

    @property
    def dropped(self) -> int:
        """Messages that did not fit a sibling's queue."""
        return sum(sibling.dropped for sibling in self._siblings)

    def send(self, data: bytes) -> None:
        """Send ``data`` to every other worker of the site."""
        for sibling in self._siblings:
            sibling.send(data)

    def stop_listening(self) -> None:
        """Hear siblings no more: they turn to who has taken this worker's name meanwhile, if anyone has."""
        if not self._listening:
            return
        self._listening = False
        self._loop.remove_reader(self._socket)
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def close(self) -> None:
        """Stop listening and let go of what was not sent."""
        self.stop_listening()
        for sibling in self._siblings:
            sibling.close()
        os.close(self._directory)

    def _readable(self) -> None:
        for _ in range(_BURST):
            try:
                data = self._socket.recv(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            self._received(data)


class _Sibling:
    """The way to one other worker: connected when first needed, and again after that worker was replaced."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._path = path
        self._socket: socket.socket | None = None
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self.dropped = 0

    def send(self, data: bytes) -> None:
        if not self._queue and self._sent(data):
            return
        if self._queued_bytes + len(data) > RELAY_UNSENT_BYTES:
            self.dropped += 1
            return
        if not self._queue and self._socket is not None:
            self._loop.add_writer(self._socket, self._writable)
        self._queue.append(data)
        self._queued_bytes += len(data)

    def close(self) -> None:
        if self._socket is not None:
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._socket = None
        self._queue.clear()
        self._queued_bytes = 0

    def _writable(self) -> None:
        while self._queue:
            if not self._sent(self._queue[0]):
                return
            if self._queue:  # not let go of with the connection
                self._queued_bytes -= len(self._queue.popleft())
        if self._socket is not None:
            self._loop.remove_writer(self._socket)

    def _sent(self, data: bytes) -> bool:
        """Whether ``data`` is dealt with: sent, or pointless to send. False if the sibling's queue is full."""
        for _ in range(2):  # the second time by a new connection, to a worker that took the other's place
            try:
                if self._socket is None:
                    self._socket = self._connect()
                self._socket.send(data)
            except BlockingIOError:
                return False
            except (ConnectionError, FileNotFoundError):
                self.close()
            else:
                return True
        return True

    def _connect(self) -> socket.socket:
        connected = _datagram_socket()
        with contextlib.ExitStack() as stack:
            stack.callback(connected.close)
            connected.connect(str(self._path))
            stack.pop_all()
        return connected


def _datagram_socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made
