"""Requests to other sites: pinned to who they are, signed by who we are, over connections that are kept open."""

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import aiohttp
import msgspec
from aiohttp import ClientTimeout
from yarl import URL

from footloose.core.clock import Clock
from footloose.core.codec import decode
from footloose.core.digest import Digest
from footloose.core.errors import LimitExceeded, LocalError, RemoteError
from footloose.core.identity import Identity, NodeId, short
from footloose.core.limits import (
    IDLE_CONNECTION_S,
    MESSAGE_BYTES,
    PEER_CONNECTIONS,
    PEERS_PINNED,
    SITE_REQUEST_TIMEOUT_S,
    UPLOAD_STALL_S,
)
from footloose.model.site import Endpoint
from footloose.transport.problems import refusal
from footloose.transport.server import PING_PATH
from footloose.transport.signatures import RequestSigner, content_digest, content_digest_of
from footloose.transport.tls import PeerPin, WrongPeer

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Told bytes sent and bytes in all."""

_CHUNK_BYTES = 256 * 1024
# Shorter than the servers' own, so that we rarely find a connection closed under us.
_KEEP_ALIVE_S = IDLE_CONNECTION_S * 0.8


class PeerAnswer(msgspec.Struct, frozen=True):
    """What a site answered. ``node`` is who it proved to be."""

    status: int
    body: bytes
    node: NodeId
    headers: Mapping[str, str] = {}
    where: str = ""

    def check(self) -> "PeerAnswer":
        """The answer itself. Raises :class:`~footloose.transport.problems.Refused` if it tells of an error."""
        refused = refusal(self.status, self.body, self.where)
        if refused is not None:
            raise refused
        return self

    def value(self, kind: type[T]) -> T:
        """The body as a ``kind``. Raises :class:`RemoteError` if it is another, or tells of an error."""
        return decode(self.check().body, kind, where=self.where, limit=len(self.body))


@dataclass(frozen=True)
class _Call:
    """One request as asked for. ``digest`` is its body's ``Content-Digest``."""

    endpoint: Endpoint
    method: str
    path: str
    pin: PeerPin
    signed: bool
    digest: str

    @property
    def url(self) -> URL:
        """Raises :class:`LocalError` if the path is none, :class:`RemoteError` if the address is none."""
        if not self.path.startswith("/"):
            raise LocalError(f"{self.path[:80]!r} is not a path", where=str(self.endpoint), fix="begin it with /")
        try:
            origin = URL.build(scheme="https", host=self.endpoint.host, port=self.endpoint.port)
            # yarl looks at the port only when it is asked for.
            return URL(f"https://{origin.host_port_subcomponent}{self.path}")
        except ValueError as error:
            raise RemoteError(f"not an address: {error}", where=self.where) from error

    @property
    def where(self) -> str:
        node = f"site {short(self.pin.node)} at " if self.pin.node else "site at "
        return f"{node}{self.endpoint}, {self.method} {self.path[:80]}"


class PeerClient:
    """Speaks to other sites as ``identity``. Needs a running event loop from the first request on.

    It connects from the address ``source``, or lets the kernel choose one.
    ``async with`` or :meth:`close` closes its connections.
    """

    def __init__(self, identity: Identity, clock: Clock, source: str | None = None) -> None:
        self._signer = RequestSigner(identity)
        self._clock = clock
        self._source = source
        self._pins: OrderedDict[tuple[Endpoint, NodeId], PeerPin] = OrderedDict()
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        *,
        node: NodeId | None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = SITE_REQUEST_TIMEOUT_S,
        answer_bytes: int = MESSAGE_BYTES,
        idempotent: bool = False,
    ) -> PeerAnswer:
        """Ask the site at ``endpoint``, which must be ``node``, for ``path`` (with its query).

        With ``node`` None, whoever is there is asked, without a signature: that gets public resources and the node id
        to ask by. A connection found closed is opened anew once for methods that are idempotent by RFC 9110, and for
        others if ``idempotent``. Raises :class:`RemoteError` if the site is another, does not answer in ``timeout_s``
        or answers more than ``answer_bytes``. An HTTP error status is an answer: see :meth:`PeerAnswer.check`.
        """
        pin = PeerPin(None) if node is None else self._pin(endpoint, node)
        call = _Call(endpoint, method, path, pin, signed=node is not None, digest=content_digest(body))
        sent = {"Content-Type": "application/json"} if body else {}

        async def attempt() -> PeerAnswer:
            timeout = ClientTimeout(total=timeout_s)
            async with self._open(call, body or None, {**sent, **(headers or {})}, timeout) as response:
                return await self._answer(call, response, answer_bytes)

        return await _guarded(attempt, call, again=idempotent and method == "POST", waited_s=timeout_s)

    async def upload(
        self,
        endpoint: Endpoint,
        path: str,
        file: Path,
        digest: Digest,
        *,
        node: NodeId,
        progress: Progress | None = None,
        stall_s: float = UPLOAD_STALL_S,
    ) -> PeerAnswer:
        """PUT an artifact's file at ``path``, reading it piece by piece.

        Raises :class:`RemoteError` as :meth:`request` does, but only once nothing moves for ``stall_s``, and
        :class:`LocalError` if the file cannot be read.
        """
        call = _Call(endpoint, "PUT", path, self._pin(endpoint, node), signed=True, digest=content_digest_of(digest))

        async def attempt() -> PeerAnswer:
            with _opened(file) as content:
                size = os.fstat(content.fileno()).st_size
                sent = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
                async with asyncio.timeout(stall_s) as deadline:
                    pieces = _pieces(content, size, progress, _Moving(deadline, stall_s))
                    async with self._open(call, pieces, sent, ClientTimeout(total=None)) as response:
                        return await self._answer(call, response, MESSAGE_BYTES)

        return await _guarded(attempt, call, again=True, waited_s=stall_s)

    async def warm(
        self, endpoint: Endpoint, node: NodeId | None, *, timeout_s: float = SITE_REQUEST_TIMEOUT_S
    ) -> NodeId:
        """Open a connection ahead, so that the next request costs one round trip; the answer is who is there.

        Raises :class:`RemoteError` as :meth:`request` does.
        """
        return (await self.request(endpoint, "GET", PING_PATH, node=node, timeout_s=timeout_s)).node

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> "PeerClient":
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    def _pin(self, endpoint: Endpoint, node: NodeId, new: PeerPin | None = None) -> PeerPin:
        """The pin whose open connections a request may use: the one there is, or else ``new``."""
        pin = self._pins.setdefault((endpoint, node), new or PeerPin(node))
        self._pins.move_to_end((endpoint, node))
        if len(self._pins) > PEERS_PINNED:
            self._pins.popitem(last=False)
        return pin

    def _open(
        self, call: _Call, body: bytes | AsyncIterator[bytes] | None, headers: Mapping[str, str], timeout: ClientTimeout
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        async def sign(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
            # Runs for each attempt aiohttp makes, so that no nonce is sent twice.
            if call.signed and call.pin.node is not None:
                url = f"https://{request.headers['Host']}{request.url.raw_path_qs}"
                now = self._clock.now()
                signed = self._signer.headers(call.method, url, to=call.pin.node, digest=call.digest, now=now)
                request.headers.update(signed)
            return await send(request)

        if self._session is None:
            self._session = _session(self._source)
        return self._session.request(
            call.method,
            call.url,
            data=body,
            headers=headers,
            ssl=call.pin,
            timeout=timeout,
            allow_redirects=False,
            middlewares=(sign,),
        )

    async def _answer(self, call: _Call, response: aiohttp.ClientResponse, limit: int) -> PeerAnswer:
        node = call.pin.node
        if node is None:
            raise RemoteError("did not prove who it is", where=call.where)
        # A site just got to know is found again under its node id, on the same connection.
        self._pin(call.endpoint, node, call.pin)
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > limit:
                response.close()
                raise LimitExceeded(f"answered more than the {limit} bytes allowed", where=call.where)
        return PeerAnswer(response.status, bytes(body), node, dict(response.headers), call.where)


def _session(source: str | None) -> aiohttp.ClientSession:
    local = (source, 0) if source is not None else None
    connector = aiohttp.TCPConnector(limit=PEER_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE_S, local_addr=local)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)


async def _guarded(
    attempt: Callable[[], Awaitable[PeerAnswer]], call: _Call, *, again: bool, waited_s: float
) -> PeerAnswer:
    """Make a call, a second time if its connection turned out closed and ``again``, and tell errors our way."""
    try:
        try:
            return await attempt()
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            if not again:
                raise
            return await attempt()
    except WrongPeer as error:
        raise RemoteError(str(error), where=call.where, fix="look the site up again") from error
    except TimeoutError as error:
        raise RemoteError(f"no answer within {waited_s:g} s", where=call.where) from error
    except (aiohttp.ClientError, OSError) as error:
        raise RemoteError(f"cannot be reached: {error or type(error).__name__}", where=call.where) from error


class _Moving:
    """Puts a deadline off each time something moves."""

    def __init__(self, deadline: asyncio.Timeout, stall_s: float) -> None:
        self._deadline = deadline
        self._stall_s = stall_s

    def __call__(self) -> None:
        self._deadline.reschedule(asyncio.get_running_loop().time() + self._stall_s)


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise LocalError(f"cannot be read: {error.strerror}", where=str(file)) from error


async def _pieces(content: BinaryIO, size: int, progress: Progress | None, moving: _Moving) -> AsyncIterator[bytes]:
    sent = 0
    while piece := await asyncio.to_thread(content.read, _CHUNK_BYTES):
        yield piece
        moving()
        sent += len(piece)
        if progress is not None:
            progress(sent, size)
