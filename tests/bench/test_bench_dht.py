"""The DHT benchmark, small: it repeats, and its figures are in the order they must be in."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from footloose.bench.dht import FOUNDED_NODES, Plan, Result, Row, Trial, delays, plans, run
from footloose.cli.bench import bench
from footloose.core.limits import DHT_BUCKET
from footloose.simulation.dht import Swarm
from footloose.simulation.maps.tree import TreeMap

MAP = TreeMap(3, (20.0, 10.0, 5.0))
PLAN = Plan(30, lookups=120, joins_per_s=20.0, settle_s=12.0, settled_s=2.0, churned_s=5.0, measured_s=10.0)


def quiet(_: str) -> None:
    """Progress is for people."""


def trial(**changes: object) -> Row:
    return Trial(msgspec.structs.replace(PLAN, **changes), MAP, 1, quiet).run()


def test_every_look_up_is_counted_and_finds_its_site_where_nothing_is_lost_and_nobody_crashes() -> None:
    row = trial(loss=0.0, churn_per_hour=0.0)
    assert (row.nodes, row.lookups, row.succeeded, row.success, row.crashed) == (30, 120, 120, 1.0, 0)
    assert row.found_round_trips_p50 <= row.found_round_trips_p95 <= row.ended_round_trips_p95
    assert row.found_ms_p50 <= row.ended_ms_p50 <= row.ended_ms_p95
    assert row.requests_mean >= row.ended_round_trips_p50


def test_with_loss_and_heavy_churn_nearly_all_look_ups_still_succeed_and_take_longer() -> None:
    calm, rough = trial(loss=0.0, churn_per_hour=0.0), trial(loss=0.1, churn_per_hour=20.0)
    assert rough.crashed > 0
    assert rough.lookups >= 115, "those whose asker crashed are not counted"
    assert rough.success >= 0.97
    assert rough.ended_ms_p95 > calm.ended_ms_p95


def test_larger_networks_need_more_round_trips_but_far_fewer_than_nodes() -> None:
    small = trial(loss=0.0, nodes=12)
    large = trial(loss=0.0, nodes=120, founded=True, lookups=80, settle_s=6.0)
    assert small.found_round_trips_p50 == 0, "of twelve nodes, each keeps everything"
    assert 1 <= large.found_round_trips_p50 <= 3
    assert large.contacts_mean > small.contacts_mean


def test_a_founded_network_has_tables_as_full_as_they_can_be() -> None:
    swarm = Swarm(3, lambda _source, _target: 0.01, trusting=True)
    nodes = swarm.found(100)
    for node in nodes[::9]:
        apart = [(node.machine.key ^ other.machine.key).bit_length() for other in nodes if other is not node]
        room = sum(min(DHT_BUCKET, apart.count(distance)) for distance in set(apart))
        assert len(node.machine.table) == room
        assert len({contact.key for contact in node.machine.table.contacts()}) == room


def test_the_larger_a_network_the_shorter_it_is_looked_at_and_only_the_largest_are_founded() -> None:
    made = plans((10, 1_000, 10_000))
    assert [plan.founded for plan in made] == [False, False, True]
    assert made[0].measured_s > made[1].measured_s > made[2].measured_s
    assert FOUNDED_NODES < 10_000


def test_without_measured_round_trips_it_says_so_and_uses_a_tree() -> None:
    said: list[str] = []
    assert delays(None, said.append).name.startswith("tree")
    assert len(said) == 1
    assert "tree instead" in said[0]


def test_the_command_prints_a_table_and_writes_the_same_figures_as_json(tmp_path: Path) -> None:
    out = tmp_path / "dht.json"
    arguments = ["dht", "--quick", "--nodes", "8", "--data", str(tmp_path), "--out", str(out)]
    shown = CliRunner().invoke(bench, arguments)
    assert shown.exit_code == 0, shown.output
    assert "found" in shown.stdout
    written = msgspec.json.decode(out.read_bytes(), type=Result)
    assert [row.nodes for row in written.rows] == [8]
    assert written.rows[0].success >= 0.99


_RUN = """
from footloose.bench.dht import Plan, run
from footloose.simulation.maps.tree import TreeMap
plan = Plan(25, lookups=60, joins_per_s=20.0, settle_s=12.0, settled_s=2.0, churned_s=5.0, measured_s=8.0,
            churn_per_hour=20.0)
print(run([plan], TreeMap(3, (20.0, 10.0, 5.0)), {seed}, lambda text: None))
"""


def test_the_same_seed_gives_the_same_result_however_python_hashes() -> None:
    said = [
        subprocess.run(
            [sys.executable, "-c", _RUN.format(seed=seed)],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed, hash_seed in ((1, "0"), (1, "4242"), (2, "0"))
    ]
    assert said[0] == said[1] != said[2]


@pytest.mark.parametrize("sizes", [(10,), (10, 20)])
def test_a_result_has_a_row_for_each_size(sizes: tuple[int, ...]) -> None:
    small = [msgspec.structs.replace(PLAN, nodes=nodes, lookups=10, measured_s=2.0) for nodes in sizes]
    result = run(small, MAP, 5, quiet)
    assert [row.nodes for row in result.rows] == list(sizes)
    assert (result.seed, result.loss, result.delays) == (5, 0.05, MAP.name)
