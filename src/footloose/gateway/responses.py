"""Answers on their way out: bytes of an HTTP/1.1 response (RFC 9112 §4)."""

from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus

import msgspec

_BODILESS = (204, 304)
_PERSIST = {
    # keep the connection? and the version spoken; only what differs from the version's default is said
    (True, "1.1"): b"",
    (True, "1.0"): b"Connection: keep-alive\r\n",
    (False, "1.1"): b"Connection: close\r\n",
    (False, "1.0"): b"Connection: close\r\n",
}


class Response(msgspec.Struct, frozen=True):
    """``lines`` is the status line and headers, each with its CRLF; Date, length and Connection are added when sent.

    ``length`` is what a HEAD answer says its GET would have; ``guest_ms`` how long the guest took, if one was called,
    and ``queue_ms`` how long the request had waited for it.
    """

    status: int
    lines: bytes
    body: bytes = b""
    length: int | None = None
    guest_ms: float | None = None
    queue_ms: float = 0.0


def text_response(status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """An answer of the gateway's own: a short plain text that says what is the matter."""
    reason = HTTPStatus(status).phrase
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    if status not in _BODILESS:
        lines.append("Content-Type: text/plain; charset=utf-8")
    body = b"" if status in _BODILESS else f"{status} {reason}: {text}\n".encode()
    return Response(status, "\r\n".join([*lines, ""]).encode("latin-1", "replace"), body)


def encode(
    response: Response,
    date: bytes,
    head: bool = False,
    keep_alive: bool = True,
    version: str = "1.1",
    timing: bool = True,
) -> bytes:
    """The bytes to send. ``date`` is :func:`date_line`; ``head`` leaves the body out (RFC 9110 §9.3.2).

    ``timing`` tells the user what took how long (W3C Server Timing).
    """
    body = response.body
    persist = _PERSIST[keep_alive, version]
    guest_ms = response.guest_ms
    if guest_ms is None or not timing:
        spent = b""
    elif response.queue_ms:
        spent = b"Server-Timing: guest;dur=%.3f, queue;dur=%.3f\r\n" % (guest_ms, response.queue_ms)
    else:
        spent = b"Server-Timing: guest;dur=%.3f\r\n" % guest_ms
    if response.status in _BODILESS:
        return b"%b%b%b%b\r\n" % (response.lines, date, spent, persist)
    if head:
        known = len(body) if body else response.length
        length = b"" if known is None else b"Content-Length: %d\r\n" % known
        return b"%b%b%b%b%b\r\n" % (response.lines, date, spent, persist, length)
    return b"%b%b%b%bContent-Length: %d\r\n\r\n%b" % (response.lines, date, spent, persist, len(body), body)


def encode_head(lines: bytes, added: bytes, length: int | None, *, chunked: bool) -> bytes:
    """The head of an answer whose body follows as it comes. ``added`` are further header lines."""
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b""
    if length is not None:
        framing = b"Content-Length: %d\r\n" % length
    return b"%b%b%b\r\n" % (lines, added, framing)


def persist_line(*, keep_alive: bool, version: str) -> bytes:
    """What tells the user whether the connection stays, if it has to be told."""
    return _PERSIST[keep_alive, version]


def chunk(data: bytes) -> bytes:
    """``data`` as one chunk (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def date_line(now: float) -> bytes:
    """The Date header (RFC 9110 §6.6.1) at ``now`` seconds since 1970."""
    return f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
