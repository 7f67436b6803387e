"""One user's HTTP connection: the thin shell around :class:`RequestParser` and :class:`Front`.

Requests of a connection are answered one after the other, in order; while one is at a guest nothing more is read than
what has come already.
"""

import asyncio
from functools import partial
from time import perf_counter
from typing import cast

import msgspec

from footloose.core.limits import RETIRE_IDLE_S
from footloose.gateway import accesslog, live, relay, tcpinfo, websocket
from footloose.gateway.arrivals import plain_address
from footloose.gateway.bodies import TOO_LARGE, Watch, outgrown, whole
from footloose.gateway.calls import Outcome
from footloose.gateway.cgi import Head
from footloose.gateway.counts import Seen
from footloose.gateway.exchange import Streamed
from footloose.gateway.forwarded import NOTHING, told_by
from footloose.gateway.front import BUSY, Call, Farewell, User, answer_of
from footloose.gateway.http1 import Incoming, Request, RequestParser
from footloose.gateway.proxyproto import Behind
from footloose.gateway.responses import Response, encode, persist_line, text_response
from footloose.gateway.routes import Authority
from footloose.gateway.shared import Shared
from footloose.gateway.streaming import Streaming
from footloose.gateway.upgrade import Accepted
from footloose.model.app import ServiceId
from footloose.model.network import prefix_of

_LINGER_S = 2.0
_IN_A_ROW = 32
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NEVER = float("inf")
_CROWDED = text_response(503, "this worker has all the connections of your address it may have", [("Retry-After", "1")])
_FULL = text_response(503, "this worker has all the connections it may have", [("Retry-After", "1")])
_TIMED_OUT = text_response(408, "the request did not come in time")


class HttpConnection(asyncio.Protocol):
    """Speaks HTTP/1.1 with one user until the connection ends or becomes a WebSocket."""

    def __init__(self, shared: Shared, behind: Behind | None = None, *, secure: bool = False) -> None:
        self._shared = shared
        self._behind = behind
        self._secure = secure
        self._trusted = False
        """The other end is a proxy that is believed who its users are."""
        self._counted = ""
        self._parser = RequestParser()
        self._transport: asyncio.Transport
        self._user: User
        self._deadline_s = _NEVER
        self._in_request = False
        self._busy: Request | None = None
        self._paused_writing = False
        self._paused_reading = False
        self._eof = False
        self._measured = False
        self._coming: Incoming | None = None
        """The body of the request being answered, as long as it is not complete."""
        self._watch: Watch | None = None
        self._collecting: Call | None = None
        self._streaming: Streaming | None = None
        self._keep = False
        self._asked_s = 0.0
        self._service: ServiceId | None = None
        self._over = False
        """The last answer has been given: what still comes is thrown away."""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A user has connected."""
        self._transport = transport = cast(asyncio.Transport, transport)
        peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        shared, behind = self._shared, self._behind
        if behind is None:
            address, at = plain_address(peer[0]), Authority(plain_address(here[0]), here[1])
            self._trusted = bool(shared.trusted) and address in shared.trusted
        else:
            address, at = behind.address, Authority(behind.here, behind.port)
        self._user = User(address, prefix_of(address), at, self._secure, behind is None)
        if len(shared.connections) >= shared.config.connections:
            self._turn_away(_FULL)
            return
        if not self._trusted:
            if not shared.crowd.enter(address):
                self._turn_away(_CROWDED)
                return
            self._counted = address
        shared.join(self)
        self._deadline_s = shared.tick_s + shared.config.idle_s

    def data_received(self, data: bytes) -> None:
        """Bytes from the user."""
        if self._over:
            return
        self._parser.feed(data)
        if self._coming is not None:
            self._more_body(self._coming)
        if self._busy is None:
            self._serve()
        else:
            self._read_on()

    def eof_received(self) -> bool:
        """The user sends no more, but may wait for an answer."""
        self._eof = True
        if self._coming is not None:
            return False  # the rest of the body will never come
        if self._streaming is not None and self._streaming.head is not None:
            return False  # most who send no more have left, and there may be nothing to send for long to find out by
        return not self._over and (self._busy is not None or bool(self._parser.ready))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is gone."""
        self._over = True
        self._parser.close()
        self._shared.leave(self)
        self._uncount()
        self._abandon()

    def _turn_away(self, response: Response) -> None:
        self._transport.write(encode(response, self._shared.date, keep_alive=False))
        self._close()

    def _uncount(self) -> None:
        if self._counted:
            self._shared.crowd.leave(self._counted)
            self._counted = ""

    def pause_writing(self) -> None:
        """The user does not read as fast as answers come."""
        self._paused_writing = True
        self._deadline_s = self._shared.tick_s + self._shared.config.write_stall_s

    def resume_writing(self) -> None:
        """The user reads again."""
        self._paused_writing = False
        if self._over:
            return
        if self._busy is None:
            self._serve()
            return
        self._deadline_s = _NEVER
        self._stirred()

    # What the worker calls.

    def rtt_ms(self) -> float | None:
        """The round trip to the user; None once the connection is gone, or if it ends at a proxy."""
        return None if self._over or not self._user.direct else tcpinfo.rtt_ms(self._transport.get_extra_info("socket"))

    def sweep(self, now_s: float) -> None:
        """Cut what took too long."""
        if self._watch is not None and self._watch.too_slow(now_s, kept_waiting=self._paused_reading):
            self._broken(_TIMED_OUT)
        if now_s <= self._deadline_s:
            return
        if self._over or self._paused_writing:
            self._transport.abort()
        elif self._parser.in_progress:
            self._last(_TIMED_OUT)
        else:
            self._close()

    def drain(self) -> None:
        """Finish the request that has begun, then close."""
        if self._busy is not None or self._parser.ready or self._parser.in_progress or self._over:
            return
        if self._shared.retiring:  # a request may be on its way, and would be lost
            self._deadline_s = self._shared.tick_s + RETIRE_IDLE_S
        else:
            self._close()

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def table_changed(self) -> None:
        """Nothing: the next request is answered by the new table."""

    # Requests.

    def _serve(self) -> None:
        """Answer what has come, in order, until a guest has to be waited for or the user does not read."""
        ready = self._parser.ready
        for _ in range(_IN_A_ROW):
            if not ready or self._busy is not None or self._paused_writing or self._over:
                break
            self._answer(ready.popleft())
        else:
            if ready and self._busy is None and not self._over:
                asyncio.get_running_loop().call_soon(self._serve_on)
        self._read_on()

    def _serve_on(self) -> None:
        if self._busy is None and not self._over:
            self._serve()

    def _read_on(self) -> None:
        """What comes after the last answer so far: more reading, a refusal, or the end."""
        if self._over:
            return
        parser = self._parser
        opening = self._busy is not None and self._busy.upgrade
        waiting = bool(parser.ready) or opening or (self._streaming is not None and self._streaming.full)
        if waiting != self._paused_reading:
            self._paused_reading = waiting
            self._transport.pause_reading() if waiting else self._transport.resume_reading()
        if waiting or self._busy is not None or self._paused_writing:
            return
        if parser.refusal is not None:
            self._last(text_response(parser.refusal.status, parser.refusal.text))
        elif self._eof:
            self._close()
        else:
            self._await_request()

    def _await_request(self) -> None:
        config, parser = self._shared.config, self._parser
        if not parser.in_progress:
            self._in_request = False
            self._deadline_s = self._shared.tick_s + config.idle_s
            if self._shared.draining:
                self.drain()
                return
        elif not self._in_request:
            self._in_request = True
            self._deadline_s = self._shared.tick_s + config.request_s
        if parser.wants_continue:
            self._let_continue()

    def _let_continue(self) -> None:
        if self._parser.wants_continue:
            self._parser.wants_continue = False
            self._transport.write(_CONTINUE)

    def _answer(self, request: Request) -> None:
        if self._shared.config.access_log:
            self._asked_s = perf_counter()
            self._service = None
        if request.upgrade and request.path.startswith(relay.PATH):
            self._upgraded(request, relay.admit(self._shared, request))
            return
        if self._trusted:
            self._hear_of_user(request)
        decided = self._shared.front.admit(request, self._user)
        if isinstance(decided, Response):
            self._respond(request, decided)
        elif request.upgrade or isinstance(decided, Farewell):
            self._upgrade(request, decided)
        else:
            self._call(request, decided)

    def _hear_of_user(self, request: Request) -> None:
        """A trusted proxy says with each request whose it is; of itself if it says nothing."""
        told = told_by(request.control, self._shared.trusted) if request.control is not None else NOTHING
        peer, user = plain_address(self._transport.get_extra_info("peername")[0]), self._user
        address = told.address if told.address is not None else peer
        secure = told.secure if told.secure is not None else self._secure
        if (address, secure) != (user.address, user.secure):
            self._user = User(address, prefix_of(address), user.here, secure, address == peer)

    def _call(self, request: Request, call: Call) -> None:
        shared, user, served, incoming = self._shared, self._user, call.served, request.incoming
        if incoming is not None and not served.streams:
            self._collect(request, call, incoming)
            return
        seen = shared.counts.request(served.service, user.prefix, user.address, self)
        if not self._measured:
            self._measured = True
            seen.measure()
        self._service = served.service
        if incoming is None:
            outcome = shared.call_now(served, call.environment, request.body)
            if outcome is not None:
                self._finish(request, seen, outcome)
                return
        self._call_later(request, call, seen)

    def _call_later(self, request: Request, call: Call, seen: Seen) -> None:
        served, incoming = call.served, request.incoming
        job = self._shared.call_later(
            served,
            call.environment,
            request.body,
            partial(self._called, request, seen),
            partial(self._exchange, request) if served.streams else None,
        )
        if job is None:
            self._abandon()
            self._streaming = None
            self._respond(request, BUSY)
            return
        self._busy = request
        self._deadline_s = _NEVER
        if self._streaming is not None:
            self._streaming.job = job
        if incoming is not None and not incoming.complete:
            self._await_body(incoming)

    def _called(self, request: Request, seen: Seen, outcome: Outcome) -> None:
        self._busy = self._coming = self._watch = None
        streaming, self._streaming = self._streaming, None
        if streaming is None:
            self._finish(request, seen, outcome)
        elif streaming.head is None:
            self._finish(request, seen, streaming.instead_of(outcome))
        else:
            self._finish_streamed(request, seen, streaming, streaming.head, outcome)
        if not self._over:
            self._serve()

    def _finish(self, request: Request, seen: Seen, outcome: Outcome) -> None:
        response, failure = answer_of(outcome)
        if failure:
            self._shared.counts.error(seen)
            self._shared.reporter.log(seen.service, failure)
        if not self._over:
            self._respond(request, response)

    def _respond(self, request: Request, response: Response) -> None:
        shared = self._shared
        config = shared.config
        if config.access_log:
            self._log(request, response.status, len(response.body), response.guest_ms, response.queue_ms)
        if request.incoming is not None and not request.incoming.complete:
            self._last(response)
            return
        keep = request.keep_alive and not shared.draining and not request.upgrade
        head = request.method == "HEAD"
        timing = config.server_timing
        self._transport.write(encode(response, shared.date, head, keep, request.version, timing))
        if not keep:
            self._close()

    def _log(
        self,
        request: Request,
        status: int,
        body_bytes: int,
        guest_ms: float | None,
        queue_ms: float,
        *,
        whole: bool = True,
    ) -> None:
        secured = self._transport.get_extra_info("ssl_object")
        accesslog.write(
            accesslog.Access(
                self._shared.clock.now(),
                self._user.address,
                "HTTP/" + request.version,
                secured.version() if secured is not None else None,
                request.method,
                request.host,
                request.target,
                self._service,
                status,
                len(request.body) if request.incoming is None else request.incoming.total_bytes,
                body_bytes,
                (perf_counter() - self._asked_s) * 1000.0,
                guest_ms,
                queue_ms,
                whole,
            )
        )

    # Bodies that come while their request is answered, and answers that go out as they are made.

    def _exchange(self, request: Request) -> Streamed:
        self._streaming = Streaming(request, self._shared.lanes, self._transport.write, self._stirred)
        return self._streaming.exchange

    def _collect(self, request: Request, call: Call, incoming: Incoming) -> None:
        """The guest gets its body as a whole."""
        self._busy = self._collecting = None
        if outgrown(incoming):
            self._respond(request, TOO_LARGE)
        elif incoming.complete:
            body = whole(incoming)
            call.environment["CONTENT_LENGTH"] = str(len(body))
            self._call(msgspec.structs.replace(request, body=body, incoming=None), call)
        else:
            self._busy = request
            self._collecting = call
            self._deadline_s = _NEVER
            self._await_body(incoming)

    def _await_body(self, incoming: Incoming) -> None:
        self._coming = incoming
        self._watch = Watch(incoming, self._shared.config.body_window_s, self._shared.tick_s)
        self._let_continue()

    def _more_body(self, incoming: Incoming) -> None:
        if incoming.complete:
            self._coming = self._watch = None
        if self._streaming is not None:
            self._streaming.take_body()
        elif self._collecting is not None and self._busy is not None:
            self._collect(self._busy, self._collecting, incoming)
        refusal = self._parser.refusal
        if refusal is not None and self._coming is not None:
            self._broken(text_response(refusal.status, refusal.text))

    def _broken(self, response: Response) -> None:
        """The body that is coming is cut short: so is its answer, if it has begun, else that is ``response``."""
        begun = self._streaming is not None and self._streaming.head is not None
        self._abandon()
        if begun:
            self._transport.abort()
        elif not self._over:
            self._last(response)

    def _abandon(self) -> None:
        """Nobody waits for the guest any more."""
        self._coming = self._watch = self._collecting = None
        if self._streaming is not None:
            self._streaming.abandon()

    def _stirred(self) -> None:
        """A guest that goes on has something to say, or waits."""
        if self._streaming is None or self._over:
            return
        if not self._paused_writing:
            self._streaming.pump(self._begin_answer)
        self._streaming.make_room()
        self._read_on()

    def _begin_answer(self, request: Request, *, delimited: bool, queue_ms: float) -> bytes:
        """What a streamed answer's head says besides what the guest does."""
        shared = self._shared
        self._keep = request.keep_alive and delimited and not shared.draining
        timing = b"Server-Timing: queue;dur=%.3f\r\n" % queue_ms if shared.config.server_timing else b""
        return shared.date + timing + persist_line(keep_alive=self._keep, version=request.version)

    def _finish_streamed(
        self, request: Request, seen: Seen, streaming: Streaming, head: Head, outcome: Outcome
    ) -> None:
        is_whole = streaming.end(outcome) if not self._over else False
        failure = outcome.failure or streaming.failure
        if failure:
            self._shared.counts.error(seen)
            self._shared.reporter.log(seen.service, failure)
        if self._shared.config.access_log:
            sent = streaming.sent_bytes
            self._log(request, head.status, sent, outcome.ms, outcome.queue_ms, whole=is_whole)
        if self._over:
            return
        if not is_whole:
            self._over = True
            self._transport.abort()
        elif request.incoming is not None and not request.incoming.complete:
            self._hear_out()
        elif not self._keep:
            self._close()

    def _last(self, response: Response) -> None:
        """Answer something that is not, or not yet, a request, and close.

        Our side closes first and the other is heard out for a moment: closing at once while the user still sends
        would reset the connection and take the answer with it (RFC 9112 §9.6). By TLS no side can be closed by itself:
        the user closes, as told to, or is cut.
        """
        self._transport.write(encode(response, self._shared.date, keep_alive=False))
        self._hear_out()

    def _hear_out(self) -> None:
        self._over = True
        self._deadline_s = self._shared.tick_s + _LINGER_S
        if self._paused_reading:
            self._transport.resume_reading()
        if self._eof:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()

    def _close(self) -> None:
        self._over = True
        self._deadline_s = self._shared.tick_s + self._shared.config.write_stall_s
        self._transport.close()

    # WebSockets.

    def _upgrade(self, request: Request, decided: Call | Farewell) -> None:
        refusal = websocket.check_handshake(request)
        if refusal is not None:
            self._respond(request, refusal)
        elif isinstance(decided, Farewell):
            self._upgraded(request, Accepted(websocket.accept(request), live.Parting(self._shared, decided)))
        else:
            self._busy = request
            self._deadline_s = _NEVER
            live.ask_to_open(self._shared, self._user, self, request, decided, partial(self._upgraded, request))

    def _upgraded(self, request: Request, answered: Accepted | Response) -> None:
        self._busy = None
        if isinstance(answered, Response):
            if not self._over:
                self._respond(request, answered)
        elif self._over:
            answered.successor.abandon()
        else:
            self._hand_over(answered)

    def _hand_over(self, accepted: Accepted) -> None:
        """The transport is another's from now on."""
        self._over = True
        self._shared.leave(self)
        self._uncount()
        trailing = self._parser.trailing or b""
        self._parser.close()
        if self._paused_reading:
            self._transport.resume_reading()
        self._transport.write(accepted.handshake)
        accepted.successor.attach(self._transport, trailing)
