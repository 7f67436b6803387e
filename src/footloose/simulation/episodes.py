"""Faults with what puts them right: a crash and the start after it are one episode."""

from collections.abc import Iterable
from math import inf

import msgspec

from footloose.simulation.faults import (
    Crash,
    CutOneWay,
    DiskFull,
    DiskSlow,
    Fault,
    LossBurst,
    Partition,
    Pause,
    PowerLoss,
    in_order,
    is_ended_by,
    lasts_until,
)


class Episode(msgspec.Struct, frozen=True):
    """One fault, and if there is one, that which puts it right."""

    faults: tuple[Fault, ...]

    @property
    def first(self) -> Fault:
        """That which does the harm."""
        return self.faults[0]

    @property
    def begins_s(self) -> float:
        """When it begins."""
        return self.first.at_s

    @property
    def ends_s(self) -> float:
        """When it is over; infinite if nothing puts it right."""
        if len(self.faults) == 1 and needs_end(self.first):
            return inf
        return lasts_until(self.faults[-1])

    @property
    def resource(self) -> str | None:
        """What it keeps busy; two episodes of one resource may not overlap: what is down cannot crash."""
        return resource(self.first)

    def meets(self, other: "Episode") -> bool:
        """Whether both are about one resource, and one begins before the other is over."""
        same = self.resource is not None and self.resource == other.resource
        return same and self.begins_s < other.ends_s and other.begins_s < self.ends_s


def episodes(faults: Iterable[Fault]) -> tuple[Episode, ...]:
    """``faults``, each with the first later one that puts it right; those that put nothing right are on their own."""
    found: list[list[Fault]] = []
    open_ones: list[list[Fault]] = []
    for fault in in_order(faults):
        begun = next((each for each in open_ones if is_ended_by(each[0], fault)), None)
        if begun is not None:
            begun.append(fault)
            open_ones.remove(begun)
            continue
        found.append([fault])
        if needs_end(fault):
            open_ones.append(found[-1])
    return tuple(Episode(tuple(each)) for each in found)


def faults_of(some: Iterable[Episode]) -> tuple[Fault, ...]:
    """All faults of these episodes, in order of time."""
    return in_order(fault for episode in some for fault in episode.faults)


def needs_end(fault: Fault) -> bool:
    """Whether it goes on until another fault puts it right."""
    match fault:
        case Crash() | PowerLoss() | Partition() | CutOneWay():
            return True
        case DiskFull(on=on):
            return on
        case DiskSlow(slow_s=slow_s):
            return slow_s > 0
    return False


def resource(fault: Fault) -> str | None:
    """What a fault keeps busy while it lasts."""
    match fault:
        case Crash(site=site) | PowerLoss(site=site) | Pause(site=site):
            return f"process of {site}"
        case DiskFull(site=site):
            return f"room on the disk of {site}"
        case DiskSlow(site=site):
            return f"speed of the disk of {site}"
        case CutOneWay(source=source, target=target):
            return f"way from {source} to {target}"
        case Partition():
            return "network"
        case LossBurst():
            return "loss"
    return None
