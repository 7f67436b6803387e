"""Of all that was done, only what was needed is left."""

import msgspec
import pytest
import simulation_toy
from hypothesis import given
from hypothesis import strategies as st

from footloose.simulation.episodes import episodes, faults_of
from footloose.simulation.faults import Crash, Fault, Heal, Partition, Pause, Start
from footloose.simulation.outcome import Outcome, Violation
from footloose.simulation.scenario import AppSpec, Crowd, FaultKind, RandomFault, Scenario, SiteSpec, Span, Users
from footloose.simulation.schedule import schedule
from footloose.simulation.shrink import shrink
from footloose.simulation.smaller import Smaller

SCENARIO = Scenario(
    name="toy",
    duration_s=3600.0,
    sites=tuple(map(SiteSpec, "abcd")),
    apps=(AppSpec("pulse", "a"),),
    users=(Users("pulse", 5, every_s=60.0), Users("pulse", 9, every_s=90.0, crowd=Crowd(60.0, 60.0, 40))),
    faults=(
        RandomFault(FaultKind.CRASH, 4.0, Span(1, 10)),
        RandomFault(FaultKind.PAUSE, 4.0, Span(1, 10)),
        RandomFault(FaultKind.PARTITION, 6.0, Span(60, 300)),
    ),
)


def outcome(seed: int, *checkers: str, at_s: float = 3600.0) -> Outcome:
    return Outcome(seed, "", 0, tuple(Violation(at_s, checker, "", "", "") for checker in checkers))


PAUSES: tuple[Fault, ...] = tuple(Pause(float(10 * number), "a", 1.0) for number in range(1, 41))


@given(st.sets(st.sampled_from(PAUSES), max_size=5), st.booleans())
def test_just_the_faults_that_are_needed_together_are_found(needed: set[Fault], ends_later: bool) -> None:
    def run(_: Scenario, seed: int, faults: tuple[Fault, ...]) -> Outcome:
        return outcome(seed, "wrong") if needed <= set(faults) else outcome(seed)

    shrunk = shrink(run, SCENARIO, 1, PAUSES, "wrong", most_runs=2_000)
    assert set(shrunk.schedule) == needed
    assert shrunk.finished and shrunk.reproduced


@given(st.sets(st.sets(st.sampled_from(PAUSES[:8]), min_size=1, max_size=4).map(frozenset), min_size=1, max_size=6))
def test_of_many_ways_to_go_wrong_one_is_found_from_which_nothing_can_be_taken(ways: set[frozenset[Fault]]) -> None:
    def wrong(faults: tuple[Fault, ...]) -> bool:
        return frozenset(faults) in ways or len(faults) >= 8

    def run(_: Scenario, seed: int, faults: tuple[Fault, ...]) -> Outcome:
        return outcome(seed, "wrong") if wrong(faults) else outcome(seed)

    left = shrink(run, SCENARIO, 1, PAUSES[:8], "wrong", most_runs=2_000).schedule
    assert wrong(left)
    assert not any(wrong(tuple(fault for fault in left if fault != out)) for out in left)


def test_what_another_checker_says_does_not_count() -> None:
    def run(_: Scenario, seed: int, faults: tuple[Fault, ...]) -> Outcome:
        return outcome(seed, "wrong", "other") if PAUSES[3] in faults else outcome(seed, "other")

    assert shrink(run, SCENARIO, 1, PAUSES, "wrong").schedule == (PAUSES[3],)


def test_a_crash_keeps_its_start_and_a_partition_its_end() -> None:
    seed, faults, failed = planted()
    shrunk = shrink(simulation_toy.run, SCENARIO, seed, faults, simulation_toy.CHECKER)
    assert len(faults) > 20
    assert sorted(type(fault).__name__ for fault in shrunk.schedule) == ["Crash", "Heal", "Partition", "Start"]
    assert shrunk.outcome is not None
    assert shrunk.outcome.violations[0].checker == failed.violations[0].checker


def test_users_sites_and_time_that_are_not_needed_go_too() -> None:
    seed, faults, _ = planted()
    shrunk = shrink(simulation_toy.run, SCENARIO, seed, faults, simulation_toy.CHECKER)
    smaller = shrunk.smaller.of(SCENARIO)
    assert [entry.count for entry in smaller.users] == [0, 0]
    assert [entry.crowd for entry in smaller.users] == [None, None]
    assert len(smaller.sites) == 2
    assert smaller.faults_end_s == max(fault.at_s for fault in shrunk.schedule)
    assert shrunk.smaller.fits(SCENARIO)
    assert simulation_toy.run(smaller, seed, shrunk.schedule) == shrunk.outcome


def planted() -> tuple[int, tuple[Fault, ...], Outcome]:
    """A seed with which the toy goes wrong."""
    for seed in range(1, 100):
        faults = schedule(SCENARIO, seed)
        failed = simulation_toy.run(SCENARIO, seed, faults)
        if failed.violations:
            return seed, faults, failed
    raise AssertionError("no seed goes wrong")


def test_users_that_are_needed_stay() -> None:
    def run(scenario: Scenario, seed: int, faults: tuple[Fault, ...]) -> Outcome:
        first, second = scenario.users
        wrong = first.count >= 2 and second.crowd is not None and second.crowd.count >= 13
        return outcome(seed, "wrong") if wrong else outcome(seed)

    shrunk = shrink(run, SCENARIO, 1, (), "wrong")
    assert (shrunk.smaller.users, shrunk.smaller.crowds) == ((2, 0), (0, 20))


def test_a_site_of_which_a_fault_speaks_stays() -> None:
    faults: tuple[Fault, ...] = (
        Crash(60.0, "b"),
        Partition(70.0, (("a", "b", "c"), ("d",))),
        Heal(80.0),
        Start(90.0, "b"),
    )

    def run(_: Scenario, seed: int, given: tuple[Fault, ...]) -> Outcome:
        return outcome(seed, "wrong") if len(given) == 4 else outcome(seed)

    shrunk = shrink(run, SCENARIO, 1, faults, "wrong")
    assert shrunk.smaller.without == ("c",)
    assert shrunk.schedule[1] == Partition(70.0, (("a", "b"), ("d",)))


@pytest.mark.parametrize("most_runs", [1, 2, 7])
def test_runs_are_bounded_and_the_least_so_far_is_kept(most_runs: int) -> None:
    count = 0

    def run(_: Scenario, seed: int, faults: tuple[Fault, ...]) -> Outcome:
        nonlocal count
        count += 1
        return outcome(seed, "wrong") if {PAUSES[1], PAUSES[30]} <= set(faults) else outcome(seed)

    shrunk = shrink(run, SCENARIO, 1, PAUSES, "wrong", most_runs=most_runs)
    assert count == shrunk.runs == most_runs
    assert not shrunk.finished
    assert {PAUSES[1], PAUSES[30]} <= set(shrunk.schedule)


def test_a_run_that_does_not_go_wrong_again_is_said_to_be_left_to_chance() -> None:
    shrunk = shrink(lambda _scenario, seed, _faults: outcome(seed), SCENARIO, 1, PAUSES, "wrong")
    assert not shrunk.reproduced
    assert (shrunk.schedule, shrunk.runs) == (PAUSES, 1)


def test_what_came_after_it_had_gone_wrong_is_left_out_in_one_run() -> None:
    def run(_: Scenario, seed: int, faults: tuple[Fault, ...]) -> Outcome:
        return outcome(seed, "wrong", at_s=PAUSES[3].at_s) if PAUSES[3] in faults else outcome(seed)

    assert shrink(run, SCENARIO, 1, PAUSES, "wrong", most_runs=2).schedule == PAUSES[:4]


def test_the_least_so_far_is_kept_when_there_is_no_more_time() -> None:
    asked = iter([False] * 3 + [True] * 100)

    def run(_: Scenario, seed: int, faults: tuple[Fault, ...]) -> Outcome:
        return outcome(seed, "wrong") if PAUSES[0] in faults else outcome(seed)

    shrunk = shrink(run, SCENARIO, 1, PAUSES, "wrong", enough=lambda: next(asked))
    assert (shrunk.runs, shrunk.finished) == (4, False)
    assert PAUSES[0] in shrunk.schedule


def test_the_least_so_far_is_kept_when_it_is_interrupted() -> None:
    runs = 0

    def run(_: Scenario, seed: int, faults: tuple[Fault, ...]) -> Outcome:
        nonlocal runs
        runs += 1
        if runs > 5:
            raise KeyboardInterrupt
        return outcome(seed, "wrong") if PAUSES[0] in faults else outcome(seed)

    shrunk = shrink(run, SCENARIO, 1, PAUSES, "wrong")
    assert (shrunk.interrupted, shrunk.finished) == (True, False)
    assert PAUSES[0] in shrunk.schedule
    assert len(shrunk.schedule) < len(PAUSES)


@given(st.lists(st.sampled_from(PAUSES), unique=True))
def test_progress_is_told_after_each_run(needed: list[Fault]) -> None:
    told: list[tuple[int, int]] = []

    def run(_: Scenario, seed: int, faults: tuple[Fault, ...]) -> Outcome:
        return outcome(seed, "wrong") if set(needed) <= set(faults) else outcome(seed)

    shrunk = shrink(run, SCENARIO, 1, PAUSES, "wrong", told=lambda runs, faults: told.append((runs, faults)))
    assert [runs for runs, _ in told] == list(range(1, shrunk.runs + 1))
    assert [faults for _, faults in told] == sorted((faults for _, faults in told), reverse=True)


def test_a_smaller_scenario_is_noticed_not_to_fit_another() -> None:
    assert Smaller().fits(SCENARIO)
    assert Smaller().of(SCENARIO) == SCENARIO
    assert not Smaller(users=(1,)).fits(SCENARIO)
    assert not Smaller(without=("a",)).fits(SCENARIO), "the app has its home there"
    assert not Smaller(without=("x",)).fits(SCENARIO)
    assert not Smaller(duration_s=9_999.0).fits(SCENARIO)
    at_b = msgspec.structs.replace(SCENARIO, users=(Users("pulse", at="b"),))
    assert not Smaller(without=("b",)).fits(at_b)


def test_faults_put_back_in_order_are_the_same_faults() -> None:
    assert faults_of(reversed(episodes(PAUSES))) == PAUSES
