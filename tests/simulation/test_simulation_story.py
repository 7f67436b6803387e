"""What is told of a run that went wrong, and the file it is played again from."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.errors import LocalError
from footloose.simulation.faults import (
    ClockJump,
    Crash,
    CutOneWay,
    DiskFull,
    DiskSlow,
    Fault,
    Heal,
    LossBurst,
    Mend,
    Partition,
    Pause,
    PowerLoss,
    Start,
)
from footloose.simulation.outcome import Happening, Outcome, Violation
from footloose.simulation.scenario import AppSpec, Scenario, SiteSpec, Users
from footloose.simulation.schedule_file import ScheduleFile, load_schedule, parse_schedule, save_schedule
from footloose.simulation.smaller import Smaller
from footloose.simulation.story import Story, clock, described, first_violation

SCENARIO = Scenario("toy", 600.0, tuple(map(SiteSpec, "abc")), (AppSpec("pulse", "a"),), (Users("pulse", 4),))
ALL: tuple[Fault, ...] = (
    Crash(1.0, "a"),
    Start(2.0, "a"),
    PowerLoss(3.0, "b"),
    Start(4.0, "b"),
    Pause(5.0, "c", 1.5),
    Partition(6.0, (("a",), ("b", "c"))),
    Heal(7.0),
    CutOneWay(8.0, "a", "b"),
    Mend(9.0, "a", "b"),
    LossBurst(10.0, 0.5, 2.0),
    ClockJump(11.0, "a", -30.0),
    DiskFull(12.0, "a", True),
    DiskFull(13.0, "a", False),
    DiskSlow(14.0, "a", 0.5),
    DiskSlow(15.0, "a", 0.0),
)
VIOLATION = Violation(62.5, "keeps-running", "pulse at b", "it was stopped", "its lease holds until 120 s")
OUTCOME = Outcome(
    17,
    "ab" * 32,
    99,
    (Violation(70.0, "other", "", "", ""), VIOLATION),
    (Happening(60.0, "b", "lease", "renewed"), Happening(62.5, "", "heal", ""), Happening(63.0, "a", "late", "no")),
)


def test_the_story_says_what_when_why_and_how_to_see_it_again() -> None:
    story = Story("toy", OUTCOME, VIOLATION, (ALL[0], ALL[1]), 40, runs=12, replay="footloose simulate toy --seed 17")
    assert list(story.lines()) == [
        "toy, seed 17: keeps-running is violated at 01:02.500",
        "  about   pulse at b",
        "  what    it was stopped",
        "  reason  its lease holds until 120 s",
        "  and 1 more violation after it",
        "",
        "What was done to it (2 of 40 faults are enough, found in 12 runs):",
        "  00:01.000  a: the node is killed",
        "  00:02.000  a: the node starts again",
        "",
        "What happened last:",
        "  01:00.000  b  lease  renewed",
        "  01:02.500     heal",
        "",
        "Play it again:",
        "  footloose simulate toy --seed 17",
    ]


def test_the_story_says_when_it_is_not_sure() -> None:
    def told(**known: object) -> str:
        return "\n".join(msgspec.structs.replace(Story("toy", OUTCOME, VIOLATION, ALL, 40, runs=9), **known).lines())

    assert "perhaps fewer: given up after 9 runs" in told(finished=False)
    assert "left\nto chance" in told(reproduced=False)
    assert "without any fault" in told(schedule=())
    assert "faults are enough" not in told(runs=0)
    smaller = Smaller(240.0, (1,), None, ("c",))
    assert "It is enough to have 240 s, 1 user, no site c." in told(smaller=smaller)
    assert "Nothing is known" in told(outcome=msgspec.structs.replace(OUTCOME, happenings=()))


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: type(fault).__name__)
def test_every_fault_can_be_told_in_words(fault: Fault) -> None:
    assert described(fault)


def test_what_a_terminal_would_obey_is_spelt_out() -> None:
    wrong = Violation(1.0, "c\x1b[2J", "a\nb", "\r", "")
    assert "\x1b" not in "".join(Story("toy", OUTCOME, wrong, ALL, 1).lines())


@pytest.mark.parametrize(
    ("at_s", "text"), [(0.0, "00:00.000"), (59.9996, "01:00.000"), (3600.0, "1:00:00.000"), (86399.0, "23:59:59.000")]
)
def test_times_are_told_as_on_a_clock(at_s: float, text: str) -> None:
    assert clock(at_s) == text


def test_the_earliest_violation_is_told_or_that_of_the_checker_asked_for() -> None:
    assert first_violation(OUTCOME) is VIOLATION
    assert first_violation(OUTCOME, "other").checker == "other"
    assert first_violation(OUTCOME, "none") is VIOLATION


def test_a_schedule_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    content = ScheduleFile("toy", 17, ALL, Smaller(300.0, (1,), (0,), ()), "keeps-running")
    save_schedule(tmp_path / "it.json", content)
    assert load_schedule(tmp_path / "it.json", SCENARIO) == content


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"version": 2}, "a schedule of version 2, where 1 is understood"),
        ({"version": "1"}, "not a schedule: Expected `int`"),
        ({"scenario": "storm"}, "it is for the scenario 'storm', not 'toy'"),
        ({"extra": 1}, "unknown field `extra`"),
        ({"faults": [{"fault": "flood", "at_s": 1}]}, r"Invalid value 'flood' - at `\$.faults\[0\].fault`"),
        ({"faults": [{"fault": "crash", "at_s": 1, "site": "x"}]}, r"faults\[0\]: no site is called 'x'"),
        ({"faults": [{"fault": "crash", "at_s": 601, "site": "a"}]}, "which is not within the 600 s of the run"),
        ({"faults": [{"fault": "crash", "at_s": -1, "site": "a"}]}, "which is not within the 600 s of the run"),
        ({"smaller": {"users": [1, 2]}}, "`smaller` does not fit the scenario"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused_with_the_place(change: dict[str, object], expected: str) -> None:
    good = msgspec.to_builtins(ScheduleFile("toy", 17, ALL))
    with pytest.raises(LocalError, match=expected) as caught:
        parse_schedule(msgspec.json.encode(good | change), SCENARIO, "it.json")
    assert caught.value.where is not None and caught.value.where.startswith("it.json")
    assert caught.value.fix


def test_a_schedule_that_is_not_there_is_said_not_to_be(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="cannot be read"):
        load_schedule(tmp_path / "none.json", SCENARIO)


@given(st.binary(max_size=100))
def test_bytes_of_any_kind_are_no_schedule(content: bytes) -> None:
    with pytest.raises(LocalError):
        parse_schedule(content, SCENARIO, "it.json")
