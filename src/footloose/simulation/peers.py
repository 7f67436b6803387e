"""Requests between simulated sites: what a real one asks over HTTPS, carried by the simulated internet."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from footloose.core.clock import Clock
from footloose.core.codec import encode
from footloose.core.digest import Digest, parse_digest
from footloose.core.errors import FootlooseError, RemoteError
from footloose.core.identity import NodeId, short
from footloose.core.limits import CLOCK_SKEW_S, SITE_REQUEST_TIMEOUT_S, UPLOAD_STALL_S
from footloose.model.site import Endpoint
from footloose.node.answers import Answers
from footloose.node.host import Host
from footloose.simulation.artifacts import Artifacts
from footloose.simulation.internet import Internet, Reply
from footloose.simulation.process import ProcessLoop
from footloose.transport.client import PeerAnswer
from footloose.transport.problems import NotAuthenticated, Refused, problem_of
from footloose.transport.signatures import Evidence

_ARTIFACT_BYTES = 50_000
"""What the code of a simulated service counts for on the network."""


class Asked(msgspec.Struct, frozen=True):
    """One request to ``node`` (None: to whoever is there). ``sent_at`` is the caller's time in seconds."""

    method: str
    path: str
    body: bytes
    caller: NodeId
    sent_at: float
    node: NodeId | None


class Answered(msgspec.Struct, frozen=True):
    """Its answer, and who gave it."""

    status: int
    body: bytes
    node: NodeId


class SimulatedPeers:
    """What :class:`footloose.transport.client.PeerClient` is to a real site: ``here`` asks from host ``number``."""

    def __init__(self, internet: Internet, process: ProcessLoop, number: int, here: NodeId, clock: Clock) -> None:
        self._internet = internet
        self._process = process
        self._number = number
        self._here = here
        self._clock = clock

    async def request(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        *,
        node: NodeId | None,
        body: bytes = b"",
        timeout_s: float = SITE_REQUEST_TIMEOUT_S,
        idempotent: bool = False,  # noqa: ARG002  no connection is found closed here
    ) -> PeerAnswer:
        """Ask a site. Raises :class:`RemoteError` if it does not answer, or is another."""
        return await self._ask(endpoint, method, path, node, body, len(body), timeout_s)

    async def upload(
        self,
        endpoint: Endpoint,
        path: str,
        file: Path,  # noqa: ARG002  the code of simulated services is nowhere
        digest: Digest,  # noqa: ARG002  it is in the path
        *,
        node: NodeId,
    ) -> PeerAnswer:
        """Send an artifact. Raises :class:`RemoteError` likewise."""
        return await self._ask(endpoint, "PUT", path, node, b"", _ARTIFACT_BYTES, UPLOAD_STALL_S)

    async def _ask(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        node: NodeId | None,
        body: bytes,
        size_bytes: int,
        timeout_s: float,
    ) -> PeerAnswer:
        where = f"site {short(node) if node is not None else ''} at {endpoint}, {method} {path[:80]}"
        asked = Asked(method, path, body, self._here, self._clock.now(), node)
        reply = await self._reply(endpoint, asked, size_bytes, timeout_s)
        if reply.failure:
            raise RemoteError(f"cannot be reached: {reply.failure}", where=where)
        answered: Answered = reply.answer
        if node not in (None, answered.node):
            raise RemoteError("another site is there", where=where, fix="look the site up again")
        return PeerAnswer(answered.status, answered.body, answered.node, {}, where)

    async def _reply(self, endpoint: Endpoint, asked: Asked, size_bytes: int, timeout_s: float) -> Reply:
        waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def done(reply: Reply) -> None:
            self._process.enter(_settle, waiter, reply)

        self._internet.ask(
            self._number, (endpoint.host, endpoint.port), asked, size_bytes=size_bytes, timeout_s=timeout_s, done=done
        )
        return await waiter


def _settle(waiter: "asyncio.Future[Reply]", reply: Reply) -> None:
    if not waiter.done():
        waiter.set_result(reply)


class SimulatedApi:
    """What :class:`footloose.node.site_api.SiteApi` is to a real site: asks ``answers``, takes artifacts."""

    def __init__(self, here: NodeId, clock: Clock, answers: Answers, host: Host, artifacts: Artifacts) -> None:
        self._here = here
        self._clock = clock
        self._answers = answers
        self._host = host
        self._artifacts = artifacts

    def handle(self, asked: Asked, answer: Callable[[Any, int], None]) -> None:
        """Answer one request, in a task of its own."""
        asyncio.get_running_loop().create_task(self._handle(asked, answer), name=f"answer {asked.method} {asked.path}")

    async def _handle(self, asked: Asked, answer: Callable[[Any, int], None]) -> None:
        try:
            answered = Answered(HTTPStatus.OK, encode(await self._value(asked)), self._here)
        except FootlooseError as error:
            told = problem_of(error)
            answered = Answered(told.status, encode(told), self._here)
        answer(answered, len(answered.body))

    async def _value(self, asked: Asked) -> object:
        now = self._clock.now()
        if asked.node is not None and abs(asked.sent_at - now) > CLOCK_SKEW_S:
            raise NotAuthenticated("signed too long ago, or by a clock that is wrong", fix="set the clocks")
        match asked.method, *asked.path.split("/")[2:]:
            case "GET", "site":
                return self._answers.site()
            case "POST", "probes":
                return await self._answers.probe(asked.body, asked.caller)
            case "POST", "leases":
                evidence = Evidence(asked.caller, "", b"", asked.body, now)
                return await self._answers.lease(asked.body, asked.caller, evidence)
            case "POST", "leases", lease_id, "poll":
                return self._answers.poll(lease_id, asked.body, asked.caller)
            case "DELETE", "leases", lease_id:
                self._answers.end(lease_id, asked.body, asked.caller)
                return None
            case "PUT", "artifacts", digest:
                self._take(parse_digest(digest), asked.caller)
                return None
        raise Refused(HTTPStatus.NOT_FOUND, "nothing is here", where=asked.path)

    def _take(self, digest: Digest, caller: NodeId) -> None:
        if not self._host.awaits(caller, digest):
            raise Refused(HTTPStatus.CONFLICT, "this artifact was not asked for", where=digest)
        self._artifacts.add(digest)
