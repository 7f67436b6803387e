"""Worker processes and who looks after them: real processes, killed, frozen and orphaned."""

import asyncio
import os
import signal
import socket
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from footloose.core.digest import Digest, digest_of
from footloose.core.errors import LimitExceeded, LocalError, RemoteError
from footloose.core.limits import CONTROL_FRAME_BYTES, WORKER_RESTART_S
from footloose.gateway.tls import Certificate
from footloose.model.app import GuestKind, Instances, ServiceId
from footloose.model.network import Observation, Prefix
from footloose.model.routing import RoutingTable, ServiceRoute, WorkerReport
from footloose.model.site import Endpoint
from footloose.node import workers as workers_module
from footloose.node.control import (
    Applied,
    Beat,
    FrameReader,
    Present,
    Reported,
    Retire,
    Sandbox,
    TableUpdate,
    frame,
    from_worker,
    to_worker,
)
from footloose.node.workers import Levels, RestartPace, Workers
from footloose.runtimes.wasm.compiler import Compiler

FAKE = (sys.executable, str(Path(__file__).with_name("node_fake_worker.py")))
REAL = (sys.executable, "-m", "footloose.node.worker")
HERE = Prefix("127.0.0.0/24")
SAMPLES = Path(__file__).parents[2] / "src" / "footloose" / "samples"


def service(name: str) -> ServiceId:
    return ServiceId(f"demo-abcdefgh/{name}")


def digest(name: str) -> Digest:
    return digest_of(name.encode())


def table(version: int, *names: str) -> tuple[RoutingTable, dict[Digest, str]]:
    routes = tuple(ServiceRoute(service(name), digest(name), GuestKind.HANDLER) for name in names)
    return RoutingTable(version, routes), {digest(name): name for name in names}


class Made:
    """Workers and what they reported."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.reports: list[WorkerReport] = []
        self.all: list[Workers] = []

    async def start(self, count: int = 1, command: Sequence[str] = FAKE, listen: Endpoint | None = None) -> Workers:
        listen = listen or Endpoint("127.0.0.1", 0)
        made = Workers(listen, count, self.run_dir, self.reports.append, command=command)
        self.all.append(made)
        await made.start()
        return made


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    """Starts workers, and stops them all whatever happens."""
    one = Made(tmp_path / "run")
    yield one
    for workers in one.all:
        await workers.stop(0.2)


async def eventually(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def fetch(workers: Workers, name: str, rest: str = "/") -> str:
    """What a service answers, as the body's text or the status if it is no 200; ``cut off`` if nothing came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", workers.port)
    try:
        writer.write(f"GET /{service(name)}{rest} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        data = await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        data = b""
    finally:
        writer.transport.abort()
    if not data:
        return "cut off"
    head, _, body = data.partition(b"\r\n\r\n")
    status = head.split(b" ")[1].decode()
    return body.decode() if status == "200" else status


def pids(workers: Workers) -> list[int]:
    return [status.pid for status in workers.statuses if status.pid is not None]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def kernel_facts(pid: int | None) -> dict[str, list[str]]:
    """What the kernel says of a process, word by word."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


async def test_workers_serve_what_they_are_told_and_report_whom(made: Made) -> None:
    workers = await made.start(2)
    assert await fetch(workers, "hello") == "404"
    workers.push(*table(5, "hello"))
    await workers.applied(5)
    assert [(status.index, status.serving, status.version, status.restarts) for status in workers.statuses] == [
        (0, True, 5, 0),
        (1, True, 5, 0),
    ]
    assert int(await fetch(workers, "hello")) in pids(workers)
    await eventually(lambda: bool(made.reports))
    (seen,) = made.reports[0].observations
    assert (seen.service, seen.prefix, seen.requests) == (service("hello"), HERE, 1)


async def test_workers_that_have_begun_serve_nobody_before_the_start_and_then_by_the_latest_table(made: Made) -> None:
    workers = Workers(Endpoint("127.0.0.1", 0), 2, made.run_dir, made.reports.append, command=FAKE)
    made.all.append(workers)
    workers.begin()
    early = asyncio.create_task(fetch(workers, "hello"))
    await eventually(lambda: len(pids(workers)) == 2)
    workers.push(*table(1))
    workers.push(*table(2, "hello"))
    assert [(status.serving, status.version) for status in workers.statuses] == [(False, -1)] * 2
    await workers.start()
    assert [(status.serving, status.version) for status in workers.statuses] == [(True, 2)] * 2
    assert int(await early) in pids(workers)


async def test_an_older_table_does_not_replace_a_newer_one(made: Made) -> None:
    workers = await made.start()
    workers.push(*table(2, "hello"))
    workers.push(*table(1))
    workers.push(*table(2))
    await workers.applied(2)
    assert (await fetch(workers, "hello")).isdigit()


async def test_tables_pushed_in_a_burst_do_not_pile_up(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = await made.start()
    sent: list[int] = []

    def counted(update: TableUpdate) -> bytes:
        sent.append(update.table.version)
        return frame(update)

    monkeypatch.setattr(workers_module, "frame", counted)
    for version in range(1, 501):
        workers.push(*table(version, "hello"))
    await workers.applied(500)
    assert sent[0] == 1
    assert sent[-1] == 500
    assert len(sent) < 10


async def test_a_killed_worker_is_replaced_while_the_other_serves(made: Made) -> None:
    workers = await made.start(2)
    workers.push(*table(1, "hello"))
    await workers.applied(1)
    victim, other = pids(workers)
    answers: list[str] = []
    stop = asyncio.Event()

    async def user() -> None:
        while not stop.is_set():
            answers.append(await fetch(workers, "hello"))

    users = [asyncio.create_task(user()) for _ in range(3)]
    await eventually(lambda: len(answers) > 20)
    os.kill(victim, signal.SIGKILL)
    await eventually(lambda: workers.statuses[0].restarts == 1 and workers.statuses[0].serving)
    before = len(answers)
    await eventually(lambda: len(answers) > before + 20)
    stop.set()
    await asyncio.gather(*users, return_exceptions=True)
    assert pids(workers)[0] != victim
    assert pids(workers)[1] == other
    assert workers.statuses[0].version == 1
    lost = [answer for answer in answers if not answer.isdigit()]
    assert len(lost) <= len(users)  # those that were being answered by it
    assert str(other) in answers


async def test_a_worker_that_crashes_on_a_request_takes_only_that_with_it(made: Made) -> None:
    workers = await made.start()
    workers.push(*table(1, "die", "hello"))
    await workers.applied(1)
    reader, writer = await asyncio.open_connection("127.0.0.1", workers.port)
    writer.write(f"GET /{service('die')}/ HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert await reader.read() == b""
    writer.close()
    assert (await fetch(workers, "hello")).isdigit()  # waits in the socket's queue for the next worker
    assert workers.statuses[0].restarts == 1


async def test_a_worker_that_hangs_is_replaced(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "WORKER_SILENT_S", 2.0)
    workers = await made.start(2)
    workers.push(*table(1, "hello"))
    await workers.applied(1)
    victim = pids(workers)[1]
    os.kill(victim, signal.SIGSTOP)
    await eventually(lambda: workers.statuses[1].restarts == 1 and workers.statuses[1].serving)
    assert not alive(victim)
    assert workers.statuses[0].restarts == 0


async def test_workers_are_not_taken_for_hung_because_they_and_their_node_stood_still(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "WORKER_SILENT_S", 2.0)
    workers = await made.start(2)
    workers.push(*table(1, "hello"))
    await workers.applied(1)
    before = pids(workers)
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    threading.Event().wait(2.6)  # the node too: its loop does not run
    await asyncio.sleep(2 * workers_module._EXIT_S)  # it is the first to go on, with time enough to give them up
    for pid in before:
        os.kill(pid, signal.SIGCONT)
    workers.push(*table(2, "hello"))
    await workers.applied(2)
    assert int(await fetch(workers, "hello")) in before
    assert [(status.pid, status.restarts) for status in workers.statuses] == [(pid, 0) for pid in before]


async def test_a_worker_stuck_in_a_table_is_replaced_and_stopping_does_not_wait_for_it(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "WORKER_SILENT_S", 2.0)
    workers = await made.start()
    first = pids(workers)
    workers.push(*table(1, "freeze"))
    await eventually(lambda: workers.statuses[0].restarts >= 1)
    assert not alive(first[0])
    workers.push(*table(2, "hello"))
    await eventually(lambda: workers.statuses[0].restarts >= 2 or workers.statuses[0].version == 2)


async def test_the_websockets_of_a_lost_worker_are_reported_closed(made: Made) -> None:
    workers = await made.start()
    workers.push(*table(1, "hello"))
    await workers.applied(1)
    async with connect(f"ws://127.0.0.1:{workers.port}/{service('hello')}/") as user:
        await eventually(lambda: any(one.open_websockets for report in made.reports for one in report.observations))
        os.kill(pids(workers)[0], signal.SIGKILL)
        await user.wait_closed()
    await eventually(lambda: made.reports[-1].observations[-1].open_websockets == 0)


async def test_workers_end_when_their_node_is_gone(tmp_path: Path) -> None:
    """A node that is killed leaves no orphans, not even with an endless guest and an open WebSocket."""
    script = textwrap.dedent(f"""
        import asyncio, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_node_workers import FAKE, Workers, pids, table
        from footloose.model.site import Endpoint
        async def main():
            workers = Workers(Endpoint("127.0.0.1", 0), 2, Path({str(tmp_path)!r}), print, command=FAKE)
            await workers.start()
            workers.push(*table(1, "hello", "endless"))
            await workers.applied(1)
            print(workers.port, *pids(workers), file=sys.stderr, flush=True)
            await asyncio.sleep(1000)
        asyncio.run(main())
    """)
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert node.stderr is not None
    try:
        port, *workers = [int(word) for word in (await asyncio.wait_for(node.stderr.readline(), 30)).split()]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /{service('endless')}/ HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        async with connect(f"ws://127.0.0.1:{port}/{service('hello')}/") as user:
            node.kill()
            await eventually(lambda: not any(alive(pid) for pid in workers), 10)
            await user.wait_closed()
            assert user.close_code == 1012
        writer.close()
        del reader
    finally:
        if node.returncode is None:
            node.kill()
        await node.communicate()  # to the end of its output too, which its workers hold open


async def test_sigterm_lets_a_worker_finish_what_it_has_begun(made: Made) -> None:
    workers = await made.start()
    workers.push(*table(1, "slow", "hello"))
    await workers.applied(1)
    pid = pids(workers)[0]
    begun = asyncio.create_task(fetch(workers, "slow"))
    async with connect(f"ws://127.0.0.1:{workers.port}/{service('hello')}/") as user:
        await eventually(
            lambda: any(one.service == service("slow") for report in made.reports for one in report.observations)
        )
        await workers.stop()
        await user.wait_closed()
        assert user.close_code == 1012
    assert await begun == str(pid)
    assert not alive(pid)
    assert workers.statuses[0].pid is None
    assert workers.statuses[0].restarts == 0


async def test_a_worker_that_does_not_stop_is_ended(made: Made) -> None:
    workers = await made.start()
    workers.push(*table(1, "endless"))
    await workers.applied(1)
    pid = pids(workers)[0]
    task = asyncio.create_task(fetch(workers, "endless"))
    await eventually(lambda: bool(made.reports))
    os.kill(pid, signal.SIGSTOP)
    await workers.stop(0.2)
    assert not alive(pid)
    await asyncio.gather(task, return_exceptions=True)


async def test_a_port_that_is_taken_is_named_with_what_to_do(made: Made) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = Endpoint("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(LocalError, match=f"{endpoint}: .*in use.*stop what uses the address"):
            await made.start(listen=endpoint)
    with pytest.raises(LocalError, match=r"192\.0\.2\.1:0: "):
        await made.start(listen=Endpoint("192.0.2.1", 0))


async def test_workers_that_do_not_come_up_are_an_error_of_the_start(made: Made) -> None:
    with pytest.raises(LocalError, match="did not come up: it exited with code 3"):
        await made.start(2, command=(*FAKE, "broken"))
    with pytest.raises(LocalError, match="could not be started"):
        await made.start(command=("/no/such/program",))
    with pytest.raises(LocalError, match="not started"):
        _ = Workers(Endpoint("127.0.0.1", 0), 1, made.run_dir, made.reports.append).port


async def test_a_worker_that_never_serves_is_given_up(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "WORKER_START_S", 0.3)
    with pytest.raises(LocalError, match="too long to start"):
        await made.start(command=(*FAKE, "mute"))


async def test_both_families_are_served_on_one_socket(made: Made) -> None:
    workers = await made.start(listen=Endpoint("::", 0))
    workers.push(*table(1, "hello"))
    await workers.applied(1)
    assert (await fetch(workers, "hello")).isdigit()
    reader, writer = await asyncio.open_connection("::1", workers.port)
    writer.write(f"GET /{service('hello')}/ HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n".encode())
    assert b"200 OK" in await reader.read()
    writer.close()

    def prefixes() -> set[Prefix]:
        return {one.prefix for report in made.reports for one in report.observations}

    await eventually(lambda: len(prefixes()) >= 2)
    assert prefixes() == {HERE, Prefix("::/48")}


async def test_the_real_worker_serves_a_real_guest(made: Made, tmp_path: Path) -> None:
    """The samples' hello, compiled and called, by the worker as nodes start it."""
    compiler = Compiler()
    try:
        kinds = {"hello_handler": GuestKind.HANDLER, "hello_command": GuestKind.COMMAND}
        compiled = {name: await compiler.compile(SAMPLES / "hello" / f"{name}.wasm", tmp_path) for name in kinds}
    finally:
        await compiler.close()
    workers = await made.start(command=REAL)
    routes = tuple(ServiceRoute(service(name), digest(name), kind) for name, kind in kinds.items())
    workers.push(RoutingTable(1, routes), {digest(name): str(path) for name, path in compiled.items()})
    await workers.applied(1)
    warm = ServiceRoute(service("warm"), digest("hello_handler"), GuestKind.HANDLER, instances=Instances.WARM)
    workers.push(RoutingTable(2, (*routes, warm)), {digest(name): str(path) for name, path in compiled.items()})
    await workers.applied(2)
    for _ in range(30):  # first in threads, then on the loop
        assert await fetch(workers, "warm", "/there") == "Hello from a handler: GET /there\n"
        assert await fetch(workers, "hello_handler", "/there") == "Hello from a handler: GET /there\n"
        assert await fetch(workers, "hello_command", "/here") == "Hello from a command: GET /here\n"


async def test_the_real_worker_is_confined_before_it_serves_and_says_how(made: Made, tmp_path: Path) -> None:
    """The kernel is asked too: no new privileges, a filter, and, for a node of root, another user."""
    user = 64_807 if os.getuid() == 0 else os.getuid()
    workers = Workers(
        Endpoint("127.0.0.1", 0),
        1,
        made.run_dir,
        made.reports.append,
        sandbox=Sandbox(64_807, (str(tmp_path),)),
        command=REAL,
    )
    made.all.append(workers)
    await workers.start()
    (status,) = workers.statuses
    assert status.confined is not None
    assert status.confined.user == user
    facts = kernel_facts(status.pid)
    assert facts["Uid"] == [str(user)] * 4
    assert facts["NoNewPrivs"] == ["1"]
    assert (facts["Seccomp"] == ["2"]) == ("system calls" in status.confined.holds)
    assert int(facts["CapEff"][0], 16) in (0, 1 << 2)  # at most the one to read


async def test_whose_guest_ran_when_a_worker_was_lost_is_said(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    workers = await made.start()
    workers.push(*table(1, "hello", "endless"))
    await workers.applied(1)
    asked = asyncio.create_task(fetch(workers, "endless"))
    (pid,) = pids(workers)
    await eventually(lambda: workers.running == [service("endless")])
    os.kill(pid, signal.SIGKILL)
    assert await asked == "cut off"
    await eventually(lambda: workers.statuses[0].restarts == 1)
    assert f"ended by SIGKILL, while it ran {service('endless')}" in caplog.text


def test_a_worker_is_started_again_at_once_but_later_if_it_keeps_dying() -> None:
    pace = RestartPace()
    waits = [pace.after(0.1) for _ in range(20)]
    assert waits[0] < 0.2
    assert waits == sorted(waits)
    assert waits[-1] == WORKER_RESTART_S
    assert pace.after(WORKER_RESTART_S + 1) == waits[0]


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.integers(0, 3)), max_size=30), st.integers(0, 2))
def test_levels_are_those_of_the_whole_site(steps: list[tuple[int, str, int]], gone: int) -> None:
    levels = Levels()
    own: dict[tuple[int, str], int] = {}
    reported: dict[str, int] = {}
    for worker, prefix, level in steps:
        own[worker, prefix] = level
        report = WorkerReport(worker, 1, (Observation("s", Prefix(prefix), "a", 1, open_websockets=level),))
        (one,) = levels.of_site(worker, report).observations
        reported[one.prefix] = one.open_websockets
        assert (one.requests, one.address) == (1, "a")
        assert one.open_websockets == sum(count for (_, where), count in own.items() if where == prefix)
    for one in levels.without(gone):
        assert one.requests == 0
        reported[one.prefix] = one.open_websockets
    for prefix, level in reported.items():
        assert level == sum(count for (worker, where), count in own.items() if where == prefix and worker != gone)
    assert levels.without(gone) == ()


MESSAGES: list[Any] = [
    TableUpdate(*table(3, "hello")),
    Applied(3),
    Beat(),
    Present((Certificate("chain", "key", ("a.example",)),)),
    Retire(),
    Reported(WorkerReport(1, 3, (Observation("s", HERE, "127.0.0.1", 1),))),
]


@given(st.lists(st.sampled_from(MESSAGES), max_size=6), st.integers(1, 40))
def test_messages_survive_the_socket_however_it_cuts_them(messages: list[Any], size: int) -> None:
    data = b"".join(frame(message) for message in messages)
    reader = FrameReader()
    cut = [part for at in range(0, len(data), size) for part in reader.feed(data[at : at + size])]
    read = [
        to_worker(part) if isinstance(one, TableUpdate | Present | Retire) else from_worker(part)
        for part, one in zip(cut, messages, strict=True)
    ]
    assert read == messages


@given(st.binary(max_size=60))
def test_garbage_on_the_control_socket_is_an_error_of_the_other_side(data: bytes) -> None:
    try:
        for part in FrameReader().feed(data):
            from_worker(part)
            to_worker(part)
    except RemoteError:
        pass


def test_a_message_that_announces_itself_too_large_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        FrameReader().feed((CONTROL_FRAME_BYTES + 1).to_bytes(4, "big"))


# Replacing them while they serve.


async def test_workers_are_replaced_one_by_one_and_no_request_is_lost(made: Made) -> None:
    workers = await made.start(2)
    workers.push(*table(1, "hello"))
    await workers.applied(1)
    before = set(pids(workers))
    answered: list[str] = []
    enough = asyncio.Event()

    async def keep_asking() -> None:
        while not enough.is_set():
            reader, writer = await asyncio.open_connection("127.0.0.1", workers.port)
            try:
                while not enough.is_set():
                    writer.write(f"GET /{service('hello')}/ HTTP/1.1\r\nHost: h\r\n\r\n".encode())
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                    answered.append((await reader.readexactly(length)).decode())
                    if b"connection: close" in head.lower():
                        break
            finally:
                writer.transport.abort()

    async with asyncio.timeout(120), asyncio.TaskGroup() as users:
        for _ in range(8):
            users.create_task(keep_asking())
        await workers.replace(0)
        await workers.replace(1)
        await eventually(lambda: not any(alive(pid) for pid in before), 60)
        enough.set()
    assert set(pids(workers)).isdisjoint(before)
    assert set(map(int, answered)) & before
    assert set(map(int, answered)) & set(pids(workers))
    assert [(status.serving, status.version, status.restarts) for status in workers.statuses] == [(True, 1, 1)] * 2


async def test_what_takes_a_workers_place_is_served_the_latest_table(made: Made) -> None:
    workers = await made.start(1)
    replacing = asyncio.create_task(workers.replace(0))
    workers.push(*table(7, "hello"))
    await replacing
    await workers.applied(7)
    async with asyncio.timeout(60):
        while int(await fetch(workers, "hello")) not in pids(workers):  # noqa: ASYNC110 - the old one may be as quick
            await asyncio.sleep(0.01)


async def test_a_worker_that_does_not_come_up_takes_nobodys_place(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = await made.start(1)
    workers.push(*table(1, "hello"))
    await workers.applied(1)
    before = pids(workers)
    monkeypatch.setattr(workers, "_command", [*FAKE, "broken"])
    with pytest.raises(LocalError, match="did not come up"):
        await workers.replace(0)
    with pytest.raises(LocalError, match="there is no worker 1"):
        await workers.replace(1)
    assert [int(await fetch(workers, "hello"))] == before == pids(workers)
