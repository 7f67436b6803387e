"""A scenario made smaller: over sooner, with fewer users and sites."""

import msgspec

from footloose.simulation.faults import (
    ClockJump,
    Crash,
    CutOneWay,
    DiskFull,
    DiskSlow,
    Fault,
    Mend,
    Partition,
    Pause,
    PowerLoss,
    Start,
)
from footloose.simulation.scenario import Scenario, Users


class Smaller(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left of a scenario. ``users`` and ``crowds`` count those of each entry, in order; None leaves all."""

    duration_s: float | None = None
    users: tuple[int, ...] | None = None
    crowds: tuple[int, ...] | None = None
    without: tuple[str, ...] = ()

    def of(self, scenario: Scenario) -> Scenario:
        """``scenario`` with only that."""
        users = self.users or tuple(entry.count for entry in scenario.users)
        crowds = self.crowds or tuple(crowd_of(entry) for entry in scenario.users)
        return msgspec.structs.replace(
            scenario,
            duration_s=scenario.duration_s if self.duration_s is None else self.duration_s,
            users=tuple(_fewer(*each) for each in zip(scenario.users, users, crowds, strict=True)),
            sites=tuple(site for site in scenario.sites if site.name not in self.without),
        )

    def fits(self, scenario: Scenario) -> bool:
        """Whether it was made for such a scenario."""
        counted = all(counts is None or len(counts) == len(scenario.users) for counts in (self.users, self.crowds))
        shorter = self.duration_s is None or scenario.settle_s <= self.duration_s <= scenario.duration_s
        return counted and shorter and set(self.without) <= set(scenario.site_names) - needed_sites(scenario)


def crowd_of(users: Users) -> int:
    """How many come as a crowd."""
    return users.crowd.count if users.crowd is not None else 0


def needed_sites(scenario: Scenario) -> set[str]:
    """Sites a scenario cannot do without: homes of apps, and those that users are at."""
    places = {entry.at for entry in scenario.users} | {entry.crowd.at for entry in scenario.users if entry.crowd}
    return {app.home for app in scenario.apps} | places


def sites_of(fault: Fault) -> tuple[str, ...]:
    """The sites a fault names."""
    match fault:
        case Partition(groups=groups):
            return tuple(name for group in groups for name in group)
        case CutOneWay() | Mend():
            return fault.source, fault.target
        case Crash() | PowerLoss() | Start() | Pause() | ClockJump() | DiskFull() | DiskSlow():
            return (fault.site,)
    return ()


def without_site(faults: tuple[Fault, ...], site: str) -> tuple[Fault, ...] | None:
    """``faults`` where there is no such site; None if one of them cannot be without it."""
    kept: list[Fault] = []
    for fault in faults:
        if site not in sites_of(fault):
            kept.append(fault)
            continue
        if not isinstance(fault, Partition):
            return None
        groups = tuple(tuple(name for name in group if name != site) for group in fault.groups)
        if not all(groups):
            return None
        kept.append(Partition(fault.at_s, groups))
    return tuple(kept)


def _fewer(entry: Users, count: int, crowd: int) -> Users:
    smaller = msgspec.structs.replace(entry.crowd, count=crowd) if entry.crowd is not None and crowd else None
    return msgspec.structs.replace(entry, count=count, crowd=smaller)
