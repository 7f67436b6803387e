"""Members and whole sites in virtual time."""

import os
import subprocess
import sys

import pytest

from footloose.core.errors import LocalError
from footloose.membership.config import LAN
from footloose.membership.states import MemberState
from footloose.simulation.fleet import SITES_PER_ROUTER, Fleet
from footloose.simulation.members import Members


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    fleet = Fleet(1)
    fleet.grow(30, over_s=5.0)
    fleet.run(60)
    return fleet


def test_apps_whose_users_are_elsewhere_follow_them_and_the_others_stay(fleet: Fleet) -> None:
    for users in fleet.users:
        at = users.at.number // SITES_PER_ROUTER
        assert at == users.router
        assert (users.at is users.home) == (users.router == users.home.number // SITES_PER_ROUTER)
    away = [users for users in fleet.users if users.at is not users.home]
    assert len(away) == fleet.copies() == SITES_PER_ROUTER


def test_all_sites_of_a_fleet_know_each_other_and_announce_themselves(fleet: Fleet) -> None:
    assert fleet.members.agree()
    assert all(site.dht.storage.records > 0 for site in fleet.sites)
    assert sum(site.dht.dropped.total() for site in fleet.sites) == 0


def test_leases_are_kept_up_for_as_long_as_there_are_users(fleet: Fleet) -> None:
    before = {lease_id for site in fleet.sites for lease_id in site.held}
    fleet.run(150)
    assert {lease_id for site in fleet.sites for lease_id in site.held} == before


FLEET = """
from footloose.simulation.fleet import Fleet
fleet = Fleet(5)
fleet.grow(12, over_s=3.0)
fleet.run(20)
print(fleet.digest(), fleet.copies())
"""


def test_a_fleet_repeats_from_its_seed_to_the_last_byte_whatever_the_hash_seed() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", FLEET],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert runs[0].strip()


def test_what_is_sent_by_and_to_a_starved_member_comes_when_it_is_fed_again() -> None:
    members = Members(1, config=LAN)
    members.grow(5)
    members.run_until(members.agree, most_s=60)
    starved = members.sites[2]
    received = starved.received
    members.starve(starved, 10.0)
    members.run(9.9)
    assert starved.received == received
    assert MemberState.SUSPECT in starved.states().values()
    assert any(site.states()[starved.node] is not MemberState.ALIVE for site in members.sites if site is not starved)
    members.run(0.2)
    assert starved.received > received
    members.run_until(members.agree, most_s=90)


def test_waiting_for_what_does_not_come_true_ends_with_an_error() -> None:
    members = Members(1)
    members.grow(2)
    with pytest.raises(LocalError, match="not so within 5 s"):
        members.run_until(lambda: False, most_s=5)
