"""The demo from an installed wheel, far from the repository."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from demo_runs import demo_run
from test_demo_loopback import SMALL

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_the_demo_runs_from_an_installed_wheel_outside_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, env=environment)
    [wheel] = tmp_path.glob("*.whl")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, capture_output=True, env=environment)
    python = venv / "bin" / "python"
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--disable-pip-version-check",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True, env=environment)
    # What it depends on comes from here; but not the package itself, which an editable install puts on the path.
    asked = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    own, others = (
        subprocess.run([each, "-c", asked], check=True, capture_output=True, text=True, env=environment).stdout.strip()
        for each in (str(python), sys.executable)
    )
    (Path(own) / "others.pth").write_text(others + "\n")
    found = subprocess.run(
        [str(python), "-c", "import footloose; print(footloose.__file__)"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    ).stdout
    assert found.startswith(own)
    topology = tmp_path / "small.yaml"
    topology.write_text(SMALL)
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)
    command = (str(venv / "bin" / "footloose"),)
    checked = subprocess.run(
        [*command, "simulate", "promise", "--check"], check=True, capture_output=True, cwd=tmp_path
    )
    assert checked.stdout.startswith(b"promise: good, "), "scenarios come along"
    with demo_run("--json", "--topology", str(topology), footloose=command, cwd=tmp_path) as run:
        ended = run.ended()
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["good"] is True
    assert ended.left_behind == ()
