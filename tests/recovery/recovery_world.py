"""A home and a site far from it, what that site agreed to run, users on both sides, and what befalls them all."""

import http.client
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urljoin, urlsplit

from demo_world import Person, World, regions, world
from node_sites import Answer, Site, answering, eventually

from footloose.model.app import AppId, ServiceId
from footloose.model.decision import Decision
from footloose.testbed import Testbed
from footloose.testbed.sites import API_PORT, DHT_PORT, SiteOptions

USER, ANOTHER, FAR_USER = "a-user-1", "a-user-2", "quiet-user"
"""Two on the site's side of the cut, one on the home's."""
HOPS = 6
REQUEST_S = 20.0


def ask(net: Testbed, user: str, url: str) -> Answer:
    """One request of a user on a host of the testbed; redirects are not followed."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80)
    try:
        connection.sock = net.socket_in(user)
        connection.sock.settimeout(REQUEST_S)
        connection.sock.connect((parts.hostname, parts.port or 80))
        connection.request("GET", parts.path)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, response.read().decode(), headers)
    finally:
        connection.close()


def way(net: Testbed, user: str, url: str) -> tuple[list[str], Answer]:
    """The URLs a user is sent through, and what it gets at the last; at most ``HOPS`` of them."""
    urls = [url]
    while (answer := ask(net, user, urls[-1])).status in (302, 307) and len(urls) < HOPS:
        urls.append(urljoin(urls[-1], answer.location))
    return urls, answer


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to processes of ours; one that has just gone needs none."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def power_off(*sites: Site) -> None:
    """Kill whole sites, one after the other, until nothing is left of them."""
    for site in sites:
        site.process.power_off()


def reboot(*sites: Site) -> None:
    """Power cuts, and the sites start again."""
    power_off(*sites)
    for site in sites:
        site.process.start()
    for site in sites:
        site.ready()


@contextmanager
def standing_still(*sites: Site) -> Iterator[None]:
    """All processes of the sites are stopped within the block, as when a virtual machine is paused."""
    pids = [pid for site in sites for pid in site.process.processes()]
    send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        send(pids, signal.SIGCONT)


class Assignment(NamedTuple):
    """A service a site runs: a ``copy`` for the home, or (``copy`` False) as its own; a page has ``text`` in it."""

    service: ServiceId
    text: str
    copy: bool


class Land:
    """The two sites. ``assignments`` are what the far one (the edge) runs, ``disk`` the small disk it does so from."""

    def __init__(self, made: World, disk: Path | None) -> None:
        self.world = made
        self.disk = disk
        self.net = made.net
        self.home, self.edge = Site(made.site["home"]), Site(made.site["a-site"])
        self.assignments: tuple[Assignment, ...] = ()

    @classmethod
    def settled(cls, made: World, disk: Path | None) -> Self:
        """The edge runs a copy that followed its user, two that were moved there by hand, and an app of its own."""
        land = cls(made, disk)
        land.home.knows(land.edge)
        made.deploy()
        (pulse,) = {one.service for one in land.home.view().services}
        own = land.edge.deploy(answering("own"), name="own")
        land.assignments = (
            Assignment(pulse, "", copy=True),
            land.moved_there("first"),
            land.moved_there("second"),
            Assignment(own, "own", copy=False),
        )
        return land

    def moved_there(self, text: str, name: str = "") -> Assignment:
        """Deploy an app at the home and move its users to the edge by hand."""
        service = self.home.deploy(answering(text), name=name or text)
        self.home.move(service, self.edge)
        eventually(lambda: "a-site" in self.home.serving(service))
        return Assignment(service, text, copy=True)

    def forget(self, at: Site, service: ServiceId) -> None:
        """Remove an app."""
        at.admin.remove(AppId(service.split("/")[0]))

    @property
    def pulse(self) -> ServiceId:
        """The copy that followed its user."""
        return self.assignments[0].service

    @property
    def copies(self) -> tuple[ServiceId, ...]:
        """What the edge runs for the home."""
        return tuple(one.service for one in self.assignments if one.copy)

    def person(self, user: str) -> Person:
        """Somebody who uses the sample app at the edge."""
        return Person(self.net, user, self.edge.url(self.pulse))

    def restored(self) -> None:
        """All links heal, and the home knows again that all its copies serve."""
        self.net.heal_all()
        for service in self.copies:
            eventually(lambda service=service: "a-site" in self.home.serving(service), 60.0)  # type: ignore[misc]

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """All links between the edge's region and the rest are cut within the block, and heal at its end."""
        region = [one for one in self._places() if one.startswith("a-")]
        assert self.net.partition(region)
        try:
            yield
        finally:
            self.net.heal_all()

    def _places(self) -> list[str]:
        topology = self.net.topology
        return [one.name for one in (*topology.routers, *topology.hosts)]

    def decided(self, service: ServiceId, *steps: str, since: float) -> list[Decision]:
        """What the home decided of the edge's copy of a service after a moment."""
        found = self.home.admin.explain(service.split("/")[0], service=None, limit=500)
        return [one for one in found if one.step in steps and one.subject == self.edge.node and one.at > since]


DISK = "96m"
"""Twice what artifacts must leave free, and some."""


@contextmanager
def small_disk(directory: Path) -> Iterator[Path | None]:
    """A disk of its own at ``directory``, gone at the end of the block; None where none can be had."""
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "footloose-test", str(directory)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        yield None
        return
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextmanager
def land(directory: Path) -> Iterator[Land]:
    """A land that is over at the end of the block."""
    with small_disk(directory / "a-site") as disk, world(regions(a=4), directory) as made:
        at = made.net.host("a-site").address
        join = f"{made.net.host('home').address}:{DHT_PORT}"
        made.start("home", options=SiteOptions(extra=("--verbose", "--site", f"{at}:{API_PORT}")))
        made.start("a-site", options=SiteOptions(join=join, extra=("--verbose",)))
        yield Land.settled(made, disk)
