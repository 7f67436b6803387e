"""Whole sites in virtual time: the promise, replay from a seed, and checkers that notice what is broken."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from simulation_mutants import MUTANTS, Mutant
from simulation_towns import CUT_OFF, PROMISE, REBOOTED_WHILE_CUT_OFF, ROUGH

from footloose.simulation.outcome import Outcome
from footloose.simulation.run import run
from footloose.simulation.scenario import AppSpec, Crowd, Scenario, SiteSpec, Users, Walk
from footloose.simulation.schedule import schedule

FRESH = 3
"""Seeds nobody has tried before, in each run of the tests."""


def told(outcome: Outcome) -> str:
    lines = [f"{one.at_s:8.2f} {one.site:6} {one.kind:9} {one.text}" for one in outcome.happenings[-60:]]
    return "\n".join([*lines, *map(str, outcome.violations), f"seed {outcome.seed}"])


def test_a_site_that_reboots_while_cut_off_runs_all_it_agreed_to_and_healing_stops_nothing() -> None:
    outcome = run(CUT_OFF, 1, REBOOTED_WHILE_CUT_OFF)
    assert not outcome.violations, told(outcome)
    assert outcome.simulated_s == CUT_OFF.duration_s


@pytest.mark.parametrize("seed", range(6))
def test_the_promise_is_kept_under_random_partitions_and_reboots(seed: int) -> None:
    outcome = run(PROMISE, seed, schedule(PROMISE, seed))
    assert not outcome.violations, told(outcome)


@pytest.mark.parametrize("seed", range(4))
def test_all_properties_hold_whatever_befalls_the_sites(seed: int) -> None:
    outcome = run(ROUGH, seed, schedule(ROUGH, seed))
    assert not outcome.violations, told(outcome)


def test_they_hold_from_seeds_nobody_has_tried() -> None:
    seeds = [random.SystemRandom().randrange(2**32) for _ in range(FRESH)]
    print(f"fresh seeds: {seeds}")
    for seed in seeds:
        outcome = run(PROMISE, seed, schedule(PROMISE, seed))
        assert not outcome.violations, told(outcome)


def test_a_run_follows_from_its_seed_alone_whatever_the_hash_seed() -> None:
    program = "\n".join(
        [
            "import sys",
            f"sys.path.insert(0, {str(Path(__file__).parent)!r})",
            "from simulation_towns import PROMISE",
            "from footloose.simulation.run import run",
            "from footloose.simulation.schedule import schedule",
            "print([run(PROMISE, seed, schedule(PROMISE, seed)).digest for seed in (1, 1, 2)])",
        ]
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "4711")
    }
    assert len(printed) == 1
    first, again, other = eval(printed.pop())  # noqa: S307  what we printed ourselves
    assert first == again != other


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_sites_broken_on_purpose_are_found_out(mutant: Mutant) -> None:
    with mutant.alive():
        outcome = run(CUT_OFF, 1, REBOOTED_WHILE_CUT_OFF)
        seed = -1
        while not outcome.violations and seed < mutant.seeds:
            seed += 1
            outcome = run(ROUGH, seed, schedule(ROUGH, seed))
    assert outcome.violations
    assert {violation.checker for violation in outcome.violations} & set(mutant.noticed_by), told(outcome)


def test_walking_users_and_crowds_end_at_the_best_site_with_and_without_websockets() -> None:
    scenario = Scenario(
        "walkers",
        240.0,
        (
            SiteSpec("home", at="root"),
            SiteSpec("one", at="0.0"),
            SiteSpec("two", at="1.1"),
            SiteSpec("three", at="2.2"),
        ),
        (AppSpec("shop", "home"),),
        (
            Users("shop", 4, at="0.0.0", motion=Walk(40.0)),
            Users("shop", 3, at="1.1.0", websocket=True, motion=Walk(60.0)),
            Users("shop", 1, at="2.0.1", crowd=Crowd(30.0, 60.0, 20, at="2.2.2")),
        ),
        settle_s=60.0,
    )
    outcome = run(scenario, 5, ())
    assert not outcome.violations, told(outcome)
    assert outcome.figures["users"] == 28
    assert outcome.figures["user requests"] > 2000
    assert outcome.figures["user errors"] == 0
