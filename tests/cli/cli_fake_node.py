"""A small real server that speaks a node's admin API over a Unix socket, with one scene that never changes."""

import json
import re
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from footloose.core.codec import encode
from footloose.core.digest import digest_of
from footloose.core.identity import Identity
from footloose.model.app import App, AppId, Service, ServiceId
from footloose.model.decision import Decision
from footloose.model.network import Prefix, prefix_of
from footloose.model.routing import GuestLog
from footloose.model.view import (
    View,
    ViewMember,
    ViewMembers,
    ViewNode,
    ViewRegion,
    ViewService,
    ViewSite,
    ViewUser,
)

AT = 1_790_000_000.0
"""When the scene plays: 2026-09-21 14:13:20 UTC."""

HOME, MUNICH, OSLO = (Identity.from_seed(bytes([number]) * 32).node_id for number in (1, 2, 3))
APP = App("pulse", HOME, ()).app_id
WEB = ServiceId(f"{APP}/web")
NORTH, SOUTH = Prefix("10.3.0.0/24"), Prefix("10.2.0.0/24")

SITES = (
    ViewSite(HOME, "berlin", "http://10.1.0.1:8080", "self", "10.1.0.1:7443", "de", services=(WEB,)),
    ViewSite(
        *(
            MUNICH,
            "munich",
            "http://10.2.0.1:8080",
            "serving",
            "10.2.0.1:7443",
            "de",
            0.02,
            2.1,
            (WEB,),
            ("dht", "dns"),
        ),
    ),
    ViewSite(OSLO, "oslo", "http://10.3.0.1:8080", "refused", "10.3.0.1:7443", "no", 0.05, 26.4, (), ("static",)),
)
VIEW = View(
    at=AT,
    node=HOME,
    name="berlin",
    nodes=(
        ViewNode("site", "site", "berlin", None),
        ViewNode("10.0.0.0/29", "router", "10.0.0.0/29", "site", 4.8),
        ViewNode("10.0.2.0/29", "router", "10.0.2.0/29", "10.0.0.0/29", 20.9, (MUNICH,)),
        ViewNode(SOUTH, "prefix", SOUTH, "10.0.2.0/29", 23.5),
        ViewNode("10.0.3.0/29", "router", "10.0.3.0/29", "10.0.0.0/29", 47.2, (OSLO,)),
        ViewNode(NORTH, "prefix", NORTH, "10.0.3.0/29", 51.0),
    ),
    sites=SITES,
    services=(
        ViewService(WEB, HOME, "berlin", "home", "running", f"http://10.1.0.1:8080/{WEB}/", AT - 700, 3, 480),
        ViewService(WEB, MUNICH, "munich", "copy", "serving", f"http://10.2.0.1:8080/{WEB}/", AT - 50, 7, 120, AT + 40),
    ),
    users=(
        ViewUser(WEB, NORTH, "10.3.0.7", HOME, AT - 2, 480, 0, 51.0, 51.0),
        ViewUser(WEB, SOUTH, "10.2.0.9", MUNICH, AT - 1, 120, 0, 2.1, 23.5),
    ),
)
PARIS, ROME = (Identity.from_seed(bytes([number]) * 32).node_id for number in (4, 5))
MEMBERS = ViewMembers(
    at=AT,
    node=HOME,
    name="berlin",
    members=(
        ViewMember(
            *(OSLO, "oslo", "10.3.0.1:7445", "unreachable", AT - 190, 27.1, 26.2, "no", "fjord", 40, 75, 3),
            near=True,
        ),
        ViewMember(
            *(MUNICH, "munich", "10.2.0.1:7445", "alive", AT - 7200, 21.3, 22.0, "de", "rack-7", 100, 2, 2),
            near=True,
            watched=True,
        ),
        ViewMember(PARIS, "", "10.4.0.1:7445", "alive", AT - 4, None, 18.5, "fr", "", 0, 0, 1),
        ViewMember(ROME, "rome", "10.5.0.1:7445", "left", AT - 86_400, 31.0, 30.1, "it", "", 10, 0, 0),
    ),
    regions=(
        ViewRegion("no", 1.1, 0.9, 38.0, 10.2, complete=True),
        ViewRegion("de", 41.7, 12.2, 3020.4, 1988.0, complete=True),
        ViewRegion("fr", 2.2, 1.0, 0.0, 0.0, complete=False),
    ),
)
DECISIONS = (
    Decision(
        *(AT - 62, HOME, WEB, "observe", SOUTH, "new users", "first seen"),
        {"address": "10.2.0.9", "rtt_ms": 23.5, "at": HOME},
    ),
    Decision(
        *(AT - 61, HOME, WEB, "trace", SOUTH, "route traced", "2 of 3 routers answered"),
        {"hops": ["10.0.0.1", None, "10.0.2.1"], "rtt_ms": 23.5},
    ),
    Decision(
        *(AT - 61, HOME, WEB, "discover", SOUTH, "munich", "found by dht at router 10.0.2.0/29"),
        {"rtt_to_router_ms": 0.4, "api": "10.2.0.1:7443"},
    ),
    Decision(
        *(AT - 60, HOME, WEB, "measure", SOUTH, "2.1 ms", "measured by munich itself"), {"site": MUNICH, "rtt_ms": 2.1}
    ),
    Decision(
        *(AT - 60, HOME, WEB, "choose", MUNICH, "munich", "saves most of all"), {"gain_ms": 21.4, "placer": "greedy"}
    ),
    Decision(
        *(AT - 59, HOME, WEB, "choose", SOUTH, "munich", "best round trip among the chosen sites"),
        {"rtt_ms": {"munich": 2.1, "oslo": 26.4}},
    ),
    Decision(AT - 55, HOME, WEB, "agree", OSLO, "ended", "no capacity left"),
    Decision(
        *(AT - 52, HOME, WEB, "deploy", MUNICH, "serving", "munich runs a copy (cold)"),
        {"kind": "cold", "took_ms": 412.0},
    ),
    Decision(
        *(AT - 50, HOME, WEB, "redirect", SOUTH, f"http://10.2.0.1:8080/{WEB}/", "munich serves and is nearer"),
        {"until": AT + 40},
    ),
)
LOGS = (
    GuestLog(AT - 40, WEB, "hello from the first request\n"),
    GuestLog(AT - 10, WEB, "counting: 100\ncounting: 120"),
)
STATUS = {
    "node": HOME,
    "name": "berlin",
    "version": "0.1.0",
    "uptime_s": 7300.0,
    "gateway": "http://10.1.0.1:8080",
    "api": "10.1.0.1:7443",
    "workers": [
        {"index": 0, "pid": 4711, "restarts": 0, "sandbox": ["files", "system calls"], "lacks": []},
        {"index": 1, "pid": 4712, "restarts": 1, "sandbox": ["files"], "lacks": ["system calls: no libseccomp"]},
    ],
}


class Call(msgspec.Struct, frozen=True):
    """A request the node was sent."""

    method: str
    target: str
    body: bytes


class FakeNode(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The server. ``calls`` is what it was asked; ``break_streams`` makes it hang up in the middle of each stream.

    ``answers`` replaces the answer to a path by a status and bytes; ``silent`` makes it never answer.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: list[Call] = []
        self.artifacts: set[str] = set()
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.break_streams = False
        self.view = VIEW
        self.members = MEMBERS
        self.faults: list[BaseException | None] = []
        super().__init__(str(path), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002  (its base calls it so)
        """Keep what went wrong here; a client may hang up when it likes."""
        if not isinstance(sys.exception(), ConnectionError):
            self.faults.append(sys.exception())


@contextmanager
def fake_node(path: Path) -> Iterator[FakeNode]:
    """A node listening at ``path`` until the block ends."""
    with FakeNode(path) as node:
        thread = threading.Thread(target=node.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield node
        finally:
            node.shutdown()
            thread.join()
        assert node.faults == []


class _Refused(Exception):
    """A problem to answer with: status, detail, fix."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeNode

    def do_GET(self) -> None:
        self._answer()

    do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name in the base class)
        """Say nothing."""

    def address_string(self) -> str:
        return "unix"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.calls.append(Call(self.command, self.path, body))
        url = urlsplit(self.path)
        if url.path in self.server.answers:
            status, content = self.server.answers[url.path]
            self._send(status, content)
        elif url.path == "/v1/events":
            self._stream(b"".join(_event_bytes()), "text/event-stream")
        elif url.path.startswith("/v1/logs/"):
            self._stream(b"".join(encode(entry) + b"\n" for entry in LOGS), "application/x-ndjson")
        else:
            try:
                self._send(200, self._act(url.path, parse_qs(url.query), body))
            except _Refused as refused:
                status, detail, fix = refused.args
                self._send(status, json.dumps({"title": "Refused", "detail": detail, "fix": fix}).encode())

    def _act(self, path: str, query: dict[str, list[str]], body: bytes) -> bytes:
        node = self.server
        if (self.command, path) == ("GET", "/v1/status"):
            return encode(STATUS)
        if (self.command, path) == ("GET", "/v1/view"):
            return encode(node.view)
        if (self.command, path) == ("GET", "/v1/members"):
            return encode(node.members)
        if self.command == "PUT" and (found := re.fullmatch(r"/v1/artifacts/(sha256:[0-9a-f]{64})", path)):
            if digest_of(body) != found[1]:
                raise _Refused(400, "the bytes are not those of the digest", "send the artifact itself")
            node.artifacts.add(found[1])
            return b"{}"
        if (self.command, path) == ("POST", "/v1/apps"):
            return self._deploy(msgspec.json.decode(body))
        if self.command == "DELETE" and path.startswith("/v1/apps/"):
            if unquote(path.removeprefix("/v1/apps/")) != APP:
                raise _Refused(404, "no such app", "see `footloose ps`")
            return b"{}"
        if self.command == "GET" and path.startswith("/v1/explain/"):
            return self._explain(unquote(path.removeprefix("/v1/explain/")), query)
        if (self.command, path) == ("POST", "/v1/move"):
            if msgspec.json.decode(body)["site"] == OSLO:
                raise _Refused(409, "oslo refuses: no capacity left", "choose another site")
            return b"{}"
        if (self.command, path) == ("POST", "/v1/drain"):
            return b"{}"
        if self.command == "POST" and path.startswith("/v1/workers/") and path.endswith("/replace"):
            return b""
        raise _Refused(404, "no such resource", None)

    def _deploy(self, body: dict[str, Any]) -> bytes:
        services = msgspec.convert(body["services"], tuple[Service, ...])
        for service in services:
            if service.artifact not in self.server.artifacts:
                raise _Refused(409, f"the artifact of {service.name} is not here", "put it first")
        app = App(body["name"], HOME, services)
        urls = [f"http://10.1.0.1:8080/{app.service_id(service)}/" for service in services]
        return encode({"app_id": app.app_id, "urls": urls})

    def _explain(self, app: str, query: dict[str, list[str]]) -> bytes:
        if app not in (APP, "pulse"):
            raise _Refused(404, f"no app here is called {app}", "see `footloose ps`")
        service = query.get("service", ["web"])[0]
        found = [decision for decision in DECISIONS if decision.service == f"{APP}/{service}"]
        return encode(found[-int(query["limit"][0]) :])

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/problem+json" if status >= 400 else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, content: bytes, kind: str) -> None:
        """Send ``content`` in small chunks that end in the middle of lines."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(content), 97):
            chunk = content[start : start + 97]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        if self.server.break_streams:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")


def _event_bytes() -> Iterator[bytes]:
    yield b": welcome\n\n"
    yield b"event: view\ndata: " + encode(VIEW) + b"\n\n"
    for decision in DECISIONS[-2:]:
        yield b"event: decision\ndata: " + encode(decision) + b"\n\n"
    yield b"event: view\ndata: " + encode(VIEW) + b"\n\n"
    yield b"event: something-newer\ndata: {}\n\n"


def other_app() -> tuple[AppId, ViewService]:
    """A second app of the same name by another owner, for a view with two."""
    app = App("pulse", OSLO, ()).app_id
    return app, ViewService(ServiceId(f"{app}/web"), HOME, "berlin", "copy", "running", "http://x/", AT)


assert prefix_of("10.2.0.9") == SOUTH
