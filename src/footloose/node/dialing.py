"""A worker that is confined cannot open connections: it asks its node for one and is handed the socket.

One question and one answer are a packet each on a socket pair of their own; the socket comes with the answer
(``SCM_RIGHTS``, unix(7)). The node connects only to what the table in force names, so a worker that was taken over
reaches nobody else.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import msgspec

from footloose.core.codec import decode, encode
from footloose.core.errors import RemoteError
from footloose.core.limits import DIALS_AT_ONCE
from footloose.gateway.dial import connected

_PACKET_BYTES = 4096


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From a worker: connect to this host and port. ``number`` comes back with the answer."""

    number: int
    host: str
    port: int


class Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To a worker: the socket comes with this, or there is none, for this reason."""

    number: int
    refused: str | None = None


def dialing_pair() -> tuple[socket.socket, socket.socket]:
    """The node's end and the worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


class Dialer:
    """The node's end for one worker. ``allowed`` says whether the table in force names that host and port."""

    def __init__(self, end: socket.socket, allowed: Callable[[str, int], bool], source: str | None) -> None:
        self._end = end
        self._allowed = allowed
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop.add_reader(end, self._readable)

    async def close(self) -> None:
        """Give no more."""
        self._deaf()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _deaf(self) -> None:
        if self._end.fileno() >= 0:
            self._loop.remove_reader(self._end)
            self._end.close()

    def _readable(self) -> None:
        try:
            packet = self._end.recv(_PACKET_BYTES)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        try:
            wanted = decode(packet, Wanted)
        except RemoteError:
            self._deaf()  # it has gone, or speaks otherwise than it should
            return
        if len(self._tasks) >= DIALS_AT_ONCE:
            self._answer(Given(wanted.number, f"more than {DIALS_AT_ONCE} connections at once"))
            return
        task = self._loop.create_task(self._give(wanted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give(self, wanted: Wanted) -> None:
        if not self._allowed(wanted.host, wanted.port):
            self._answer(Given(wanted.number, "no service that runs here has its parent there"))
            return
        try:
            made = await connected(wanted.host, wanted.port, self._source)
        except OSError as error:
            self._answer(Given(wanted.number, str(error)))
            return
        with made:
            self._answer(Given(wanted.number), made)

    def _answer(self, given: Given, *made: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the worker has gone, and is told of elsewhere
            socket.send_fds(self._end, [encode(given)], [one.fileno() for one in made])


class NodeDial:
    """The worker's end (:data:`footloose.gateway.dial.Dial`)."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[socket.socket]] = {}
        self._asked = 0
        self._loop.add_reader(end, self._readable)

    async def __call__(self, host: str, port: int) -> socket.socket:
        """Ask for a connection. Raises :class:`OSError` with the node's reason if there is none."""
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[socket.socket] = self._loop.create_future()
        self._waiting[number] = answer
        try:
            self._end.send(encode(Wanted(number, host, port)))
            return await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                answer.result().close()  # it came at the moment it was given up
            raise
        finally:
            del self._waiting[number]  # a socket that comes later is nobody's, and closed

    def close(self) -> None:
        """Ask no more."""
        self._loop.remove_reader(self._end)
        self._end.close()
        for answer in self._waiting.values():
            answer.cancel()

    def _ended(self) -> None:
        self._loop.remove_reader(self._end)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(OSError("the node makes no connections any more"))

    def _readable(self) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._end, _PACKET_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            packet, descriptors = b"", []
        if not packet:
            self._ended()
            return
        made = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        given = decode(packet, Given, where="dialing")
        answer = self._waiting.get(given.number)
        if answer is None or answer.done():
            for one in made:
                one.close()
        elif made:
            made[0].setblocking(False)
            answer.set_result(made[0])
        else:
            answer.set_exception(OSError(given.refused))
