"""What ran out while a site was down, or cannot run any more, does not run again."""

from pathlib import Path

from recovery_site import PARENT_URL, SERVICE, SetClock, site_up

from footloose.core.identity import Identity
from footloose.market.desk import NOTICE_S
from footloose.state.leases import Side


async def test_a_copy_whose_notice_ran_out_while_its_site_was_down_is_not_run_again(tmp_path: Path) -> None:
    clock = SetClock()
    async with site_up(tmp_path, clock) as up:
        lease = await up.lease()
        up.site.host.drain("maintenance")
    clock.at += NOTICE_S + 1
    async with site_up(tmp_path, clock) as up:
        assert up.served.ever == set()
        assert [moved.url for moved in up.served.table.moved] == [PARENT_URL]
        stored = up.state.leases.get(Side.PROVIDER, lease.lease_id)
        assert stored is not None and stored.ended_at is not None
        assert stored.ending == "notice ran out: maintenance"


async def test_a_copy_under_notice_runs_again_for_the_rest_of_it(tmp_path: Path) -> None:
    clock = SetClock()
    async with site_up(tmp_path, clock) as up:
        await up.lease()
        up.site.host.drain("maintenance")
    clock.at += NOTICE_S - 1
    async with site_up(tmp_path, clock) as up:
        assert up.served.ever == {SERVICE}
        assert [held.ending for held in up.site.host._desk.all_held()] == ["maintenance"]


async def test_a_copy_that_cannot_be_run_again_is_given_up_for_all_its_customers(tmp_path: Path) -> None:
    clock = SetClock()
    async with site_up(tmp_path, clock) as up:
        leases = [await up.lease(), await up.lease(Identity.from_seed(b"o" * 32))]
    async with site_up(tmp_path, clock, damaged=1) as up:
        assert up.served.ever == set()
        assert up.site.host._desk.all_held() == []
        for lease in leases:
            stored = up.state.leases.get(Side.PROVIDER, lease.lease_id)
            assert stored is not None and stored.ending == "it cannot be run here: does not compile"
