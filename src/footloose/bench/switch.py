"""How long a user waits to be switched to a nearer site: tables 4.1 and 4.2 of the ICON Python Orchestrator thesis.

On its network (client-root 92, client-edge 14, edge-root 102 ms), with its client's time-stamps, for its three cases:

* direct: the copy at the edge runs already. Once for users whose prefix the home site knows, and once for users from a
  prefix never seen, whose path must be traced first (as its orchestrator did for every client);
* hot: the edge has the code but runs no copy of this app; it has to be leased and started;
* cold: the edge has never seen the code; it has to be sent, compiled and started.

As in its §4.1 the edge's node is restarted before each hot and each cold sample.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from statistics import fmean, median, stdev

import msgspec

from footloose.bench.client import Stamps
from footloose.core.errors import LocalError
from footloose.testbed import Host, Link, Role, Testbed, Topology, icon
from footloose.testbed.sites import DHT_PORT, SiteOptions, SiteProcess, Sites, command_line

PUBLISHED_MS = {"direct, known prefix": 575.0, "direct, new prefix": 575.0, "hot": 4197.0, "cold": 11613.0}
"""Mean migration speed, N=1000, table 4.1 of the thesis."""

Say = Callable[[str], None]


class Row(msgspec.Struct, frozen=True):
    """One case: all samples, their figures, the bound that the round trips set, and what was published."""

    case: str
    samples_ms: tuple[float, ...]
    mean_ms: float
    median_ms: float
    p95_ms: float
    stdev_ms: float
    bound_ms: float
    published_ms: float
    stamps_ms: dict[str, float]


class Result(msgspec.Struct, frozen=True):
    """All cases on one network; ``rtts_ms`` as built."""

    rtts_ms: dict[str, float]
    rows: tuple[Row, ...]


def network(clients: int) -> Topology:
    """The thesis's network with more clients beside its one, each from a prefix of its own."""
    base = icon()
    (first,) = (link for link in base.links if "client" in (link.a, link.b))
    access = first.b if first.a == "client" else first.a
    names = [f"client-{number}" for number in range(1, clients)]
    (like,) = (host for host in base.hosts if host.name == "client")
    hosts = tuple(Host(name, Role.USER, like.region, like.domain) for name in names)
    links = tuple(Link(name, access, first.delay_ms) for name in names)
    return Topology("icon", base.routers, (*base.hosts, *hosts), (*base.links, *links))


def bounds_ms(rtts_ms: dict[str, float]) -> dict[str, float]:
    """The least each case can take, from the round trips alone, for software that takes no time at all.

    To the origin: TCP and WebSocket handshakes (2 round trips), the second of which can bring the migrate message;
    to the edge: TCP, WebSocket and the client's handshake (3). The path to a new user takes one round trip to it, which
    starts when its first packet came, so it costs the half that the WebSocket handshake does not hide. A lease costs
    one round trip between the sites; code that has to be sent, two more.
    """
    origin, edge, between = rtts_ms["client-root"], rtts_ms["client-edge"], rtts_ms["edge-root"]
    known = 2 * origin + 3 * edge
    new = known + origin / 2
    return {
        "direct, known prefix": known,
        "direct, new prefix": new,
        "hot": new + between,
        "cold": new + 3 * between,
    }


class Bench:
    """The two sites on their network. ``say`` tells of progress."""

    def __init__(self, samples: int, say: Say) -> None:
        self._samples = samples
        self._say = say
        self._apps = 0
        self._directory = Path()

    def run(self) -> Result:
        """All cases."""
        with (
            tempfile.TemporaryDirectory(prefix="footloose-bench-") as directory,
            Testbed(network(3 * self._samples + 2)) as net,
            Sites() as sites,
        ):
            self._directory = Path(directory)
            root = sites.start(net.host("root"))
            edge = sites.start(net.host("edge"), SiteOptions(join=f"{net.host('root').address}:{DHT_PORT}"))
            root.wait_ready()
            edge.wait_ready()
            rtts_ms = {
                "client-root": net.rtt_ms("client", "root"),
                "client-edge": net.rtt_ms("client", "edge"),
                "edge-root": net.rtt_ms("edge", "root"),
            }
            fresh = iter([name for name in net.hosts if name.startswith("client-")])
            bound = bounds_ms(rtts_ms)
            stamps = {
                "direct, known prefix": list(self._direct_known(net, root)),
                "direct, new prefix": list(self._direct_new(net, root, fresh)),
                "hot": list(self._hot(net, root, edge, fresh)),
                "cold": list(self._cold(net, root, edge, fresh)),
            }
        return Result(rtts_ms, tuple(row(case, found, bound[case]) for case, found in stamps.items()))

    def _direct_known(self, net: Testbed, root: SiteProcess) -> Iterator[Stamps]:
        url = self._deploy(root, distinct=False)
        self._client(net, "client", url)  # the dry run that makes the copy
        for number in range(self._samples):
            self._say(f"direct, known prefix {number + 1}/{self._samples}")
            yield self._client(net, "client", url)

    def _direct_new(self, net: Testbed, root: SiteProcess, fresh: Iterator[str]) -> Iterator[Stamps]:
        url = self._deploy(root, distinct=False)
        self._client(net, "client", url)
        for number in range(self._samples):
            self._say(f"direct, new prefix {number + 1}/{self._samples}")
            yield self._client(net, next(fresh), url)

    def _hot(self, net: Testbed, root: SiteProcess, edge: SiteProcess, fresh: Iterator[str]) -> Iterator[Stamps]:
        for number in range(self._samples):
            self._say(f"hot {number + 1}/{self._samples}")
            url = self._deploy(root, distinct=False)
            self._restart(edge)
            yield self._client(net, next(fresh), url)

    def _cold(self, net: Testbed, root: SiteProcess, edge: SiteProcess, fresh: Iterator[str]) -> Iterator[Stamps]:
        for number in range(self._samples):
            self._say(f"cold {number + 1}/{self._samples}")
            url = self._deploy(root, distinct=True)
            self._restart(edge)
            yield self._client(net, next(fresh), url)

    def _restart(self, edge: SiteProcess) -> None:
        edge.stop()
        edge.start().wait_ready()

    def _client(self, net: Testbed, host: str, url: str) -> Stamps:
        command = [sys.executable, "-m", "footloose.bench.client", url]
        done = net.host(host).run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise LocalError(f"the client failed: {done.stderr.decode(errors='replace')[-500:]}", where=host)
        return msgspec.json.decode(done.stdout, type=Stamps)

    def _deploy(self, root: SiteProcess, *, distinct: bool) -> str:
        """A new app at the root; ``distinct`` gives it code that no site has seen. Returns its WebSocket URL."""
        self._apps += 1
        module = (Path(str(files("footloose"))) / "samples" / "pulse" / "pulse_handler.wasm").read_bytes()
        name = f"switch-{self._apps}"
        directory = self._directory / name
        directory.mkdir()
        label = name.encode() if distinct else b""
        (directory / "app.wasm").write_bytes(module + custom_section(label))
        (directory / "compose.yaml").write_text(_COMPOSE.format(name=name))
        done = command_line(root.admin_socket, "deploy", "--json", str(directory / "compose.yaml"))
        if done.returncode != 0:
            raise LocalError(f"deploying failed: {done.stderr}", where=name)
        url: str = msgspec.json.decode(done.stdout)["urls"][0]
        return url.replace("http", "ws", 1) + "live"


_COMPOSE = """
name: {name}
services:
  web:
    image: ./app.wasm
    platform: wasi/wasm
    x-footloose: {{}}
"""


def custom_section(label: bytes) -> bytes:
    """A custom section of a WebAssembly module, which changes its digest and nothing else (core spec §5.5.3)."""
    content = bytes([len(label)]) + label
    return bytes([0, len(content)]) + content


def row(case: str, stamps: list[Stamps], bound_ms: float) -> Row:
    """The figures of one case."""
    totals = sorted(one.handshake_reply_from_edge for one in stamps)
    names = [name for name in Stamps.__struct_fields__ if name != "edge"]
    return Row(
        case=case,
        samples_ms=tuple(round(total, 2) for total in totals),
        mean_ms=round(fmean(totals), 1),
        median_ms=round(median(totals), 1),
        p95_ms=round(totals[min(len(totals) - 1, int(0.95 * len(totals)))], 1),
        stdev_ms=round(stdev(totals), 1) if len(totals) > 1 else 0.0,
        bound_ms=round(bound_ms, 1),
        published_ms=PUBLISHED_MS[case],
        stamps_ms={name: round(fmean(getattr(one, name) for one in stamps), 1) for name in names},
    )
