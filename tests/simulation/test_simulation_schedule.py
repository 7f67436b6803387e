"""Which faults come when."""

import subprocess
import sys
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from footloose.simulation.episodes import Episode, episodes, faults_of
from footloose.simulation.faults import (
    Crash,
    DiskFull,
    Fault,
    Heal,
    LossBurst,
    Partition,
    Pause,
    PowerLoss,
    Start,
    ends,
    in_order,
    is_ended_by,
)
from footloose.simulation.scenario import AppSpec, FaultKind, RandomFault, Scenario, SiteSpec, Span
from footloose.simulation.schedule import schedule

SPANS = st.tuples(st.floats(0.01, 100), st.floats(0, 200)).map(lambda ends: Span(ends[0], ends[0] + ends[1]))


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    kinds = draw(st.lists(st.sampled_from(FaultKind), unique=True, max_size=10))
    faults = tuple(
        RandomFault(kind, draw(st.just(0.0) | st.floats(0.01, 60)), draw(SPANS), draw(SPANS)) for kind in kinds
    )
    duration_s = draw(st.floats(60, 3600))
    return Scenario(
        name="any",
        duration_s=duration_s,
        settle_s=draw(st.floats(0, 59)),
        sites=tuple(SiteSpec(name) for name in "abcde"[: draw(st.integers(1, 5))]),
        apps=(AppSpec("pulse", "a"),),
        faults=faults,
        script=draw(st.sampled_from([(), (Crash(1.0, "a"), Start(30.0, "a"))])) if duration_s > 100 else (),
    )


@given(scenarios(), st.integers())
def test_all_is_put_right_before_the_time_to_settle(scenario: Scenario, seed: int) -> None:
    faults = schedule(scenario, seed)
    assert list(faults) == sorted(faults, key=lambda fault: fault.at_s)
    for episode in episodes(faults):
        assert episode.ends_s <= scenario.faults_end_s
        assert not ends(episode.first), "nothing is put right that was not wrong"


@given(scenarios(), st.integers())
def test_what_is_down_cannot_fall(scenario: Scenario, seed: int) -> None:
    down: set[str] = set()
    apart = False
    for fault in schedule(scenario, seed):
        match fault:
            case Crash(site=site) | PowerLoss(site=site):
                assert site not in down
                down.add(site)
            case Start(site=site):
                down.remove(site)
            case Pause(site=site):
                assert site not in down
            case Partition(groups=groups):
                assert not apart
                assert all(groups)
                apart = True
            case Heal():
                apart = False
    assert not down
    assert not apart


@given(scenarios(), st.integers())
def test_the_faults_of_the_script_come_whatever_the_seed(scenario: Scenario, seed: int) -> None:
    assert set(scenario.script) <= set(schedule(scenario, seed))


@given(scenarios(), st.integers())
def test_the_same_seed_gives_the_same_faults(scenario: Scenario, seed: int) -> None:
    assert schedule(scenario, seed) == schedule(scenario, seed)


def test_the_faults_do_not_depend_on_how_python_hashes() -> None:
    program = (
        "from footloose.simulation.schedule import schedule;"
        "from footloose.simulation.scenario_file import load_scenario;"
        "print(schedule(load_scenario('storm', placements=['greedy']), 7))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_other_seeds_give_other_faults_at_about_the_rate_asked_for() -> None:
    faults = (RandomFault(FaultKind.PAUSE, 60.0, Span(0.1, 0.2)),)
    scenario = Scenario("many", 3600.0, tuple(map(SiteSpec, "abcdefgh")), (AppSpec("pulse", "a"),), faults=faults)
    counts = [len(schedule(scenario, seed)) for seed in range(20)]
    assert len(set(counts)) > 5
    assert 0.9 < sum(counts) / (20 * 8 * 60 * (3600 - 180 - 30) / 3600) < 1.1


def test_one_more_kind_of_fault_leaves_the_others_where_they_were() -> None:
    crash, burst = RandomFault(FaultKind.CRASH, 20.0, Span(1, 5)), RandomFault(FaultKind.LOSS_BURST, 20.0, Span(1, 5))
    one = Scenario("one", 3600.0, (SiteSpec("a"), SiteSpec("b")), (AppSpec("pulse", "a"),), faults=(crash,))
    two = Scenario("two", 3600.0, (SiteSpec("a"), SiteSpec("b")), (AppSpec("pulse", "a"),), faults=(crash, burst))
    without = [fault for fault in schedule(two, 3) if not isinstance(fault, LossBurst)]
    assert without == list(schedule(one, 3))
    assert len(without) < len(schedule(two, 3))


@given(scenarios(), st.integers())
def test_faults_can_be_taken_apart_into_episodes_and_put_together_again(scenario: Scenario, seed: int) -> None:
    faults = schedule(scenario, seed)
    assert faults_of(episodes(faults)) == faults
    assert all(is_ended_by(*episode.faults) for episode in episodes(faults) if len(episode.faults) == 2)


def test_what_nothing_puts_right_never_ends() -> None:
    alone: Fault = Crash(5.0, "a")
    assert [episode.ends_s for episode in episodes([alone, Start(7.0, "b")])] == [inf, 7.0]


def test_an_end_comes_before_a_beginning_at_the_same_instant() -> None:
    first, last = DiskFull(3.0, "a", True), DiskFull(5.0, "a", False)
    again = DiskFull(5.0, "a", True), DiskFull(6.0, "a", False)
    assert in_order([*again, last, first]) == (first, last, *again)
    assert not Episode((first, last)).meets(Episode(again))
