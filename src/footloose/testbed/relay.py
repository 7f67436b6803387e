"""Where no namespaces are to be had: hosts as loopback addresses, and a TCP relay that adds the delays.

It has the surface of :class:`footloose.testbed.net.Testbed` so far as that can be had; :data:`NOT_REAL` is the rest.
"""

import asyncio
import contextlib
import os
import subprocess
import threading
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from footloose.core.errors import LocalError
from footloose.testbed.routes import Routes
from footloose.testbed.topology import Topology

NOT_REAL: Final = (
    "there are no router hops to trace",
    "only TCP to exposed ports is delayed; UDP and everything else goes at once",
    "connections open at once: only what is said over them takes its time",
    "there is no packet loss, no jitter, no rate and no queue",
    "the kernel's own round-trip estimates (TCP_INFO) are those of the loopback interface",
    "a cut link ends connections, and refuses new ones, instead of losing their packets",
    "hosts are kept apart by address alone: a process can use another host's",
    "processes outlive an owner that is killed",
)

CHUNK_BYTES: Final = 64 * 1024
CHUNKS_IN_FLIGHT: Final = 256
"""Per direction of a connection; the sender waits when there are more."""
ANSWER_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 5.0
_ACCEPT_ROUNDS: Final = 4
"""Rounds of the loop until a connection is accepted: asyncio leaves one open whose server is closed meanwhile."""


class LoopbackHost:
    """A host that is two addresses and nothing else: ``address`` is its own, ``face`` the one others know it by."""

    def __init__(self, net: "LoopbackNet", name: str, address: str, face: str) -> None:
        self.name = name
        self.address = address
        self.face = face
        self._net = net

    def argv(self, command: Sequence[str]) -> list[str]:
        """``command`` as it is: the process must itself bind to this host's address."""
        return list(command)

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start ``command``; it is killed when the net goes down."""
        process: subprocess.Popen[Any] = subprocess.Popen(self.argv(command), **options)
        self._net.keep(process)
        return process

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run ``command`` to its end."""
        return subprocess.run(self.argv(command), check=options.pop("check", False), **options)


class LoopbackNet:
    """A topology of which only the delays between hosts are kept, for connections to exposed ports.

    A process on host X must connect *from* X's address, which is how the relay knows the delay. Whom it connects to
    sees it come from X's face, where X's own exposed ports are to be found.
    """

    not_real = NOT_REAL

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._routes = Routes(topology)
        self._hosts = {
            host.name: LoopbackHost(self, host.name, _address(1, index), _address(128, index))
            for index, host in enumerate(topology.hosts)
        }
        self._by_address = {host.address: host.name for host in self._hosts.values()}
        self._exposed: dict[tuple[str, int], asyncio.Server] = {}
        self._connections: dict[asyncio.Task[None], tuple[str, str]] = {}
        self._started: list[subprocess.Popen[Any]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loopback-relay", daemon=True)

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> Self:
        """Start the relay."""
        self._thread.start()
        return self

    def down(self) -> None:
        """Kill what was started, end all connections and stop the relay."""
        for process in self._started:
            process.kill()
            process.wait()
        if self._thread.is_alive():
            self._do(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_TIMEOUT_S)
            self._loop.close()

    def keep(self, process: subprocess.Popen[Any]) -> None:
        """Remember a process, to kill it at the end."""
        self._started.append(process)

    def host(self, name: str) -> LoopbackHost:
        """A host by name. Raises :class:`LocalError` if there is none."""
        self.topology.host(name)
        return self._hosts[name]

    @property
    def hosts(self) -> dict[str, LoopbackHost]:
        """All hosts by name."""
        return dict(self._hosts)

    def rtt_ms(self, a: str, b: str) -> float:
        """The round trip between two nodes. Raises :class:`LocalError` if no way is left between them."""
        one_way = self._routes.delay_ms(a, b)
        if one_way is None:
            raise LocalError(f"no way is left from {a} to {b}", where=self.topology.name, fix="heal a link")
        return 2 * one_way

    def cut(self, a: str, b: str) -> None:
        """Take a link out: connections whose hosts have no other way end."""
        self._routes.cut(a, b)
        self._do(self._end_stranded())

    def heal(self, a: str, b: str) -> None:
        """Put a link back."""
        self._routes.heal(a, b)

    def expose(self, host: str, port: int) -> tuple[str, int]:
        """Relay what comes to the address returned on to ``port`` of a host, each way after the path's delay.

        Raises :class:`LocalError` if something else listens there.
        """
        place = self.host(host)
        if (host, port) not in self._exposed:
            self._exposed[host, port] = self._do(self._listen(place, port))
        return place.face, port

    # In the relay's own thread

    def _do(self, work: Awaitable[Any]) -> Any:
        async def waited() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(waited(), self._loop).result(ANSWER_TIMEOUT_S)

    async def _listen(self, host: LoopbackHost, port: int) -> asyncio.Server:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._relay(host, port, reader, writer))
            task.add_done_callback(lambda _: writer.close())  # also if it is ended before it began

        try:
            return await asyncio.start_server(accept, host.face, port)
        except OSError as error:
            raise LocalError(
                f"the relay cannot listen here: {os.strerror(error.errno or 0)}",
                where=f"{host.face}:{port}",
                fix="end the other testbed without namespaces that uses these addresses, or wait for its end",
            ) from error

    async def _relay(
        self, host: LoopbackHost, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        source = writer.get_extra_info("peername")[0]
        task = asyncio.current_task()
        name = self._by_address.get(source)
        if task is None or name is None or self._routes.delay_ms(name, host.name) is None:
            writer.transport.abort()
            return
        self._connections[task] = (name, host.name)
        onward: asyncio.StreamWriter | None = None
        try:
            back, onward = await asyncio.open_connection(host.address, port, local_addr=(self._hosts[name].face, 0))
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, onward, name, host.name))
                pumps.create_task(self._pump(back, writer, name, host.name))
        except* OSError:
            pass  # either end went away: the other is told by the closing below
        except* asyncio.CancelledError:
            pass  # the way was cut, or the net goes down
        finally:
            del self._connections[task]
            for end in (writer, onward):
                if end is not None:
                    end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, a: str, b: str) -> None:
        """Pass bytes on, each chunk once its time has come; its end too."""
        loop = asyncio.get_running_loop()
        flight: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_IN_FLIGHT)

        async def take() -> None:
            chunk = b"first"
            while chunk:
                chunk = await reader.read(CHUNK_BYTES)
                await flight.put((loop.time() + (self._routes.delay_ms(a, b) or 0.0) / 1e3, chunk))

        async def give() -> None:
            while True:
                due, chunk = await flight.get()
                await asyncio.sleep(due - loop.time())
                if not chunk:
                    writer.write_eof()
                    return
                writer.write(chunk)
                await writer.drain()

        async with asyncio.TaskGroup() as both:
            both.create_task(take())
            both.create_task(give())

    async def _end_stranded(self) -> None:
        stranded = [task for task, ends in self._connections.items() if self._routes.delay_ms(*ends) is None]
        await _cancel(stranded)

    async def _close(self) -> None:
        for _ in range(_ACCEPT_ROUNDS):
            await asyncio.sleep(0)
        for server in self._exposed.values():
            server.close()
        await _cancel([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
        await asyncio.sleep(0)  # transports are closed in the loop's next round


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)


def _address(first: int, index: int) -> str:
    return f"127.{first + index // 256}.{index % 256}.10"
