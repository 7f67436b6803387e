"""The recovery benchmark: its figures, and one quick run of it."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from footloose.bench.recovery import Result, row
from footloose.testbed import available


def test_a_row_is_made_of_the_times_until_the_first_and_until_all_services_served() -> None:
    made = row(2, [[100.0, 200.0], [140.0, 300.0], [120.0, 220.0]])
    assert (made.assignments, made.samples_ms) == (2, (200.0, 220.0, 300.0))
    assert (made.first_ms, made.mean_ms, made.median_ms, made.p95_ms) == (120.0, 240.0, 220.0, 300.0)


@pytest.mark.root
@pytest.mark.slow
def test_a_quick_run_measures_every_number_of_services_and_writes_what_it_prints(tmp_path: Path) -> None:
    if not available():
        pytest.skip(available().why)
    out = tmp_path / "recovery.json"
    command = [sys.executable, "-m", "footloose", "bench", "recovery", "--samples", "2", "--json", "--out", str(out)]
    done = subprocess.run([*command, "--services", "1", "--services", "3"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = msgspec.json.decode(out.read_bytes(), type=Result)
    assert [(one.assignments, len(one.samples_ms)) for one in result.rows] == [(1, 2), (3, 2)]
    assert all(0 < one.first_ms <= max(one.samples_ms) for one in result.rows)
    assert json.loads(done.stdout) == json.loads(out.read_text())
