"""Name servers for tests: Debian's nsd with a root zone of the test's own, a counting relay, one that is silent."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest

from footloose.model.site import Endpoint
from free_ports import free_port


@contextlib.contextmanager
def nsd(folder: Path, zones: Mapping[str, str]) -> Iterator[Endpoint]:
    """A real authoritative server for ``zones`` (by name, their records without SOA and NS)."""
    program = shutil.which("nsd", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        pytest.skip("nsd is not installed (Debian package nsd)")
    port = free_port()
    clauses = []
    for number, (zone, records) in enumerate(zones.items()):
        head = f"$ORIGIN {zone}\n$TTL 300\n@ SOA ns admin 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"
        (folder / f"zone-{number}").write_text(head + records)
        clauses.append(f'zone:\n    name: "{zone}"\n    zonefile: "zone-{number}"\n')
    (folder / "nsd.conf").write_text(
        f"""server:
    ip-address: 127.0.0.1@{port}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{folder}"
    database: ""
    pidfile: "{folder}/nsd.pid"
    xfrdfile: "{folder}/xfrd.state"
    zonelistfile: "{folder}/zone.list"
    xfrdir: "{folder}"
    rrl-ratelimit: 0
remote-control:
    control-enable: no
{"".join(clauses)}"""
    )
    with (folder / "nsd.log").open("wb") as log:
        process = subprocess.Popen([program, "-d", "-c", str(folder / "nsd.conf")], stdout=log, stderr=log)
    try:
        _wait_until_it_answers(port, next(iter(zones)), process, folder / "nsd.log")
        yield Endpoint("127.0.0.1", port)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(port: int, zone: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    question = dns.message.make_query(zone, "SOA")
    for _ in range(100):
        if process.poll() is not None:
            break
        with contextlib.suppress(dns.exception.DNSException, OSError):
            if dns.query.udp(question, "127.0.0.1", port=port, timeout=0.2).answer:
                return
    pytest.fail(f"nsd does not answer: {log.read_text()}")


@pytest.fixture
def silent() -> Iterator[Endpoint]:
    """A socket that takes questions and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        yield Endpoint(*udp.getsockname())


class Relay(asyncio.DatagramProtocol):
    """Passes questions on to a server and answers back, and remembers what was asked."""

    def __init__(self, server: Endpoint) -> None:
        self.asked: list[str] = []
        self._server = server
        self._askers: dict[object, object] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        message = dns.message.from_wire(data)
        asked = f"{message.question[0].name} {message.question[0].rdtype.name}"
        of = (message.id, asked)  # two questions under way may have the same id
        if addr == (self._server.host, self._server.port):
            self._transport.sendto(data, self._askers[of])
        else:
            self._askers[of] = addr
            self.asked.append(asked)
            self._transport.sendto(data, (self._server.host, self._server.port))


@contextlib.asynccontextmanager
async def relay_to(server: Endpoint) -> AsyncIterator[tuple[Endpoint, Relay]]:
    loop = asyncio.get_running_loop()
    transport, relay = await loop.create_datagram_endpoint(lambda: Relay(server), local_addr=("127.0.0.1", 0))
    try:
        yield Endpoint(*transport.get_extra_info("sockname")), relay
    finally:
        transport.close()
