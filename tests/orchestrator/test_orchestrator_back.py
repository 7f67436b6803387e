"""Sending users back to where they came from."""

import pytest

from footloose.core.identity import Identity, NodeId
from footloose.model.network import Prefix
from footloose.orchestrator.problem import BACK_MS, not_merely_back
from footloose.placement.interface import Candidate, Choice, Placement, Problem

USERS = Prefix("203.0.113.0/24")
PARENT, CHILD = (Identity.from_seed(seed * 32).node_id for seed in (b"p", b"c"))


def answered(origin_ms: float, there_ms: float, there: NodeId) -> tuple[Placement, Problem]:
    problem = Problem(
        demand={USERS: 1.0},
        origin_rtt_ms={USERS: origin_ms},
        candidates=(Candidate(there, {USERS: there_ms}, running=True),),
        copies=3,
    )
    return Placement((Choice(there, "nearest", origin_ms - there_ms),), {USERS: there}), problem


@pytest.mark.parametrize(("there_ms", "sent"), [(50.0 - BACK_MS, True), (50.0 - BACK_MS + 0.1, False), (49.0, False)])
def test_users_are_sent_back_to_a_customer_only_for_a_plain_difference(there_ms: float, sent: bool) -> None:
    placement = not_merely_back(*answered(50.0, there_ms, PARENT), lambda site: site == PARENT)
    assert (placement.assignment == {USERS: PARENT}) == sent


def test_users_are_sent_on_to_any_other_site_for_less() -> None:
    placement = not_merely_back(*answered(50.0, 47.0, CHILD), lambda site: site == PARENT)
    assert placement.assignment == {USERS: CHILD}


def test_two_sites_whose_figures_differ_by_noise_do_not_send_a_user_to_and_fro() -> None:
    """The parent takes the copy for 8 ms nearer, the copy the parent: only the one that sends on has its way."""
    down = not_merely_back(*answered(58.0, 50.0, CHILD), lambda _: False)
    up = not_merely_back(*answered(58.0, 50.0, PARENT), lambda site: site == PARENT)
    assert (down.assignment, up.assignment) == ({USERS: CHILD}, {})
