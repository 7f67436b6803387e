"""One user's HTTP connection: the thin shell around :class:`RequestParser` and :class:`Front`.

Requests of a connection are answered one after the other, in order; while one is at a guest nothing more is read than
what has come already.
"""

import asyncio
from functools import partial
from typing import cast

from footloose.core.limits import RETIRE_IDLE_S
from footloose.gateway import accesslog, live, relay, tcpinfo, websocket
from footloose.gateway.calls import Outcome
from footloose.gateway.counts import Seen
from footloose.gateway.forwarded import NOTHING, told_by
from footloose.gateway.front import BUSY, Call, Farewell, User, answer_of
from footloose.gateway.http1 import Request, RequestParser
from footloose.gateway.proxyproto import Behind
from footloose.gateway.responses import Response, encode, text_response
from footloose.gateway.routes import Authority
from footloose.gateway.shared import Shared
from footloose.gateway.upgrade import Accepted
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
        self._over = False
        """The last answer has been given: what still comes is thrown away."""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A user has connected."""
        self._transport = transport = cast(asyncio.Transport, transport)
        peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        shared, behind = self._shared, self._behind
        if behind is None:
            address, at = _plain(peer[0]), Authority(_plain(here[0]), here[1])
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
        if self._busy is None:
            self._serve()
        else:
            self._read_on()

    def eof_received(self) -> bool:
        """The user sends no more, but may wait for an answer."""
        self._eof = True
        return not self._over and (self._busy is not None or bool(self._parser.ready))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is gone."""
        self._over = True
        self._parser.close()
        self._shared.leave(self)
        self._uncount()

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
        if self._busy is None and not self._over:
            self._serve()

    # What the worker calls.

    def rtt_ms(self) -> float | None:
        """The round trip to the user; None once the connection is gone, or if it ends at a proxy."""
        return None if self._over or not self._user.direct else tcpinfo.rtt_ms(self._transport.get_extra_info("socket"))

    def sweep(self, now_s: float) -> None:
        """Cut what took too long."""
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
        waiting = bool(parser.ready) or opening
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
                self._close()
                return
        elif not self._in_request:
            self._in_request = True
            self._deadline_s = self._shared.tick_s + config.request_s
        if parser.wants_continue:
            parser.wants_continue = False
            self._transport.write(_CONTINUE)

    def _answer(self, request: Request) -> None:
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
        peer, user = _plain(self._transport.get_extra_info("peername")[0]), self._user
        address = told.address if told.address is not None else peer
        secure = told.secure if told.secure is not None else self._secure
        if (address, secure) != (user.address, user.secure):
            self._user = User(address, prefix_of(address), user.here, secure, address == peer)

    def _call(self, request: Request, call: Call) -> None:
        shared, user = self._shared, self._user
        seen = shared.counts.request(call.served.service, user.prefix, user.address, self)
        if not self._measured:
            self._measured = True
            seen.measure()
        outcome = shared.run(call.served, call.environment, request.body, partial(self._called, request, seen))
        if outcome is True:
            self._busy = request
            self._deadline_s = _NEVER
        elif outcome is False:
            self._respond(request, BUSY)
        else:
            self._finish(request, seen, outcome)

    def _called(self, request: Request, seen: Seen, outcome: Outcome) -> None:
        self._busy = None
        self._finish(request, seen, outcome)
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
        keep = request.keep_alive and not self._shared.draining and not request.upgrade
        head = request.method == "HEAD"
        self._transport.write(encode(response, self._shared.date, head=head, keep_alive=keep, version=request.version))
        if self._shared.config.access_log:
            self._log(request, response)
        if not keep:
            self._close()

    def _log(self, request: Request, response: Response) -> None:
        accesslog.write(
            accesslog.Access(
                self._shared.clock.now(),
                self._user.address,
                request.method,
                request.host,
                request.target,
                response.status,
                len(response.body),
                response.guest_ms,
            )
        )

    def _last(self, response: Response) -> None:
        """Answer something that is not, or not yet, a request, and close.

        Our side closes first and the other is heard out for a moment: closing at once while the user still sends
        would reset the connection and take the answer with it (RFC 9112 §9.6). By TLS no side can be closed by itself:
        the user closes, as told to, or is cut.
        """
        self._transport.write(encode(response, self._shared.date, keep_alive=False))
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


def _plain(address: str) -> str:
    """An address as users know it: IPv4 stays IPv4 on a socket that takes both, and a zone is not part of it."""
    return address.removeprefix("::ffff:").partition("%")[0]
