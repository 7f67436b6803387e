"""What a request costs: fresh WebAssembly instances behind our gateway, beside servers that others made.

The load is wrk, on the same machine, so requests a second say little about a server alone; the processor time its
processes take for one request does. A core's worth of requests follows from that.
"""

import asyncio
import os
import re
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec

from footloose.bench import hello, peers
from footloose.bench.figures import quantile
from footloose.bench.memory import resident_mb
from footloose.core.digest import Digest, digest_of
from footloose.core.errors import LocalError
from footloose.model.app import GuestKind, Instances, Limits, ServiceId
from footloose.model.routing import RoutingTable, ServiceRoute
from footloose.model.site import Endpoint
from footloose.node.config import WORKER_USER
from footloose.node.control import Sandbox
from footloose.node.workers import Workers
from footloose.runtimes.wasm.runtime import WasmRuntime

Say = Callable[[str], None]
Running = AbstractAsyncContextManager[tuple[str, list[int]]]

WANTED_TIMES_WORKERD = 2.5
WANTED_CPU_US = 24.0
WANTED_START_US = (10.0, 50.0)
"""In process, of a fresh instance's whole request: median and the hundredth slowest."""
_CALLS, _WARM_UP_CALLS = 20_000, 1_000
_WARM_UP_S = 1


class Plan(msgspec.Struct, frozen=True):
    """What is run: ``rounds`` of each server in turn, each for ``seconds`` with so many connections."""

    seconds: int = 4
    rounds: int = 3
    connections: int = 32
    workers: int = 1
    workerd: str | None = None


class Row(msgspec.Struct, frozen=True):
    """One server, medians of its rounds. ``core_requests_s`` is what one core would do; ``memory_mb`` is resident."""

    name: str
    cpu_us: float
    core_requests_s: float
    requests_s: float
    p50_ms: float
    p99_ms: float
    memory_mb: float
    times_workerd: float | None = None


class Start(msgspec.Struct, frozen=True):
    """A request in process, in microseconds: instance made, called, thrown away."""

    guest: str
    p50_us: float
    p99_us: float


class Result(msgspec.Struct, frozen=True):
    """All rows; ``skipped`` is what could not be measured, and why."""

    plan: Plan
    starts: tuple[Start, ...]
    rows: tuple[Row, ...]
    skipped: tuple[str, ...]
    load_before: float


class _Round(msgspec.Struct, frozen=True):
    requests: int
    requests_s: float
    p50_ms: float
    p99_ms: float
    cpu_s: float
    memory_mb: float


async def run(plan: Plan, say: Say) -> Result:
    """All of it. ``say`` tells of progress. Raises :class:`LocalError` without wrk, or if a server fails."""
    wrk = peers.found("wrk")
    if wrk is None:
        raise LocalError("wrk, which makes the load, is not installed", where="bench wasm", fix="apt-get install wrk")
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="footloose-bench-") as name:
        folder = Path(name)
        compiled = await hello.compiled(folder)
        say("in process")
        starts = tuple(_start(kind.value, compiled[kind], kind) for kind in compiled)
        servers, skipped = _servers(plan, folder, compiled)
        rounds: dict[str, list[_Round]] = {title: [] for title in servers}
        for number in range(plan.rounds):
            for title, server in servers.items():
                say(f"{title}, round {number + 1}")
                async with server() as (url, pids):
                    rounds[title].append(await _load(wrk, url, pids, plan))
    rows = {title: _row(title, each) for title, each in rounds.items()}
    beside = rows.get("workerd")
    if beside is not None:
        rows = {
            title: msgspec.structs.replace(row, times_workerd=round(beside.cpu_us / row.cpu_us, 2))
            for title, row in rows.items()
        }
    return Result(plan, starts, tuple(rows.values()), tuple(skipped), load_before)


def _servers(
    plan: Plan, folder: Path, compiled: dict[GuestKind, Path]
) -> tuple[dict[str, Callable[[], Running]], list[str]]:
    skipped = []
    servers: dict[str, Callable[[], Running]] = {
        "constant": lambda: _peer(peers.constant()),
        "fresh handler": lambda: _gateway(plan, folder, GuestKind.HANDLER, compiled),
        "warm handler": lambda: _gateway(plan, folder, GuestKind.HANDLER, compiled, instances=Instances.WARM),
        "fresh command": lambda: _gateway(plan, folder, GuestKind.COMMAND, compiled),
        "fresh handler, no sandbox": lambda: _gateway(plan, folder, GuestKind.HANDLER, compiled, confined=False),
    }
    workerd = peers.found("workerd", Path(plan.workerd) if plan.workerd is not None else None)
    if workerd is None:
        skipped.append("workerd: not installed (npm install workerd, then --workerd node_modules/.bin/workerd)")
    else:
        servers["workerd"] = lambda: _peer(peers.workerd(workerd, folder))
    node = peers.found("node")
    if node is None:
        skipped.append("node http: Node.js is not installed (apt-get install nodejs)")
    else:
        servers["node http"] = lambda: _peer(peers.node_http(node, folder))
    return servers, skipped


def _start(name: str, compiled: Path, kind: GuestKind) -> Start:
    runtime = WasmRuntime()
    try:
        guest = runtime.load(compiled, kind, Limits())
        times = []
        for number in range(_WARM_UP_CALLS + _CALLS):
            began = time.perf_counter()
            guest.call(hello.REQUEST, b"")
            if number >= _WARM_UP_CALLS:
                times.append((time.perf_counter() - began) * 1e6)
    finally:
        runtime.close()
    return Start(name, round(quantile(times, 0.5), 1), round(quantile(times, 0.99), 1))


@asynccontextmanager
async def _peer(running: AbstractAsyncContextManager[tuple[int, int]]) -> AsyncIterator[tuple[str, list[int]]]:
    async with running as (port, pid):
        yield f"http://127.0.0.1:{port}/a/path", [pid]


@asynccontextmanager
async def _gateway(
    plan: Plan,
    folder: Path,
    kind: GuestKind,
    compiled: dict[GuestKind, Path],
    *,
    confined: bool = True,
    instances: Instances = Instances.FRESH,
) -> AsyncIterator[tuple[str, list[int]]]:
    """Workers as a node starts them."""
    digest: Digest = digest_of(kind.value.encode())
    service = ServiceId(f"hello-abcdefghijklmnop/{kind.value}")
    sandbox = Sandbox(WORKER_USER, (str(folder),)) if confined else None
    workers = Workers(Endpoint("127.0.0.1", 0), plan.workers, folder / "run", lambda _: None, sandbox=sandbox)
    await workers.start()
    try:
        route = ServiceRoute(service, digest, kind, instances=instances)
        workers.push(RoutingTable(1, (route,)), {digest: str(compiled[kind])})
        await workers.applied(1)
        pids = [status.pid for status in workers.statuses if status.pid is not None]
        yield f"http://127.0.0.1:{workers.port}/{service}/a/path", pids
    finally:
        await workers.stop(0.1)


async def _load(wrk: Path, url: str, pids: list[int], plan: Plan) -> _Round:
    await _wrk(wrk, url, _WARM_UP_S, plan)
    before_s = sum(map(_cpu_s, pids))
    said = await _wrk(wrk, url, plan.seconds, plan)
    cpu_s = sum(map(_cpu_s, pids)) - before_s
    return _Round(
        requests=int(_number(said, r"(\d+) requests in")),
        requests_s=_number(said, r"Requests/sec:\s+([\d.]+)"),
        p50_ms=_time_ms(said, "50%"),
        p99_ms=_time_ms(said, "99%"),
        cpu_s=cpu_s,
        memory_mb=sum(map(resident_mb, pids)),
    )


async def _wrk(wrk: Path, url: str, seconds: int, plan: Plan) -> str:
    process = await asyncio.create_subprocess_exec(
        *(str(wrk), "-t1", f"-c{plan.connections}", f"-d{seconds}s", "--timeout", "30s", "--latency", url),
        stdout=asyncio.subprocess.PIPE,
    )
    said = (await process.communicate())[0].decode()
    if process.returncode != 0 or "Non-2xx" in said or "Socket errors" in said:
        raise LocalError(f"requests failed: {said}", where=url)
    return said


def _number(said: str, pattern: str) -> float:
    match = re.search(pattern, said)
    if match is None:
        raise LocalError(f"wrk said something else than expected: {said}", where="bench wasm")
    return float(match[1])


def _time_ms(said: str, quantile_name: str) -> float:
    match = re.search(rf"{quantile_name}\s+([\d.]+)(us|ms|s)", said)
    if match is None:
        raise LocalError(f"wrk said something else than expected: {said}", where="bench wasm")
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _row(title: str, rounds: list[_Round]) -> Row:
    def middle(pick: Callable[[_Round], float]) -> float:
        return statistics.median(map(pick, rounds))

    cpu_us = middle(lambda one: one.cpu_s / one.requests * 1e6)
    return Row(
        title,
        cpu_us=round(cpu_us, 1),
        core_requests_s=round(1e6 / cpu_us),
        requests_s=round(middle(lambda one: one.requests_s)),
        p50_ms=round(middle(lambda one: one.p50_ms), 3),
        p99_ms=round(middle(lambda one: one.p99_ms), 3),
        memory_mb=round(middle(lambda one: one.memory_mb), 1),
    )
