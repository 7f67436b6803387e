"""A user's WebSocket at a guest: one call per event, in order, and the topics it listens to."""

import asyncio
import math
import secrets
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from footloose.core.limits import WEBSOCKET_MESSAGE_BYTES, WEBSOCKET_UNSENT_BYTES, WEBSOCKET_WAITING
from footloose.gateway import redirects, websocket
from footloose.gateway.calls import Outcome, blame
from footloose.gateway.cgi import Head, parse_event_answer
from footloose.gateway.counts import Peer, Seen
from footloose.gateway.front import BUSY, MOVED, NEARER, Call, Farewell, User, answer_of
from footloose.gateway.http1 import Request
from footloose.gateway.lanes import Job
from footloose.gateway.responses import Response
from footloose.gateway.shared import Shared
from footloose.gateway.upgrade import Accepted
from footloose.gateway.websocket import Framing
from footloose.gateway.wire import Wire
from footloose.model.guest import GuestError

_SUBSCRIBE = "footloose-subscribe"
_PUBLISH = "footloose-publish"
_TEXT = "text/plain; charset=utf-8"
_BINARY = "application/octet-stream"
_ERROR = 400


Answered = Callable[[Accepted | Response], None]


def ask_to_open(shared: Shared, user: User, peer: Peer, request: Request, call: Call, answered: Answered) -> None:
    """Have the guest decide on a new WebSocket (its ``open`` event). ``answered`` may be called before this returns.

    ``peer`` is the connection as long as it still speaks HTTP.
    """
    seen = shared.counts.request(call.served.service, user.prefix, user.address, peer)
    seen.measure()
    connection = LiveConnection(shared, user, request, call, seen)
    outcome = connection.run("open", b"", partial(_opened, connection, request, answered))
    if outcome is None:
        answered(BUSY)
    elif isinstance(outcome, Outcome):
        _opened(connection, request, answered, outcome)


def _opened(connection: "LiveConnection", request: Request, answered: Answered, outcome: Outcome) -> None:
    try:
        head, body = connection.answer(outcome)
    except _GuestFailed:
        answered(answer_of(outcome)[0])
        return
    if head.status >= _ERROR:
        answered(Response(head.status, head.lines, body, guest_ms=outcome.ms))
        return
    connection.opened_with(head, body)
    answered(Accepted(websocket.accept(request, head.subprotocol), connection))


class _GuestFailed(Exception):
    """The guest failed an event; it has been counted and logged. The message is for the user."""


class LiveConnection:
    """One open WebSocket of one user."""

    def __init__(self, shared: Shared, user: User, request: Request, call: Call, seen: Seen) -> None:
        self._shared = shared
        self._user = user
        self._host = request.host
        self._path = request.path
        self._query = request.query
        self._rest = call.rest
        self._served = call.served
        self._service = call.served.service
        self._environment = call.environment | {
            "REQUEST_METHOD": "WEBSOCKET",
            "FOOTLOOSE_CONNECTION": f"{shared.config.index}-{secrets.token_hex(8)}",
        }
        self._seen = seen
        self._wire = Wire(
            Framing(WEBSOCKET_MESSAGE_BYTES),
            self,
            WEBSOCKET_UNSENT_BYTES,
            dropped=partial(shared.slow_reader, self._service),
        )
        self._opening: tuple[Head, bytes] | None = None
        self._events: deque[tuple[str, str | bytes]] = deque()
        self._busy = False
        self._paused = False
        self._told: str | None = None
        self._told_s = 0.0
        self._leave_by_s = math.inf

    # Opening.

    def opened_with(self, head: Head, body: bytes) -> None:
        """Keep the answer to ``open`` until there is a connection to act on it."""
        self._opening = (head, body)

    def attach(self, transport: asyncio.Transport, data: bytes) -> None:
        """The handshake is sent: begin."""
        self._shared.join(self)
        self._shared.crowd.keep(self._user.address)
        self._wire.attach(transport)
        self._shared.counts.opened(self._seen, self, self._user.address)
        if self._opening is not None:
            self._obey(*self._opening)
            self._opening = None
        if self._shared.draining:
            self.drain()
        self.table_changed()
        self._wire.data_received(data)

    def abandon(self) -> None:
        """The guest said yes to ``open``, but the user was gone: tell it."""
        self._add("close", b"")

    # What the wire tells.

    def message(self, payload: str | bytes) -> None:
        """The user sent a message."""
        self._shared.counts.request(self._service, self._user.prefix, self._user.address, self)
        self._add("message", payload)
        if len(self._events) >= WEBSOCKET_WAITING and not self._paused:
            self._paused = True
            self._wire.pause_reading()

    def closed(self, code: int) -> None:  # noqa: ARG002 - guests are not told the code
        """The connection is over."""
        self._shared.leave(self)
        self._shared.crowd.leave(self._user.address)
        self._shared.topics.leave(self)
        self._shared.counts.closed(self._seen, self)
        self._add("close", b"")

    # What the worker tells.

    def deliver(self, frame: bytes) -> None:
        """Something was published to a topic this user listens to."""
        self._wire.send_frame(frame)

    def rtt_ms(self) -> float | None:
        """The round trip to the user; None once the connection is gone, or if it ends at a proxy."""
        return self._wire.rtt_ms() if self._user.direct else None

    def sweep(self, now_s: float) -> None:
        """Look after the time."""
        self._wire.sweep(now_s)
        if now_s >= self._leave_by_s:
            self._wire.close(websocket.RESTART, MOVED)
        elif self._told is not None and now_s - self._told_s >= self._shared.config.tell_again_s:
            self._told = None
            self.table_changed()

    def drain(self) -> None:
        """The worker stops: have the user connect again."""
        self._wire.close(websocket.RESTART, "the worker stops; connect again")

    def abort(self) -> None:
        """Drop the connection."""
        self._wire.abort()

    def table_changed(self) -> None:
        """Tell the user where to go, if not told lately.

        One whose service has moved from here has some time to go there, and is served till then by what was loaded.
        """
        served = self._shared.services.by_id.get(self._service)
        front = self._shared.front
        if served is not None:
            self._served, self._leave_by_s = served, math.inf
            url = front.nearer(served, self._user, self._host, self._rest, self._query)
            if url is not None:
                self._tell(url, NEARER)
            return
        moved = front.moved(self._path, self._query, self._host, self._user)
        if moved is None:
            self._wire.close(websocket.GOING_AWAY, MOVED)
            return
        self._tell(moved[0], MOVED)
        self._leave_by_s = min(self._leave_by_s, self._shared.tick_s + self._shared.config.leave_s)

    def _tell(self, url: str, reason: str) -> None:
        if url != self._told:
            self._told, self._told_s = url, self._shared.tick_s
            self._wire.send(migrate_message(url, reason))

    # Events.

    def run(self, event: str, payload: str | bytes, done: Callable[[Outcome], None]) -> Outcome | Job | None:
        """Call the guest for one event; as :meth:`Shared.run`."""
        body = payload.encode() if isinstance(payload, str) else payload
        environment = self._environment | {
            "FOOTLOOSE_EVENT": event,
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": _TEXT if isinstance(payload, str) else _BINARY,
        }
        # Each connection has one event at its guest at most, so their number is that of the connections.
        return self._shared.run(self._served, environment, body, done, must=event != "open")

    def _add(self, event: str, payload: str | bytes) -> None:
        self._events.append((event, payload))
        if not self._busy:
            self._next()

    def _next(self) -> None:
        while self._events and not self._busy:
            event, payload = self._events.popleft()
            outcome = self.run(event, payload, self._done)
            if outcome is None:
                self._wire.close(websocket.GUEST_FAILED, "the service cannot be run at this site")
            elif isinstance(outcome, Outcome):
                self._finish(outcome)
            else:
                self._busy = True
        if self._paused and not self._events:
            self._paused = False
            self._wire.resume_reading()

    def _done(self, outcome: Outcome) -> None:
        self._busy = False
        self._finish(outcome)
        self._next()

    def _finish(self, outcome: Outcome) -> None:
        try:
            self._obey(*self.answer(outcome))
        except _GuestFailed as failed:
            self._wire.close(websocket.GUEST_FAILED, str(failed))

    def answer(self, outcome: Outcome) -> tuple[Head, bytes]:
        """What the guest answered. Raises :class:`_GuestFailed`."""
        told, failure = outcome.blame, outcome.failure
        if not failure:
            try:
                return parse_event_answer(outcome.output)
            except GuestError as error:
                told, failure = blame(error)[1], str(error)
        self._shared.counts.error(self._seen)
        self._shared.reporter.log(self._service, failure)
        raise _GuestFailed(told)

    def _obey(self, head: Head, body: bytes) -> None:
        topics = []
        for name, value in head.own:
            if name == _PUBLISH:
                topics.append(value)
            elif name == _SUBSCRIBE and self._wire.open:
                self._subscribe(value)
        if body:
            self._send(topics, body, binary=head.binary)

    def _subscribe(self, topic: str) -> None:
        if not self._shared.topics.subscribe(self._service, topic, self):
            self._shared.reporter.log(self._service, f"not subscribed to {topic[:80]!r}: too many, or not a topic")

    def _send(self, topics: list[str], body: bytes, *, binary: bool) -> None:
        payload = body if binary else _as_text(body)
        if len(body) > WEBSOCKET_MESSAGE_BYTES:
            self._shared.reporter.log(self._service, f"a message of more than {WEBSOCKET_MESSAGE_BYTES} bytes not sent")
        elif not topics:
            self._wire.send(payload)
        for topic in topics:
            if not self._shared.topics.publish(self._service, topic, payload):
                self._shared.reporter.log(self._service, f"not published to {topic[:80]!r}: not a topic")


class Parting:
    """A WebSocket to a service that has moved: it is told where to, and closed."""

    def __init__(self, shared: Shared, decided: Farewell) -> None:
        self._shared = shared
        self._url = decided.url
        self._wire = Wire(Framing(WEBSOCKET_MESSAGE_BYTES), self, WEBSOCKET_UNSENT_BYTES)

    def attach(self, transport: asyncio.Transport, data: bytes) -> None:
        """The handshake is sent: say where to go, and end."""
        self._shared.join(self)
        self._wire.attach(transport)
        self._wire.send(migrate_message(self._url, MOVED))
        self._wire.close(websocket.RESTART, MOVED)
        self._wire.data_received(data)

    def abandon(self) -> None:
        """The user has gone: nothing to do."""

    def message(self, payload: str | bytes) -> None:
        """There is nobody here to hear it."""

    def closed(self, code: int) -> None:  # noqa: ARG002 - the listener's signature
        """The connection is over."""
        self._shared.leave(self)

    def sweep(self, now_s: float) -> None:
        """Look after the time."""
        self._wire.sweep(now_s)

    def drain(self) -> None:
        """It is closing already."""

    def abort(self) -> None:
        """Drop the connection."""
        self._wire.abort()

    def table_changed(self) -> None:
        """It has been told."""


def migrate_message(url: str, reason: str) -> str:
    """The text that asks a user's script to go on at ``url``."""
    message = {"footloose": "migrate", "url": redirects.websocket_url(url), "reason": reason}
    return msgspec.json.encode(message).decode()


def _as_text(body: bytes) -> str | bytes:
    """Text, if it is; a text message that is not UTF-8 would end the connection (RFC 6455 §8.1)."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body
