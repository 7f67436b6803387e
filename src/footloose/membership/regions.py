"""Regions in sums: how many sites, failure domains, how much capacity, of the many sites one does not know singly.

A sum is a sketch that members merge wherever they meet: 32 registers, each the least of many draws from exponential
distributions whose rates are the things summed (Mosk-Aoyama and Shah, "Computing separable functions via gossip", PODC
2006; the least of exponentials has the sum of their rates). Taking the least of two registers is idempotent,
commutative and monotone, so it matters neither who merges what when nor how often. The standard error is 1/√30, 18 %.

Sums start anew each epoch, so what is gone drops out. A node that lies can spoil a sum for as long as it lies:
they nominate regions to look into, and decide nothing.
"""

import math
import random
from collections.abc import Iterator

import msgspec

from footloose.core.limits import MEMBERSHIP_REGIONS
from footloose.membership.card import Facts
from footloose.membership.messages import RegionSketch

_PER_SUM = 32
_SUMS = 4
REGISTERS = _PER_SUM * _SUMS
"""Bytes of one region's sketch."""
_STEPS_PER_OCTAVE = 6
_ZERO = 96
"""The register whose value is 1; 0 stands for no draw at all, and the largest for 2**26 things or more."""
_NOTHING = bytes(REGISTERS)
_SENDS = 4
"""A sketch is passed on so many times after it changed."""


class RegionSummary(msgspec.Struct, frozen=True):
    """Estimates of one region, within a fifth or so. ``complete``: a whole epoch's; else the sums still grow."""

    region: str
    sites: float
    domains: float
    capacity: float
    free: float
    complete: bool


def contribution(facts: Facts, epoch: int, rng: random.Random) -> bytes:
    """What one site adds to its region's sums in ``epoch``. Draws afresh, except for the domain, which counts once."""
    # random.Random of a text is the same in every process, whatever its hash seed.
    domain = random.Random(f"{epoch} {facts.region} {facts.domain}")  # noqa: S311  a hash, not a secret
    free = facts.capacity * max(0, 100 - facts.load_percent) / 100
    draws = ((1.0, rng), (1.0 if facts.domain else 0.0, domain), (float(facts.capacity), rng), (free, rng))
    return bytes(_register(weight, source) for weight, source in draws for _ in range(_PER_SUM))


def _register(weight: float, rng: random.Random) -> int:
    if weight <= 0:
        return 0
    draw = -math.log(1.0 - rng.random()) / weight
    return min(255, max(1, round(_ZERO - _STEPS_PER_OCTAVE * math.log2(max(draw, 1e-300)))))


def _estimate(registers: bytes) -> float:
    """The sum behind one sum's registers; 0 if nothing was added. Few things are told from one another at the ends."""
    if not all(registers):
        return 0.0
    return (_PER_SUM - 1) / math.fsum(2.0 ** ((_ZERO - register) / _STEPS_PER_OCTAVE) for register in registers)


class _Region:
    """Sketches of the present epoch and of the one before, and how often the present one is still to be sent."""

    __slots__ = ("before", "epoch", "registers")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.registers = _NOTHING
        self.before = _NOTHING

    def enter(self, epoch: int) -> None:
        self.before = self.registers if epoch == self.epoch + 1 else _NOTHING
        self.epoch = epoch
        self.registers = _NOTHING


class Regions:
    """All regions a site has heard of. ``home`` is its own."""

    def __init__(self, home: str, epoch_s: float, *, most: int = MEMBERSHIP_REGIONS) -> None:
        self._home = home
        self._epoch_s = epoch_s
        self._most = most
        self._regions: dict[str, _Region] = {}
        self._to_send: dict[str, int] = {}
        self._contributed = -1

    def __len__(self) -> int:
        return len(self._regions)

    def epoch(self, now: float) -> int:
        """The number of the epoch at ``now``."""
        return int(now // self._epoch_s)

    def contribute(self, facts: Facts, now: float, rng: random.Random) -> None:
        """Add this site's own part to the present epoch, once per epoch however often it is called."""
        epoch = self.epoch(now)
        if epoch == self._contributed:
            return
        self._contributed = epoch
        own = RegionSketch(self._home, epoch, contribution(facts, epoch, rng))
        self.merge(own, now)

    def merge(self, sketch: RegionSketch, now: float) -> bool:
        """Take in what another knows; pass on what is new a few times. Returns False if it is of no use."""
        if abs(sketch.epoch - self.epoch(now)) > 1:
            return False
        region = self._regions.pop(sketch.region, None)
        if region is None:
            region = _Region(sketch.epoch)
            self._make_room()
        self._regions[sketch.region] = region
        if sketch.epoch < region.epoch:
            if sketch.epoch == region.epoch - 1:
                region.before = _merged(region.before, sketch.registers)
            return True
        if sketch.epoch > region.epoch:
            region.enter(sketch.epoch)
        if region.registers != sketch.registers:
            merged = _merged(region.registers, sketch.registers)
            if merged != region.registers:
                region.registers = merged
                self._to_send[sketch.region] = _SENDS
        return True

    def next_sketch(self) -> RegionSketch | None:
        """A sketch worth telling others, in turn; None if all have been told often enough."""
        if not self._to_send:
            return None
        name = next(iter(self._to_send))
        sends = self._to_send.pop(name)
        if sends > 1:
            self._to_send[name] = sends - 1
        region = self._regions[name]
        return RegionSketch(name, region.epoch, region.registers)

    def summaries(self, now: float) -> Iterator[RegionSummary]:
        """Estimates of all regions heard of in this epoch or the last, by name."""
        epoch = self.epoch(now)
        for name, region in sorted(self._regions.items()):
            if region.epoch < epoch - 1:
                continue
            # The epoch before is whole; a region that entered no new one shows what it had.
            complete = region.epoch == epoch - 1 or region.before != _NOTHING
            registers = region.before if region.epoch == epoch and complete else region.registers
            starts = range(0, REGISTERS, _PER_SUM)
            sites, domains, capacity, free = (_estimate(registers[start : start + _PER_SUM]) for start in starts)
            yield RegionSummary(name, sites, domains, capacity, free, complete)

    def _make_room(self) -> None:
        if len(self._regions) >= self._most:
            oldest = next(name for name in self._regions if name != self._home)
            del self._regions[oldest]
            self._to_send.pop(oldest, None)


def _merged(one: bytes, other: bytes) -> bytes:
    return other if one == _NOTHING else bytes(map(max, one, other))
