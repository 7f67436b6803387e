"""Zones made from a topology, asked of a real NSD."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.reversename
import pytest

from footloose.core.errors import LocalError
from footloose.testbed import Host, Link, Router, Testbed, Topology, available, demo
from footloose.testbed.zones import EdgeService, NameServer, serve, write, zones_of

NSD = shutil.which("nsd") or shutil.which("nsd", path="/usr/sbin")

SERVICES = (
    EdgeService("north-site", 8443),
    EdgeService("north-site", 9443, target="second", priority=20),
    EdgeService("west-site", 8443, target="mec"),
)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Testbed, NameServer]]:
    if NSD is None:
        pytest.skip("NSD is not installed")
    if not available():
        pytest.skip(available().why)
    topology = demo()
    with Testbed(topology) as net, serve(net, "home", zones_of(topology, SERVICES)) as server:
        yield net, server


def ask(served: tuple[Testbed, NameServer], name: str, kind: str) -> list[str]:
    """What the server in ``home`` tells a user in ``north``."""
    net, server = served
    question = dns.message.make_query(name, kind)
    with closing(net.socket_in("north-user-1", kind=socket.SOCK_DGRAM)) as asker:
        asker.connect((server.address, server.port))
        asker.setblocking(False)
        answer = dns.query.udp(question, server.address, timeout=10, port=server.port, sock=asker)
    assert answer.flags & dns.flags.AA
    if answer.rcode() == dns.rcode.NXDOMAIN:
        return []
    assert answer.rcode() == dns.rcode.NOERROR
    return sorted(str(record) for group in answer.answer for record in group)


@pytest.mark.root
def test_sites_are_announced_in_their_providers_domain(served: tuple[Testbed, NameServer]) -> None:
    net, _ = served
    assert ask(served, "_edge._tcp.north.example", "SRV") == [
        "10 10 8443 north-site.north.example.",
        "20 10 9443 second.north.example.",
    ]
    assert ask(served, "_edge._tcp.west.example", "SRV") == ["10 10 8443 mec.west.example."]
    assert ask(served, "mec.west.example", "A") == [net.host("west-site").address]
    assert ask(served, "_edge._tcp.isles.example", "SRV") == []


@pytest.mark.root
def test_every_address_on_the_way_has_a_name_that_leads_back(served: tuple[Testbed, NameServer]) -> None:
    net, _ = served
    routers = {router.name: router for router in net.topology.routers}
    for address in net.hops("home", "west-user-2")[:-1]:
        router = routers[net.plan.owner[address]]
        names = ask(served, str(dns.reversename.from_address(address)), "PTR")
        if not router.domain:
            assert names == []
            continue
        [name] = names
        assert name.endswith(f".{router.name}.{router.domain}.")
        assert ask(served, name, "A") == [address]


@pytest.mark.root
@pytest.mark.parametrize("name", ["_edge._tcp.nowhere.test", "9.9.9.192.in-addr.arpa"])
def test_a_name_in_no_zone_is_said_not_to_exist(served: tuple[Testbed, NameServer], name: str) -> None:
    assert ask(served, name, "ANY") == []  # and not refused: a resolver would ask again elsewhere


@pytest.mark.root
def test_a_server_that_cannot_start_says_why(served: tuple[Testbed, NameServer]) -> None:
    net, server = served
    with (
        pytest.raises(LocalError, match=r"NSD did not start: .*(can't bind|in use)"),
        serve(net, "home", zones_of(net.topology), port=server.port),
    ):
        pass


def test_the_files_are_such_as_nsd_accepts(tmp_path: Path) -> None:
    check = shutil.which("nsd-checkzone") or shutil.which("nsd-checkzone", path="/usr/sbin")
    if check is None:
        pytest.skip("NSD is not installed")
    zones = zones_of(demo(), SERVICES)
    write(zones, tmp_path, "127.0.0.1")
    assert {zone.name for zone in zones} >= {"10.in-addr.arpa", "north.example", "backbone.example"}
    for zone in zones:
        subprocess.run([check, zone.name, str(tmp_path / zone.file_name)], check=True, capture_output=True)


def test_a_router_may_have_another_name_in_the_dns() -> None:
    router = Router("r", dns="core1", domain="isp.example")
    topology = Topology("t", (router,), (Host("h"),), (Link("h", "r", 1),))
    forward = next(zone for zone in zones_of(topology) if zone.name == "isp.example")
    assert "if0.core1 IN A 10.0.0.1" in forward.text


def test_a_site_in_no_domain_cannot_be_announced() -> None:
    topology = Topology("t", (Router("r"),), (Host("h"),), (Link("h", "r", 1),))
    with pytest.raises(LocalError, match="h is in no domain"):
        zones_of(topology, [EdgeService("h", 80)])
