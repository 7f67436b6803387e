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
    *,
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
    spent = _spent(response) if timing else b""
    if response.status in _BODILESS:
        return b"%b%b%b%b\r\n" % (response.lines, date, spent, persist)
    if head:
        known = len(body) if body else response.length
        length = b"" if known is None else b"Content-Length: %d\r\n" % known
        return b"%b%b%b%b%b\r\n" % (response.lines, date, spent, persist, length)
    return b"%b%b%b%bContent-Length: %d\r\n\r\n%b" % (response.lines, date, spent, persist, len(body), body)


def _spent(response: Response) -> bytes:
    if response.guest_ms is None:
        return b""
    if not response.queue_ms:
        return b"Server-Timing: guest;dur=%.3f\r\n" % response.guest_ms
    return b"Server-Timing: guest;dur=%.3f, queue;dur=%.3f\r\n" % (response.guest_ms, response.queue_ms)


def date_line(now: float) -> bytes:
    """The Date header (RFC 9110 §6.6.1) at ``now`` seconds since 1970."""
    return f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
