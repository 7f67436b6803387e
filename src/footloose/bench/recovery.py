"""How long a site that lost its power is away: from the start of its node, links cut, until all it ran serves again.

A home far away leases so many copies at the site. Then the links between the two are cut, and for each sample all the
site's processes are killed and its node is started. A user beside it asks for one service after the other, each again
and again until it is answered. Beside that: what a Python process costs that does nothing, and one that only imports a
node; and finding that a module is compiled already, which each service takes.
"""

import asyncio
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from statistics import fmean, median, stdev
from urllib.parse import urlsplit

import msgspec

from footloose.bench.switch import custom_section
from footloose.core.errors import LocalError
from footloose.runtimes.wasm.compiler import Compiler
from footloose.testbed import Host, Link, Role, Router, Testbed, Topology
from footloose.testbed.sites import API_PORT, SiteOptions, SiteProcess, Sites, command_line

BAR_MS = 2000.0
"""Within which all of a site's services are to serve again."""
AGAIN_S = 0.002
PATIENCE_S = 60.0

Say = Callable[[str], None]


class Row(msgspec.Struct, frozen=True):
    """So many services: all samples and their figures, and the median time until the first of them served."""

    assignments: int
    samples_ms: tuple[float, ...]
    mean_ms: float
    median_ms: float
    p95_ms: float
    stdev_ms: float
    first_ms: float


class Result(msgspec.Struct, frozen=True):
    """All numbers of services, and medians of what is measured beside them; ``load_before`` is the machine's."""

    rows: tuple[Row, ...]
    bar_ms: float
    python_ms: float
    import_ms: float
    cache_hit_ms: float
    load_before: float


def network() -> Topology:
    """A home, and a site with a user beside it, 40 ms away."""
    routers = (Router("home-gw"), Router("site-gw"))
    hosts = (Host("home", Role.HOME), Host("site", Role.SITE), Host("user", Role.USER))
    links = (
        Link("home", "home-gw", 1),
        Link("home-gw", "site-gw", 18),
        Link("site-gw", "site", 1),
        Link("site-gw", "user", 1),
    )
    return Topology("recovery", routers, hosts, links)


class Bench:
    """``assignments`` are the numbers of services to measure, each with so many ``samples``."""

    def __init__(self, samples: int, assignments: Sequence[int], say: Say) -> None:
        self._samples = samples
        self._assignments = assignments
        self._say = say

    def run(self) -> Result:
        """All of it."""
        load_before = round(os.getloadavg()[0], 2)
        rows = tuple(self._row(number) for number in self._assignments)
        times = range(self._samples)
        return Result(
            rows=rows,
            bar_ms=BAR_MS,
            python_ms=_median_ms([_python_ms("") for _ in times]),
            import_ms=_median_ms([_python_ms("import footloose.cli.node") for _ in times]),
            cache_hit_ms=_median_ms(asyncio.run(_cache_hits_ms(self._samples))),
            load_before=load_before,
        )

    def _row(self, assignments: int) -> Row:
        samples = []
        with _leased(assignments, self._say) as (net, site, urls), _cut(net):
            for number in range(self._samples):
                self._say(f"{assignments} services {number + 1}/{self._samples}")
                samples.append(_recovery_ms(net, site, urls))
        return row(assignments, samples)


@contextmanager
def _leased(number: int, say: Say) -> Iterator[tuple[Testbed, SiteProcess, tuple[str, ...]]]:
    """The network with so many copies at the site, and where users reach them there."""
    with (
        tempfile.TemporaryDirectory(prefix="footloose-bench-") as directory,
        Testbed(network()) as net,
        Sites() as sites,
    ):
        known = SiteOptions(extra=("--site", f"{net.host('site').address}:{API_PORT}"))
        home, site = sites.start(net.host("home"), known), sites.start(net.host("site"))
        home.wait_ready()
        site.wait_ready()
        say(f"leasing {number} copies")
        yield net, site, _copies(home, site, _app(Path(directory), number), number)


@contextmanager
def _cut(net: Testbed) -> Iterator[None]:
    """The home is out of reach within the block."""
    net.cut("home-gw", "site-gw")
    try:
        yield
    finally:
        net.heal_all()


def _app(directory: Path, services: int) -> Path:
    """An app file of so many services, each with code of its own."""
    module = (Path(str(files("footloose"))) / "samples" / "pulse" / "pulse_handler.wasm").read_bytes()
    lines = ["name: bench", "services:"]
    for number in range(services):
        (directory / f"{number}.wasm").write_bytes(module + custom_section(str(number).encode()))
        lines += [f"  s{number}:", f"    image: ./{number}.wasm", "    platform: wasi/wasm"]
    file = directory / "compose.yaml"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def _copies(home: SiteProcess, site: SiteProcess, app: Path, number: int) -> tuple[str, ...]:
    """Deploy the app at the home and move all its services to the site."""
    _command(home, "deploy", str(app))
    _until(lambda: str(site.node) in _command(home, "sites", "--json"), "the home does not know the site")
    for service in range(number):
        _command(home, "move", f"bench/s{service}", "--to", site.name)

    def serving() -> tuple[str, ...]:
        shown = msgspec.json.decode(_command(home, "ps", "--json"))["services"]
        return tuple(one["url"] for one in shown if one["site"] == site.node and one["state"] == "serving")

    _until(lambda: len(serving()) == number, f"not all of {number} copies serve")
    return serving()


def _until(true: Callable[[], bool], otherwise: str) -> None:
    """Ask until it is so. Raises :class:`LocalError` if that takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > deadline:
            raise LocalError(otherwise, where="bench recovery")


def _command(home: SiteProcess, *arguments: str) -> str:
    done = command_line(home.admin_socket, *arguments)
    if done.returncode != 0:
        raise LocalError(f"`footloose {' '.join(arguments)}` failed: {done.stderr}", where="bench recovery")
    return done.stdout


def _recovery_ms(net: Testbed, site: SiteProcess, urls: tuple[str, ...]) -> list[float]:
    """After how long each service served again."""
    site.power_off()
    began = time.perf_counter()
    site.start()
    served = []
    for url in urls:
        while not _answers(net, url):
            if time.perf_counter() - began > PATIENCE_S:
                raise LocalError(f"{url} does not serve again: {site.last_words()}", where="bench recovery")
            time.sleep(AGAIN_S)
        served.append((time.perf_counter() - began) * 1000)
    site.wait_ready()
    return served


def _answers(net: Testbed, url: str) -> bool:
    parts = urlsplit(url)
    host, port = str(parts.hostname), parts.port or 80
    connection = http.client.HTTPConnection(host, port)
    try:
        connection.sock = net.socket_in("user")
        connection.sock.settimeout(PATIENCE_S)
        connection.sock.connect((host, port))
        connection.request("GET", parts.path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):  # it is not up yet
        return False
    finally:
        connection.close()


def _python_ms(program: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return (time.perf_counter() - began) * 1000


async def _cache_hits_ms(samples: int) -> list[float]:
    """As a node that has just started finds it: its digest has to be taken, and the compiled module verified."""
    took = []
    with tempfile.TemporaryDirectory(prefix="footloose-bench-") as directory:
        wasm, folder = next(_app(Path(directory), 1).parent.glob("*.wasm")), Path(directory) / "compiled"
        for _ in range(samples + 1):
            compiler = Compiler()
            try:
                began = time.perf_counter()
                await compiler.compile(wasm, folder)
                took.append((time.perf_counter() - began) * 1000)
            finally:
                await compiler.close()
    return took[1:]  # the first compiled it


def _median_ms(samples: Sequence[float]) -> float:
    return round(median(samples), 2)


def row(assignments: int, samples: Sequence[Sequence[float]]) -> Row:
    """The figures of one number of services, from the times at which they served, in order, in each sample."""
    totals = sorted(times[-1] for times in samples)
    return Row(
        assignments=assignments,
        samples_ms=tuple(round(total, 1) for total in totals),
        mean_ms=round(fmean(totals), 1),
        median_ms=round(median(totals), 1),
        p95_ms=round(totals[min(len(totals) - 1, int(0.95 * len(totals)))], 1),
        stdev_ms=round(stdev(totals), 1) if len(totals) > 1 else 0.0,
        first_ms=round(median(times[0] for times in samples), 1),
    )
