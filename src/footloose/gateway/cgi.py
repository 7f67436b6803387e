"""A guest's CGI answer, taken strictly (RFC 3875 §6): what cannot be sent on as it stands is a fault of the guest.

A header line is checked whole before any of it is used, so a guest cannot smuggle in a second header or answer.
"""

import re
from http import HTTPStatus

import msgspec

from footloose.model.guest import GuestError, GuestFault

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
_STATUS = re.compile(rb"([2-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\Z")
_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
_REPLACED = frozenset((b"status", b"content-length", b"date"))
_ONCE = frozenset((b"status", b"content-type", b"content-length", b"location"))
_OURS = b"footloose-"
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_NO_CONTENT = (204, 304)
_MAX_HEAD_BYTES = 32 * 1024
_CACHED_HEAD_BYTES = 2048
_CACHED_HEADS = 512


class Head(msgspec.Struct, frozen=True):
    """The head of an answer. ``lines`` is status line and header lines ready to be sent, without ``Content-Length``.

    ``length`` is the ``Content-Length`` the guest gave; ``own`` its ``Footloose-`` headers, names in lower case;
    ``kind`` its media type in lower case.
    """

    status: int
    lines: bytes
    has_type: bool
    binary: bool
    length: int | None = None
    own: tuple[tuple[str, str], ...] = ()
    subprotocol: str | None = None
    kind: bytes = b""

    @property
    def bodiless(self) -> bool:
        """Whether an answer with this status has no body (RFC 9110 §6.4.1)."""
        return self.status in _NO_CONTENT


_cache: dict[bytes, Head] = {}


def parse_answer(output: bytes) -> tuple[Head, bytes]:
    """Head and body of what a guest printed. Raises :class:`GuestError` (``ANSWER``) if it is malformed."""
    raw, body = _split(output)
    head = _cache.get(raw)
    if head is None:
        head = _parse_head(raw)
        if len(raw) <= _CACHED_HEAD_BYTES:
            if len(_cache) >= _CACHED_HEADS:
                _cache.clear()
            _cache[raw] = head
    if body and not head.has_type:
        raise _malformed("a body without Content-Type (RFC 3875 §6.3.1)")
    return head, body


def head_of(output: bytes) -> tuple[Head, bytes] | None:
    """Head and what there is of the body of an answer that is still going on; None if the head is not complete.

    Raises :class:`GuestError` as :func:`parse_answer`.
    """
    if b"\n\n" not in output[:_MAX_HEAD_BYTES] and b"\n\r\n" not in output[:_MAX_HEAD_BYTES]:
        if len(output) >= _MAX_HEAD_BYTES:
            raise _malformed(f"no empty line after the headers within {_MAX_HEAD_BYTES} bytes")
        return None
    return parse_answer(output)


def parse_event_answer(output: bytes) -> tuple[Head, bytes]:
    """Likewise for a WebSocket event, which may be answered by nothing at all, and needs no Content-Type."""
    if not output:
        return _NOTHING, b""
    if output.startswith((b"\n", b"\r\n")):
        return _NOTHING, output.partition(b"\n")[2]
    raw, body = _split(output)
    return _parse_head(raw), body


def _split(output: bytes) -> tuple[bytes, bytes]:
    """Where the empty line is: it may end in LF or CRLF, as may each line before it."""
    crlf = output.find(b"\n\r\n", 0, _MAX_HEAD_BYTES)
    lf = output.find(b"\n\n", 0, crlf if crlf >= 0 else _MAX_HEAD_BYTES)
    if lf >= 0:
        return output[:lf], output[lf + 2 :]
    if crlf >= 0:
        return output[:crlf], output[crlf + 3 :]
    raise _malformed(f"no empty line after the headers within {_MAX_HEAD_BYTES} bytes")


def _parse_head(raw: bytes) -> Head:
    fields = [_parse_line(line.removesuffix(b"\r")) for line in raw.split(b"\n")]
    single: dict[bytes, bytes] = {}
    for name, _, value in fields:
        if name in single and name in _ONCE:
            raise _malformed(f"{name.decode()} twice")
        single[name] = value
    status = _status(single)
    kind = single.get(b"content-type", b"")
    subprotocol = single.get(b"sec-websocket-protocol")
    return Head(
        status.code,
        _lines(status, fields, allow_origin=b"access-control-allow-origin" not in single),
        has_type=bool(kind),
        binary=kind.lower().startswith(b"application/octet-stream"),
        length=_length(single.get(b"content-length")),
        own=tuple((name.decode(), value.decode("latin-1")) for name, _, value in fields if name.startswith(_OURS)),
        subprotocol=subprotocol.decode("latin-1") if subprotocol is not None else None,
        kind=kind.lower(),
    )


def _parse_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """A header's name in lower case, as written, and its value."""
    name, colon, value = line.partition(b":")
    if not colon or not _TOKEN.match(name):
        raise _malformed(f"not a header line: {line[:80]!r}")
    if not _VALUE.match(value):
        raise _malformed(f"a control character in the value of {name[:80].decode()}")
    return name.lower(), name, value.strip(b" \t")


def _lines(status: "_Status", fields: list[tuple[bytes, bytes, bytes]], *, allow_origin: bool) -> bytes:
    sent = [b"HTTP/1.1 %d %s" % (status.code, status.reason)]
    sent += [
        written + b": " + value
        for name, written, value in fields
        if name not in _HOP_BY_HOP and name not in _REPLACED and not name.startswith(_OURS)
    ]
    if allow_origin:  # an app that follows its users has more than one origin
        sent.append(b"Access-Control-Allow-Origin: *")
    return b"\r\n".join([*sent, b""])


class _Status(msgspec.Struct, frozen=True):
    code: int
    reason: bytes


def _status(fields: dict[bytes, bytes]) -> _Status:
    value = fields.get(b"status")
    if value is None:
        code = 302 if b"location" in fields else 200  # RFC 3875 §6.2.3
        return _Status(code, _REASONS[code])
    match = _STATUS.match(value)
    if match is None:
        raise _malformed(f"not a status: {value[:80]!r}")
    code = int(match[1])
    return _Status(code, match[2] or _REASONS.get(code, b"Unknown"))


def _length(value: bytes | None) -> int | None:
    if value is None:
        return None
    if not value.isdigit() or len(value) > 18:
        raise _malformed(f"not a Content-Length: {value[:40]!r}")
    return int(value)


def _malformed(detail: str) -> GuestError:
    return GuestError(GuestFault.ANSWER, detail)


_NOTHING = Head(200, b"", has_type=False, binary=False)
