"""Real sites that keep an eye on each other: found, missed when killed, not missed when they left, welcome back."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from node_fakes import FakeSite, FakeSites
from node_sites import Site, Town, answering, eventually, get, known_to, moved, taken

from footloose.core.clock import SystemClock
from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import Identity
from footloose.discovery.interface import Discovery
from footloose.discovery.members import MembersFinder, Nominee
from footloose.membership.card import Facts
from footloose.membership.config import LAN as LAN_PRESET
from footloose.membership.node import MembershipNode
from footloose.model.network import Route
from footloose.model.site import Endpoint, Sighting
from footloose.model.view import ViewMember
from footloose.node.config import NodeConfig
from footloose.node.finding import Finding
from footloose.node.members import _facts
from footloose.orchestrator.messages import Identify
from footloose.state.directory import StateDirectory
from footloose.testbed.sites import API_PORT, DHT_PORT, MEMBERSHIP_PORT
from footloose.topology.coordinates import NOWHERE
from footloose.topology.probe import measure
from footloose.topology.traceroute import Tracer
from footloose.transport.client import PeerClient

LAN = ("--membership", "lan")


def all_alive(*sites: Site) -> None:
    for site in sites:
        for other in sites:
            if other is not site:
                site.holds(other, "alive")


@pytest.mark.slow
def test_sites_come_to_know_each_other_and_what_they_say_of_themselves(town: Town) -> None:
    one = town.start("one", *LAN, "--failure-domain", "cellar", "--max-leases", "7", region="de").ready()
    known = town.start("known", *LAN, *known_to(one))
    joins = town.start("joins", *LAN, "--join", f"{one.process.place.address}:{DHT_PORT}")
    for site in (known, joins):
        site.ready()
    all_alive(one, known, joins)  # the latter two by way of the first alone
    seen = known.member(one)
    assert seen is not None
    assert (seen.region, seen.domain, seen.capacity) == ("de", "cellar", 7)
    assert seen.address == f"{one.process.place.address}:{MEMBERSHIP_PORT}"
    eventually(lambda: (member := known.member(one)) is not None and member.rtt_ms is not None)
    eventually(lambda: (member := known.member(joins)) is not None and member.name == "joins")  # it was asked
    assert "cellar" in known.cli("members").stdout
    eventually(lambda: "de" in known.cli("members", "--regions").stdout)


@pytest.mark.slow
def test_a_killed_site_is_unreachable_one_that_stopped_has_left_and_both_are_welcome_back(town: Town) -> None:
    home = town.start("home", *LAN).ready()
    killed = town.start("killed", *LAN, *known_to(home)).ready()
    stopped = town.start("stopped", *LAN, *known_to(home)).ready()
    all_alive(home, killed, stopped)
    home.knows(killed)
    home.knows(stopped)
    killed.process.kill()
    stopped.process.stop()
    home.holds(stopped, "left")
    home.holds(killed, "unreachable")
    eventually(lambda: (home.state_of(killed), home.state_of(stopped)) == ("unreachable", "left"))
    shown = home.cli("sites").stdout
    assert "unreachable" in shown and "left" in shown
    killed.restart()
    stopped.restart()
    all_alive(home, killed, stopped)
    eventually(lambda: (home.state_of(killed), home.state_of(stopped)) == ("known", "known"))


def members(site: Site) -> tuple[ViewMember, ...]:
    return site.admin.members().members


@contextmanager
def member_of(fakes: FakeSites, fake: FakeSite, *seeds: Site) -> Iterator[None]:
    """A fake site takes part in the membership, until it falls silent without a word."""
    member = MembershipNode(fake.identity, Facts(capacity=1, api_port=API_PORT), config=LAN_PRESET)
    at = [Endpoint(site.process.place.address, MEMBERSHIP_PORT) for site in seeds]
    fakes.run(member.start(Endpoint(fake.api.host, MEMBERSHIP_PORT), at))
    try:
        yield
    finally:
        fakes.run(member.close())


@pytest.mark.slow
def test_a_copy_serves_on_at_a_site_that_members_cannot_reach_though_its_customer_can(town: Town) -> None:
    with FakeSites() as fakes:
        edge = fakes.start(town.address(), "edge")
        home = town.start("home", *LAN, *known_to(edge.api)).ready()
        service = home.deploy(answering("hello"))
        get(home.url(service))
        with member_of(fakes, edge, home):
            eventually(lambda: any(one.node == edge.node and one.state == "alive" for one in members(home)))
            eventually(lambda: any(site.node == edge.node for site in home.view().sites))
            home.admin.move(service, edge.node)
            eventually(lambda: get(home.url(service)).status == 302)
            eventually(lambda: any(one.node == edge.node and one.watched for one in members(home)))
        eventually(lambda: any(one.node == edge.node and one.state == "unreachable" for one in members(home)))
        assert home.places(service)["edge"].state == "serving"
        assert get(home.url(service)).status == 302
        assert edge.released == []
        home.process.stop()


@pytest.mark.slow
def test_two_processes_with_one_identity_are_told_what_to_do(town: Town, tmp_path: Path) -> None:
    witness = town.start("witness", *LAN).ready()
    original = town.start("original", *LAN, *known_to(witness), state=tmp_path / "original").ready()
    all_alive(witness, original)
    original.process.stop()
    shutil.copytree(tmp_path / "original", tmp_path / "copy", ignore=shutil.ignore_patterns("run"))
    original.restart()
    all_alive(witness, original)
    copy = town.start("copy", *LAN, *known_to(witness), state=tmp_path / "copy").ready()
    told = eventually(lambda: [one for one in (original, copy) if one.admin.status().conflict is not None])[0]
    assert "stop one of the two" in told.cli("status").stdout
    assert "another process runs with this site's identity" in told.log()


async def test_a_stranger_cannot_pass_another_site_off_as_its_own(town: Town, tmp_path: Path) -> None:
    """It may say what it likes of where its site is: who is there has to have its key."""
    stranger, clock = Identity.from_seed(b"x" * 32).node_id, SystemClock()
    with FakeSites() as fakes, StateDirectory.open(tmp_path / "state", clock) as state:
        victim = fakes.start(town.address(), "victim")
        here = state.identity.node_id
        finder = MembersFinder(here, lambda: [Nominee(stranger, victim.api, 60.0, NOWHERE)], lambda _: {here: 80.0})
        discovery = Discovery([finder], here)
        async with PeerClient(state.identity, clock) as client:
            finding = Finding(
                clock=clock,
                client=client,
                tracer=Tracer(),
                discovery=discovery,
                book=state.sites,
                probe=measure,
                tell=lambda _: None,
            )
            sightings = [one async for one in discovery.find(Route("192.0.2.7", (), None)) if isinstance(one, Sighting)]
            assert [(one.node, one.api) for one in sightings] == [(stranger, victim.api)]
            with pytest.raises(RemoteError):
                await finding.identify(Identify(sightings[0].api, sightings[0].node))
            assert state.sites.list() == ()
            honest = await finding.identify(Identify(victim.api, victim.node))
            assert honest.record is not None  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_site_that_takes_no_part_says_so_and_works(town: Town) -> None:
    one = town.start("one", *LAN).ready()
    apart = town.start("apart", "--membership", "off", *known_to(one)).ready()
    apart.knows(one)
    assert apart.admin.members().members == ()
    assert "no other member is known" in apart.cli("members").stdout
    service = apart.deploy(answering("hello"))
    moved(apart, one, service)


@pytest.mark.slow
def test_a_site_whose_membership_port_is_taken_does_not_start_and_says_why(town: Town) -> None:
    address = town.address()
    with contextmanager(taken)(address, MEMBERSHIP_PORT, socket.SOCK_DGRAM):
        town._hosts -= 1
        site = town.start("late")
        with pytest.raises(LocalError, match="UDP socket"):
            site.ready()


def test_names_of_regions_are_cut_to_what_members_carry_and_domains_refused(tmp_path: Path) -> None:
    config = NodeConfig(state=tmp_path, name="one", region="Köln " * 8, failure_domain="x" * 32)
    assert len(_facts(config).region.encode()) <= 32
    assert _facts(config).region == "Köln Köln Köln Köln Köln K"
    with pytest.raises(LocalError, match="failure domain"):
        _facts(NodeConfig(state=tmp_path, name="one", failure_domain="ü" * 17))
