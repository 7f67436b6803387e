"""WebSocket messages out of frames."""

import pytest
from gateway_support import WEB
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from footloose.gateway.http1 import Request, RequestParser
from footloose.gateway.websocket import Framing, accept, check_handshake, server_frame

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def opening(*headers: str) -> Request:
    parser = RequestParser()
    lines = [f"GET /{WEB}/ HTTP/1.1", "Host: h", "Upgrade: websocket", "Connection: Upgrade", *headers, "", ""]
    parser.feed("\r\n".join(lines).encode())
    return parser.ready[0]


def client() -> Connection:
    return Connection(ConnectionType.CLIENT)


def test_the_handshake_of_rfc_6455_is_answered_as_there() -> None:
    request = opening(
        f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: chat, superchat"
    )
    assert check_handshake(request) is None
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in accept(request)
    assert b"Sec-WebSocket-Protocol: chat\r\n" in accept(request, "chat")
    assert b"Sec-WebSocket-Protocol" not in accept(request, "other")


def test_a_bad_handshake_is_refused() -> None:
    refusal = check_handshake(opening(f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 8"))
    assert refusal is not None
    assert refusal.status == 426
    assert b"Sec-WebSocket-Version: 13" in refusal.lines
    for key in ("", "c2hvcnQ=", "not base64!!", KEY + KEY):
        refusal = check_handshake(opening(f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"))
        assert refusal is not None
        assert refusal.status == 400


def test_messages_are_put_together_and_pings_answered() -> None:
    user, framing = client(), Framing(100)
    data = user.send(TextMessage("a", message_finished=False)) + user.send(Ping(b"p")) + user.send(TextMessage("é"))
    data += user.send(BytesMessage(b"\xff"))
    assert framing.receive(data) == ["aé", b"\xff"]
    user.receive_data(bytes(framing.outgoing))
    (pong,) = user.events()
    assert pong.payload == b"p"  # type: ignore[attr-defined]


@pytest.mark.parametrize("fragmented", [False, True])
def test_a_message_over_the_limit_is_refused_before_it_is_whole(fragmented: bool) -> None:
    user, framing = client(), Framing(10)
    part = "é" * 4
    assert framing.receive(user.send(TextMessage(part, message_finished=False))) == []
    assert framing.receive(user.send(TextMessage(part, message_finished=not fragmented))) == []
    assert framing.close_code == 1009
    user.receive_data(bytes(framing.outgoing))
    (close,) = user.events()
    assert isinstance(close, CloseConnection)
    assert close.code == 1009
    assert framing.receive(user.send(close.response())) == []
    assert framing.finished


def test_both_ends_may_close() -> None:
    user, framing = client(), Framing(10)
    framing.receive(user.send(CloseConnection(1000, "bye")))
    assert framing.finished
    assert framing.close_code == 1000
    user, framing = client(), Framing(10)
    framing.close(1012, "restart")
    framing.close(1000, "again")
    late = user.send(TextMessage("late"))
    user.receive_data(bytes(framing.outgoing))
    (close,) = user.events()
    assert framing.receive(late + user.send(close.response())) == []  # type: ignore[attr-defined]
    assert framing.finished
    assert framing.close_code == 1012


def test_text_that_is_not_utf8_and_unmasked_frames_end_the_connection() -> None:
    framing = Framing(10)
    framing.receive(b"\x81\x81\x00\x00\x00\x00\xff")
    assert framing.close_code == 1007
    framing = Framing(10)
    framing.receive(b"\x81\x01a")
    assert framing.close_code == 1002


@given(st.one_of(st.text(max_size=50), st.binary(max_size=70_000)))
def test_a_frame_for_all_is_what_one_user_would_get(payload: str | bytes) -> None:
    user = client()
    user.receive_data(server_frame(payload))
    parts = [event.data for event in user.events()]  # type: ignore[attr-defined]
    joined = "".join(parts) if isinstance(payload, str) else b"".join(bytes(part) for part in parts)
    assert joined == payload


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_garbage_frames_never_raise_and_never_pass_the_limit(pieces: list[bytes]) -> None:
    framing = Framing(16)
    for piece in pieces:
        for message in framing.receive(piece):
            assert len(message.encode() if isinstance(message, str) else message) <= 16


@given(st.lists(st.one_of(st.text(max_size=20), st.binary(max_size=20)), max_size=8), st.integers(1, 9))
def test_messages_arrive_whole_however_they_are_cut(messages: list[str | bytes], size: int) -> None:
    user, framing = client(), Framing(1000)
    data = b"".join(user.send(TextMessage(one) if isinstance(one, str) else BytesMessage(one)) for one in messages)
    received = [one for at in range(0, len(data), size) for one in framing.receive(data[at : at + size])]
    assert received == messages
