"""Processes killed as by ``kill -9`` and stopped as by a paused machine, with the network whole."""

import signal
import threading
import time

import pytest
from node_sites import alive, eventually
from recovery_checks import (
    every_assignment_serves,
    instances,
    no_redirect_loops,
    nothing_healthy_was_stopped,
    the_same_leases_go_on,
)
from recovery_world import ANOTHER, Land, power_off, send, standing_still

from footloose.core.limits import SILENT_AFTER_S, WORKER_SILENT_S

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.mark.parametrize("whole", [True, False], ids=["the-whole-site", "only-the-node"])
def test_a_killed_site_leaves_nothing_behind_and_runs_all_it_agreed_to_again(here: Land, whole: bool) -> None:
    began_at = time.time()
    pids = here.edge.process.processes()
    if whole:
        power_off(here.edge)
    else:
        here.edge.process.kill()
    eventually(lambda: not any(alive(pid) for pid in pids))
    here.edge.restart()
    every_assignment_serves(here)
    here.restored()
    the_same_leases_go_on(here, began_at)
    no_redirect_loops(here)


def test_a_killed_worker_is_replaced_and_all_else_goes_on(here: Land) -> None:
    began_at, before, pids = time.time(), instances(here, here.edge), here.edge.process.processes()
    [(index, victim, restarts)] = before.workers
    assert victim is not None
    send([victim], signal.SIGKILL)
    every_assignment_serves(here)  # who comes before there is another waits for it
    eventually(lambda: instances(here, here.edge).workers[0][1] not in (None, victim))
    after = instances(here, here.edge)
    assert [(one, count) for one, _, count in after.workers] == [(index, restarts + 1)]
    assert after.since == before.since
    assert all(alive(pid) for pid in pids if pid != victim)
    assert here.decided(here.pulse, "redirect", since=began_at) == []  # it was away too short to be missed
    the_same_leases_go_on(here, began_at)


@pytest.mark.parametrize("who", ["home", "edge"])
def test_a_site_that_stood_still_gives_nothing_up_and_nothing_of_it_is_given_up(here: Land, who: str) -> None:
    began_at = time.time()
    before = {site: instances(here, site) for site in (here.home, here.edge)}
    stopped = here.home if who == "home" else here.edge
    said = len(stopped.log())
    with here.person(ANOTHER) as bea:
        bea.goes_on(2)
        with standing_still(stopped):
            threading.Event().wait(max(WORKER_SILENT_S, 2 * SILENT_AFTER_S) + 0.5)
        if who == "home":
            bea.goes_on(4)  # she was served at the edge all the while
            assert bea.errors == [], bea.told
    eventually(lambda: "this site stood still for" in stopped.log()[said:])
    here.restored()
    every_assignment_serves(here)
    for site, was in before.items():
        nothing_healthy_was_stopped(here, site, was)
    the_same_leases_go_on(here, began_at)
    suspended = [one for copy in here.copies for one in here.decided(copy, "redirect", since=began_at)]
    assert bool(suspended) == (who == "edge")  # who stood still himself suspects nobody
    no_redirect_loops(here)
