"""What a site keeps in memory: idle, and with thousands of services nobody uses.

And how soon the first request to one of them is answered.

Each of the services has a compiled file of its own, so that nothing is shared between them but the engine.
"""

import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from footloose.bench import hello, peers
from footloose.bench.figures import quantile
from footloose.bench.memory import resident_mb
from footloose.core.digest import Digest, digest_of
from footloose.core.errors import LocalError
from footloose.model.app import GuestKind, ServiceId
from footloose.model.routing import RoutingTable, ServiceRoute
from footloose.model.site import Endpoint
from footloose.node.config import WORKER_USER
from footloose.node.control import Sandbox
from footloose.node.workers import Workers

Say = Callable[[str], None]

WANTED_NODE_MB, WANTED_WORKER_MB = 80.0, 50.0
WANTED_SERVICES, WANTED_SERVICES_MB, WANTED_FIRST_MS = 10_000, 100.0, 5.0
_ANSWER = b"Hello from a handler: GET /x\n"
_READY_S = 60.0


class Plan(msgspec.Struct, frozen=True):
    """What is run. ``asked`` services, drawn at random, get one request each."""

    services: tuple[int, ...] = (1_000, 10_000)
    asked: int = 1_000
    seed: int = 1


class Row(msgspec.Struct, frozen=True):
    """So many services: memory more than without them, and milliseconds of a first request, one after the other."""

    services: int
    worker_mb: float
    table_mb: float
    """In the process that keeps the table for its workers, as the node does."""
    applied_ms: float
    first_p50_ms: float
    first_p99_ms: float
    used_worker_mb: float
    """More than without them once ``asked`` have had their request."""


class Result(msgspec.Struct, frozen=True):
    """All rows, and an idle site: its node and its worker."""

    plan: Plan
    node_mb: float
    worker_mb: float
    rows: tuple[Row, ...]
    load_before: float


async def run(plan: Plan, say: Say) -> Result:
    """All of it. ``say`` tells of progress. Raises :class:`LocalError` if a site does not start."""
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="footloose-bench-") as name:
        folder = Path(name)
        say("an idle site")
        node_mb, worker_mb = await _idle(folder / "site")
        compiled = (await hello.compiled(folder))[GuestKind.HANDLER]
        rows = []
        for services in plan.services:
            say(f"{services} services")
            rows.append(await _row(folder / str(services), compiled, services, plan))
    return Result(plan, node_mb, worker_mb, tuple(rows), load_before)


async def _idle(state: Path) -> tuple[float, float]:
    command = (sys.executable, "-m", "footloose", "node", "--json", "--state", str(state), "--membership", "off")
    ports = [word for kind in ("gateway", "api", "dht") for word in (f"--{kind}-port", str(peers.free_port()))]
    process = await asyncio.create_subprocess_exec(
        *command, *ports, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None  # noqa: S101  asked for above
    try:
        async with asyncio.timeout(_READY_S):
            if not await process.stdout.readline():
                said = await process.communicate()
                raise LocalError(f"the site did not start: {said[1].decode()[-500:]}", where="bench footprint")
        return resident_mb(process.pid), resident_mb(_worker_of(process.pid))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def _worker_of(node: int) -> int:
    children = Path(f"/proc/{node}/task/{node}/children").read_text().split()
    return next(int(child) for child in children if b"node.worker" in Path(f"/proc/{child}/cmdline").read_bytes())


async def _row(folder: Path, compiled: Path, services: int, plan: Plan) -> Row:
    workers = Workers(
        Endpoint("127.0.0.1", 0), 1, folder / "run", lambda _: None, sandbox=Sandbox(WORKER_USER, (str(folder),))
    )
    await workers.start()
    try:
        (status,) = workers.statuses
        assert status.pid is not None  # noqa: S101  it has started
        before_mb, own_before_mb = resident_mb(status.pid), resident_mb(os.getpid())
        table, paths = _table(folder, compiled, services)
        began = time.perf_counter()
        workers.push(table, paths)
        await workers.applied(table.version)
        applied_ms = (time.perf_counter() - began) * 1000.0
        idle_mb, own_mb = resident_mb(status.pid), resident_mb(os.getpid())
        times = await _first_requests(workers.port, services, plan)
        return Row(
            services,
            worker_mb=round(idle_mb - before_mb, 1),
            table_mb=round(own_mb - own_before_mb, 1),
            applied_ms=round(applied_ms),
            first_p50_ms=round(quantile(times, 0.5), 2),
            first_p99_ms=round(quantile(times, 0.99), 2),
            used_worker_mb=round(resident_mb(status.pid) - before_mb, 1),
        )
    finally:
        await workers.stop(0.1)


def _service(number: int) -> ServiceId:
    return ServiceId(f"hello-abcdefghijklmnop/s{number}")


def _table(folder: Path, compiled: Path, services: int) -> tuple[RoutingTable, dict[Digest, str]]:
    folder.mkdir(exist_ok=True)
    digest_file = compiled.with_name(compiled.name + ".sha256")
    paths: dict[Digest, str] = {}
    routes = []
    for number in range(services):
        path = folder / f"{number}.cwasm"
        shutil.copyfile(compiled, path)
        shutil.copyfile(digest_file, path.with_name(path.name + ".sha256"))
        digest = digest_of(str(number).encode())
        paths[digest] = str(path)
        routes.append(ServiceRoute(_service(number), digest, GuestKind.HANDLER))
    return RoutingTable(1, tuple(routes)), paths


async def _first_requests(port: int, services: int, plan: Plan) -> list[float]:
    chosen = random.Random(plan.seed).sample(range(services), min(plan.asked, services))  # noqa: S311  replayable
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    try:
        for number in chosen:
            began = time.perf_counter()
            writer.write(f"GET /{_service(number)}/x HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 ") or await reader.readexactly(len(_ANSWER)) != _ANSWER:
                raise LocalError(f"service {number} answered otherwise: {head!r}", where="bench footprint")
            times.append((time.perf_counter() - began) * 1000.0)
    finally:
        writer.close()
    return times
