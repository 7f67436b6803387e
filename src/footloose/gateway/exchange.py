"""One request and its answer as they go on, between the guest's thread and the worker's loop.

Either side waits for the other only within bounds: the guest where its user does not read or write, the user's socket
where the guest does not.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, perf_counter

from footloose.core.limits import GUEST_WAIT_S, STREAM_OUTPUT_WAITING_BYTES, STREAM_S
from footloose.model.guest import Gone


class Streamed:
    """An exchange with a user (:class:`footloose.model.guest.Exchange`).

    ``stirred`` is called on the loop when there is something to see to: output, room for more of the body, or a guest
    that has begun to wait.
    """

    def __init__(self, length: int | None, stirred: Callable[[], None]) -> None:
        self.length = length
        self._loop = asyncio.get_running_loop()
        self._stirred = stirred
        self._turn = threading.Condition()
        self._body: deque[bytes] = deque()
        self._output = bytearray()
        self._ended = False
        self._gone = False
        self._told = False
        self._deadline_s = monotonic() + STREAM_S
        self.body_bytes = 0
        """Body that waits to be read."""
        self.begun_s: float | None = None
        """When the guest began, by :func:`time.perf_counter`."""
        self.eager = False
        """Every write is told of; else only that the guest waits, or that there is much to send."""
        self.waited_s = 0.0
        self.waiting = False
        """The guest has had to wait, so it may again."""

    # What the guest's thread calls.

    def read(self, most: int) -> bytes:
        """The next bytes of the body; none at its end. Raises :class:`Gone`."""
        with self._turn:
            while not self._body and not self._ended:
                self._wait(None)
            if self._gone:
                raise Gone
            if not self._body or most == 0:
                return b""
            piece = self._body.popleft()
            if len(piece) > most:
                self._body.appendleft(piece[most:])
                piece = piece[:most]
            self.body_bytes -= len(piece)
            if not self._body:
                self._tell()
            return piece

    def write(self, data: bytes) -> None:
        """The next bytes of the answer. Raises :class:`Gone`."""
        at = 0
        with self._turn:
            while at < len(data):
                room = STREAM_OUTPUT_WAITING_BYTES - len(self._output)
                if room > 0:
                    self._output += data[at : at + room]
                    at += room
                else:
                    self._wait(None)
                if self._gone:
                    raise Gone
            if self.eager:
                self._tell()

    def sleep(self, seconds: float) -> None:
        """Return so much later. Raises :class:`Gone`."""
        until_s = monotonic() + seconds
        with self._turn:
            while (left_s := until_s - monotonic()) > 0 and not self._gone:
                self._wait(left_s)
            if self._gone:
                raise Gone

    def begin(self) -> None:
        """The guest begins."""
        self.begun_s = perf_counter()

    def _wait(self, seconds: float | None) -> None:
        """Wait to be woken. Raises :class:`Gone` where nobody will, or it has gone on for too long."""
        now_s = monotonic()
        if self._gone or now_s >= self._deadline_s:
            raise Gone
        self.waiting = True
        self._tell()
        left_s = self._deadline_s - now_s
        self._turn.wait(left_s if seconds is None else min(seconds, left_s))
        self.waited_s += monotonic() - now_s

    def _tell(self) -> None:
        if self._told:
            return
        self._told = True
        try:
            self._loop.call_soon_threadsafe(self._look)
        except RuntimeError:
            raise Gone from None  # the loop was closed under a call that outlived it

    # What the loop calls.

    def _look(self) -> None:
        self._told = False
        self._stirred()

    def feed(self, data: bytes) -> None:
        """More of the body has come."""
        with self._turn:
            self._body.append(data)
            self.body_bytes += len(data)
            self._turn.notify()

    def end(self) -> None:
        """The body is whole."""
        with self._turn:
            self._ended = True
            self._turn.notify()

    def take(self) -> bytes:
        """What the guest has written since it was last asked."""
        with self._turn:
            taken = bytes(self._output)
            self._output.clear()
            self._turn.notify()
        return taken

    def abandon(self) -> None:
        """There is no user any more: the guest is stopped where it next reads, writes or waits."""
        with self._turn:
            self._gone = self._ended = True
            self._body.clear()
            self._turn.notify()


class Whole:
    """An exchange of which both sides are known only as a whole: a guest may wait in it, though not for long."""

    def __init__(self, body: bytes) -> None:
        self.length: int | None = len(body)
        self._body = body
        self._at = 0
        self._output = bytearray()
        self.waited_s = 0.0

    def read(self, most: int) -> bytes:
        """The next bytes of the body; none at its end."""
        piece = self._body[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def write(self, data: bytes) -> None:
        """The next bytes of the answer."""
        self._output += data

    def sleep(self, seconds: float) -> None:
        """Return so much later. Raises :class:`Gone` once it has waited for too long."""
        left_s = GUEST_WAIT_S - self.waited_s
        began_s = monotonic()
        threading.Event().wait(min(seconds, left_s))
        self.waited_s += monotonic() - began_s
        if seconds > left_s:
            raise Gone

    def begin(self) -> None:
        """Nothing to note."""

    def take(self) -> bytes:
        """The whole answer."""
        return bytes(self._output)
