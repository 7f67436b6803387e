"""What can be done to the sites and to the network between them."""

from collections.abc import Iterable

import msgspec


class _Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="fault"):
    """Something that happens ``at_s`` seconds into a run."""

    at_s: float


class Crash(_Fault, frozen=True, tag="crash"):
    """The node's process dies, as by ``kill -9``: what it wrote stays, all else it knew is gone."""

    site: str


class PowerLoss(_Fault, frozen=True, tag="power_loss"):
    """The machine loses power: what was not synced to the disk may be lost too, in part."""

    site: str


class Start(_Fault, frozen=True, tag="start"):
    """The node of a site that is down starts again, from its disk."""

    site: str


class Pause(_Fault, frozen=True, tag="pause"):
    """The process stands still for ``for_s`` (as by ``SIGSTOP``, or a machine that swaps), and then goes on."""

    site: str
    for_s: float


class Partition(_Fault, frozen=True, tag="partition"):
    """The groups of sites cannot reach each other. Sites in none are with the first."""

    groups: tuple[tuple[str, ...], ...]


class CutOneWay(_Fault, frozen=True, tag="cut_one_way"):
    """What ``source`` sends to ``target`` is lost; what comes back is not."""

    source: str
    target: str


class Mend(_Fault, frozen=True, tag="mend"):
    """The one-way cut from ``source`` to ``target`` ends."""

    source: str
    target: str


class Heal(_Fault, frozen=True, tag="heal"):
    """The partition ends. One-way cuts stay; each has a :class:`Mend` of its own."""


class LossBurst(_Fault, frozen=True, tag="loss_burst"):
    """For ``for_s`` each message is lost with probability ``loss``, whatever the conditions were before."""

    loss: float
    for_s: float


class ClockJump(_Fault, frozen=True, tag="clock_jump"):
    """Somebody sets a site's wall clock, forwards or back."""

    site: str
    by_s: float


class DiskFull(_Fault, frozen=True, tag="disk_full"):
    """From now on a site's disk has no room left, or (``on`` false) it has again."""

    site: str
    on: bool


class DiskSlow(_Fault, frozen=True, tag="disk_slow"):
    """From now on each sync of a site's disk takes ``slow_s``; 0 is as fast as before."""

    site: str
    slow_s: float


Fault = (
    Crash
    | PowerLoss
    | Start
    | Pause
    | Partition
    | CutOneWay
    | Mend
    | Heal
    | LossBurst
    | ClockJump
    | DiskFull
    | DiskSlow
)


def in_order(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Sorted by time; what ends something comes before what begins something at the same instant."""
    return tuple(sorted(faults, key=lambda fault: (fault.at_s, not ends(fault), repr(fault))))


def ends(fault: Fault) -> bool:
    """Whether it puts right what an earlier one did."""
    match fault:
        case Start() | Mend() | Heal():
            return True
        case DiskFull(on=on):
            return not on
        case DiskSlow(slow_s=slow_s):
            return slow_s == 0
    return False


def is_ended_by(fault: Fault, later: Fault) -> bool:
    """Whether ``later`` puts right what ``fault`` did."""
    match fault, later:
        case ((Crash() | PowerLoss()), Start()):
            return fault.site == later.site
        case Partition(), Heal():
            return True
        case CutOneWay(), Mend():
            return (fault.source, fault.target) == (later.source, later.target)
        case DiskFull(on=True), DiskFull(on=False):
            return fault.site == later.site
        case DiskSlow(), DiskSlow(slow_s=0):
            return fault.site == later.site and fault.slow_s > 0
    return False


def lasts_until(fault: Fault) -> float:
    """When what it does by itself is over: ``at_s``, or later for what has a length of its own."""
    return after(fault.at_s, fault.for_s) if isinstance(fault, Pause | LossBurst) else fault.at_s


def after(at_s: float, for_s: float) -> float:
    """The sum, to the microsecond: 60.1 and 0.2 are 60.3."""
    return round(at_s + for_s, 6)
