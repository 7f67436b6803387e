"""Where bytes of others come in: one function per boundary, which must take whatever it is given.

Each raises what is wrong with the *code*: what is wrong with the bytes is an answer, not an exception.
"""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from types import MappingProxyType

from footloose.core.errors import RemoteError
from footloose.core.limits import WEBSOCKET_MESSAGE_BYTES
from footloose.gateway import topics
from footloose.gateway.cgi import head_of, parse_answer, parse_event_answer
from footloose.gateway.forwarded import FOR, FORWARDED, PROTO, Trusted, told_by
from footloose.gateway.http1 import RequestParser
from footloose.gateway.proxyproto import Garbage, ProxyHeader
from footloose.gateway.websocket import Framing
from footloose.model.guest import GuestError
from footloose.node.control import FrameReader, from_worker, to_worker

Target = Callable[[bytes], None]
_TRUSTED = Trusted(["10.0.0.0/8", "fd00::/8"])
_DEPENDS_ON_CUTS = (413, 431)  # what has come, not only what it is, decides these


def _cuts(data: bytes) -> tuple[bytes, int]:
    """The first byte says how finely the rest is cut."""
    return data[1:], 1 + data[0] % 64 if data else 1


def http(data: bytes) -> None:
    """Requests of users: the same however they are cut, and fit to be handed on."""
    data, step = _cuts(data)
    whole, cut = RequestParser(), RequestParser()
    whole.feed(data)
    for at in range(0, len(data), step):
        cut.feed(data[at : at + step])
    if whole.refusal is None or whole.refusal.status not in _DEPENDS_ON_CUTS:
        assert _complete(whole) == _complete(cut)
        assert (whole.refusal is None) == (cut.refusal is None)
    for request in whole.ready:
        assert "\0" not in request.target
        assert not any("\r" in value or "\n" in value or "\0" in value for value in request.fields.values())
    for parser in (whole, cut):
        parser.close()


def _complete(parser: RequestParser) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for request in parser.ready:
        incoming = request.incoming
        if incoming is None or incoming.complete:
            body = request.body if incoming is None else b"".join(incoming.pieces)
            found.append((request.method, request.target, request.host, request.fields, body, request.keep_alive))
    return found


def proxy(data: bytes) -> None:
    """Headers of the PROXY protocol: the same however they are cut, and with a user's address or none."""
    data, step = _cuts(data)
    whole, cut = ProxyHeader(), ProxyHeader()
    try:
        used = whole.feed(data)
    except Garbage:
        used = -1
    try:
        used_cut = sum(cut.feed(data[at : at + step]) for at in range(0, len(data), step))
    except Garbage:
        used_cut = -1
    assert used == used_cut
    if used >= 0:
        assert whole.behind == cut.behind
        assert whole.done or used == len(data)
    if whole.behind is not None:
        ip_address(whole.behind.address)


def forwarded(data: bytes) -> None:
    """Forwarding headers: an address or none."""
    text = data.decode("latin-1")
    for fields in ({FORWARDED: text}, {FOR: text}, {FOR: text, PROTO: text}):
        told = told_by(fields, _TRUSTED)
        if told.address is not None:
            ip_address(told.address)


def websocket(data: bytes) -> None:
    """Frames of users: messages within the limit, the same however they are cut."""
    data, step = _cuts(data)
    whole, cut = Framing(WEBSOCKET_MESSAGE_BYTES), Framing(WEBSOCKET_MESSAGE_BYTES)
    received = whole.receive(data)
    received_cut = [message for at in range(0, len(data), step) for message in cut.receive(data[at : at + step])]
    assert received == received_cut
    assert whole.close_code == cut.close_code
    for message in received:
        assert len(message.encode() if isinstance(message, str) else message) <= WEBSOCKET_MESSAGE_BYTES


def cgi(data: bytes) -> None:
    """Answers of guests: nothing but whole header lines goes on to a user."""
    for parse in (parse_answer, parse_event_answer, head_of):
        try:
            found = parse(data)
        except GuestError:
            continue
        if found is None:
            continue
        head, _ = found
        if head.lines:
            assert head.lines.startswith(b"HTTP/1.1 ")
            assert head.lines.endswith(b"\r\n")
        for line in head.lines.split(b"\r\n"):
            assert not {0x00, 0x0A, 0x0D} & set(line)
            assert line or head.lines == b"" or head.lines.endswith(b"\r\n")
        assert b"\r\n\r\n" not in head.lines


def control(data: bytes) -> None:
    """What a worker and its node say to each other."""
    for understand in (to_worker, from_worker):
        reader = FrameReader()
        try:
            for message in reader.feed(data):
                understand(message)
        except RemoteError:
            continue
        try:
            understand(data)
        except RemoteError:
            continue


def relay(data: bytes) -> None:
    """Publications of other copies."""
    try:
        topics.decode(data)
    except RemoteError:
        return


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "http": http,
        "proxy": proxy,
        "forwarded": forwarded,
        "websocket": websocket,
        "cgi": cgi,
        "control": control,
        "topics": relay,
    }
)
