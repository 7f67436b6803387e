"""What is so in every world, whatever happens in it."""

import os
import subprocess
import sys
from pathlib import Path

import orchestrator_random
from hypothesis import example, given, settings
from hypothesis import strategies as st
from orchestrator_random import RandomWorld, digest

from footloose.core.limits import IDLE_BEFORE_RETIRE_S, REFUSAL_MEMORY_S, USER_MEMORY_S
from footloose.placement.interface import Problem

SEEDS = st.integers(0, 2**32)
HYSTERESIS_MS = Problem({}, {}, (), 0).hysteresis_ms
LATELY_S = 30.0
SEED = 6
"""Of a world in which much happens."""


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 4), st.sampled_from((0.0, 0.5)))
@example(72100378, 2, 0.0)  # a copy ends that has leased a copy of its own
def test_users_are_sent_only_to_copies_that_serve_and_never_in_a_circle(seed: int, copies: int, noise: float) -> None:
    made = RandomWorld(seed, copies=copies, noise_ms=noise)
    for _ in range(60):
        made.world.run(1.0)
        assert made.circles() == []
    assert made.wrong == []
    assert [user.failed for user in made.users] == [[]] * len(made.users)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 3), st.integers(1, 12))
def test_whatever_fails_there_are_never_too_many_copies_and_no_table_grows(seed: int, copies: int, faults: int) -> None:
    made = RandomWorld(seed, copies=copies, liars=1, noise_ms=0.5)
    made.trouble(60.0, faults)
    assert made.wrong == []
    assert [table for table in made.tables() if table[1] > table[2]] == []
    assert all(one.reason and one.outcome and one.subject for one in made.world.decisions)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(0, 8))
def test_once_nothing_fails_any_more_every_user_is_served_by_the_nearest_site_there_is(seed: int, faults: int) -> None:
    made = RandomWorld(seed)
    made.trouble(40.0, faults)
    made.calm(4 * REFUSAL_MEMORY_S)
    for user in made.users:
        worst = max(made.served_ms(user, LATELY_S))
        assert worst <= made.best_ms(user) + HYSTERESIS_MS, (user.name, user.at)
        assert not [one for one in user.failed if one[0] > made.world.now - LATELY_S]
    assert made.circles() == []
    assert made.wrong == []


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 2))
def test_with_few_copies_nobody_is_served_worse_than_at_home(seed: int, copies: int) -> None:
    made = RandomWorld(seed, copies=copies, liars=1)
    made.calm(2 * REFUSAL_MEMORY_S)
    for user in made.users:
        worst, home = max(made.served_ms(user, LATELY_S)), made.world.net.rtt_ms("home", user.name)
        assert worst <= home + HYSTERESIS_MS, (user.name, user.at)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(0, 8))
def test_when_all_users_have_left_nothing_is_left_of_them(seed: int, faults: int) -> None:
    made = RandomWorld(seed)
    made.trouble(30.0, faults)
    made.calm(REFUSAL_MEMORY_S)
    for user in made.users:
        user.active = False
    made.world.run(4 * (USER_MEMORY_S + IDLE_BEFORE_RETIRE_S))
    for name, site in made.world.sites.items():
        assert made.world.copies(name) == {}
        assert (site.loop.located, site.given, site.held) == ({}, {}, {})
        assert all(not running.users for running in site.loop.services.values())
        assert name == "home" or site.runs == {}


def test_the_same_seed_gives_the_same_effects_whatever_the_hash_seed() -> None:
    assert digest(SEED) == digest(SEED)
    assert digest(SEED) != digest(SEED + 1)
    here = Path(orchestrator_random.__file__)
    told = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, here, str(SEED)], env=environment, capture_output=True, text=True, check=True
        )
        told.append(done.stdout.split()[0])
    assert told == [digest(SEED)] * 2
