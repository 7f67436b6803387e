"""The benchmark of requests: one short run of it with what is installed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from footloose.bench.footprint import Result as Footprint
from footloose.bench.wasm import Result

BENCH = (sys.executable, "-m", "footloose", "bench", "wasm")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_short_run_measures_every_server_and_says_what_it_left_out(tmp_path: Path) -> None:
    out = tmp_path / "wasm.json"
    command = [*BENCH, "--seconds", "1", "--rounds", "1", "--json", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = msgspec.json.decode(out.read_bytes(), type=Result)
    assert json.loads(done.stdout) == json.loads(out.read_text())
    names = [row.name for row in result.rows]
    ours = ["constant", "fresh handler", "warm handler", "fresh command", "fresh handler, no sandbox"]
    assert names[: len(ours)] == ours
    left_out = {reason.partition(":")[0] for reason in result.skipped}
    assert left_out | set(names[len(ours) :]) == {"workerd", "node http"}
    assert all(row.cpu_us > 0 and row.requests_s > 0 and 0 < row.p50_ms <= row.p99_ms for row in result.rows)
    by_name = {row.name: row for row in result.rows}
    assert by_name["constant"].cpu_us < by_name["fresh command"].cpu_us
    assert [start.guest for start in result.starts] == ["handler", "command"]


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_workerd_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "workerd")
    done = subprocess.run([*BENCH, "--workerd", missing], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"{missing}: there is no such program" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_services_that_nobody_uses_are_counted_and_the_first_request_to_each_is_answered(tmp_path: Path) -> None:
    out = tmp_path / "footprint.json"
    command = [sys.executable, "-m", "footloose", "bench", "footprint", "--json", "--out", str(out)]
    done = subprocess.run(
        [*command, "--services", "10", "--services", "300", "--asked", "20"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = msgspec.json.decode(out.read_bytes(), type=Footprint)
    assert json.loads(done.stdout) == json.loads(out.read_text())
    assert [row.services for row in result.rows] == [10, 300]
    assert all(0 < row.first_p50_ms <= row.first_p99_ms for row in result.rows)
    assert result.node_mb > 0
    assert result.worker_mb > 0
