"""A WebSocket on its transport: the thin shell around :class:`Framing` that users' sockets and relay links share."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from footloose.core.limits import WEBSOCKET_PING_S
from footloose.gateway import tcpinfo
from footloose.gateway.websocket import GOING_AWAY, LOST, TRY_LATER, Framing

_CLOSE_WAIT_S = 2.0


class Listener(Protocol):
    """Who gets what comes over the wire."""

    def message(self, payload: str | bytes) -> None:
        """A whole message has come."""
        ...

    def closed(self, code: int) -> None:
        """The connection is over, called once; ``code`` as in RFC 6455 §7.4, 1006 if it just went away."""
        ...


class Wire(asyncio.Protocol):
    """One open WebSocket. ``unsent_bytes`` is what may wait for a slow reader before it is dropped."""

    def __init__(
        self, framing: Framing, listener: Listener, unsent_bytes: int, *, dropped: Callable[[], None] | None = None
    ) -> None:
        self._framing = framing
        self._listener = listener
        self._unsent_bytes = unsent_bytes
        self._dropped = dropped
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._pinged_at: float | None = None
        self._close_by: float | None = None

    def attach(self, transport: asyncio.Transport, data: bytes = b"") -> None:
        """Take over ``transport``; ``data`` is what has already come of the new protocol."""
        self._transport = transport
        transport.set_protocol(self)
        self.data_received(data)

    @property
    def open(self) -> bool:
        """Whether messages may be sent."""
        return self._transport is not None and self._framing.open

    def rtt_ms(self) -> float | None:
        """The round trip to the other end as the kernel has it; None once the connection is gone."""
        if self._transport is None or self._transport.is_closing():
            return None
        return tcpinfo.rtt_ms(self._transport.get_extra_info("socket"))

    def send(self, payload: str | bytes) -> None:
        """Send one message."""
        if self.open:
            self.send_frame(self._framing.message(payload))

    def send_frame(self, frame: bytes) -> None:
        """Send one message already framed. A reader that has let too much wait is dropped instead (1013)."""
        transport = self._transport
        if transport is None or not self._framing.open:
            return
        if transport.get_write_buffer_size() + len(frame) > self._unsent_bytes:
            if self._dropped is not None:
                self._dropped()
            self.close(TRY_LATER, "too slow a reader")
        else:
            transport.write(frame)

    def close(self, code: int, reason: str = "") -> None:
        """Begin to close; if the other end does not answer soon the connection is cut."""
        self._framing.close(code, reason)
        self._flush()

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Take no more from the other end for now."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take more again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def sweep(self, now_s: float) -> None:
        """Look after the time (of the loop's clock): ping who is quiet, cut who is gone."""
        if self._close_by is not None:
            if now_s > self._close_by:
                self.abort()
        elif self._pinged_at is not None:
            # Not by when it was heard: who was stopped for long himself has still to ask.
            if now_s - self._pinged_at > WEBSOCKET_PING_S:
                self.close(GOING_AWAY, "no sign of life")
        elif now_s - self._heard_at > WEBSOCKET_PING_S:
            self._pinged_at = now_s
            self.send_frame(self._framing.ping())

    def data_received(self, data: bytes) -> None:
        """Bytes from the other end."""
        self._heard_at = self._loop.time()
        self._pinged_at = None
        for message in self._framing.receive(data):
            self._listener.message(message)
        self._flush()

    def eof_received(self) -> bool:
        """The other end sends no more: a WebSocket is then over."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The transport is gone."""
        self._transport = None
        code = self._framing.close_code
        self._listener.closed(code if code is not None else LOST)

    def _flush(self) -> None:
        """Send what the protocol itself has to say, and see to the end once closing has begun."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._framing.outgoing:
            data = bytes(self._framing.outgoing)
            self._framing.outgoing.clear()
            if transport.get_write_buffer_size() + len(data) > 2 * self._unsent_bytes:
                transport.abort()  # pings without end, pongs never read
                return
            transport.write(data)
        if self._framing.finished:
            transport.close()
        if self._framing.close_code is not None and self._close_by is None:
            self._close_by = self._loop.time() + _CLOSE_WAIT_S
