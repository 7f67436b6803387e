"""HTTP/1.1 requests out of bytes (RFC 9112), without input or output.

llhttp does the parsing and refuses what is ambiguous (both ``Content-Length`` and ``Transfer-Encoding``, bad sizes,
bare line feeds, folded headers, NUL); this module adds the limits, and names headers as CGI does (RFC 3875 §4.1.18)
while they come in, so that nothing has to be gone through twice.
"""

from collections import deque
from typing import NoReturn

import httptools
import msgspec

from footloose.core.limits import REQUEST_HEAD_BYTES, STREAMED_BODY_BYTES, WHOLE_BODY_BYTES

_DROPPED = frozenset(
    # Hop by hop (RFC 9110 §7.6.1). ``Proxy`` would become HTTP_PROXY, which many libraries obey (CVE-2016-5385).
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"proxy",
        b"proxy-authorization",
        b"x-real-ip",
    )
)
_FOR_US = frozenset(
    (b"upgrade", b"expect", b"transfer-encoding", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto")
)
_FORWARDING = b"x-forwarded-"
_SINGLE = frozenset(("HTTP_HOST", "CONTENT_TYPE", "CONTENT_LENGTH"))
_KNOWN_KEYS: dict[bytes, str] = {}
_KNOWN_KEYS_MAX = 4096
_KNOWN_KEY_BYTES = 64
_UPGRADE, _EXPECT, _CODING = "-UPGRADE", "-EXPECT", "-TRANSFER_ENCODING"
_BODY_OVERHEAD_BYTES = 64 * 1024  # chunk sizes, extensions and trailers of one body, and ...
_CHUNK_OVERHEAD = 8  # ... so much more for each byte of it


class Incoming:
    """A body that is handed on as it comes. ``pieces`` are those not yet taken; ``length`` None if not announced."""

    def __init__(self, length: int | None) -> None:
        self.length = length
        self.pieces: deque[bytes] = deque()
        self.total_bytes = 0
        self.complete = False


class Request(msgspec.Struct, frozen=True):
    """One request. ``fields`` are its headers under their CGI names; ``target`` is as sent, ``path`` undecoded.

    ``upgrade`` says it asks for a WebSocket; the bytes after it are then no longer HTTP. ``control`` has the headers
    that guests do not see and the gateway may act on, their names beginning with ``-``. Where the body is not there as
    a whole, ``incoming`` is what comes of it and ``body`` is empty.
    """

    method: str
    target: str
    path: str
    query: str
    host: str
    version: str
    fields: dict[str, str]
    body: bytes
    keep_alive: bool
    upgrade: bool = False
    control: dict[str, str] | None = None
    incoming: Incoming | None = None


class Refusal(msgspec.Struct, frozen=True):
    """Why a connection's bytes are not taken: the status to answer with and a sentence for the user."""

    status: int
    text: str


class _Refused(Exception):
    """Stops llhttp from inside a callback."""


class RequestParser:
    """Feed it bytes; requests queue up in ``ready``, as a whole if their body is small.

    After a ``refusal``, or a WebSocket ``upgrade``, it takes no more: the bytes behind an upgrade are in ``trailing``.
    """

    def __init__(self) -> None:
        self.ready: deque[Request] = deque()
        self.refusal: Refusal | None = None
        self.trailing: bytes | None = None
        self.in_progress = False
        """A request has begun and is not complete."""
        self.wants_continue = False
        """The user waits for ``100 Continue`` before sending the body."""
        self._parser = httptools.HttpRequestParser(self)
        self._closed = False
        self._fed_bytes = 0
        self._began = False
        self._last = False
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._fields: dict[str, str] = {}
        self._control: dict[str, str] | None = None
        self._head_bytes = 0
        self._in_body = False
        self._chunks: list[bytes] = []
        self._body_bytes = 0
        self._incoming: Incoming | None = None
        self._upgrade = False
        self._method = ""
        self._version = ""

    def feed(self, data: bytes) -> None:
        """Take the next bytes. What is wrong with them is told by ``refusal``."""
        while data and self.refusal is None and not self._last and not self._closed:
            self._began = False
            rest = b""
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                rest = self._upgraded(data[upgrade.args[0] :])
            except httptools.HttpParserCallbackError as error:
                if self.refusal is None:  # not one of ours: a fault in this module must not pass for a bad request
                    raise error.__context__ or error from None
            except httptools.HttpParserError as error:
                if not self._last:
                    self.refusal = Refusal(400, f"not an HTTP/1.1 request: {error}")
            if self.in_progress and self.refusal is None:
                # What trickles in is measured here, as llhttp keeps unfinished headers and chunk extensions to itself.
                self._fed_bytes = 0 if self._began else self._fed_bytes + len(data)
                self._check_fed()
                if self._in_body and self._incoming is None and "CONTENT_LENGTH" not in self._fields:
                    self._begin_body(None)  # chunked, and nobody knows when the next chunk comes
            data = rest

    def close(self) -> None:
        """Let go of llhttp, which refers back to this object."""
        self._closed = True
        del self._parser

    def _check_fed(self) -> None:
        if not self._in_body and self._fed_bytes > REQUEST_HEAD_BYTES:
            self.refusal = _HEAD_TOO_LARGE
        elif self._fed_bytes > REQUEST_HEAD_BYTES + _BODY_OVERHEAD_BYTES + _CHUNK_OVERHEAD * self._body_bytes:
            self.refusal = _CHUNKS_TOO_SMALL

    def _upgraded(self, rest: bytes) -> bytes:
        if self.refusal is None and self.ready[-1].upgrade:
            self.trailing = rest
            self._last = True
            return b""
        return rest  # any other upgrade is declined by answering as if it had not been asked (RFC 9110 §7.8)

    def _refuse(self, refusal: Refusal) -> NoReturn:
        self.refusal = refusal
        raise _Refused

    # What llhttp calls, in this order.

    def on_message_begin(self) -> None:
        """A request's first byte has come."""
        self.in_progress = self._began = True

    def on_url(self, part: bytes) -> None:
        """A piece of the request target."""
        self._url += part
        if len(self._url) > REQUEST_HEAD_BYTES:
            self._refuse(_HEAD_TOO_LARGE)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header line, or a trailer, which is ignored."""
        if self._in_body:
            return
        self._head_bytes += len(name) + len(value) + 4
        key = _KNOWN_KEYS.get(name)
        if key is None:
            key = _key(name)
        if not key:
            return
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        text = text.rstrip(" \t")
        fields = self._fields
        if key[0] == "-":
            if self._control is None:
                self._control = {}
            fields = self._control
        fields[key] = self._combined(key, fields[key], text) if key in fields else text

    def _combined(self, key: str, first: str, second: str) -> str:
        if key in _SINGLE:
            self._refuse(Refusal(400, "a header that may come once came twice"))
        return f"{first}; {second}" if key == "HTTP_COOKIE" else f"{first}, {second}"  # RFC 9113 §8.2.3, RFC 9110 §5.3

    def on_headers_complete(self) -> None:
        """The head is whole: everything that can be refused without the body is refused here."""
        self._in_body = True
        if self._head_bytes + len(self._url) > REQUEST_HEAD_BYTES:
            self._refuse(_HEAD_TOO_LARGE)
        self._version = self._parser.get_http_version()
        if self._version not in ("1.1", "1.0"):
            self._refuse(Refusal(505, "speak HTTP/1.1"))
        self._method = self._parser.get_method().decode()
        if self._method == "CONNECT":
            self._refuse(Refusal(405, "this is not a proxy"))
        self._keep_alive: bool = self._parser.should_keep_alive()
        length = self._fields.get("CONTENT_LENGTH")
        if length is not None and int(length) > STREAMED_BODY_BYTES:
            self._refuse(_BODY_TOO_LARGE)
        if self._control is not None:
            self._check_control(self._control, has_body=length is not None and int(length) > 0)
            self._upgrade = self._wants_websocket(self._control)
        self._placed = self._place()
        if length is not None and int(length) > WHOLE_BODY_BYTES:
            self._begin_body(int(length))

    def _check_control(self, control: dict[str, str], *, has_body: bool) -> None:
        coding = control.get(_CODING)
        if coding is not None:
            if self._version == "1.0":
                self._refuse(Refusal(400, "Transfer-Encoding is not part of HTTP/1.0"))  # RFC 9112 §6.1
            if coding.lower() != "chunked":
                self._refuse(Refusal(501, "the only transfer coding known here is chunked"))
        expect = control.get(_EXPECT)
        if expect is not None and self._version == "1.1":
            if expect.lower() != "100-continue":
                self._refuse(Refusal(417, "the only expectation met here is 100-continue"))
            self.wants_continue = has_body or coding is not None

    def on_body(self, part: bytes) -> None:
        """A piece of the body, chunk framing removed."""
        self.wants_continue = False
        self._body_bytes += len(part)
        incoming = self._incoming
        if incoming is None:
            self._chunks.append(part)
            return
        if self._body_bytes > STREAMED_BODY_BYTES:
            self._refuse(_BODY_TOO_LARGE)
        incoming.pieces.append(part)
        incoming.total_bytes += len(part)

    def _begin_body(self, length: int | None) -> None:
        """Let the request be answered while its body is still coming."""
        self._incoming = incoming = Incoming(length)
        incoming.pieces.extend(self._chunks)
        incoming.total_bytes = self._body_bytes
        self._chunks = []
        self._ready(b"", incoming)

    def _ready(self, body: bytes, incoming: Incoming | None) -> None:
        target, path, query, host = self._placed
        self.ready.append(
            Request(
                self._method,
                target,
                path,
                query,
                host,
                self._version,
                self._fields,
                body,
                self._keep_alive,
                self._upgrade,
                self._control,
                incoming,
            )
        )

    def _place(self) -> tuple[str, str, str, str]:
        """Target, path, query and host."""
        target = self._url.decode("ascii")
        path, _, query = target.partition("?")
        host = self._fields.get("HTTP_HOST")
        if not target.startswith("/"):
            path, query, host = self._other_form(target, host)
        if host is None:
            if self._version == "1.1":
                self._refuse(Refusal(400, "the Host header is missing"))  # RFC 9112 §3.2
            host = ""
        if "#" in target:
            self._refuse(Refusal(400, "a request target has no fragment"))
        return target, path, query, host

    def on_message_complete(self) -> None:
        """The request is whole."""
        incoming = self._incoming
        if incoming is not None:
            incoming.complete = True
        else:
            self._ready(b"".join(self._chunks), None)
        self._last = not self._keep_alive and not self._upgrade
        self.in_progress = self.wants_continue = False
        self._reset()

    def _wants_websocket(self, control: dict[str, str]) -> bool:
        if _UPGRADE not in control or not self._parser.should_upgrade():
            return False
        if "CONTENT_LENGTH" in self._fields or _CODING in control:  # llhttp would take the body for the new protocol
            self._refuse(Refusal(501, "an upgrade with a body is not supported; send it without Upgrade"))
        return control[_UPGRADE].lower() == "websocket" and self._method == "GET"

    def _other_form(self, target: str, host: str | None) -> tuple[str, str, str | None]:
        """The absolute and asterisk forms of a request target (RFC 9112 §3.2)."""
        if target == "*" and self._method == "OPTIONS":
            return "*", "", host
        try:
            url = httptools.parse_url(target.encode())
        except httptools.HttpParserInvalidURLError:
            self._refuse(_NO_TARGET)
        if url.schema not in (b"http", b"https") or not url.host or url.userinfo:
            self._refuse(_NO_TARGET)
        authority = url.host.decode() + (f":{url.port}" if url.port else "")
        return (url.path or b"/").decode(), (url.query or b"").decode(), authority


_NO_TARGET = Refusal(400, "not a request target")
_HEAD_TOO_LARGE = Refusal(431, f"request line and headers may be {REQUEST_HEAD_BYTES} bytes together")
_BODY_TOO_LARGE = Refusal(413, f"a request body may be {STREAMED_BODY_BYTES} bytes")
_CHUNKS_TOO_SMALL = Refusal(413, "chunks as small as these cost more than they bring")


def _key(name: bytes) -> str:
    """The CGI name of a header; empty if guests do not see it; starting with ``-`` if it is meant for the gateway."""
    lower = name.lower()
    if lower in _FOR_US:
        key = "-" + lower.decode().upper().replace("-", "_")
    elif lower in _DROPPED or lower.startswith(_FORWARDING) or b"_" in lower:  # X_Y would pass for X-Y
        key = ""
    elif lower in (b"content-type", b"content-length"):
        key = lower.decode().upper().replace("-", "_")
    else:
        key = "HTTP_" + lower.decode().upper().replace("-", "_")
    if len(_KNOWN_KEYS) < _KNOWN_KEYS_MAX and len(name) <= _KNOWN_KEY_BYTES:
        _KNOWN_KEYS[name] = key
    return key
