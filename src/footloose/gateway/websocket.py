"""WebSockets (RFC 6455) without input or output: the handshake, and messages out of frames, over wsproto.

No extension is spoken: compression costs memory per connection and opens the door to decompression bombs.
"""

import base64
import binascii

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, TextMessage
from wsproto.frame_protocol import FrameProtocol
from wsproto.utilities import generate_accept_token

from footloose.gateway.http1 import Request
from footloose.gateway.responses import Response, text_response

NORMAL = 1000
GOING_AWAY = 1001
UNACCEPTABLE = 1003
TOO_BIG = 1009
GUEST_FAILED = 1011
RESTART = 1012
TRY_LATER = 1013
LOST = 1006
_KEY_BYTES = 16


def check_handshake(request: Request) -> Response | None:
    """Why the opening handshake (§4.2.1) cannot be accepted, or None if it can."""
    fields = request.fields
    if fields.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
        return text_response(426, "WebSocket version 13 is spoken here", [("Sec-WebSocket-Version", "13")])
    try:
        key = base64.b64decode(fields.get("HTTP_SEC_WEBSOCKET_KEY", ""), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    return None if len(key) == _KEY_BYTES else text_response(400, "Sec-WebSocket-Key must be 16 bytes in base64")


def accept(request: Request, subprotocol: str | None = None) -> bytes:
    """The server's opening handshake (§4.2.2). ``subprotocol`` is left out unless the user offered it."""
    token = generate_accept_token(request.fields["HTTP_SEC_WEBSOCKET_KEY"].encode())
    offered = [name.strip() for name in request.fields.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(",")]
    chosen = f"Sec-WebSocket-Protocol: {subprotocol}\r\n".encode() if subprotocol in offered and subprotocol else b""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (token, chosen)
    )


def server_frame(payload: str | bytes) -> bytes:
    """One message as a server sends it: unmasked, so the same bytes go to every user."""
    return bytes(FrameProtocol(client=False, extensions=[]).send_data(payload))


class Framing:
    """Messages of one connection. ``outgoing`` collects what the protocol itself has to send (pongs, close).

    ``close_code`` is None until either end has begun to close: then it says why (RFC 6455 §7.4).
    """

    def __init__(self, message_bytes: int, connection: Connection | None = None) -> None:
        self._connection = connection if connection is not None else Connection(ConnectionType.SERVER)
        self._message_bytes = message_bytes
        self._parts: list[str | bytes] = []
        self._size = 0
        self.outgoing = bytearray()
        self.close_code: int | None = None

    def receive(self, data: bytes) -> list[str | bytes]:
        """The whole messages that ``data`` completes, in order; none once closing has begun."""
        received: list[str | bytes] = []
        if self.finished:
            return received
        self._connection.receive_data(data)
        for event in self._connection.events():
            if isinstance(event, Ping):
                self._send_pong(event)
            elif isinstance(event, CloseConnection):
                self.close(event.code, event.reason or "")
            elif isinstance(event, TextMessage | BytesMessage) and self.open:
                message = self._collect(event)
                if message is not None:
                    received.append(message)
        return received

    def _collect(self, event: Message[str] | Message[bytes | bytearray]) -> str | bytes | None:
        part = event.data if isinstance(event.data, str) else bytes(event.data)
        self._size += len(part.encode() if isinstance(part, str) else part)
        self._parts.append(part)
        if self._size > self._message_bytes:
            self.close(TOO_BIG, f"a message may be {self._message_bytes} bytes")
            self._parts.clear()
            return None
        if not event.message_finished:
            return None
        parts, self._parts, self._size = self._parts, [], 0
        if isinstance(part, str):
            return "".join(part for part in parts if isinstance(part, str))
        return b"".join(part for part in parts if isinstance(part, bytes))

    def _send_pong(self, ping: Ping) -> None:
        if self._connection.state is ConnectionState.OPEN:
            self.outgoing += self._connection.send(ping.response())

    def ping(self) -> bytes:
        """A ping to send."""
        return bytes(self._connection.send(Ping()))

    def message(self, payload: str | bytes) -> bytes:
        """One message to send, masked if this is the client's end."""
        event = TextMessage(payload) if isinstance(payload, str) else BytesMessage(payload)
        return bytes(self._connection.send(event))

    def close(self, code: int, reason: str = "") -> None:
        """Add a Close frame to ``outgoing``, unless one has gone out already."""
        if self.close_code is None:
            self.close_code = int(code)
        if self._connection.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            self.outgoing += self._connection.send(CloseConnection(code, reason))

    @property
    def open(self) -> bool:
        """Whether messages may still be sent."""
        return self._connection.state is ConnectionState.OPEN

    @property
    def finished(self) -> bool:
        """Whether both ends have closed."""
        return self._connection.state is ConnectionState.CLOSED
