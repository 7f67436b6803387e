"""Real sites on loopback addresses, as processes, and what their users and operators do."""

import http.client
import itertools
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec
from wasmtime import wat2wasm

from footloose.cli.admin import Admin, Deployed
from footloose.core.digest import digest_of
from footloose.model.app import GuestKind, Limits, Service, ServiceId
from footloose.model.decision import Decision
from footloose.model.site import Endpoint
from footloose.model.view import View, ViewMember, ViewService
from footloose.testbed.sites import API_PORT, SiteOptions, SiteProcess, Sites, command_line

T = TypeVar("T")
GATEWAY_PORT = 8080
WAIT_S = 60.0
"""Longest wait for anything; things take a fraction of a second where nothing else runs."""
USER = "127.0.0.1"
_NETWORKS = itertools.count(int.from_bytes(os.urandom(2), "big"))
"""A number for the addresses of each town: no two of one run share any, and two runs at a time hardly ever."""


def eventually(look: Callable[[], T], within_s: float = WAIT_S) -> T:
    """What ``look`` gives once it gives something; a failed assertion in it counts as nothing yet."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if found := look():
                return found
            why = AssertionError(f"nothing after {within_s:g} s")
        except AssertionError as error:
            why = error
        if time.monotonic() > deadline:
            raise why
        time.sleep(0.02)


class Answer(msgspec.Struct, frozen=True):
    """What a gateway answered."""

    status: int
    body: str
    headers: dict[str, str]

    @property
    def location(self) -> str:
        """Where it sends the user."""
        return self.headers["location"]


def get(url: str, *, method: str = "GET", source: str = USER, body: bytes = b"", timeout_s: float = 20.0) -> Answer:
    """One request of a user at the address ``source``; redirects are not followed."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port or 80, timeout=timeout_s, source_address=(source, 0)
    )
    try:
        connection.request(method, path, body or None)
        response = connection.getresponse()
        content = response.read().decode()
        return Answer(response.status, content, {name.lower(): value for name, value in response.getheaders()})
    finally:
        connection.close()


def follow(url: str, *, source: str = USER, hops: int = 6) -> Answer:
    """As a browser would: redirects are followed."""
    for _ in range(hops):
        answer = get(url, source=source)
        if answer.status not in (302, 307):
            return answer
        url = urljoin(url, answer.location)
    raise AssertionError(f"sent on more than {hops} times, at last to {url}")


class Visitor:
    """A user who asks again and again, following redirects from ``url``, between entering and leaving."""

    def __init__(self, url: str, source: str = USER) -> None:
        self._url = url
        self._source = source
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers: list[str] = []
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: self.answers or self.failures)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def seen(self, text: str) -> Callable[[], bool]:
        """A look at whether the last answer has ``text`` in it."""
        return lambda: bool(self.answers) and text in self.answers[-1]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                answer = follow(self._url, source=self._source)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                continue
            (self.answers if answer.status == 200 else self.failures).append(answer.body)


class Loopback:
    """A host that is only an address."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    def popen(self, command: Sequence[str], **options: object) -> "subprocess.Popen[bytes]":
        """Start a command there."""
        return subprocess.Popen(list(command), **options)  # type: ignore[call-overload,no-any-return]


class Site:
    """One running site."""

    def __init__(self, process: SiteProcess) -> None:
        self.process = process
        self.name = process.name
        self.admin = Admin(process.admin_socket)
        self.api = Endpoint(process.place.address, API_PORT)

    @property
    def node(self) -> str:
        """Its node id."""
        assert self.process.node is not None
        return self.process.node

    @property
    def origin(self) -> str:
        """Where its users come."""
        return self.process.url.rstrip("/")

    def url(self, service: ServiceId, rest: str = "") -> str:
        """Where a service is here."""
        return f"{self.origin}/{service}/{rest}"

    def ready(self) -> Self:
        """Wait until it is up."""
        self.process.wait_ready()
        return self

    def restart(self) -> Self:
        """Start it again, after it ended or was killed."""
        self.process.start()
        return self.ready()

    def log(self) -> str:
        """What it said."""
        return self.process.log_path.read_text(errors="replace")

    def view(self) -> View:
        """What it sees."""
        return self.admin.view()

    def member(self, other: "Site") -> ViewMember | None:
        """Another site as a member, if it is in view."""
        return next((one for one in self.admin.members().members if one.node == other.node), None)

    def holds(self, other: "Site", state: str) -> None:
        """Wait until it takes another site to be ``alive``, ``unreachable`` or ``left``."""
        eventually(lambda: (one := self.member(other)) is not None and one.state == state)

    def state_of(self, other: "Site") -> str:
        """What ``footloose sites`` says of another site."""
        return next((site.state for site in self.view().sites if site.node == other.node), "not known")

    def places(self, service: ServiceId) -> dict[str, ViewService]:
        """Where a service runs, by the site's name."""
        return {one.site_name: one for one in self.view().services if one.service == service}

    def serving(self, service: ServiceId) -> set[str]:
        """At which sites a service is served, as this one sees it."""
        return {name for name, one in self.places(service).items() if one.state in ("running", "serving")}

    def decisions(self, app: str) -> list[Decision]:
        """All it decided."""
        return list(self.admin.explain(app, service=None, limit=500))

    def explained(self, app: str) -> str:
        """All it decided, as one text."""
        return "\n".join(f"{one.step} {one.subject} {one.outcome}: {one.reason}" for one in self.decisions(app))

    def knows(self, other: "Site") -> None:
        """Wait until it has met another site."""
        eventually(lambda: any(site.node == other.node for site in self.view().sites))

    def deploy(self, code: bytes, name: str = "app", **changes: object) -> ServiceId:
        """Make it the home of an app with one handler, ``web``; the service's id."""
        self.put(code)
        deployed = self.deploy_services(name, service(code, **changes))
        return ServiceId(f"{deployed.app_id}/web")

    def put(self, code: bytes) -> None:
        """Hand it an artifact."""
        self.admin.put_artifact(digest_of(code), code)

    def deploy_services(self, name: str, *services: Service) -> Deployed:
        """Make it the home of an app whose artifacts it has."""
        return self.admin.deploy(name, services)

    def move(self, service: ServiceId, site: "Site | None") -> None:
        """Ask it to move all users of a service."""
        self.admin.move(service, site.process.node if site is not None else None)

    def cli(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as its operator; it must succeed."""
        done = command_line(self.process.admin_socket, *arguments)
        assert done.returncode == 0, done.stderr
        return done

    def worker_pids(self) -> list[int]:
        """Its workers."""
        return [worker.pid for worker in self.admin.status().workers if worker.pid is not None]


def service(code: bytes, name: str = "web", **changes: object) -> Service:
    """A handler as an owner describes it who moves all users by hand.

    On one machine it is chance which site is nearer, and by how much more than it takes to move users there.
    """
    made = Service(name, digest_of(code), GuestKind.HANDLER, follow_users=False)
    return msgspec.structs.replace(made, **changes)


class Town:
    """Several sites that come and go together."""

    def __init__(self, sites: Sites, leaving: ExitStack | None = None) -> None:
        self._sites = sites
        self._leaving = leaving if leaving is not None else ExitStack()
        number = next(_NETWORKS)
        self._net = f"127.{100 + number // 256 % 150}.{number % 256}"
        self._hosts = 0

    def address(self) -> str:
        """An address nobody here has yet."""
        self._hosts += 1
        return f"{self._net}.{self._hosts}"

    def start(self, name: str, *arguments: str, region: str = "", state: Path | None = None) -> Site:
        """Start a site, in a state directory of its own or in ``state``; :meth:`Site.ready` waits for it."""
        options = SiteOptions(region=region, gateway_port=GATEWAY_PORT, extra=arguments)
        place = Loopback(name, self.address())
        if state is None:
            return Site(self._sites.start(place, options))
        site = Site(SiteProcess(place, state, options).start())
        self._leaving.callback(site.process.stop)
        return site

    def pair(self, *of_the_copy: str) -> tuple[Site, Site]:
        """A home and another site that it knows, both up."""
        edge = self.start("edge", *of_the_copy)
        home = self.start("home", "--site", str(edge.api))
        home.ready()
        edge.ready()
        home.knows(edge)
        return home, edge


def known_to(*sites: Site | Endpoint) -> list[str]:
    """The arguments that make a site know others."""
    return [word for one in sites for word in ("--site", str(one if isinstance(one, Endpoint) else one.api))]


def moved(home: Site, edge: Site, service: ServiceId, source: str = USER) -> None:
    """Move all users to the other site and wait until they are sent there."""
    get(home.url(service), source=source)
    home.move(service, edge)
    eventually(lambda: edge.name in home.serving(service))
    eventually(lambda: get(home.url(service), source=source).status == 302)


def answering(text: str) -> bytes:
    """A handler that answers ``text``: another text is another artifact."""
    return _handler("", text)


def slow(text: str, seconds: float) -> bytes:
    """A command that is busy for so long by the clock, however fast this machine is, and then answers ``text``."""
    answer, length = _answer(text)
    return bytes(
        wat2wasm(
            f"""(module
              (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
              (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
              (memory (export "memory") 1)
              (data (i32.const 64) "{answer}")
              (func $now (result i64)
                (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 0))) (i64.load (i32.const 0)))
              (func $work (local $left i32)
                (local.set $left (i32.const 1000000))
                (loop $on (br_if $on (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
              (func (export "_start") (local $end i64)
                (local.set $end (i64.add (call $now) (i64.const {int(seconds * 1e9)})))
                (loop $on (call $work) (br_if $on (i64.lt_s (call $now) (local.get $end))))
                (i32.store (i32.const 16) (i32.const 64))
                (i32.store (i32.const 20) (i32.const {length}))
                (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))))"""
        )
    )


def pulse() -> bytes:
    """The sample app: it answers pages, and pings over its WebSocket."""
    return files("footloose").joinpath("samples", "pulse", "pulse_handler.wasm").read_bytes()


def trapping() -> bytes:
    """A handler that fails every request."""
    return _handler("unreachable", "")


def endless() -> bytes:
    """A handler that never answers."""
    return _handler("(loop $on (br $on))", "")


def _answer(text: str) -> tuple[str, int]:
    """An answer as the text of a module says it, and how many bytes it is."""
    answer = f"Content-Type: text/plain\\r\\n\\r\\n{text}"
    return answer, len(answer.encode().decode("unicode_escape"))


def _handler(work: str, text: str) -> bytes:
    answer, length = _answer(text)
    return bytes(
        wat2wasm(
            f"""(module
              (memory (export "memory") 1)
              (func (export "footloose_alloc") (param i32) (result i32) (i32.const 4096))
              (data (i32.const 0) "{answer}")
              (func (export "footloose_handle") (param i32 i32) (result i64) {work} (i64.const {length})))"""
        )
    )


PATIENT = Limits(time_ms=20_000.0)
"""For guests that are slow on purpose."""


def alive(pid: int) -> bool:
    """Whether a process runs (one that has ended and waits to be reaped does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def children(pid: int) -> list[int]:
    """The processes a process started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def crash(*sites: Site) -> None:
    """Kill nodes, and wait until none of the processes they started is left."""
    left = [pid for site in sites for pid in children(site.process.pid)]
    assert len(left) >= 2 * len(sites)  # a worker and the compiler each
    for site in sites:
        site.process.kill()
    eventually(lambda: not any(alive(pid) for pid in left))


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process of ours."""
    os.kill(pid, number)


def taken(address: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """A port that somebody else has, for a fixture or ``contextlib.contextmanager``."""
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind((address, port))
        if kind is socket.SOCK_STREAM:
            holder.listen()
        yield holder
