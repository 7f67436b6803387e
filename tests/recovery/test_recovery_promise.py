"""A site that is cut off and loses its power runs all it agreed to again, alone; and healing the network stops none."""

import re
import time
from collections.abc import Sequence
from contextlib import ExitStack

import pytest
from node_sites import Site, answering, eventually
from recovery_checks import (
    every_assignment_serves,
    instances,
    no_redirect_loops,
    nothing_healthy_was_stopped,
    the_same_leases_go_on,
)
from recovery_world import ANOTHER, FAR_USER, Land, reboot, way

from footloose.model.app import ServiceId

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.mark.parametrize("rebooted", [("edge",), ("home", "edge"), ("edge", "home")], ids="-then-".join)
def test_all_that_a_site_agreed_to_runs_again_in_the_cut_and_healing_stops_none_of_it(
    here: Land, rebooted: Sequence[str]
) -> None:
    began_at = time.time()
    with ExitStack() as people:
        with here.cut_off():
            for name in rebooted:
                reboot(getattr(here, name))
            every_assignment_serves(here)
            before = instances(here, here.edge)
            eventually(lambda: all(here.home.places(one)["a-site"].state == "suspect" for one in here.copies))
            ends_at = {one: here.home.places(one)["a-site"].lease_ends_at for one in here.copies}
            bea = people.enter_context(here.person(ANOTHER))
            bea.goes_on(2)
        here.restored()
        bea.goes_on(4)
        assert bea.errors == [], bea.told
        assert {page.host for page in bea.pages} == {here.edge.process.place.address}
    nothing_healthy_was_stopped(here, here.edge, before)
    the_same_leases_go_on(here, began_at)
    # At once if home had to ask again; by the middle of the term if an answer of before the cut came late.
    assert all(ends_at.values())
    eventually(lambda: all((here.home.places(one)["a-site"].lease_ends_at or 0) > ends_at[one] for one in here.copies))
    every_assignment_serves(here)
    no_redirect_loops(here)


REMOVED = {"the app was removed", "its service does not run here any more"}
CHANGED = {"replaced by another version of the app", "it is of another version of the service"}
"""Why a copy ends, as the home says at once, and as it says after a restart."""


def ended(site: Site, service: ServiceId) -> str:
    """Why a copy was stopped, as its site said, once it was."""
    said = re.compile(rf"stopping {service}: released: (.*)\n")
    return eventually(lambda: said.search(site.log()))[1]


@pytest.mark.parametrize("rebooted", [(), ("home",)], ids=["home-stays-up", "home-is-rebooted"])
def test_an_app_removed_or_changed_at_home_in_the_cut_serves_on_and_ends_for_that_reason_when_it_heals(
    here: Land, rebooted: Sequence[str]
) -> None:
    began_at = time.time()
    # Names and code of their own each time: what was under way when a home was killed may still come when it heals.
    goes, changes, changed = (f"{what}-{len(rebooted)}" for what in ("goes", "changes", "changed"))
    going, changing = here.moved_there(goes), here.moved_there(changes)
    before, said = instances(here, here.edge), len(here.edge.log())
    with here.cut_off():
        here.forget(here.home, going.service)
        here.home.deploy(answering(changed), name=changes)
        for name in rebooted:
            reboot(getattr(here, name))
        for one in (going, changing):
            assert way(here.net, ANOTHER, here.edge.url(one.service))[1].body == one.text
        assert way(here.net, FAR_USER, here.home.url(changing.service))[1].body == changed
        assert "stopping" not in here.edge.log()[said:]
    assert ended(here.edge, going.service) in REMOVED
    reasons = {one.reason for one in here.decided(changing.service, "retire", since=began_at)}
    assert reasons and reasons <= CHANGED
    # What was asked for by hand holds for the new version: a copy of it takes the place of the old one.
    eventually(lambda: "a-site" in here.home.serving(changing.service))
    urls, answer = way(here.net, ANOTHER, here.edge.url(changing.service))
    assert (urls, answer.body) == ([here.edge.url(changing.service)], changed)
    here.restored()
    every_assignment_serves(here)
    nothing_healthy_was_stopped(here, here.edge, before)
    the_same_leases_go_on(here, began_at)
    no_redirect_loops(here)
    here.forget(here.home, changing.service)
