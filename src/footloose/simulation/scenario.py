"""What is simulated: sites on a map, apps, users who come and move, and what is done to them all.

Scenario files (``docs/reference/scenario-files.md``) are read by :mod:`footloose.simulation.scenario_file`.
"""

from enum import Enum

import msgspec

from footloose.simulation.faults import Fault
from footloose.simulation.network import Conditions

SETTLE_S = 180.0
CALM_S = 30.0


class Tree(msgspec.Struct, frozen=True, tag="tree"):
    """Routers in a tree: ``depth`` levels below the root, each router with ``branching`` below it.

    The root is the place ``root``; below it a place is named by the turns taken from there: ``0``, ``0.2``, ``0.2.1``.
    """

    branching: int = 3
    depth: int = 3
    link_ms: float = 5.0


class Rtts(msgspec.Struct, frozen=True, tag="rtt"):
    """Round trips measured between real machines, from a file (an absolute path). Places are its lines, from ``0``."""

    file: str


class TopoHub(msgspec.Struct, frozen=True, tag="topohub"):
    """A network of the Topology Hub. Places are what it calls its nodes."""

    name: str


Map = Tree | Rtts | TopoHub


class SiteSpec(msgspec.Struct, frozen=True):
    """A site. ``at`` is a place of the map, empty for one drawn from the seed. ``max_leases`` None is the default."""

    name: str
    at: str = ""
    region: str = ""
    price_per_hour: float = 0.0
    max_leases: int | None = None


class Clocks(msgspec.Struct, frozen=True):
    """How wrong clocks are: each site's is drawn evenly from plus or minus these. ``drift`` is in seconds a second."""

    skew_s: float = 0.0
    drift: float = 0.0


class Membership(Enum):
    """Which of the settings of :mod:`footloose.membership` the sites use."""

    LAN = "lan"
    WAN = "wan"


class AppSpec(msgspec.Struct, frozen=True):
    """An app of one service. ``home`` is a site's name."""

    name: str
    home: str
    slo_ms: float | None = None
    copies: int = 8
    price_per_hour: float | None = None
    regions: tuple[str, ...] = ()
    placement: str = "greedy"
    follow_users: bool = True


class Static(msgspec.Struct, frozen=True, tag="static"):
    """Users who stay where they are."""


class Walk(msgspec.Struct, frozen=True, tag="walk"):
    """Users who go on to a place next to theirs, drawn from the seed, every ``every_s``."""

    every_s: float = 60.0


class Trace(msgspec.Struct, frozen=True, tag="trace"):
    """Users who move as real ones did: cells by the minute, from a file (an absolute path; see ``mobility``).

    ``minute_s`` is how long a minute of the trace takes.
    """

    file: str
    minute_s: float = 60.0


Motion = Static | Walk | Trace


class Crowd(msgspec.Struct, frozen=True):
    """So many more users, all at one place (empty: one drawn from the seed), from ``at_s`` for ``for_s``."""

    at_s: float
    for_s: float
    count: int
    at: str = ""


class Users(msgspec.Struct, frozen=True):
    """Users alike. ``at`` is a place of the map or a site's name; empty: each at one drawn from the seed.

    Each sends a request every ``every_s``; with ``websocket`` it keeps a WebSocket open and sends a message on that.
    """

    app: str
    count: int = 1
    at: str = ""
    every_s: float = 1.0
    websocket: bool = False
    motion: Motion = Static()
    crowd: Crowd | None = None


class FaultKind(Enum):
    """What may befall the sites at random."""

    CRASH = "crash"
    REBOOT = "reboot"
    POWER_LOSS = "power_loss"
    PAUSE = "pause"
    PARTITION = "partition"
    CUT_ONE_WAY = "cut_one_way"
    LOSS_BURST = "loss_burst"
    CLOCK_JUMP = "clock_jump"
    DISK_FULL = "disk_full"
    DISK_SLOW = "disk_slow"


class Span(msgspec.Struct, frozen=True):
    """From ``least`` to ``most``; what is drawn from it is drawn evenly."""

    least: float
    most: float


class RandomFault(msgspec.Struct, frozen=True):
    """One kind of fault that comes at random, ``per_hour`` times on average.

    The rate is that of each site; of ``partition`` and ``loss_burst`` that of the whole network. ``for_s`` is how long
    it lasts, ``amount`` how bad it is: the loss of a burst, the jump of a clock and the slowness of a disk in seconds.
    """

    kind: FaultKind
    per_hour: float
    for_s: Span
    amount: Span = Span(0.0, 0.0)


class Scenario(msgspec.Struct, frozen=True):
    """All that a run follows from, beside its seed.

    Faults are over at ``duration_s - settle_s``, and by ``duration_s`` everything must be right again. Random ones do
    not begin before ``calm_s``. ``script`` has the faults that come whatever the seed.
    """

    name: str
    duration_s: float
    sites: tuple[SiteSpec, ...]
    apps: tuple[AppSpec, ...]
    users: tuple[Users, ...] = ()
    map: Map = Tree()
    settle_s: float = SETTLE_S
    calm_s: float = CALM_S
    clocks: Clocks = Clocks()
    membership: Membership = Membership.WAN
    network: Conditions = Conditions()
    faults: tuple[RandomFault, ...] = ()
    script: tuple[Fault, ...] = ()

    @property
    def faults_end_s(self) -> float:
        """When the last fault is over."""
        return round(self.duration_s - self.settle_s, 6)

    @property
    def site_names(self) -> tuple[str, ...]:
        """The names of the sites, in order."""
        return tuple(site.name for site in self.sites)
