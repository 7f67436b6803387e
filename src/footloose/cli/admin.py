"""The node's admin API (HTTP/JSON over its Unix socket), as a command asks it.

Only the standard library's HTTP client: a command must start at once, and one request at a time is all it makes.
"""

import socket
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from footloose.cli.exits import Unreachable
from footloose.cli.sse import Event, read_events
from footloose.core.codec import decode, encode
from footloose.core.digest import Digest
from footloose.core.errors import LimitExceeded
from footloose.core.identity import NodeId
from footloose.core.limits import ADMIN_ANSWER_BYTES, ADMIN_TIMEOUT_S
from footloose.model.app import AppId, Service, ServiceId
from footloose.model.decision import Decision
from footloose.model.routing import GuestLog
from footloose.model.view import View, ViewMembers
from footloose.transport.problems import Refused

T = TypeVar("T")

_PIECE_BYTES = 64 * 1024


class WorkerStatus(msgspec.Struct, frozen=True):
    """One worker process of a site; ``pid`` is None while it is being replaced.

    ``sandbox`` is how it is confined, ``lacks`` what of that is not to be had there, and why.
    """

    index: int
    pid: int | None
    restarts: int
    sandbox: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """How a node is. ``gateway`` is where users come, ``api`` where other sites do.

    ``draining`` is why it takes no copies, None while it does; ``loss`` what it found lost of its state at its start;
    ``conflict`` what to do if its identity is in use twice.
    """

    node: NodeId
    name: str
    version: str
    uptime_s: float
    gateway: str
    api: str
    workers: tuple[WorkerStatus, ...] = ()
    draining: str | None = None
    loss: str | None = None
    conflict: str | None = None


class Deployed(msgspec.Struct, frozen=True):
    """An app that was taken in: its id, and where its services answer."""

    app_id: AppId
    urls: tuple[str, ...]


class _Problem(msgspec.Struct, frozen=True):
    """What the node says when it refuses (RFC 9457, with ``fix`` added)."""

    title: str = ""
    detail: str = ""
    fix: str | None = None


class Admin:
    """One node, by its admin socket. Every method raises :class:`Unreachable` or :class:`Refused`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def status(self) -> Status:
        """How the node is."""
        return self._ask("GET", "/v1/status", Status)

    def view(self) -> View:
        """What the node sees now."""
        return self._ask("GET", "/v1/view", View)

    def members(self) -> ViewMembers:
        """Who is alive as the node sees it."""
        return self._ask("GET", "/v1/members", ViewMembers)

    def put_artifact(self, digest: Digest, content: bytes) -> None:
        """Hand over an artifact; handing it over again does no harm."""
        self._ask_raw("PUT", f"/v1/artifacts/{digest}", content, "application/wasm")

    def deploy(self, name: str, services: tuple[Service, ...]) -> Deployed:
        """Make the node the home of an app whose artifacts it has; it signs the app as its owner."""
        return self._ask("POST", "/v1/apps", Deployed, {"name": name, "services": services})

    def remove(self, app: AppId) -> None:
        """End an app everywhere."""
        self._ask_raw("DELETE", f"/v1/apps/{_segment(app)}")

    def explain(self, app: str, *, service: str | None, limit: int) -> tuple[Decision, ...]:
        """The latest decisions about an app (its id or name)."""
        query = urlencode({"limit": limit, **({"service": service} if service else {})})
        return self._ask("GET", f"/v1/explain/{_segment(app)}?{query}", tuple[Decision, ...])

    def move(self, service: ServiceId, site: NodeId | None) -> None:
        """Ask that all users of a service be sent to ``site``; None leaves it to the loop again."""
        self._ask_raw("POST", "/v1/move", encode({"service": service, "site": site}))

    def drain(self, site: NodeId | None, *, resume: bool) -> None:
        """Ask that a site (this one, if None) be emptied of copies and given no new ones; ``resume`` takes it back."""
        self._ask_raw("POST", "/v1/drain", encode({"site": site, "resume": resume}))

    def replace_worker(self, index: int) -> None:
        """Have another worker take the place of one; returns once it serves."""
        self._ask_raw("POST", f"/v1/workers/{index}/replace")

    def logs(self, app: str, *, follow: bool) -> Iterator[GuestLog]:
        """What an app's guests logged, oldest first; with ``follow``, on and on until the node stops."""
        with _Call(self.path, "GET", f"/v1/logs/{_segment(app)}?follow={int(follow)}") as call:
            for line in call.lines():
                yield decode(line, GuestLog, where="log line", limit=ADMIN_ANSWER_BYTES)

    def events(self) -> Iterator[Event]:
        """Decisions and views as they come, until the node stops."""
        with _Call(self.path, "GET", "/v1/events") as call:
            yield from read_events(call.lines())

    def _ask(self, method: str, target: str, kind: type[T], body: object = None) -> T:
        answer = self._ask_raw(method, target, encode(body) if body is not None else b"")
        return decode(answer, kind, where=f"answer of the node to {method} {target}", limit=ADMIN_ANSWER_BYTES)

    def _ask_raw(self, method: str, target: str, body: bytes = b"", kind: str = "application/json") -> bytes:
        with _Call(self.path, method, target, body, {"Content-Type": kind} if body else {}) as call:
            return call.read()


class _Call:
    """One request and its answer. Entering sends it; an answer that refuses raises :class:`Refused`."""

    def __init__(
        self, path: Path, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        self._connection = _UnixConnection(path)
        self._where = f"node at {path}"
        self._request = (method, target, body, dict(headers or {}))
        self._response: HTTPResponse

    def __enter__(self) -> "_Call":
        try:
            self._response = self._send()
            if self._response.status >= 400:
                raise self._refusal()
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()
        self._connection.close()

    def read(self) -> bytes:
        """The whole answer."""
        content = bytearray()
        while piece := self._piece():
            content += piece
            if len(content) > ADMIN_ANSWER_BYTES:
                raise LimitExceeded(f"more than {ADMIN_ANSWER_BYTES} bytes of answer", where=self._where)
        return bytes(content)

    def lines(self) -> Iterator[bytes]:
        """The answer's lines without their ends, as they come, with no limit of time between them."""
        self._connection.wait_without_end()
        pending = bytearray()
        while piece := self._piece():
            searched = len(pending)
            pending += piece
            while (end := pending.find(b"\n", searched)) >= 0:
                yield bytes(pending[:end]).removesuffix(b"\r")
                del pending[: end + 1]
                searched = 0
            if len(pending) > ADMIN_ANSWER_BYTES:
                raise LimitExceeded(f"a line of more than {ADMIN_ANSWER_BYTES} bytes", where=self._where)
        if pending:
            yield bytes(pending)

    def _piece(self) -> bytes:
        """What has come of the answer, nothing at its end. Only ``read1`` notices a chunked answer that breaks off."""
        try:
            piece = self._response.read1(_PIECE_BYTES)
        except (OSError, HTTPException) as error:
            raise Unreachable("the answer broke off", where=self._where, fix="try again") from error
        if not piece and self._response.length:
            raise Unreachable("the answer broke off", where=self._where, fix="try again")
        return piece

    def _send(self) -> HTTPResponse:
        method, target, body, headers = self._request
        try:
            self._connection.request(method, target, body or None, headers)
            return self._connection.getresponse()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            fix = "start one with `footloose node`, or say where it is with --socket"
            raise Unreachable("no node is running there", where=self._where, fix=fix) from error
        except PermissionError as error:
            raise Unreachable("not allowed", where=self._where, fix="be the user the node runs as") from error
        except TimeoutError as error:
            what = f"no answer within {ADMIN_TIMEOUT_S:.0f} s"
            raise Unreachable(what, where=self._where, fix="see the node's own log") from error
        except (OSError, HTTPException) as error:
            raise Unreachable(str(error) or type(error).__name__, where=self._where, fix="see --socket") from error

    def _refusal(self) -> Refused:
        content = self.read()
        try:
            problem = msgspec.json.decode(content, type=_Problem)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            problem = _Problem()
        what = problem.detail or problem.title or f"answered {self._response.status} {self._response.reason}"
        return Refused(self._response.status, what[:1000], where="refused by the node", fix=problem.fix)


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ADMIN_TIMEOUT_S)
        self._path = path
        self._socket: socket.socket | None = None

    def connect(self) -> None:
        """Connect to the socket. Raises :class:`OSError`."""
        self._socket = self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ADMIN_TIMEOUT_S)
        self.sock.connect(str(self._path))

    def wait_without_end(self) -> None:
        """Let reads take as long as they take."""
        if self._socket is not None:
            self._socket.settimeout(None)


def _segment(text: str) -> str:
    return quote(text, safe="")
