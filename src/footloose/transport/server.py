"""The pieces of a site's API server: who is calling is known before a handler runs, and errors are told in one form.

A handler reads :data:`CALLER` and :data:`EVIDENCE` from its request, and the body with ``await request.read()``.
Handlers marked :func:`public` also answer unsigned GETs; those marked :func:`upload` get a body too large for memory
and read it with :func:`body_chunks`.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from footloose.core.clock import Clock
from footloose.core.codec import encode
from footloose.core.errors import FootlooseError, LimitExceeded, RemoteError
from footloose.core.identity import Identity, NodeId, short
from footloose.core.limits import MESSAGE_BYTES, SITE_REQUEST_TIMEOUT_S, UPLOAD_STALL_S
from footloose.transport.problems import PROBLEM_TYPE, NotAuthenticated, Problem, Refused, problem, problem_of
from footloose.transport.signatures import (
    ACCEPT_SIGNATURE,
    Evidence,
    Message,
    ReplayGuard,
    SignedHead,
    check_body,
    check_digest,
    check_time,
    evidence_of,
    verify_head,
)

CALLER: web.RequestKey[str] = web.RequestKey("caller", str)
"""The node id of who made the request."""
EVIDENCE: web.RequestKey[Evidence] = web.RequestKey("evidence", Evidence)
"""What to keep of the request to prove later what was said."""
_HEAD: web.RequestKey[SignedHead] = web.RequestKey("head", SignedHead)

PING_PATH = "/v1/ping"
"""Answers 204 to anyone: to open a connection ahead, and to learn a site's node id."""

HandlerT = TypeVar("HandlerT", bound=Callable[..., Awaitable[web.StreamResponse]])
_PUBLIC = "_footloose_public"
_UPLOAD_BYTES = "_footloose_upload_bytes"

log = logging.getLogger(__name__)


def public(handler: HandlerT) -> HandlerT:
    """Mark a handler whose GETs anyone may make, unsigned. A signature that comes with one is not looked at."""
    setattr(handler, _PUBLIC, True)
    return handler


def upload(limit: int) -> Callable[[HandlerT], HandlerT]:
    """Mark a handler that streams bodies of up to ``limit`` bytes through :func:`body_chunks`."""

    def mark(handler: HandlerT) -> HandlerT:
        setattr(handler, _UPLOAD_BYTES, limit)
        return handler

    return mark


def caller_of(request: web.Request) -> NodeId:
    """Who made a signed request."""
    return NodeId(request[CALLER])


def site_application(identity: Identity, clock: Clock) -> web.Application:
    """An application whose handlers are called only with genuine requests. Add routes to it and :func:`serve` it."""
    application = web.Application(
        middlewares=[_problem_documents, _signed_requests(identity.node_id, clock)], client_max_size=MESSAGE_BYTES
    )
    application.router.add_get(PING_PATH, _ping)
    return application


@public
async def _ping(_request: web.Request) -> web.Response:
    return web.Response(status=HTTPStatus.NO_CONTENT)


@web.middleware
async def _problem_documents(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is told as a problem document; what we did not foresee, by an id to look up in the log."""
    try:
        return await handler(request)
    except NotAuthenticated as error:
        return _answer(problem_of(error), {"Accept-Signature": ACCEPT_SIGNATURE, "WWW-Authenticate": "Signature"})
    except FootlooseError as error:
        log.info("%s %s: %s", request.method, request.path, error)
        return _answer(problem_of(error))
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return _answer(problem(error.status, error.reason), {"Allow": error.headers.get("Allow", "")})
    except Exception:
        instance = secrets.token_hex(8)
        log.exception("%s %s failed, told the caller %s", request.method, request.path, instance)
        return _answer(problem(HTTPStatus.INTERNAL_SERVER_ERROR, "this site failed to answer", f"urn:log:{instance}"))


def _answer(document: Problem, headers: dict[str, str] | None = None) -> web.Response:
    kept = {name: value for name, value in (headers or {}).items() if value}
    return web.Response(status=document.status, body=encode(document), content_type=PROBLEM_TYPE, headers=kept)


def _signed_requests(node: NodeId, clock: Clock) -> Middleware:
    guard = ReplayGuard()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.http_exception is not None:
            raise request.match_info.http_exception
        endpoint = request.match_info.handler
        if getattr(endpoint, _PUBLIC, False) and request.method in {"GET", "HEAD"}:
            return await handler(request)
        limit = getattr(endpoint, _UPLOAD_BYTES, MESSAGE_BYTES)
        now = clock.now()
        head = _genuine_head(request, node, now, guard)
        if (request.content_length or 0) > limit:
            raise LimitExceeded(f"{request.content_length} bytes, more than the {limit} allowed", where=request.path)
        body = None
        if not hasattr(endpoint, _UPLOAD_BYTES):
            body = await _small_body(request)
            check_body(head, body)
        request[CALLER] = head.caller
        request[EVIDENCE] = evidence_of(head, body, now)
        request[_HEAD] = head
        return await handler(request)

    return middleware


def _genuine_head(request: web.Request, node: NodeId, now: float, guard: ReplayGuard) -> SignedHead:
    """The signed head, checked before anything of the body is read."""
    url = f"https://{request.headers.get('Host', '')}{request.raw_path}"
    head = verify_head(Message(request.method, url, request.headers))
    if head.to != node:
        raise NotAuthenticated(f"meant for site {short(head.to)}, this is {short(node)}", fix="look the site up again")
    check_time(head, now)
    guard.admit(head, now)
    return head


async def _small_body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(SITE_REQUEST_TIMEOUT_S):
            return await request.read()
    except TimeoutError as error:
        raise _too_slow(request) from error
    except (ConnectionError, web.PayloadAccessError, web.RequestPayloadError) as error:
        raise _cut_off(request) from error


async def body_chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body of an upload, piece by piece, never more than the handler's limit.

    Raises :class:`RemoteError` if the caller is cut off, stands still or sends too much, and
    :class:`NotAuthenticated` after the last piece if the whole is not what was signed.
    """
    limit: int = getattr(request.match_info.handler, _UPLOAD_BYTES)
    sha256, received = hashlib.sha256(), 0
    while True:
        try:
            async with asyncio.timeout(UPLOAD_STALL_S):
                chunk = await request.content.readany()
        except TimeoutError as error:
            raise _too_slow(request) from error
        except (ConnectionError, web.PayloadAccessError, web.RequestPayloadError) as error:
            raise _cut_off(request) from error
        if not chunk:
            break
        received += len(chunk)
        if received > limit:
            raise LimitExceeded(f"more than the {limit} bytes allowed", where=request.path)
        sha256.update(chunk)
        yield chunk
    check_digest(request[_HEAD], sha256.digest())


def _too_slow(request: web.Request) -> RemoteError:
    return Refused(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time", where=request.path, fix="send it again")


def _cut_off(request: web.Request) -> RemoteError:
    return RemoteError("the body was cut off", where=request.path, fix="send it again")
