"""A site that stood still, or whose clock leapt, gives nobody up for it."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recovery_site import SERVICE, SetClock, site_up

from footloose.core.clock import OwnTime, WatchedClock
from footloose.core.identity import NodeId
from footloose.core.limits import CUSTOMER_SILENT_S, IDLE_BEFORE_RETIRE_S, LEASE_TERM_S, STOOD_STILL_S
from footloose.model.network import Observation, Prefix

USERS = (Observation(SERVICE, Prefix("192.0.2.0/24"), "192.0.2.7", requests=1, rtt_ms=5.0),)


@given(st.lists(st.integers(0, 40).map(lambda eighths: eighths / 8), max_size=30))
def test_a_watched_clock_tells_of_each_gap_that_is_too_long_and_of_no_other(gaps: list[float]) -> None:
    clock, told = SetClock(0.0), []
    watched = WatchedClock(clock, 1.0)
    watched.stood_still = told.append
    watched.now()
    for gap in gaps:
        clock.at += gap
        assert watched.now() == clock.at
    assert told == [gap for gap in gaps if gap > 1.0]


@given(st.lists(st.floats(0.0, 5.0), max_size=30))
def test_own_time_counts_only_so_much_of_a_gap(gaps: list[float]) -> None:
    clock = SetClock(0.0)
    own = OwnTime(clock.now, 1.0)
    for gap in gaps:
        clock.at += gap
        own.now()
    assert own.now() == pytest.approx(sum(min(gap, 1.0) for gap in gaps))


async def test_a_copy_is_not_taken_for_unused_because_its_site_stood_still_for_longer_than_its_lease(
    tmp_path: Path,
) -> None:
    async with site_up(tmp_path, SetClock()) as up:
        lease = await up.lease()
        up.site._users_seen(USERS)
        await asyncio.sleep(0)
        up.clock.at += LEASE_TERM_S + IDLE_BEFORE_RETIRE_S + 10.0
        up.site._users_seen(())  # whatever happens first
        up.site.host._desk_driver._wake()
        [held] = up.site.host._desk.all_held()
        assert (held.lease.lease_id, held.state.value) == (lease.lease_id, "grace")
        assert SERVICE in up.site.services
        assert list(up.site.loop.services[SERVICE].users) == [USERS[0].prefix]


async def test_a_customer_is_not_taken_for_silent_because_the_site_of_its_copy_stood_still(tmp_path: Path) -> None:
    async with site_up(tmp_path, SetClock()) as up:
        lease = await up.lease()
        up.site.host.poll(lease.lease_id, lease.customer, renew=False, hold=False, prefixes=10)
        up.clock.at += CUSTOMER_SILENT_S + 5.0
        up.site._driver._wake()
        assert list(up.site.loop.services[SERVICE].customers) == [NodeId(lease.customer)]
        for _ in range(int(CUSTOMER_SILENT_S / STOOD_STILL_S) + 2):  # a real silence is one that is listened to
            up.clock.at += STOOD_STILL_S
            up.site._driver._wake()
        assert list(up.site.loop.services[SERVICE].customers) == []
