"""The DNS of a topology: names of routers, addresses back to names, and the sites of each provider, served by NSD.

Providers announce their sites as ``_edge._tcp`` SRV records in the domain their routers' names are in
(ExEC §2.2, listing 1). The name server is the real one; see :func:`serve`.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from footloose.core.errors import LocalError
from footloose.testbed.addresses import AddressPlan
from footloose.testbed.net import Testbed
from footloose.testbed.topology import Topology

TTL_S: Final = 60
ROOT_ZONE: Final = "."
REVERSE_ZONE: Final = "10.in-addr.arpa"
DNS_PORT: Final = 53
_STARTED: Final = b"nsd started"
_STOP_TIMEOUT_S: Final = 10.0


class EdgeService(msgspec.Struct, frozen=True):
    """A site to announce: its API ``port`` on a host, in the host's domain. ``target`` is the host's name if empty."""

    host: str
    port: int
    target: str = ""
    priority: int = 10
    weight: int = 10


class Zone(msgspec.Struct, frozen=True):
    """One zone: its name without the last dot (the root is "."), and its file."""

    name: str
    text: str

    @property
    def file_name(self) -> str:
        """What its file is called."""
        return f"{'root' if self.name == ROOT_ZONE else self.name}.zone"


class NameServer(msgspec.Struct, frozen=True):
    """Where a name server answers."""

    address: str
    port: int


def zones_of(topology: Topology, services: Iterable[EdgeService] = ()) -> tuple[Zone, ...]:
    """All zones: one for each domain, the reverse zone, and a root, so that other names are said not to exist.

    Raises :class:`LocalError` for a service on a host that has no domain.
    """
    plan = AddressPlan(topology)
    records: dict[str, list[str]] = {}
    pointers: list[str] = []
    for router in topology.routers:
        if not router.domain:
            continue
        for interface in plan.of_router(router.name):
            label = f"if{interface.number}.{router.dns or router.name}"
            records.setdefault(router.domain, []).append(f"{label} IN A {interface.address}")
            pointers.append(f"{_reversed(interface.address)} IN PTR {label}.{router.domain}.")
    for service in services:
        host = topology.host(service.host)
        if not host.domain:
            fix = "give the host a domain"
            raise LocalError(f"{host.name} is in no domain", where=topology.name, fix=fix)
        target = service.target or host.name
        own = records.setdefault(host.domain, [])
        own.append(f"_edge._tcp IN SRV {service.priority} {service.weight} {service.port} {target}")
        own.append(f"{target} IN A {plan.hosts[host.name]}")
    forward = tuple(_zone(domain, lines) for domain, lines in records.items())
    return (_zone(ROOT_ZONE, ()), *forward, _zone(REVERSE_ZONE, pointers))


def write(zones: Sequence[Zone], directory: Path, address: str, port: int = DNS_PORT) -> Path:
    """Write the zone files and an ``nsd.conf`` for a server at ``address``; returns the latter's path."""
    stanzas = []
    for zone in zones:
        (directory / zone.file_name).write_text(zone.text, encoding="ascii")
        stanzas.append(f'zone:\n  name: "{zone.name}"\n  zonefile: "{zone.file_name}"\n')
    path = directory / "nsd.conf"
    path.write_text(_CONFIGURATION.format(address=address, port=port, directory=directory) + "".join(stanzas))
    return path


@contextmanager
def serve(net: Testbed, host: str, zones: Sequence[Zone], port: int = DNS_PORT) -> Iterator[NameServer]:
    """Run NSD inside a host until the end of the ``with`` block.

    Raises :class:`LocalError` if NSD is not installed or does not start; its own words are in the message.
    """
    program = shutil.which("nsd") or shutil.which("nsd", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise LocalError("NSD is not installed", where=host, fix="install the package nsd")
    place = net.host(host)
    with tempfile.TemporaryDirectory(prefix="footloose-dns-") as directory:
        configuration = write(zones, Path(directory), place.address, port)
        process = place.popen([program, "-d", "-c", str(configuration)], stderr=subprocess.PIPE)
        try:
            _await_start(process, host)
            yield NameServer(place.address, port)
        finally:
            _stop(process)


def _await_start(process: subprocess.Popen[bytes], host: str) -> None:
    said = []
    assert process.stderr is not None  # noqa: S101 - popen was told to make it
    for line in process.stderr:
        if _STARTED in line:
            return
        said.append(line.decode(errors="replace").strip().partition(" error: ")[2])
    raise LocalError(f"NSD did not start: {'; '.join(filter(None, said))}", where=host)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _zone(name: str, lines: Sequence[str]) -> Zone:
    head = (
        f"$ORIGIN {name.rstrip('.')}.",
        f"$TTL {TTL_S}",
        f"@ IN SOA ns hostmaster 1 3600 600 86400 {TTL_S}",
        "@ IN NS ns.testbed.invalid.",
    )
    return Zone(name, "\n".join((*head, *dict.fromkeys(lines), "")))


def _reversed(address: str) -> str:
    _, *rest = address.split(".")
    return ".".join(reversed(rest))


_CONFIGURATION: Final = """\
server:
  ip-address: {address}@{port}
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "{directory}"
  database: ""
  pidfile: ""
  zonelistfile: "{directory}/zone.list"
  xfrdfile: ""
  xfrdir: "{directory}"
  hide-version: yes
  verbosity: 0
remote-control:
  control-enable: no
"""
