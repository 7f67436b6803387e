"""Small worlds that most tests of whole sites use."""

from footloose.simulation.faults import Crash, Fault, Heal, Partition, Start
from footloose.simulation.scenario import (
    AppSpec,
    FaultKind,
    RandomFault,
    Scenario,
    SiteSpec,
    Span,
    Users,
)

SITES = (
    SiteSpec("home", at="0.0.0"),
    SiteSpec("berlin", at="1.0.0"),
    SiteSpec("lyon", at="2.0.0"),
    SiteSpec("oslo", at="2.1.0"),
)
USERS = (Users("shop", 2, at="1.0.1"), Users("shop", 2, at="2.0.0"))

CUT_OFF = Scenario("cut off", 300.0, SITES, (AppSpec("shop", "home"),), USERS, settle_s=120.0)
"""What becomes of users in two places, and of the sites near them."""
REBOOTED_WHILE_CUT_OFF: tuple[Fault, ...] = (
    Partition(40, (("home", "lyon", "oslo"), ("berlin",))),
    Crash(60, "berlin"),
    Start(65, "berlin"),
    Crash(80, "home"),
    Start(90, "home"),
    Heal(170),
)


def _often(kind: FaultKind, per_hour: float, least_s: float, most_s: float, loss: float = 0.0) -> RandomFault:
    return RandomFault(kind, per_hour, Span(least_s, most_s), Span(loss / 5, loss))


ROUGH = Scenario(
    "rough",
    400.0,
    SITES,
    (AppSpec("shop", "home"),),
    (*USERS, Users("shop", 2)),
    settle_s=130.0,
    faults=(
        _often(FaultKind.CRASH, 6, 1, 30),
        _often(FaultKind.REBOOT, 4, 5, 60),
        _often(FaultKind.POWER_LOSS, 3, 5, 60),
        _often(FaultKind.PAUSE, 6, 1, 20),
        _often(FaultKind.PARTITION, 10, 10, 120),
        _often(FaultKind.CUT_ONE_WAY, 4, 5, 60),
        _often(FaultKind.LOSS_BURST, 6, 5, 30, 0.5),
    ),
)
"""Everything befalls four sites, often."""

PROMISE = Scenario(
    "promise",
    300.0,
    (SiteSpec("home", at="root"), SiteSpec("berlin", at="0.0"), SiteSpec("lyon", at="1.0")),
    (AppSpec("shop", "home"),),
    (Users("shop", 2, at="0.0.1", every_s=2.0), Users("shop", 1, at="1.0.2", every_s=2.0)),
    settle_s=110.0,
    faults=(_often(FaultKind.PARTITION, 60, 20, 80), _often(FaultKind.REBOOT, 20, 2, 15)),
)
"""Partitions, reboots while they last, and healing."""
