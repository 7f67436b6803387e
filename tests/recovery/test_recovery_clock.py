"""A site that starts with its clock wrong by minutes, as far as that can be had without touching the machine's.

The kernel's time namespaces leave the time of day alone, so it is set wrong in each Python process of the site.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from node_sites import answering, eventually
from recovery_checks import every_assignment_serves, no_redirect_loops, the_same_leases_go_on
from recovery_world import Land, power_off, reboot

from footloose.core.limits import CLOCK_SKEW_S
from footloose.testbed.sites import Place

pytestmark = [pytest.mark.root, pytest.mark.slow]


class WrongClock:
    """A host where the time of day is wrong for whatever is started there."""

    def __init__(self, place: Place, wrong_s: float) -> None:
        self._place = place
        self._wrong_s = wrong_s
        self.name, self.address = place.name, place.address

    def popen(self, command: Sequence[str], **options: object) -> object:
        """Start a command there."""
        path = str(Path(__file__).with_name("wrong_clock"))
        environment = os.environ | {"PYTHONPATH": path, "FOOTLOOSE_TEST_CLOCK_S": str(self._wrong_s)}
        return self._place.popen(command, env=environment, **options)


def test_a_site_whose_clock_is_wrong_runs_all_it_agreed_to_and_is_taken_back_when_it_is_right(here: Land) -> None:
    began_at, right = time.time(), here.edge.process.place
    wanted = here.home.deploy(answering("wanted"), name="wanted")
    try:
        for asked, wrong_s in enumerate((-5 * CLOCK_SKEW_S, 5 * CLOCK_SKEW_S), 1):
            power_off(here.edge)
            here.edge.process.place = WrongClock(right, wrong_s)
            here.edge.restart()
            assert abs(here.edge.view().at - time.time() - wrong_s) < CLOCK_SKEW_S
            every_assignment_serves(here)
            here.home.move(wanted, here.edge)
            answers = eventually(lambda most=2 * asked: here.decided(wanted, "agree", since=began_at)[most - 1 :])
            assert "set the clocks" in answers[0].reason
            every_assignment_serves(here)
    finally:
        here.edge.process.place = right
        reboot(here.edge)
    every_assignment_serves(here)
    here.restored()
    the_same_leases_go_on(here, began_at)
    here.home.move(wanted, here.edge)
    eventually(lambda: "a-site" in here.home.serving(wanted))
    no_redirect_loops(here)
    here.forget(here.home, wanted)
