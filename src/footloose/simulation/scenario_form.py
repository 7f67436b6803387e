"""The form of a scenario file: its keys, what each may be, and what it becomes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from footloose.core.limits import SCENARIO_SITES, SCENARIO_USERS
from footloose.model.appfile.document import Document, shown
from footloose.model.appfile.document import Path as Place
from footloose.model.appfile.units import milliseconds, size_bytes
from footloose.simulation.form import BAD, Block, ByType, Choice, Flag, Form, Key, ListOf, Number, Text, WithPlace
from footloose.simulation.network import Conditions
from footloose.simulation.scenario import (
    AppSpec,
    Clocks,
    Crowd,
    FaultKind,
    Membership,
    RandomFault,
    Rtts,
    SiteSpec,
    Span,
    Static,
    TopoHub,
    Trace,
    Tree,
    Users,
    Walk,
)
from footloose.simulation.script_form import SCRIPT_ENTRY
from footloose.simulation.values import (
    DRIFT,
    LENGTH,
    LENGTHS,
    LOSSES,
    NAME,
    PERCENT,
    PLACE,
    RATE,
    SIGNED_LENGTHS,
    TIME,
)


class FileName(Form):
    """A file that is there, relative to ``base``; read as its absolute path."""

    description = "the path of a file"

    def __init__(self, base: Path, example: str) -> None:
        self._base = base
        self.example = f"`{example}`"

    def read(self, document: Document, path: Place, value: Any) -> Any:
        if not isinstance(value, str) or not value or "\0" in value:
            return self.refuse(document, path, value)
        file = (self._base / value).absolute()
        try:
            there = file.is_file()
        except OSError:
            there = False
        if not there:
            document.complain(path, f"there is no file {shown(str(file))}", "give a path relative to this file")
            return BAD
        return str(file)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "description": self.description}


def scenario_form(base: Path) -> Block:
    """The whole. Paths of files are relative to ``base``."""
    site = Block(
        "a site",
        SiteSpec,
        {
            "name": Key(NAME, required=True),
            "at": Key(PLACE),
            "region": Key(NAME),
            "price": Key(Number(0, 1e6, real=True, example="0.05"), "price_per_hour"),
            "max_leases": Key(Number(0, 1_000_000)),
        },
    )
    app = Block(
        "an app",
        AppSpec,
        {
            "name": Key(NAME, required=True),
            "home": Key(NAME, required=True),
            "slo": Key(_in_ms("30ms"), "slo_ms"),
            "copies": Key(Number(0, 1_000)),
            "price": Key(Number(0, 1e6, real=True, example="0.05"), "price_per_hour"),
            "regions": Key(ListOf(NAME)),
            "placement": Key(NAME),
            "follow_users": Key(Flag()),
        },
    )
    sites = ListOf(WithPlace(ByType({dict: site}, _named_site())), least=1)
    return Block(
        "a scenario",
        dict,
        {
            "name": Key(NAME),
            "duration": Key(LENGTH, "duration_s", required=True),
            "settle": Key(TIME, "settle_s"),
            "calm": Key(TIME, "calm_s"),
            "map": Key(_map(base)),
            "sites": Key(ByType({list: sites}, Number(1, SCENARIO_SITES, example="4")), required=True),
            "clocks": Key(Block("a block", Clocks, {"skew": Key(TIME, "skew_s"), "drift": Key(DRIFT)})),
            "membership": Key(Choice({one.value: one for one in Membership})),
            "network": Key(_network()),
            "apps": Key(ListOf(WithPlace(app), least=1), required=True),
            "users": Key(ListOf(WithPlace(_users(base)))),
            "faults": Key(_random_faults()),
            "script": Key(ListOf(WithPlace(SCRIPT_ENTRY))),
        },
    )


def _in_ms(example: str) -> Text:
    return Text(LENGTH.description, example, LENGTH.pattern, lambda text: milliseconds(text) or None)


def _named_site() -> Form:
    return Text(NAME.description, "berlin", NAME.pattern, SiteSpec)


def _map(base: Path) -> Form:
    tree = Block(
        "a block",
        Tree,
        {
            "branching": Key(Number(1, 1_000, example="3")),
            "depth": Key(Number(0, 20, example="3")),
            "link": Key(_in_ms("5ms"), "link_ms"),
        },
    )
    keys = {
        "tree": Key(tree),
        "rtt": Key(FileName(base, "planetlab.txt")),
        "topohub": Key(Text("the name of a network of the Topology Hub", "gabriel/25/0", r"[\w./-]+")),
    }
    return Block("a map", _one_map, keys, one_of=tuple(keys))


def _one_map(tree: Tree | None = None, rtt: str = "", topohub: str = "") -> Tree | Rtts | TopoHub:
    return tree or (Rtts(rtt) if rtt else TopoHub(topohub))


def _network() -> Block:
    return Block(
        "a block",
        Conditions,
        {
            "loss": Key(PERCENT),
            "jitter": Key(PERCENT),
            "duplicate": Key(PERCENT),
            "reorder": Key(PERCENT),
            "reorder_by": Key(TIME, "reorder_s"),
            "rate": Key(
                Text(
                    "bytes a second such as 10MiB/s",
                    "10MiB/s",
                    r"\d{1,9}(?:\.\d{1,3})? ?(?:[kKmMgG](?:i?B)?|B)/s",
                    lambda text: float(size_bytes(text.removesuffix("/s"))),
                ),
                "rate_bytes_s",
            ),
        },
    )


def _users(base: Path) -> Block:
    file = FileName(base, "sf-taxi-cells.mat")
    trace = Block("a block", Trace, {"file": Key(file, required=True), "minute": Key(LENGTH, "minute_s")})
    motions = {
        "trace": Key(ByType({dict: trace}, _Made(file, Trace))),
        "walk": Key(Block("a block", Walk, {"every": Key(LENGTH, "every_s")})),
    }
    moving = Block("a way to move", _one_motion, motions, one_of=tuple(motions))
    crowd = {
        "at": Key(TIME, "at_s", required=True),
        "for": Key(LENGTH, "for_s", required=True),
        "count": Key(Number(1, SCENARIO_USERS, example="50"), required=True),
        "place": Key(PLACE, "at"),
    }
    return Block(
        "users",
        _users_of,
        {
            "count": Key(Number(0, SCENARIO_USERS, example="10")),
            "app": Key(NAME),
            "at": Key(PLACE),
            "every": Key(LENGTH, "every_s"),
            "websocket": Key(Flag()),
            "motion": Key(
                ByType({dict: moving}, Choice({"static": Static()}, "`static`, or a block with `trace` or `walk`"))
            ),
            "crowd": Key(Block("a crowd", Crowd, crowd)),
        },
    )


def _users_of(app: str = "", **fields: Any) -> Users:
    return Users(app, **fields)


def _one_motion(trace: Trace | None = None, walk: Walk | None = None) -> Trace | Walk | None:
    return trace or walk


class _Made(Form):
    """What another form reads, made into something else."""

    def __init__(self, form: Form, make: Callable[[Any], Any]) -> None:
        self._form, self._make = form, make
        self.description, self.example = form.description, form.example

    def read(self, document: Document, path: Place, value: Any) -> Any:
        meaning = self._form.read(document, path, value)
        return BAD if meaning is BAD else self._make(meaning)

    def schema(self) -> dict[str, Any]:
        return self._form.schema()


_DEFAULTS: Mapping[FaultKind, tuple[Span, Span]] = {
    FaultKind.CRASH: (Span(1, 10), Span(0, 0)),
    FaultKind.REBOOT: (Span(10, 90), Span(0, 0)),
    FaultKind.POWER_LOSS: (Span(10, 300), Span(0, 0)),
    FaultKind.PAUSE: (Span(1, 20), Span(0, 0)),
    FaultKind.PARTITION: (Span(10, 120), Span(0, 0)),
    FaultKind.CUT_ONE_WAY: (Span(10, 120), Span(0, 0)),
    FaultKind.LOSS_BURST: (Span(5, 60), Span(0.2, 0.8)),
    FaultKind.CLOCK_JUMP: (Span(0, 0), Span(-30, 30)),
    FaultKind.DISK_FULL: (Span(10, 120), Span(0, 0)),
    FaultKind.DISK_SLOW: (Span(10, 120), Span(0.1, 2.0)),
}
"""How long a fault lasts, and how bad it is, where the file does not say."""


def _random_faults() -> Form:
    return Block(
        "a block",
        lambda **kinds: tuple(kinds.values()),
        {kind.value: Key(ByType({dict: _random_fault(kind)}, _Made(RATE, _maker(kind)))) for kind in FaultKind},
    )


def _random_fault(kind: FaultKind) -> Block:
    keys = {"rate": Key(RATE, "per_hour", required=True)}
    if kind is not FaultKind.CLOCK_JUMP:
        keys["for"] = Key(LENGTHS, "for_s")
    match kind:
        case FaultKind.LOSS_BURST:
            keys["loss"] = Key(LOSSES, "amount")
        case FaultKind.CLOCK_JUMP:
            keys["by"] = Key(SIGNED_LENGTHS, "amount")
        case FaultKind.DISK_SLOW:
            keys["by"] = Key(LENGTHS, "amount")
    return Block("a block", _maker(kind), keys)


def _maker(kind: FaultKind) -> Callable[..., RandomFault]:
    for_s, amount = _DEFAULTS[kind]

    def make(per_hour: float, for_s: Span = for_s, amount: Span = amount) -> RandomFault:
        return RandomFault(kind, per_hour, for_s, amount)

    return make
