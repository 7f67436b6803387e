"""A site whose disk is full promises nothing new, says why, and goes on with what it runs, also after a reboot."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from node_sites import answering, eventually
from recovery_checks import every_assignment_serves, instances, nothing_healthy_was_stopped, the_same_leases_go_on
from recovery_world import Land, reboot

from footloose.cli.admin import Refused

pytestmark = [pytest.mark.root, pytest.mark.slow]


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Not a byte is left on the disk within the block."""
    ballast = disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            for size in (1 << 20, 1 << 12, 1):
                with pytest.raises(OSError, match="No space left"):
                    while file.write(bytes(size)):
                        pass
            raise OSError("No space left")
        yield
    finally:
        ballast.unlink()


def test_a_full_disk_stops_nothing_and_what_is_new_is_refused_with_the_reason_until_there_is_room(here: Land) -> None:
    if here.disk is None:
        pytest.skip("no file system can be mounted here")
    began_at, before = time.time(), instances(here, here.edge)
    wanted = here.home.deploy(answering("wanted"), name="wanted")
    with filled(here.disk):
        with pytest.raises(Refused, match="disk"):
            here.edge.deploy(answering("new"), name="new")
        here.home.move(wanted, here.edge)
        refused = eventually(lambda: here.decided(wanted, "agree", since=began_at)[1:])
        assert re.search("disk is full|no space left", refused[0].reason), refused
        every_assignment_serves(here)
        nothing_healthy_was_stopped(here, here.edge, before)
        the_same_leases_go_on(here, began_at)
        reboot(here.edge)
        every_assignment_serves(here)
        here.restored()
        the_same_leases_go_on(here, began_at)
    new = here.edge.deploy(answering("new"), name="new")
    here.home.move(wanted, here.edge)
    eventually(lambda: "a-site" in here.home.serving(wanted))
    every_assignment_serves(here)
    here.forget(here.home, wanted)
    here.forget(here.edge, new)
