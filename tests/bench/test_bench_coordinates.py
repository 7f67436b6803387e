"""The coordinates benchmark, small, on round trips made up here."""

import lzma
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from footloose.bench.coordinates import CHECKPOINTS, PROBES, Result, run
from footloose.bench.figures import quantile
from footloose.bench.rtt_data import data_directory, slices_of
from footloose.cli.bench import bench
from footloose.core.errors import LocalError

HOSTS = 25


def quiet(_: str) -> None:
    """Progress is for people."""


def made_up(directory: Path, name: str = "planetlab", scale: float = 1.0) -> Path:
    """Hosts in a plane, each behind an access link, with some noise: two slices of one set."""
    directory.mkdir(exist_ok=True)
    random = Random(7)
    at = [(random.uniform(0, 100), random.uniform(0, 100), random.uniform(1, 10)) for _ in range(HOSTS)]
    for number in (2, 10):
        lines = []
        for x, y, access in at:
            row = [((x - u) ** 2 + (y - v) ** 2) ** 0.5 + access + far for u, v, far in at]
            lines.append("\t".join(f"{ms * random.uniform(1.0, 1.05) * scale:.5f}" for ms in row))
        (directory / f"{name}-{number}.txt.xz").write_bytes(lzma.compress("\n".join(lines).encode()))
    return directory


def result_of(directory: Path) -> Result:
    return run(directory, 200, 1, quiet)


def test_errors_shrink_with_rounds_and_the_pick_gets_better_with_probes(tmp_path: Path) -> None:
    rows = result_of(made_up(tmp_path)).rows
    assert [row.rounds for row in rows] == [round(200 * part) for part in CHECKPOINTS]
    assert rows[-1].error_p50 < rows[0].error_p50
    for row in rows:
        for extra_ms in (row.extra_p50_ms, row.extra_p90_ms):
            assert [*extra_ms] == [str(probes) for probes in PROBES]
            assert sorted(extra_ms.values(), reverse=True) == [*extra_ms.values()]
            assert extra_ms["0"] == extra_ms["1"], "one probe of the first nominee changes nothing"
            assert min(extra_ms.values()) >= 0.0
    assert rows[-1].extra_p50_ms["10"] == 0.0


def test_the_same_seed_gives_the_same_figures(tmp_path: Path) -> None:
    directory = made_up(tmp_path)
    assert result_of(directory) == result_of(directory)
    assert result_of(directory) != run(directory, 200, 2, quiet)


def test_sets_that_are_not_there_are_left_out_with_a_word(tmp_path: Path) -> None:
    said: list[str] = []
    made_up(tmp_path / "rtt", "seattle", 0.001)
    rows = run(tmp_path, 8, 1, said.append).rows
    assert {row.data for row in rows} == {"seattle"}
    assert any("planetlab is left out" in text for text in said)
    with pytest.raises(LocalError, match="no measured round trips"):
        run(None, 8, 1, quiet)


def test_units_do_not_change_the_figures_but_for_rounding(tmp_path: Path) -> None:
    in_ms = result_of(made_up(tmp_path / "ms")).rows[-1]
    in_s = result_of(made_up(tmp_path / "s", "seattle", 0.001)).rows[-1]
    assert in_s.error_p50 == pytest.approx(in_ms.error_p50, abs=0.02)


def test_slices_come_in_order_of_time_not_of_names(tmp_path: Path) -> None:
    made_up(tmp_path)
    assert [path.name for path in slices_of("planetlab", tmp_path)] == ["planetlab-2.txt.xz", "planetlab-10.txt.xz"]
    assert slices_of("seattle", tmp_path) == slices_of("planetlab", None) == []
    with pytest.raises(LocalError, match="no such folder"):
        data_directory(tmp_path / "nowhere")
    assert data_directory(tmp_path) == tmp_path


def test_the_command_prints_a_table_and_writes_json(tmp_path: Path) -> None:
    made_up(tmp_path)
    arguments = [
        "coordinates",
        "--rounds",
        "8",
        "--quick",
        "--data",
        str(tmp_path),
        "--out",
        str(tmp_path / "out.json"),
    ]
    shown = CliRunner().invoke(bench, arguments)
    assert shown.exit_code == 0, shown.output
    assert "planetlab" in shown.stdout
    assert '"extra_p90_ms"' in (tmp_path / "out.json").read_text()
    assert '"rows"' in CliRunner().invoke(bench, [*arguments, "--json"]).stdout


def test_a_quantile_is_a_value_that_occurred() -> None:
    assert [quantile([4.0, 1.0, 3.0, 2.0], part) for part in (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)] == [1, 1, 2, 3, 4, 4]
    assert quantile([], 0.5) == 0.0
