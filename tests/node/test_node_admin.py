"""The operator's commands and API against a real node: what it tells, and what becomes of who stops listening."""

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from node_sites import Site, Town, answering, eventually, get, moved, trapping

from footloose.core.digest import digest_of
from footloose.core.limits import ARTIFACT_BYTES, WATCHERS
from footloose.model.app import HttpRoute, ServiceId
from footloose.testbed.sites import Sites
from footloose.transport.problems import Refused

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Site, Site]]:
    """A home and an edge for all tests here."""
    with Sites() as sites:
        home, edge = Town(sites).pair("--price", "0.02")
        yield home, edge
        assert "Traceback" not in home.log() + edge.log()


@pytest.fixture
def home(pair: tuple[Site, Site]) -> Site:
    """The home."""
    return pair[0]


def ask(home: Site, method: str, target: str, body: bytes = b"", sock: str = "admin.sock") -> tuple[int, bytes]:
    """One request to a socket of the node."""
    connection = Admin(home.process.state / "run" / sock)
    try:
        connection.request(method, target, body or None)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class Admin(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


def test_every_command_tells_what_is_so(pair: tuple[Site, Site], tmp_path: Path) -> None:
    home, _ = pair
    (tmp_path / "app.wasm").write_bytes(answering("by command"))
    (tmp_path / "compose.yaml").write_text(
        "name: told\nservices:\n  web:\n    image: ./app.wasm\n    platform: wasi/wasm\n    x-footloose: {}\n"
    )
    deployed = json.loads(home.cli("deploy", "--json", str(tmp_path / "compose.yaml")).stdout)
    service = ServiceId(f"{deployed['app_id']}/web")
    assert deployed["urls"] == [home.url(service)]
    user = "127.0.55.1"  # of a prefix nobody came from before, so that all is found out for this app
    assert get(home.url(service), source=user).body == "by command"
    home.cli("move", "told/web", "--to", "edge")
    eventually(lambda: get(home.url(service), source=user).status == 302)
    eventually(lambda: [one for one in home.decisions("told") if one.step == "measure" and one.inputs["rtt_ms"]])
    ps = home.cli("ps").stdout
    assert service in ps and "serving" in ps and "edge" in ps
    sites = {site["name"]: site for site in json.loads(home.cli("sites", "--json").stdout)["sites"]}
    assert (sites["home"]["state"], sites["edge"]["state"]) == ("self", "serving")
    assert (sites["edge"]["price_per_hour"], sites["edge"]["sources"]) == (0.02, ["static"])
    topology = json.loads(home.cli("topology", "--json").stdout)
    assert "127.0.55.0/24" in {user["prefix"] for user in topology["users"]}
    assert topology["nodes"][0]["kind"] == "site"
    explained = json.loads(home.cli("explain", "told", "--json").stdout)
    steps = [one["step"] for one in explained]
    assert {"observe", "trace", "discover", "measure", "choose", "agree", "deploy", "redirect"} <= set(steps)
    assert steps.index("agree") < steps.index("deploy") < steps.index("redirect")
    assert "asked for by hand" in home.cli("explain", "told").stdout
    status = json.loads(home.cli("status", "--json").stdout)
    assert (status["name"], status["node"], status["draining"]) == ("home", home.node, None)
    home.cli("drain", "edge")
    eventually(lambda: home.serving(service) == {"home"})
    home.cli("drain", "edge", "--resume")
    home.cli("remove", "told")
    assert service not in home.cli("ps").stdout
    assert get(home.url(service)).status == 404


def test_what_guests_log_is_followed_without_gap_or_repetition(home: Site) -> None:
    service = home.deploy(trapping(), name="chatty")

    def logged() -> int:
        return len(home.cli("logs", "chatty", "--json").stdout.splitlines())

    assert get(home.url(service)).status == 502
    eventually(lambda: logged() == 1)
    # Who runs the tests in the background may have Ctrl-C switched off, and a child process inherits that.
    heeding = ["env", "--default-signal=INT"]
    command = [*heeding, sys.executable, "-m", "footloose", "logs", "chatty", "--follow", "--json"]
    environment = os.environ | {"FOOTLOOSE_SOCKET": str(home.process.admin_socket)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        lines = [json.loads(follower.stdout.readline())]
        for number in range(2, 6):
            assert get(home.url(service)).status == 502
            while len(lines) < number:
                lines.append(json.loads(follower.stdout.readline()))
        follower.send_signal(signal.SIGINT)
        assert follower.wait(timeout=20) == 130
        assert follower.stdout.read() == b""
    assert len(lines) == 5
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    eventually(lambda: logged() == 5)


def test_events_tell_decisions_as_they_are_made_and_how_things_are(home: Site) -> None:
    service = home.deploy(answering("hello"), name="watched")
    events = home.admin.events()
    first = next(events)
    assert first.name == "view"
    assert get(home.url(service), source="127.0.33.1").status == 200
    seen = []
    for event in events:
        seen.append(event.name)
        if event.name == "decision" and b"127.0.33.0/24" in event.data:
            break
    for event in events:
        if event.name == "view" and b"127.0.33.0/24" in event.data:
            break
    events.close()  # type: ignore[attr-defined]


def open_sockets(home: Site) -> int:
    """How many sockets the node has open."""
    found = 0
    for link in Path(f"/proc/{home.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found += link.readlink().name.startswith("socket:")
    return found


def test_watchers_that_go_away_are_let_go_of_and_too_many_are_turned_away(home: Site) -> None:
    home.deploy(answering("hello"), name="quiet")
    before = open_sockets(home)
    for target in ("/v1/events", "/v1/logs/quiet?follow=1"):
        with ExitStack() as stack:
            for _ in range(WATCHERS):
                watcher = Admin(home.process.admin_socket)
                stack.callback(watcher.close)
                watcher.request("GET", target)
                response = watcher.getresponse()
                stack.callback(response.close)
                assert response.status == 200
            status, body = ask(home, "GET", target)
            assert (status, b"too many are watching" in body) == (409, True)
        # All have gone without a word, and nothing is logged or happens that would tell the node so.
        eventually(lambda: open_sockets(home) <= before + 2)
        with ExitStack() as stack:
            again = Admin(home.process.admin_socket)
            stack.callback(again.close)
            again.request("GET", target)
            response = again.getresponse()
            stack.callback(response.close)
            assert response.status == 200


def test_a_watcher_that_does_not_read_does_not_hold_up_the_node(home: Site) -> None:
    home.deploy(answering("hello"), name="busy")
    with ExitStack() as stack:
        watcher = Admin(home.process.admin_socket)
        stack.callback(watcher.close)
        watcher.request("GET", "/v1/events")
        for _ in range(20):
            assert ask(home, "GET", "/v1/view")[0] == 200


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "why"),
    [
        ("GET", "/v1/nothing", b"", 404, b"Not Found"),
        ("PATCH", "/v1/view", b"", 405, b"Method Not Allowed"),
        ("POST", "/v1/apps", b"{", 400, b"not a valid AppWanted"),
        ("POST", "/v1/apps", b'{"name":"a/b","services":[]}', 400, b"not a name for an app"),
        ("POST", "/v1/apps", b'{"name":"ok","services":[]}', 400, b"not 1 to 100 services"),
        ("DELETE", "/v1/apps/none", b"", 409, b"no apps are called"),
        ("POST", "/v1/move", b'{"service":"a/b","site":null}', 409, b"no such service here"),
        ("POST", "/v1/drain", b'{"site":"nowhere"}', 409, b"no site 'nowhere' is known here"),
        ("GET", "/v1/explain/none", b"", 409, b"no apps are called"),
        ("GET", "/v1/logs/none?follow=1", b"", 409, b"no apps are called"),
        ("PUT", "/v1/artifacts/sha256:0", b"x", 400, b"not a digest"),
        ("PUT", f"/v1/artifacts/{digest_of(b'x')}", b"y", 400, b"another than its digest says"),
    ],
)
def test_a_request_that_makes_no_sense_is_a_problem_that_says_so(
    home: Site, method: str, target: str, body: bytes, status: int, why: bytes
) -> None:
    answered, problem = ask(home, method, target, body)
    assert (answered, why in problem) == (status, True), problem
    assert set(json.loads(problem)) <= {"title", "detail", "fix"}


def test_two_apps_cannot_have_the_same_route(home: Site) -> None:
    home.deploy(answering("first"), name="one", route=HttpRoute("*", "/same"))
    with pytest.raises(Refused, match=r"/same is that of the app 'one'"):
        home.deploy(answering("second"), name="two", route=HttpRoute("*", "/same"))
    assert get(f"{home.process.url}same").body == "first"
    home.deploy(answering("third"), name="one", route=HttpRoute("*", "/same"))  # its own route stays its own
    assert get(f"{home.process.url}same").body == "third"


def test_a_service_that_cannot_be_run_is_refused_and_what_ran_goes_on(home: Site) -> None:
    service = home.deploy(answering("as before"), name="kept")
    for code, why in ((b"no module at all", "not WebAssembly"), (b"\0asm\x01\0\0\0", "export")):
        with pytest.raises(Refused, match=why):
            home.deploy(code, name="kept")
    assert get(home.url(service)).body == "as before"
    connection = Admin(home.process.admin_socket)
    connection.putrequest("PUT", f"/v1/artifacts/{digest_of(b'x')}")
    connection.putheader("Content-Length", str(ARTIFACT_BYTES + 1))
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


def test_the_page_can_look_and_change_nothing(home: Site) -> None:
    for target in ("/", "/v1/view", "/v1/status"):
        assert ask(home, "GET", target, sock="console.sock")[0] == 200
    for method, target in (("POST", "/v1/apps"), ("POST", "/v1/drain"), ("POST", "/v1/move")):
        assert ask(home, method, target, b"{}", sock="console.sock")[0] in (404, 405)


def test_nobody_else_can_reach_the_operators_socket(home: Site) -> None:
    run = home.process.state / "run"
    assert stat.S_IMODE(run.stat().st_mode) == 0o700


def test_readings_of_a_copy_reach_the_customer_with_its_users(pair: tuple[Site, Site]) -> None:
    home, edge = pair
    service = home.deploy(answering("hello"), name="metered")
    moved(home, edge, service)
    for number in (1, 2):
        for _ in range(number):
            assert get(edge.url(service), source=f"127.0.4{number}.1").status == 200

    def users() -> dict[str, int]:
        return {user.prefix: user.requests for user in home.view().users if user.service == service}

    eventually(lambda: (users().get("127.0.41.0/24"), users().get("127.0.42.0/24")) == (1, 2))
    at = {user.prefix: user.site for user in home.view().users if user.service == service}
    assert at["127.0.41.0/24"] == edge.node
