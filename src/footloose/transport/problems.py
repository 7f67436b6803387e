"""Errors as sites tell them to each other: problem documents (RFC 9457)."""

from http import HTTPStatus

import msgspec

from footloose.core.errors import FootlooseError, LimitExceeded, LocalError, RemoteError

PROBLEM_TYPE = "application/problem+json"
_STATUS_FROM = 400


class Problem(msgspec.Struct, frozen=True):
    """``title`` is the status in words; ``detail`` says what was wrong; ``instance`` finds it in the site's log."""

    title: str
    status: int
    detail: str
    instance: str = ""
    type: str = "about:blank"


class Refused(RemoteError):
    """The other side's request was refused, or ours by it. ``status`` is the HTTP status that says so."""

    def __init__(self, status: int, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.status = status
        super().__init__(what, where=where, fix=fix)


class NotAuthenticated(Refused):
    """The request does not prove who made it (401)."""

    def __init__(self, what: str, *, fix: str | None = None) -> None:
        super().__init__(HTTPStatus.UNAUTHORIZED, what, where="request signature", fix=fix)


def problem_of(error: FootlooseError) -> Problem:
    """What to tell the caller. Of our own failings it learns what, not where in our file system."""
    if isinstance(error, Refused):
        return problem(error.status, str(error))
    if isinstance(error, LimitExceeded):
        return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
    if isinstance(error, LocalError):
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, error.what)
    return problem(HTTPStatus.BAD_REQUEST, str(error))


def problem(status: int, detail: str, instance: str = "") -> Problem:
    """A problem document titled after its status."""
    known = status in HTTPStatus.__members__.values()
    return Problem(HTTPStatus(status).phrase if known else "Error", int(status), detail, instance)


def refusal(status: int, body: bytes, where: str) -> Refused | None:
    """The error another site's answer tells of, if it tells of one."""
    if status < _STATUS_FROM:
        return None
    try:
        detail = msgspec.json.decode(body, type=Problem).detail
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        detail = f"answered {status}"
    return Refused(status, detail[:1000], where=where)
