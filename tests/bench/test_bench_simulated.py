"""The benchmarks in virtual time, in small: that they run, and that their figures are in order."""

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from footloose.bench import convergence, membership, simulator
from footloose.cli.bench import bench
from footloose.core.limits import DATAGRAM_BYTES, MEMBERS_LIVE
from footloose.membership.config import LAN


def silent(_text: str) -> None:
    """Says nothing."""


@pytest.fixture(scope="module")
def members() -> membership.Result:
    return membership.run(membership.QUICK, silent)


def test_plain_swim_gives_up_at_least_fifty_times_as_many_members_that_are_well(members: membership.Result) -> None:
    found = {one.name: one for one in members.variants}
    assert found["plain SWIM"].given_up >= 50
    assert found["plain SWIM"].given_up >= 50 * found["footloose"].given_up
    assert found["plain SWIM"].given_up >= 50 * found["Lifeguard"].given_up


def test_local_health_and_shortening_suspicions_each_spare_most_wrong_verdicts(members: membership.Result) -> None:
    found = {one.name: one.given_up for one in members.variants}
    assert found["dynamic suspicion"] < found["local health"] < found["plain SWIM"] / 4
    assert found["Lifeguard"] <= found["dynamic suspicion"]


def test_who_is_silent_is_found_no_later_than_by_plain_swim(members: membership.Result) -> None:
    plain, *others = members.variants
    for one in others:
        assert one.first_s <= one.all_s
        assert one.all_s <= 1.2 * plain.all_s


def test_what_a_site_sends_stays_small(members: membership.Result) -> None:
    small, large = members.sizes
    assert small.in_view == small.sites - 1
    assert small.bytes_s < large.bytes_s < large.most_bytes_s < 1000
    assert large.largest_bytes <= DATAGRAM_BYTES


def test_the_same_seed_brings_the_same_figures(members: membership.Result) -> None:
    size = members.sizes[0]
    assert membership.measure_size(size.sites, members.plan) == size


def test_all_agree_soon_after_a_partition_however_long_it_was() -> None:
    result = convergence.run(convergence.QUICK, silent)
    assert [case.cut_s for case in result.cases] == list(convergence.QUICK.cut_s)
    for case in result.cases:
        assert case.lost > 0.4
        assert 0 < max(case.agreed_after_s) < case.retry_s == LAN.reconnect_most_s


def test_all_sites_of_the_partition_benchmark_fit_into_a_view() -> None:
    assert max(convergence.Plan().sites) <= MEMBERS_LIVE


def test_whole_sites_and_bare_events_are_counted() -> None:
    result = simulator.run(simulator.QUICK, silent)
    (events,), (sites,) = result.events, result.sites
    assert events.events_s > 0
    assert (events.simpy_process_events_s is None) == (result.simpy is None)
    assert sites.events > sites.member_messages + sites.dht_datagrams > 0
    assert sites.copies > 0


@pytest.mark.parametrize(
    ("name", "result"),
    [("membership", membership.Result), ("convergence", convergence.Result), ("simulator", simulator.Result)],
)
def test_each_prints_a_table_or_json_and_writes_its_result(name: str, result: type, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    ran = CliRunner().invoke(bench, [name, "--quick", "--json", "--seed", "3", "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    printed = json.loads(ran.stdout)
    assert printed == json.loads(out.read_bytes())
    assert msgspec.convert(printed, result)
    assert printed["plan"].get("seeds", [printed["plan"].get("seed")]) == [3]


@pytest.mark.parametrize("name", ["convergence", "simulator"])
def test_tables_fit_a_terminal_of_80_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = CliRunner().invoke(bench, [name, "--quick"])
    assert ran.exit_code == 0, ran.output
    assert max(map(len, ran.stdout.splitlines())) <= 80
