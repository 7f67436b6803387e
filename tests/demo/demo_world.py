"""A small internet with real sites on it, and people who use the sample app there."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from footloose.demo.user import Failed, Happening, Moved, Page, Sample
from footloose.testbed import Host, Link, Role, Router, Testbed, Topology
from footloose.testbed.sites import DHT_PORT, SiteOptions, SiteProcess, Sites, command_line

PATIENCE_S = 60.0
PULSE = Path(str(files("footloose"))) / "samples" / "pulse" / "compose.yaml"


def regions(**delays_ms: float) -> Topology:
    """A home 40 ms from an exchange, regions at these delays beyond it with a site and three users, a quiet corner.

    On the way to ``quiet-user`` no router beyond the exchange answers a probe.
    """
    routers = [Router("home-gw"), Router("exchange")]
    hosts = [Host("home", Role.HOME)]
    links = [Link("home", "home-gw", 0.5), Link("home-gw", "exchange", 40)]
    for region, delay_ms in delays_ms.items():
        border, core = f"{region}-border", f"{region}-core"
        routers += [Router(border), Router(core)]
        links += [Link("exchange", border, delay_ms - 1), Link(border, core, 1)]
        hosts.append(Host(f"{region}-site", Role.SITE, region))
        links.append(Link(core, f"{region}-site", 1))
        for number in (1, 2, 3):
            access = f"{region}-access-{number}"
            routers.append(Router(access))
            hosts.append(Host(f"{region}-user-{number}", Role.USER, region))
            links += [Link(core, access, 1), Link(access, f"{region}-user-{number}", 0.5)]
    quiet = [f"quiet-{number}" for number in (1, 2, 3)]
    routers += [Router(name, silent=True) for name in quiet]
    hosts.append(Host("quiet-user", Role.USER))
    way = ("exchange", *quiet, "quiet-user")
    links += [Link(a, b, 1) for a, b in pairwise(way)]
    return Topology("regions", tuple(routers), tuple(hosts), tuple(links))


class Person:
    """Someone who uses the app on a host of the testbed, as the demo's users do, and what happens to them."""

    def __init__(self, net: Testbed, host: str, url: str) -> None:
        command = [sys.executable, "-m", "footloose.demo.user", host, url]
        self.name = host
        self.address = net.host(host).address
        self.happenings: list[Happening] = []
        self._process = net.host(host).popen(command, stdout=subprocess.PIPE)
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            happening = msgspec.json.decode(line, type=Happening)
            with self._news:
                self.happenings.append(happening)
                self._news.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def waits_for(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
        """Wait until something is so of what happened."""
        with self._news:
            assert self._news.wait_for(condition, seconds), f"{self.name} waited for {what}: {self.told}"

    def comes_to(self, site: SiteProcess, seconds: float = PATIENCE_S) -> None:
        """Wait until its round trips go to a site."""
        address = site.place.address
        self.waits_for(lambda: self.at == address, f"{site.name} at {address}", seconds)

    def goes_on(self, samples: int) -> None:
        """Wait for so many further round trips."""
        wanted = len(self.samples) + samples
        self.waits_for(lambda: len(self.samples) >= wanted, f"{samples} more round trips")

    @property
    def told(self) -> str:
        """What happened, one line for many round trips to the same site."""
        lines: list[str] = []
        for each in self.happenings:
            line = f"at {each.host}" if isinstance(each, Sample | Page) else str(each)
            if line not in lines[-2:]:
                lines.append(line)
        return "\n".join(lines[-40:])

    @property
    def samples(self) -> list[Sample]:
        """Its round trips."""
        return [each for each in self.happenings if isinstance(each, Sample)]

    @property
    def pages(self) -> list[Page]:
        """The pages it fetched."""
        return [each for each in self.happenings if isinstance(each, Page)]

    @property
    def moves(self) -> list[Moved]:
        """Its moves from site to site."""
        return [each for each in self.happenings if isinstance(each, Moved)]

    @property
    def errors(self) -> list[str]:
        """What a person would have seen as errors."""
        return [each.what for each in self.happenings if isinstance(each, Failed)]

    @property
    def at(self) -> str:
        """The address that serves it now."""
        return self.samples[-1].host if self.samples else ""


class World:
    """A running testbed with a home, on which the sample app is deployed, and other sites."""

    def __init__(self, net: Testbed, sites: Sites) -> None:
        self.net = net
        self.site: dict[str, SiteProcess] = {}
        self._sites = sites

    @property
    def home(self) -> SiteProcess:
        """The home."""
        return self.site["home"]

    def start(self, *hosts: str, options: SiteOptions | None = None) -> None:
        """Start sites on hosts; all but the home join the DHT through it unless told otherwise."""
        join = f"{self.net.host('home').address}:{DHT_PORT}"
        for host in hosts:
            given = options or SiteOptions(join=join if host != "home" else None)
            self.site[host] = self._sites.start(self.net.host(host), given)
        for host in hosts:
            self.site[host].wait_ready()

    def deploy(self) -> None:
        """Deploy the sample app at the home."""
        done = command_line(self.home.admin_socket, "deploy", str(PULSE))
        assert done.returncode == 0, done.stderr

    def person(self, host: str) -> Person:
        """Someone who comes to the home from a host."""
        return Person(self.net, host, self.home.url)

    def ask(self, site: str, *arguments: str) -> Any:
        """What a command says with ``--json`` that asks a site."""
        done = command_line(self.site[site].admin_socket, *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def copies(self, site: str) -> dict[str, dict[str, Any]]:
        """The copies a site has leased, by the name of where they run."""
        services: list[dict[str, Any]] = self.ask(site, "ps")["services"]
        return {one["site_name"]: one for one in services if one["site"] != self.site[site].node}

    def decisions(self, site: str, *steps: str) -> list[dict[str, Any]]:
        """What a site decided, oldest first."""
        decisions: list[dict[str, Any]] = self.ask(site, "explain", "pulse", "--limit", "500")
        return [one for one in decisions if not steps or one["step"] in steps]

    def until(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
        """Ask again and again until it is so."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(0.2)
        return found


@contextmanager
def world(topology: Topology, directory: Path) -> Iterator[World]:
    """A world that is over at the end of the ``with`` block; no site is started yet."""
    with Testbed(topology) as net, Sites(directory) as sites:
        yield World(net, sites)
