"""Links between copies of a service, for its live topics: WebSockets along the tree the leases make.

Both ends speak the same: binary messages, each one publication. The copy calls its parent and shows the token the
lease agreed; only publications of the service the link is for are taken from it.
"""

import asyncio
import ssl
from hmac import compare_digest
from random import Random
from typing import cast
from urllib.parse import urlsplit

from wsproto import WSConnection
from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, RejectConnection
from wsproto.events import Request as OpeningRequest
from wsproto.utilities import RemoteProtocolError

from footloose.core.errors import RemoteError
from footloose.core.limits import RELAY_UNSENT_BYTES, SITE_REQUEST_TIMEOUT_S, WEBSOCKET_MESSAGE_BYTES
from footloose.gateway import topics, websocket
from footloose.gateway.http1 import Request
from footloose.gateway.redirects import authority_of, is_secure
from footloose.gateway.responses import Response, text_response
from footloose.gateway.shared import Shared
from footloose.gateway.upgrade import Accepted
from footloose.gateway.uplink import Event, Uplink
from footloose.gateway.websocket import Framing
from footloose.gateway.wire import Wire
from footloose.model.app import ServiceId
from footloose.model.routing import RelayUplink

PATH = "/.well-known/footloose/relay/"
_MESSAGE_BYTES = WEBSOCKET_MESSAGE_BYTES + 2048
_POLICY = 1008


def admit(shared: Shared, request: Request) -> Accepted | Response:
    """Take a copy's link, if it is one of ours."""
    service = ServiceId(request.path.removeprefix(PATH))
    served = shared.services.by_id.get(service)
    scheme, _, token = request.fields.get("HTTP_AUTHORIZATION", "").partition(" ")
    known = served.route.relay_tokens if served is not None else ()
    fits = [compare_digest(token.encode(), one.encode()) for one in known]
    if scheme.lower() != "bearer" or not any(fits):
        return text_response(401, "not a token of a copy leased from here", [("WWW-Authenticate", "Bearer")])
    refusal = websocket.check_handshake(request)
    if refusal is not None:
        return refusal
    return Accepted(websocket.accept(request), RelayLink(shared, service, Framing(_MESSAGE_BYTES), token))


class RelayLink:
    """One link. ``token`` is what a copy of ours showed; None if it is we who called our parent."""

    def __init__(self, shared: Shared, service: ServiceId, framing: Framing, token: str | None = None) -> None:
        self._shared = shared
        self._service = service
        self._token = token
        self._wire = Wire(framing, self, RELAY_UNSENT_BYTES)
        self.lost: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Done, with the close code, when the link is."""

    def attach(self, transport: asyncio.Transport, data: bytes) -> None:
        """The handshake is done: join the topics."""
        self._shared.join(self)
        self._shared.topics.join(self._service, self)
        self._wire.attach(transport, data)

    def abandon(self) -> None:
        """The other end has gone before it began: nothing to do."""

    def message(self, payload: str | bytes) -> None:
        """A publication from the other copy."""
        try:
            publication = topics.decode(payload.encode() if isinstance(payload, str) else payload)
        except RemoteError as error:
            self._wire.close(_POLICY, str(error))
            return
        if publication.service != self._service:
            self._wire.close(_POLICY, "a publication of another service than the link is for")
            return
        self._shared.topics.spread(publication, self)

    def forward(self, data: bytes) -> None:
        """Send a publication to the other copy."""
        self._wire.send(data)

    def closed(self, code: int) -> None:
        """The link is gone."""
        self._shared.leave(self)
        self._shared.topics.part(self._service, self)
        if not self.lost.done():
            self.lost.set_result(code)

    def close(self, code: int, reason: str) -> None:
        """End the link."""
        self._wire.close(code, reason)

    def sweep(self, now_s: float) -> None:
        """Look after the time."""
        self._wire.sweep(now_s)

    def drain(self) -> None:
        """The worker stops."""
        self._wire.close(websocket.RESTART, "the worker stops; call again")

    def abort(self) -> None:
        """Drop the connection."""
        self._wire.abort()

    def table_changed(self) -> None:
        """A copy whose lease is over has no link any more."""
        if self._token is None:
            return
        served = self._shared.services.by_id.get(self._service)
        if served is None or self._token not in served.route.relay_tokens:
            self._wire.close(websocket.GOING_AWAY, "the lease is over")


class Uplinks:
    """This worker's links to the parents of the copies it serves: as many as the table in force says."""

    def __init__(self, shared: Shared, random: Random) -> None:
        self._shared = shared
        self._random = random
        self._tasks: dict[tuple[ServiceId, RelayUplink], asyncio.Task[None]] = {}

    def table_changed(self) -> None:
        """Begin and end links as the table in force says."""
        wanted = {
            (served.service, served.route.uplink)
            for served in self._shared.services.by_id.values()
            if served.route.uplink is not None
        }
        for key in self._tasks.keys() - wanted:
            self._tasks.pop(key).cancel()
        for service, uplink in wanted - self._tasks.keys():
            task = asyncio.create_task(_hold(self._shared, service, uplink, Uplink(self._random)))
            self._tasks[service, uplink] = task

    async def close(self) -> None:
        """End all links."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _hold(shared: Shared, service: ServiceId, uplink: RelayUplink, machine: Uplink) -> None:
    """Keep one link up until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        if machine.wake(loop.time()):
            await _hold_once(shared, service, uplink, machine)
        deadline = machine.next_deadline()
        if deadline is not None:
            await asyncio.sleep(max(0.0, deadline - loop.time()))


async def _hold_once(shared: Shared, service: ServiceId, uplink: RelayUplink, machine: Uplink) -> None:
    loop = asyncio.get_running_loop()
    link: RelayLink | None = None
    try:
        async with asyncio.timeout(SITE_REQUEST_TIMEOUT_S):
            link = await _call(shared, service, uplink)
        machine.receive(Event.ACCEPTED, loop.time())
        code = await link.lost
        shared.reporter.log(service, f"relay: the link to {uplink.url} was lost ({code})")
    except (OSError, TimeoutError, RemoteError) as error:
        shared.reporter.log(service, f"relay: no link to {uplink.url}: {error or 'no answer in time'}")
    finally:
        if link is not None:
            link.close(websocket.NORMAL, "")
    machine.receive(Event.LOST, loop.time())


async def _call(shared: Shared, service: ServiceId, uplink: RelayUplink) -> RelayLink:
    """Call the parent's gateway. Raises :class:`RemoteError` if it does not take the link, or :class:`OSError`."""
    parent = authority_of(uplink.url)
    if parent is None or parent.port is None:
        raise RemoteError("its URL leads nowhere", where="relay")
    tls = ssl.create_default_context() if is_secure(uplink.url) else None
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[RelayLink] = loop.create_future()
    request = OpeningRequest(
        host=urlsplit(uplink.url).netloc,
        target=PATH + service,
        extra_headers=[(b"Authorization", b"Bearer " + uplink.token.encode())],
    )
    made = await shared.dial(parent.name, parent.port)
    transport, _ = await loop.create_connection(
        lambda: _Calling(shared, service, request, accepted),
        sock=made,
        ssl=tls,
        server_hostname=parent.name if tls else None,
    )
    try:
        return await accepted
    except BaseException:
        transport.abort()
        raise


class _Calling(asyncio.Protocol):
    """The client's side of the opening handshake."""

    def __init__(
        self, shared: Shared, service: ServiceId, request: OpeningRequest, accepted: asyncio.Future[RelayLink]
    ) -> None:
        self._shared = shared
        self._service = service
        self._request = request
        self._accepted = accepted
        self._opening = WSConnection(ConnectionType.CLIENT)
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The parent's gateway has answered the phone: ask."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._opening.send(self._request))

    def data_received(self, data: bytes) -> None:
        """Its answer; nothing behind it is lost."""
        if self._accepted.done():
            return
        try:
            self._opening.receive_data(data)
            for event in self._opening.events():
                if isinstance(event, AcceptConnection):
                    self._attach()
                    return
                if isinstance(event, RejectConnection):
                    self._fail(f"refused with {event.status_code}")
                    return
        except RemoteProtocolError as error:
            self._fail(f"not a WebSocket: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """The parent's gateway hung up."""
        self._fail(str(exc) if exc is not None else "it closed the connection")

    def _attach(self) -> None:
        link = RelayLink(self._shared, self._service, Framing(_MESSAGE_BYTES, self._opening.connection))
        link.attach(self._transport, b"")
        self._accepted.set_result(link)

    def _fail(self, what: str) -> None:
        if not self._accepted.done():
            self._accepted.set_exception(RemoteError(what, where="relay"))
