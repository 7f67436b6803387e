"""What the gateway's tests share: guests that are Python functions, gateways in this process, and raw clients."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from footloose.core.digest import Digest, digest_of
from footloose.core.errors import LocalError
from footloose.gateway.exchange import Whole
from footloose.gateway.server import Gateway
from footloose.gateway.shared import GatewayConfig
from footloose.gateway.tls import Certificate
from footloose.model.app import GuestKind, Instances, Limits, ServiceId
from footloose.model.guest import Exchange, Gone, Guest, GuestAnswer, GuestError, GuestFault
from footloose.model.network import Prefix
from footloose.model.routing import Moved, Redirect, RoutingTable, ServiceRoute, WorkerReport

StreamHandler = Callable[[dict[str, str], Exchange], None]
Handler = Callable[[dict[str, str], bytes], bytes | GuestAnswer]
WEB = ServiceId("demo-abcdefgh/web")
HERE = Prefix("127.0.0.0/24")
TEXT = b"Content-Type: text/plain\r\n\r\n"


def digest_for(name: str) -> Digest:
    return digest_of(name.encode())


class FakeGuest:
    """A guest that is a function of environment and body."""

    streams = False

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def call(self, environment: Sequence[tuple[str, str]], body: bytes) -> GuestAnswer:
        answer = self.handler(dict(environment), body)
        return answer if isinstance(answer, GuestAnswer) else GuestAnswer(answer)

    def stream(self, _environment: Sequence[tuple[str, str]], _exchange: Exchange) -> bytes:
        raise AssertionError("it gets its requests whole")


class StreamingGuest:
    """A guest that is a function of environment and exchange."""

    streams = True

    def __init__(self, handler: StreamHandler) -> None:
        self.handler = handler

    def call(self, environment: Sequence[tuple[str, str]], body: bytes) -> GuestAnswer:
        exchange = Whole(body)
        self.handler(dict(environment), exchange)
        return GuestAnswer(exchange.take())

    def stream(self, environment: Sequence[tuple[str, str]], exchange: Exchange) -> bytes:
        try:
            self.handler(dict(environment), exchange)
        except Gone:
            return b"gone"
        return b""


class FakeRuntime:
    """Loads a guest by the name its compiled file would have."""

    def __init__(self, handlers: Mapping[str, Handler | StreamingGuest]) -> None:
        self.handlers = handlers
        self.loaded: list[str] = []

    def tidy(self) -> None:
        """Nothing rests here."""

    def load(self, compiled: Path, _kind: GuestKind, _limits: Limits, _instances: Instances) -> Guest:
        self.loaded.append(compiled.name)
        if compiled.name not in self.handlers:
            raise LocalError("no such guest", where=str(compiled))
        handler = self.handlers[compiled.name]
        return handler if isinstance(handler, StreamingGuest) else FakeGuest(handler)


def echo(environment: dict[str, str], body: bytes) -> bytes:
    """Answers with all it was given."""
    return b"Content-Type: application/json\n\n" + json.dumps({"env": environment, "body": body.decode()}).encode()


def hello(environment: dict[str, str], body: bytes) -> bytes:
    return TEXT + b"hello"


def trap(environment: dict[str, str], body: bytes) -> bytes:
    raise GuestError(GuestFault.TRAP, "unreachable at secret address", log=b"about to trap")


def chat(environment: dict[str, str], body: bytes) -> bytes:
    """Subscribes everyone to ``room``; publishes there what begins with ``all:``; answers the rest."""
    event = environment["FOOTLOOSE_EVENT"]
    if event == "open":
        return b"Footloose-Subscribe: room\n\n"
    if event == "message" and body.startswith(b"all:"):
        return b"Footloose-Publish: room\n\n" + body[4:]
    if event == "message":
        return TEXT + b"you said " + body
    return b""


class Endless:
    """A guest that does not return until it is released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self, _environment: dict[str, str], _body: bytes) -> bytes:
        self.entered.release()
        self.release.wait(30)
        return TEXT + b"at last"


def route(name: str = "echo", service: ServiceId = WEB, **fields: object) -> ServiceRoute:
    return ServiceRoute(service, digest_for(name), GuestKind.HANDLER, **fields)  # type: ignore[arg-type]


def soon(seconds: float = 60.0) -> float:
    return time.time() + seconds


def sent_to(url: str, prefix: Prefix = HERE) -> Redirect:
    return Redirect(prefix, url, soon())


class Site:
    """One gateway, as one worker of a site would run it."""

    def __init__(self, gateway: Gateway, runtime: FakeRuntime, listening: socket.socket) -> None:
        self.gateway = gateway
        self.runtime = runtime
        self.port: int = listening.getsockname()[1]
        self.tls_port = 0
        self.reports: list[WorkerReport] = []
        self.reported = asyncio.Event()
        self.version = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def note(self, report: WorkerReport) -> None:
        self.reports.append(report)
        self.reported.set()

    def install(self, *routes: ServiceRoute, moved: tuple[Moved, ...] = ()) -> None:
        self.version += 1
        compiled = {digest_for(name): Path(name) for name in self.runtime.handlers}
        self.gateway.install(RoutingTable(self.version, routes, moved), compiled)

    @property
    def logs(self) -> list[str]:
        return [log.text for report in self.reports for log in report.logs]

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait for reports until ``condition`` holds."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.reported.clear()
                await self.reported.wait()


async def eventually(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for what no event tells: the state of another party's connections."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Sites:
    """Makes sites, and closes them all."""

    def __init__(self, tmp_path: Path) -> None:
        self._tmp_path = tmp_path
        self._made: list[Site] = []

    async def start(
        self,
        handlers: Mapping[str, Handler | StreamingGuest] | None = None,
        *,
        run: str | None = None,
        host: str = "127.0.0.1",
        tls: Sequence[Certificate] = (),
        **config: object,
    ) -> Site:
        """A gateway with these guests; the first is installed at once. With ``tls`` also on a port with TLS."""
        run_dir = self._tmp_path / (run or f"run-{len(self._made)}")
        run_dir.mkdir(exist_ok=True)
        runtime = FakeRuntime(handlers if handlers is not None else {"echo": echo})
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::")
        site: Site

        def report(one: WorkerReport) -> None:
            site.note(one)

        gateway = Gateway(GatewayConfig(run_dir, **config), runtime, report)  # type: ignore[arg-type]
        site = Site(gateway, runtime, listening)
        self._made.append(site)
        secure = [socket.create_server((host, 0), family=family)] if tls else []
        site.tls_port = secure[0].getsockname()[1] if secure else 0
        gateway.present(tls)
        await gateway.start([listening], secure)
        site.install(route(next(iter(runtime.handlers))))
        return site

    async def close(self) -> None:
        for site in self._made:
            await site.gateway.close()


async def talk(port: int, data: bytes, *, eof: bool = False, timeout_s: float = 10.0) -> bytes:
    """Send ``data`` and return all that comes until the other end closes."""
    async with asyncio.timeout(timeout_s), connected(port) as (reader, writer):
        writer.write(data)
        if eof:
            writer.write_eof()
        return await reader.read()


@asynccontextmanager
async def connected(port: int):  # type: ignore[no-untyped-def]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def get(path: str = f"/{WEB}/", *headers: str, method: str = "GET", body: bytes = b"", close: bool = True) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test.example:8080", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Answer:
    """One parsed HTTP answer."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status.split(" ")[1])
        self.lines = lines
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def json(self) -> dict[str, object]:
        parsed: dict[str, object] = json.loads(self.body)
        return parsed


async def fetch(port: int, data: bytes) -> Answer:
    """One request, one answer."""
    return Answer(await talk(port, data))


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """One answer with a Content-Length from a connection that stays open."""
    head = await reader.readuntil(b"\r\n\r\n")
    answer = Answer(head)
    answer.body = await reader.readexactly(int(answer.headers.get("content-length", "0")))
    return answer
