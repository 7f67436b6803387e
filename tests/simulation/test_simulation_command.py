"""``footloose simulate``: what it runs, prints, saves, and how it ends."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from simulation_ran import TOY, Simulate

from footloose.cli.exits import Exit
from footloose.simulation.recording import load_recording
from footloose.simulation.scenario_file import scenario_names

HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""What runs in the background of a shell is started deaf to interrupts."""
MAIN = f"{HEED}; from footloose.cli.main import main; main()"
BAD_SEED = "4"
GOOD_SEED = "1"


def test_a_good_run_says_its_seed_digest_and_figures(simulate: Simulate, toy_file: Path) -> None:
    ran = simulate(str(toy_file), "--seed", GOOD_SEED)
    assert ran.code == Exit.OK, ran.err
    first, second = ran.out.splitlines()
    assert first.startswith(f"seed {GOOD_SEED}  ") and first.endswith("good")
    assert second.split() == ["requests", second.split()[1]]
    assert simulate(str(toy_file)).out == ran.out, "seed 1 is the default"


def test_a_bad_run_ends_with_a_code_of_its_own_a_story_and_what_plays_it_again(
    simulate: Simulate, toy_file: Path
) -> None:
    ran = simulate(str(toy_file), "--seed", BAD_SEED)
    assert ran.code == Exit.VIOLATED == 6
    lines = ran.out.splitlines()
    assert "VIOLATED: nothing-forgotten at " in lines[0]
    assert "  what    it forgot what it had counted" in lines
    assert any(line.startswith("What was done to it (4 of ") for line in lines)
    saved = Path(f"toy-{BAD_SEED}.json")
    replay = f"footloose simulate {toy_file} --seed {BAD_SEED} --schedule {saved}"
    assert f"  {replay}" in lines

    again = simulate(*replay.split()[2:])
    assert again.code == Exit.VIOLATED
    assert "  what    it forgot what it had counted" in again.out
    assert "Play it again" not in again.out


def test_without_shrinking_all_that_was_done_is_told(simulate: Simulate, toy_file: Path) -> None:
    whole = simulate(str(toy_file), "--seed", BAD_SEED, "--no-shrink")
    assert whole.code == Exit.VIOLATED
    assert "What was done to it:" in whole.out
    assert len(json.loads(Path(f"toy-{BAD_SEED}.json").read_text())["faults"]) > 10


def test_many_seeds_in_many_processes_give_the_same_as_one_after_another(simulate: Simulate, toy_file: Path) -> None:
    many = simulate(str(toy_file), "--seeds", "1..12", "--jobs", "2", "--json")
    one = simulate(str(toy_file), "--seeds", "1..12", "--jobs", "1", "--json")
    assert many.code == one.code == Exit.VIOLATED
    assert json.loads(many.out) == json.loads(one.out)
    assert [run["seed"] for run in json.loads(one.out)["runs"]] == list(range(1, 13))
    story = json.loads(one.out)["story"]
    assert story["scenario"] == "toy"
    assert len(story["schedule"]) == 4


def test_many_seeds_end_with_how_many_were_good(simulate: Simulate, toy_file: Path) -> None:
    lines = simulate(str(toy_file), "--seeds", f"{GOOD_SEED}..{GOOD_SEED}").out.splitlines()
    assert len(lines) == 2
    lines = simulate(str(toy_file), "--seeds", "1..7", "--no-shrink", "--jobs", "1").out.splitlines()
    assert lines[-1].startswith("7 runs, ") and "scenarios an hour" in lines[-1]


def test_checking_runs_nothing(simulate: Simulate, toy_file: Path) -> None:
    assert simulate(str(toy_file), "--check").out == f"{toy_file}: good, 4 sites, 1 app, 7 users, 3600 s\n"
    toy_file.write_text(TOY.replace("home: a", "home: x"))
    ran = simulate(str(toy_file), "--check")
    assert ran.code == Exit.INVALID_FILE
    assert f"{toy_file}:5:28: apps[0].home: no site is called `x`" in ran.err
    assert "    fix: there are: a, b, c, d" in ran.err
    found = simulate(str(toy_file), "--check", "--json")
    assert found.code == Exit.INVALID_FILE
    assert [problem["key"] for problem in json.loads(found.out)["problems"]] == ["apps[0].home"]


def test_a_place_that_the_map_does_not_have_is_told_before_anything_is_run(simulate: Simulate, toy_file: Path) -> None:
    (toy_file.parent / "ms.txt").write_text("0 5\n5 0\n")
    toy_file.write_text(TOY.replace("every: 1m", "every: 1m, at: 2") + "map: {rtt: ms.txt}\n")
    ran = simulate(str(toy_file), "--check")
    assert ran.code == Exit.FAILED
    assert "error: toy: users[0].at: the map has no place '2'" in ran.err
    assert "fix: its places are 0, 1" in ran.err
    toy_file.write_text(TOY.replace("every: 1m", "every: 1m, at: 1") + "map: {rtt: ms.txt}\n")
    assert simulate(str(toy_file), "--check").code == Exit.OK


@pytest.mark.parametrize("name", scenario_names())
def test_a_scenario_that_comes_along_is_found_by_its_name(simulate: Simulate, name: str) -> None:
    assert simulate(name, "--check").code == Exit.OK
    assert simulate(name, "--jobs", "1", "--no-shrink").code in (Exit.OK, Exit.VIOLATED)


def test_the_schema_is_printed(simulate: Simulate) -> None:
    assert json.loads(simulate("--schema").out)["properties"]["duration"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("a", "b"),
        ("a", "--runs", "3"),
        ("a", "--seeds", "3"),
        ("a", "--seeds", "3..2"),
        ("a", "--seeds", "1..9999999"),
        ("a", "--seeds", "1..2", "--seed", "1"),
        ("a", "--seeds", "1..2", "--record", "x"),
        ("--soak", "--seed", "1"),
    ],
)
def test_options_that_do_not_go_together_are_refused(simulate: Simulate, arguments: tuple[str, ...]) -> None:
    assert simulate(*arguments).code == Exit.USAGE


def test_a_world_that_is_not_there_is_said_not_to_be(simulate: Simulate, toy_file: Path) -> None:
    for world in ("nowhere:run", "simulation_toy:walk", "none"):
        for jobs in ("1", "2"):
            ran = simulate(str(toy_file), "--world", world, "--jobs", jobs, "--seeds", "1..2")
            assert ran.code == Exit.FAILED
            assert "there is no world to simulate" in ran.err


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_exception_in_the_world_is_a_violation_and_shrunk_like_one(
    simulate: Simulate, toy_file: Path, jobs: str
) -> None:
    ran = simulate(str(toy_file), "--world", "simulation_toy:raises", "--seeds", "1..2", "--jobs", jobs)
    assert ran.code == Exit.VIOLATED
    assert "raises ZeroDivisionError" in ran.out
    assert "in raises, line " in ran.out
    assert "(1 of " in ran.out, "a pause is all it needs"


def test_a_world_left_to_chance_is_noticed(simulate: Simulate, toy_file: Path) -> None:
    ran = simulate(str(toy_file), "--world", "simulation_toy:moody", "--jobs", "1")
    assert ran.code == Exit.VIOLATED
    assert "something in the run is left\nto chance" in ran.out


def test_a_process_that_dies_ends_it_with_an_error(simulate: Simulate, toy_file: Path) -> None:
    ran = simulate(str(toy_file), "--world", "simulation_toy:dies", "--seeds", "1..3", "--jobs", "2")
    assert ran.code == Exit.FAILED
    assert "a process that simulates has died" in ran.err


def test_a_soak_of_so_many_runs_takes_turns_and_tells_each_kind_once(simulate: Simulate, toy_file: Path) -> None:
    other = toy_file.with_name("other.yaml")
    other.write_text(TOY.replace("name: toy", "name: other"))
    ran = simulate("--soak", str(toy_file), str(other), "--runs", "40", "--jobs", "1")
    assert ran.code == Exit.VIOLATED
    assert ran.out.count("toy, seed ") == ran.out.count("other, seed ") == 1
    assert "40 runs, " in ran.out
    rows = simulate("--soak", str(toy_file), "--runs", "3", "--jobs", "1", "--json").out.splitlines()
    assert [json.loads(row)["scenario"] for row in rows] == ["toy"] * 3


def test_a_run_is_recorded(simulate: Simulate, toy_file: Path) -> None:
    ran = simulate(str(toy_file), "--world", "simulation_toy:shows", "--record", "toy.jsonl")
    assert ran.code == Exit.OK, ran.err
    assert "footloose simulate --play toy.jsonl" in ran.out
    recording = load_recording(Path("toy.jsonl"))
    assert (recording.heading.scenario, recording.heading.seed, recording.sites) == ("toy", 1, ("a",))


def start(*arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    here = str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, "simulate", "--world", "simulation_toy:run", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": here},
        start_new_session=True,
    )


@contextmanager
def all_of(process: "subprocess.Popen[str]") -> Iterator[list[int]]:
    """Descriptors of all processes of this one's session but itself; killed at the end."""
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    others = [pid for pid in found if pid != process.pid and _session(pid) == process.pid]
    assert len(others) >= 2
    descriptors = [os.pidfd_open(pid) for pid in others]
    try:
        yield descriptors
    finally:
        for descriptor in descriptors:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)
        process.kill()
        process.communicate()


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def ended(descriptors: list[int], timeout_s: float = 30) -> bool:
    """Wait until all of them have ended."""
    return all(select.select([descriptor], [], [], timeout_s)[0] for descriptor in descriptors)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("arguments", "code"), [(("--soak",), 6), (("--seeds", "1..900000", "--no-shrink"), 130)])
def test_interrupting_many_processes_ends_them_all_quietly(
    toy_file: Path, number: signal.Signals, arguments: tuple[str, ...], code: int
) -> None:
    process = start(str(toy_file), *arguments, "--jobs", "2", cwd=toy_file.parent)
    assert process.stdout is not None
    while "VIOLATED" not in (line := process.stdout.readline()):
        assert line, process.communicate()
    with all_of(process) as others:
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err, err
        assert err.strip() == ""
        assert process.returncode == code
        assert ("scenarios an hour" in out) == (code == 6)
        assert ended(others)


def test_a_recording_is_served_until_it_is_interrupted(toy_file: Path, simulate: Simulate) -> None:
    assert simulate(str(toy_file), "--world", "simulation_toy:shows", "--record", "toy.jsonl").code == Exit.OK
    process = start("--play", "toy.jsonl", "--port", "0", cwd=Path.cwd())
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("toy, seed 1: 2.5 s, 10 in each second; 1 site. It begins when")
        url = process.stdout.readline().strip()
        assert url.endswith("/a/")
        with urlopen(f"{url}v1/view") as answer:  # noqa: S310  it is our own
            assert json.loads(answer.read())["name"] == "a"
        port = url.split(":")[2].split("/")[0]
        taken = simulate("--play", "toy.jsonl", "--port", port)
        assert taken.code == Exit.FAILED
        assert f"cannot listen at port {port}" in taken.err
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err.strip()) == (Exit.INTERRUPTED, "")
    finally:
        process.kill()
        process.communicate()


def test_processes_whose_parent_was_killed_end_too(toy_file: Path) -> None:
    process = start(str(toy_file), "--soak", "--jobs", "2", cwd=toy_file.parent)
    assert process.stdout is not None
    assert process.stdout.readline()
    with all_of(process) as others:
        process.kill()
        assert ended(others)
