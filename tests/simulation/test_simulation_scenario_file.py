"""Scenario files: what they mean, and what is said of those that mean nothing."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from footloose.placement.registry import placer_names
from footloose.simulation.episodes import episodes
from footloose.simulation.faults import (
    ClockJump,
    Crash,
    CutOneWay,
    DiskFull,
    DiskSlow,
    Heal,
    LossBurst,
    Mend,
    Partition,
    Pause,
    PowerLoss,
    Start,
)
from footloose.simulation.network import Conditions
from footloose.simulation.scenario import (
    AppSpec,
    Clocks,
    Crowd,
    FaultKind,
    Membership,
    RandomFault,
    Rtts,
    Scenario,
    SiteSpec,
    Span,
    TopoHub,
    Trace,
    Tree,
    Users,
    Walk,
)
from footloose.simulation.scenario_file import (
    ScenarioError,
    load_scenario,
    parse_scenario,
    scenario_names,
    scenario_schema,
)
from footloose.simulation.schedule import schedule
from markdown_pages import ROOT, blocks

LEAST = "duration: 10m\nsites: 2\napps: [{name: pulse, home: a}]\n"


MANY = ("crash", "pause", "reboot", "disk_full", "loss_burst", "disk_slow", "cut_one_way")


def read(text: str | bytes, base: Path = Path("/nowhere")) -> Scenario:
    content = text if isinstance(text, bytes) else text.encode()
    return parse_scenario(content, "it.yaml", base, placements=placer_names())


def problems(text: str | bytes, base: Path = Path("/nowhere")) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        read(text, base)
    return [problem.line("it.yaml") for problem in caught.value.problems]


def test_the_least_scenario_has_sensible_rest() -> None:
    assert read(LEAST) == Scenario(
        name="it", duration_s=600.0, sites=(SiteSpec("a"), SiteSpec("b")), apps=(AppSpec("pulse", "a"),)
    )


def test_every_key_means_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "cells.mat").touch()
    scenario = read(
        """
name: all-of-it
duration: 1h
settle: 4m
calm: 10s
map: {tree: {branching: 2, depth: 4, link: 500us}}
sites:
  - {name: home, at: root, region: eu, price: 0.5, max_leases: 3}
  - {name: edge, at: 0.1, region: us}
  - bare
clocks: {skew: 2s, drift: 50ppm}
membership: lan
network: {loss: 1%, jitter: 20%, duplicate: 0.5%, reorder: 2%, reorder_by: 80ms, rate: 1MiB/s}
apps:
  - {name: pulse, home: home, slo: 30ms, copies: 4, price: 1, regions: [us],
     placement: betweenness, follow_users: false}
users:
  - {count: 3, app: pulse, at: 0.1.1, every: 500ms, websocket: true, motion: static}
  - {at: random, motion: {walk: {every: 90s}}, crowd: {at: 2m, for: 1m, count: 50, place: edge}}
  - {motion: {trace: cells.mat}}
  - {motion: {trace: {file: cells.mat, minute: 5s}}}
faults:
  crash: 2/h
  clock_jump: {rate: 1/d, by: -5s..30s}
  loss_burst: {rate: 3/m, for: 7s, loss: 10%..20%}
script:
  - {at: 60s, partition: [[home], [edge, bare]], for: 2m}
  - {at: 70s, reboot: home}
  - {at: 90s, crash: edge, down: 1s}
  - {at: 95s, power_loss: bare, down: 2s}
  - {at: 100s, pause: edge, for: 3s}
  - {at: 4m, cut_one_way: [home, edge], for: 10s}
  - {at: 4m, loss_burst: 50%, for: 10s}
  - {at: 4m, clock_jump: home, by: -30s}
  - {at: 4m, disk_full: home, for: 10s}
  - {at: 4m, disk_slow: home, by: 200ms, for: 10s}
""",
        tmp_path,
    )
    cells = str(tmp_path / "cells.mat")
    assert scenario == Scenario(
        name="all-of-it",
        duration_s=3600.0,
        settle_s=240.0,
        calm_s=10.0,
        map=Tree(2, 4, 0.5),
        sites=(SiteSpec("home", "root", "eu", 0.5, 3), SiteSpec("edge", "0.1", "us"), SiteSpec("bare")),
        clocks=Clocks(2.0, 50e-6),
        membership=Membership.LAN,
        network=Conditions(0.2, 0.01, 0.005, 0.02, 0.08, 1024.0**2),
        apps=(AppSpec("pulse", "home", 30.0, 4, 1.0, ("us",), "betweenness", False),),
        users=(
            Users("pulse", 3, "0.1.1", 0.5, True),
            Users("pulse", motion=Walk(90.0), crowd=Crowd(120.0, 60.0, 50, "edge")),
            Users("pulse", motion=Trace(cells)),
            Users("pulse", motion=Trace(cells, 5.0)),
        ),
        faults=(
            RandomFault(FaultKind.CRASH, 2.0, Span(1, 10)),
            RandomFault(FaultKind.LOSS_BURST, 180.0, Span(7, 7), Span(0.1, 0.2)),
            RandomFault(FaultKind.CLOCK_JUMP, 1 / 24, Span(0, 0), Span(-5, 30)),
        ),
        script=(
            *(Partition(60.0, (("home",), ("edge", "bare"))), Heal(180.0)),
            *(Crash(70.0, "home"), Start(75.0, "home")),
            *(Crash(90.0, "edge"), Start(91.0, "edge")),
            *(PowerLoss(95.0, "bare"), Start(97.0, "bare")),
            Pause(100.0, "edge", 3.0),
            *(CutOneWay(240.0, "home", "edge"), Mend(250.0, "home", "edge")),
            LossBurst(240.0, 0.5, 10.0),
            ClockJump(240.0, "home", -30.0),
            *(DiskFull(240.0, "home", True), DiskFull(250.0, "home", False)),
            *(DiskSlow(240.0, "home", 0.2), DiskSlow(250.0, "home", 0.0)),
        ),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("rtt: ms.txt", Rtts("/nowhere/ms.txt")), ("topohub: gabriel/25/0", TopoHub("gabriel/25/0"))],
)
def test_other_maps_are_named(text: str, expected: Rtts | TopoHub, tmp_path: Path) -> None:
    (tmp_path / "ms.txt").touch()
    found = read(f"{LEAST}map: {{{text}}}\n", tmp_path).map
    assert found == (Rtts(str(tmp_path / "ms.txt")) if isinstance(expected, Rtts) else expected)


def test_all_problems_are_told_at_once_with_line_key_and_fix() -> None:
    assert problems(
        "duration: 10\n"
        "settel: 3m\n"
        "sites: [{name: a}, {name: b, prise: 1}]\n"
        "apps: [{name: pulse, home: c}, {name: pulse, slo: 0ms}]\n"
        "faults: {crash: often}\n"
        "script:\n"
        "  - {at: 60s, pause: a}\n"
        "  - {crash: a, reboot: b}\n"
        "  - {at: 60s}\n"
    ) == [
        "it.yaml:1:11: duration: must be a time of more than 0 such as 30s or 10m, not `10` (for example `10m`)",
        "it.yaml:2:1: settel: unknown key `settel` (did you mean `settle`?)",
        "it.yaml:3:30: sites[1].prise: unknown key `prise` (did you mean `price`?)",
        "it.yaml:4:32: apps[1]: `home` is missing (add it: `home: berlin`)",
        "it.yaml:4:51: apps[1].slo: must be a time of more than 0 such as 30s or 10m, not `0ms` (for example `30ms`)",
        "it.yaml:5:17: faults.crash: must be how often, up to once a second, such as 2/h (s, m, h or d), not `often`"
        " (for example `2/h`)",
        "it.yaml:7:5: script[0]: `for` is missing (add it: `for: 10m`)",
        "it.yaml:8:16: script[1].reboot: both `crash` and `reboot` (make two entries of them)",
        "it.yaml:9:5: script[2]: it does not say what happens (add one of crash, reboot, power_loss, pause, partition, "
        "cut_one_way, loss_burst, clock_jump, disk_full, disk_slow)",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "it.yaml: the file is empty (start with `duration:`, `sites:` and `apps:`)"),
        ("- 1", "it.yaml:1:1: must be a scenario, not a list"),
        ("{}", "it.yaml:1:1: `duration` is missing (add it: `duration: 10m`)"),
        (LEAST.replace("home: a", "home: ab"), "apps[0].home: no site is called `ab` (did you mean `b`?)"),
        (LEAST + "settle: 10m", "it.yaml:4:9: settle: with 600 s to settle (`settle`), nothing is left of the 600 s"),
        (LEAST.replace("10m", "2m"), "duration: with 180 s to settle (`settle`), nothing is left of the 120 s"),
        (
            LEAST + "calm: 8m\nfaults: {crash: 1/h}",
            "faults: random faults would begin at 480 s (`calm`) and end by 420",
        ),
        (LEAST + "map: {}", "map: none of tree, rtt, topohub (add one of them)"),
        (LEAST + "map: {tree: {}, topohub: x}", "map.topohub: both `tree` and `topohub` (keep one of them)"),
        (LEAST + "map: {tree: {branching: 9, depth: 9}}", "map.tree: a tree of more than 100,000 routers (lower"),
        (LEAST + "map: {rtt: none.txt}", "map.rtt: there is no file /nowhere/none.txt (give a path relative"),
        (LEAST + "users: [{at: 0.7}]", "users[0].at: `0.7` is no place of a tree with branching 3 and depth 3"),
        (LEAST + "users: [{app: puls}]", "users[0].app: no app is called `puls` (did you mean `pulse`?)"),
        (LEAST + "users: [{count: 100000}, {}]", "users: 100,001 users (use at most 100,000)"),
        (LEAST + "users: [{crowd: {at: 9m, for: 2m, count: 1}}]", "this crowd leaves at 660 s, after the end at 600"),
        (LEAST + "users: [{websocket: maybe}]", "users[0].websocket: must be true or false, not `maybe`"),
        (
            LEAST + "users: [{motion: jog}]",
            "users[0].motion: must be `static`, or a block with `trace` or `walk`, not `jog`",
        ),
        (LEAST + "network: {loss: 1}", "network.loss: must be a percentage such as 1%, not `1` (for example `1%`)"),
        (LEAST + "network: {loss: 101%}", "network.loss: must be a percentage such as 1%, not `101%`"),
        (LEAST + "membership: man", "membership: must be lan or wan, not `man`"),
        (LEAST + "faults: {crash: {for: 1s}}", "faults.crash: `rate` is missing (add it: `rate: 2/h`)"),
        (
            LEAST + "faults: {crash: {rate: 1/h, for: 9s..1s}}",
            "faults.crash.for: must be a time, or a least and a most",
        ),
        (
            LEAST + f"faults: {{{', '.join(f'{kind}: 1/s' for kind in MANY)}}}",
            "faults: about 5,460 faults in a run (use",
        ),
        (LEAST + "script: [{at: 1m, crash: x}]", "script[0].crash: no site is called `x` (there are: a, b)"),
        (LEAST + "script: [{at: 6m59s, crash: a}]", "script[0]: it is over at 424 s, but faults end by 420 s"),
        (LEAST + "script: [{at: 1m, clock_jump: a, by: 0s}]", "by: must be a time forwards or back such as -30s"),
        (LEAST + "script: [{at: 1m, crash: a}, {at: 64s, pause: a, for: 2s}]", "script[1]: it meets the one on line 4"),
        (LEAST + "script: [{at: 1m, partition: [[a], [b, a]], for: 1s}]", "[1][1]: `a` is in group 1 already"),
        (LEAST + "script: [{at: 1m, partition: [[a]], for: 1s}]", "must be a list of 2 or more, each a list of 1 or"),
        (LEAST + "script: [{at: 1m, cut_one_way: [a, a], for: 1s}]", "from a site to itself (name two sites)"),
        (LEAST.replace("2", "1") + "faults: {partition: 1/h}", "faults.partition: there is only one site (add sites"),
        (LEAST.replace("sites: 2", "sites: [{name: a}, a]"), "sites[1]: `a` is the name of the one on line 2 too"),
        (LEAST.replace("home: a", "home: a, placement: gredy"), "no placement algorithm is called `gredy` (did you"),
        (LEAST.replace("home: a", "home: a, regions: [eu]"), "apps[0].regions[0]: no site is in `eu`"),
        (
            LEAST.replace("home: a}", "home: a}, {name: b, home: b}") + "users: [{}]",
            "users[0]: it does not say of which app (add `app:` with one of pulse, b)",
        ),
    ],
)
def test_what_makes_no_sense_is_told(text: str, expected: str) -> None:
    assert [line for line in problems(text) if expected in line], problems(text)


def test_a_file_that_is_not_there_is_told_with_the_names_of_those_that_are() -> None:
    says = r"cannot be read: No such file .* one of clocks, crowd, disks, healing, promise"
    with pytest.raises(ScenarioError, match=says):
        load_scenario("prommise", placements=())


@pytest.mark.parametrize("name", scenario_names())
def test_each_scenario_that_comes_along_is_good_and_has_faults(name: str) -> None:
    scenario = load_scenario(name, placements=placer_names())
    assert scenario.name == name
    assert schedule(scenario, 1)
    assert episodes(scenario.script) or scenario.faults


def test_the_schema_agrees_with_the_reader_on_what_comes_along() -> None:
    schema = json.loads(scenario_schema())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    folder = Path(parse_scenario.__code__.co_filename).parent / "scenarios"
    for file in sorted(folder.glob("*.yaml")):
        assert list(validator.iter_errors(yaml.safe_load(file.read_text()))) == []
    assert list(validator.iter_errors({"duration": "10m", "sites": 1, "apps": [{"name": "x", "home": "a"}], "x": 1}))


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_read_or_refused(content: bytes) -> None:
    assert _outcome(content)


KEYS = [
    "name",
    "duration",
    "settle",
    "calm",
    "map",
    "sites",
    "clocks",
    "membership",
    "network",
    "apps",
    "users",
    "faults",
    "script",
    "at",
    "for",
    "by",
    "down",
    "home",
    "app",
    "tree",
    "rtt",
    "topohub",
    "walk",
    "trace",
    "every",
    "file",
    "crowd",
    "count",
    "partition",
    "cut_one_way",
    "crash",
    "loss_burst",
    "disk_slow",
    "rate",
    "x-y",
]
SCALARS = st.sampled_from(
    [
        "a",
        "b",
        "1",
        "0",
        "-1",
        "10m",
        "1s..5s",
        "5s..1s",
        "2/h",
        "50%",
        "1ppm",
        "random",
        "root",
        "0.1",
        "true",
        "null",
        ".",
        "lan",
        "static",
        "1e99",
        "99999999h",
        "٣",
    ]
)
TREES = st.recursive(
    SCALARS | st.integers() | st.none() | st.booleans() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYS), TREES, max_size=6))
def test_files_of_our_words_in_any_order_are_read_or_refused(data: dict[str, Any]) -> None:
    whole = {"duration": "10m", "sites": 2, "apps": [{"name": "pulse", "home": "a"}]} | data
    assert _outcome(yaml.safe_dump(whole, allow_unicode=True).encode())


def _outcome(content: bytes) -> bool:
    try:
        scenario = read(content)
    except ScenarioError as error:
        return all(problem.what and problem.fix for problem in error.problems) and bool(error.problems)
    assert msgspec.convert(msgspec.to_builtins(scenario), Scenario) == scenario
    return scenario.faults_end_s > 0


PAGE = (ROOT / "docs/reference/scenario-files.md").read_text()


def test_the_example_of_the_page_is_good() -> None:
    assert read(blocks(PAGE, "yaml")[0].text).name == "two-halves"


def test_the_page_has_every_key_and_every_kind_of_fault() -> None:
    schema = json.loads(scenario_schema())
    missing = [key for key in _keys(schema) if f"`{key}" not in PAGE]
    assert missing == []


def _keys(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return {key for each in schema for key in _keys(each)}
    if not isinstance(schema, dict):
        return set()
    own = schema.get("properties", {})
    return set(own) | _keys([value for key, value in schema.items() if key != "properties"]) | _keys(list(own.values()))
