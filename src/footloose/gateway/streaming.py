"""A streamed request as its connection holds it: the body on its way to the guest, the answer on its way out.

The answer is sent as a whole, with its length, where the guest is done soon and has little to say; else from when its
head is complete: as chunks (RFC 9112 §7.1), or up to the end of the connection where the user speaks HTTP/1.0.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

import msgspec

from footloose.core.limits import STREAM_BODY_WAITING_BYTES, STREAM_LINGER_S
from footloose.gateway.calls import Outcome, blame
from footloose.gateway.cgi import Head, head_of
from footloose.gateway.exchange import Streamed
from footloose.gateway.http1 import Request
from footloose.gateway.lanes import Job, Lanes
from footloose.gateway.responses import chunk, encode_head
from footloose.model.guest import GuestError

_LAST_CHUNK = b"0\r\n\r\n"
_EVENTS = b"text/event-stream"


class Begin(Protocol):
    """Gives the header lines to add to an answer's head when it is sent."""

    def __call__(self, request: Request, *, delimited: bool, queue_ms: float) -> bytes:
        """``delimited`` if the user can tell where the answer ends without the end of the connection."""
        ...


class Streaming:
    """``write`` sends to the user, ``stirred`` is called when :meth:`pump` has something to do."""

    def __init__(
        self, request: Request, lanes: Lanes, write: Callable[[bytes], None], stirred: Callable[[], None]
    ) -> None:
        incoming = request.incoming
        length = len(request.body) if incoming is None else incoming.length
        self._loop = asyncio.get_running_loop()
        self._request = request
        self._lanes = lanes
        self._write = write
        self._stirred = stirred
        self._bodiless = False
        self._chunked = request.version == "1.1"
        self._left: int | None = None
        """Bytes to come of an answer whose guest said how long it is."""
        self._early = b""
        """Output before the head was complete."""
        self._linger: asyncio.TimerHandle | None = self._loop.call_later(STREAM_LINGER_S, self._hurry)
        self.exchange = Streamed(length, stirred)
        self.job: Job | None = None
        self.head: Head | None = None
        """What has been sent; None as long as nothing has."""
        self.failure = ""
        """What the guest did wrong in its answer."""
        self._fault: GuestError | None = None
        self._made_s = perf_counter()
        self.sent_bytes = 0
        """Of the answer's body."""
        self.take_body()
        if incoming is None:
            if request.body:
                self.exchange.feed(request.body)
            self.exchange.end()

    # The body.

    def take_body(self) -> None:
        """Hand on what has come of the body."""
        incoming = self._request.incoming
        if incoming is None:
            return
        while incoming.pieces:
            self.exchange.feed(incoming.pieces.popleft())
        if incoming.complete:
            self.exchange.end()

    @property
    def full(self) -> bool:
        """Whether so much of the body waits for the guest that no more should be read."""
        return self.exchange.body_bytes > STREAM_BODY_WAITING_BYTES

    # The answer.

    def _hurry(self) -> None:
        """It takes longer than one would wait for the whole of it."""
        begun_s = self.exchange.begun_s
        young_s = STREAM_LINGER_S if begun_s is None else begun_s + STREAM_LINGER_S - perf_counter()
        if young_s > 0:
            self._linger = self._loop.call_later(young_s, self._hurry)
            return
        self._linger = None
        self.exchange.eager = True
        self._stirred()

    def make_room(self) -> None:
        """Let others have the place of a guest that waits."""
        if self.exchange.waiting and self.job is not None:
            self._lanes.set_aside(self.job)

    def pump(self, begin: Begin) -> None:
        """Send what there is to send. ``begin`` gives what to add to the head, when it is sent."""
        data = self.exchange.take()
        if self.failure or not data:
            return
        if self.head is not None:
            self._send(data)
            return
        self._early += data
        try:
            found = head_of(self._early)
        except GuestError as error:
            self._fault = error
            self._fail(str(error))
            return
        if found is not None and (found[1] or found[0].kind.startswith(_EVENTS)):
            self._early = b""
            self._begin(*found, begin)

    def _begin(self, head: Head, body: bytes, begin: Begin) -> None:
        self.head = head
        self.exchange.eager = True
        self._left = head.length
        self._bodiless = head.bodiless or self._request.method == "HEAD"
        if head.length is not None or self._bodiless:
            self._chunked = False
        begun_s = self.exchange.begun_s
        queue_ms = (begun_s - self._made_s) * 1000.0 if begun_s is not None else 0.0
        delimited = self._chunked or self._bodiless or head.length is not None
        added = begin(self._request, delimited=delimited, queue_ms=queue_ms)
        self._write(encode_head(head.lines, added, None if head.bodiless else head.length, chunked=self._chunked))
        if self._bodiless:
            self.exchange.abandon()
        else:
            self._send(body)

    def _send(self, data: bytes) -> None:
        if self._left is not None:
            if len(data) > self._left:
                self._fail("an answer longer than its Content-Length")
                data = data[: self._left]
            self._left -= len(data)
        if data and not self._bodiless:
            self.sent_bytes += len(data)
            self._write(chunk(data) if self._chunked else data)

    def _fail(self, failure: str) -> None:
        self.failure = failure
        self.exchange.abandon()

    def end(self, outcome: Outcome) -> bool:
        """The guest is done, and the answer had begun; whether it is whole."""
        self.close()
        if self._bodiless:
            return True
        if not outcome.failure and not self.failure:
            self._send(outcome.output)
            if self._left and not self.failure:
                self.failure = "an answer shorter than its Content-Length"
        whole = not outcome.failure and not self._left
        if whole and self._chunked:
            self._write(_LAST_CHUNK)
        return whole

    def instead_of(self, outcome: Outcome) -> Outcome:
        """The guest is done before anything was sent: ``outcome`` with the whole answer."""
        self.close()
        if self._fault is not None:
            status, told = blame(self._fault)
            return msgspec.structs.replace(outcome, status=status, blame=told, failure=str(self._fault))
        return msgspec.structs.replace(outcome, output=self._early + outcome.output)

    def abandon(self) -> None:
        """There is no user any more."""
        self.close()
        self.exchange.abandon()

    def close(self) -> None:
        """Look after the time no more."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
