"""Network coordinates: a place in a space made up so that distances in it are round-trip times.

Vivaldi (Dabek et al., SIGCOMM 2004) with height vectors and error-weighted steps; latency filters, neighbour decay and
gravity after Ledlie, Gardner and Seltzer, "Network Coordinates in the Wild" (NSDI 2007); the adjustment term after Lee
et al., "On Suitability of Euclidean Embedding for Host-Based Network Coordinate Systems" (ToN 2010).

Coordinates nominate, probes decide (design rule 2): see :func:`nearest`.
"""

import math
import random
from collections import deque
from collections.abc import Hashable, Mapping
from enum import Enum
from heapq import nsmallest
from typing import TypeVar

import msgspec

CandidateT = TypeVar("CandidateT")

DIMENSIONS = 5
ERROR_MOST = 1.5
"""The error of a node that knows nothing yet; relative, as all errors."""
ERROR_LEAST = 0.01
"""Nobody is believed to be better than this."""
HEIGHT_LEAST_MS = 0.1
FARTHEST_MS = 30_000.0
"""No coordinate lies farther from the origin, and no round trip takes longer."""
_SLACK = 1.001
"""A bound may be missed by so much by who has fewer digits."""
_TOGETHER_MS = 1e-6
"""Two places nearer than this have no direction from one to the other."""


class Coordinate(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A node's place: a point, the height of its access link above it, how wrong it is taken to be, a correction.

    ``vec``, ``height_ms`` and ``adjustment_ms`` are in milliseconds of round-trip time; ``error`` is relative (0.1 is
    10 %).
    """

    vec: tuple[float, ...] = (0.0,) * DIMENSIONS
    height_ms: float = HEIGHT_LEAST_MS
    error: float = ERROR_MOST
    adjustment_ms: float = 0.0

    def distance_ms(self, other: "Coordinate") -> float:
        """The round trip to expect between the two. Both must have the same number of dimensions."""
        bare_ms = math.dist(self.vec, other.vec) + (self.height_ms + other.height_ms)
        return max(bare_ms + (self.adjustment_ms + other.adjustment_ms), HEIGHT_LEAST_MS)

    def valid(self) -> bool:
        """Whether a node could be there: finite, within bounds, of the dimensions that all nodes use."""
        return (
            len(self.vec) == DIMENSIONS
            and math.dist(self.vec, _ORIGIN) <= FARTHEST_MS * _SLACK  # False for NaN
            and HEIGHT_LEAST_MS / _SLACK <= self.height_ms <= FARTHEST_MS * _SLACK
            and 0 <= self.error <= ERROR_MOST * _SLACK
            and abs(self.adjustment_ms) <= FARTHEST_MS * _SLACK
        )


_ORIGIN = (0.0,) * DIMENSIONS
NOWHERE = Coordinate()
"""Where every node begins."""


class Sample(Enum):
    """What became of a measurement."""

    USED = "used"
    OUTLIER = "outlier"
    """Far from what was expected while the rest fits; if it persists, it will be used."""
    REFUSED = "refused"
    """No such round trip or coordinate can be."""


class VivaldiConfig(msgspec.Struct, frozen=True):
    """How a node moves. The values are those that did best on PlanetLab (``footloose bench coordinates``)."""

    step: float = 0.25
    """Largest part of a discrepancy removed at once (c_c of Vivaldi §3.4)."""
    error_gain: float = 0.25
    """Largest weight of one sample in the error (c_e)."""
    filter_window: int = 5
    """Round trips remembered per peer; their median counts (Ledlie §4.1)."""
    peers: int = 256
    """Peers whose round trips are remembered; the least recently measured go first."""
    replay_window: int = 32
    """Neighbours measured last. One of them pulls again at each sample, the less the older (neighbour decay)."""
    replay_half_life_s: float = 300.0
    gravity_ms: float = 500.0
    """Distance from the origin at which the pull back to it is 1 ms per sample; it grows with the square."""
    adjustment_gain: float = 0.01
    """Weight of one sample's discrepancy in the adjustment."""
    outlier_spreads: float = 8.0
    """A discrepancy so many times the usual one is an outlier, once the node is settled…"""
    outlier_least_ms: float = 20.0
    """…unless it is smaller than this."""


_SETTLED_SAMPLES = 32
_SPREAD_GAIN = 1 / 16
_CLIP_SPREADS = 3.0
"""A discrepancy moves a node no more than one so many times the usual would."""


class Vivaldi:
    """One node's coordinate, moved by every round trip it measures. Draws on ``rng`` only, so a run can be repeated."""

    def __init__(self, rng: random.Random, config: VivaldiConfig | None = None) -> None:
        self.coordinate = NOWHERE
        self._rng = rng
        self._config = config or VivaldiConfig()
        self._peers: dict[Hashable, tuple[tuple[float, ...], float]] = {}
        self._neighbours: deque[tuple[Coordinate, float, float]] = deque(maxlen=self._config.replay_window)
        self._samples = 0
        self._spread_ms = 0.0

    def observe(self, peer: Hashable, theirs: Coordinate, rtt_ms: float, now: float) -> Sample:
        """A round trip to ``peer``, which says it is at ``theirs``, took ``rtt_ms``. ``now`` is in seconds."""
        if not (0.0 < rtt_ms <= FARTHEST_MS and theirs.valid()):
            return Sample.REFUSED
        typical_ms = max(self._filter(peer, rtt_ms), HEIGHT_LEAST_MS)
        bare_ms = math.dist(self.coordinate.vec, theirs.vec) + self.coordinate.height_ms + theirs.height_ms
        if self._is_outlier(abs(typical_ms - bare_ms)):
            return Sample.OUTLIER
        self._samples += 1
        self._pull(theirs, typical_ms, 1.0)
        self._replay(now)
        self._neighbours.append((theirs, typical_ms, now))
        return Sample.USED

    def rtt_ms(self, peer: Hashable) -> float | None:
        """The typical round trip to ``peer`` as measured here; None if it was not, lately."""
        known = self._peers.get(peer)
        return known[1] if known is not None else None

    def forget(self, peer: Hashable) -> None:
        """Drop the round trips measured to ``peer``."""
        self._peers.pop(peer, None)

    def _filter(self, peer: Hashable, rtt_ms: float) -> float:
        before, _ = self._peers.pop(peer, ((), 0.0))
        samples = (*before, rtt_ms)[-self._config.filter_window :]
        typical_ms = _median(samples)
        self._peers[peer] = (samples, typical_ms)
        if len(self._peers) > self._config.peers:
            del self._peers[next(iter(self._peers))]
        return typical_ms

    def _is_outlier(self, discrepancy_ms: float) -> bool:
        limit_ms = max(self._config.outlier_spreads * self._spread_ms, self._config.outlier_least_ms)
        settled = self._samples >= _SETTLED_SAMPLES
        # What is rejected still widens what is usual: a change that persists is let in after a few samples.
        seen_ms = min(discrepancy_ms, limit_ms) if settled else discrepancy_ms
        gain = _SPREAD_GAIN if settled else max(_SPREAD_GAIN, 1 / (self._samples + 1))
        self._spread_ms += gain * (seen_ms - self._spread_ms)
        return settled and discrepancy_ms > limit_ms

    def _replay(self, now: float) -> None:
        if not self._neighbours:
            return
        theirs, rtt_ms, at = self._neighbours[self._rng.randrange(len(self._neighbours))]
        weight = 0.5 ** (1.0 + (now - at) / self._config.replay_half_life_s)
        self._pull(theirs, rtt_ms, weight)

    def _pull(self, theirs: Coordinate, rtt_ms: float, weight: float) -> None:
        """Move along the line to ``theirs`` by a part of the discrepancy (Vivaldi fig. 3), and a bit to the origin."""
        mine, config = self.coordinate, self._config
        apart_ms = math.dist(mine.vec, theirs.vec)
        heights_ms = mine.height_ms + theirs.height_ms
        bare_ms = apart_ms + heights_ms
        off_ms = rtt_ms - bare_ms
        trust = weight * mine.error / (mine.error + max(theirs.error, ERROR_LEAST))
        gain = config.error_gain * trust
        error = mine.error * (1 - gain) + gain * abs(off_ms) / rtt_ms
        clip_ms = max(_CLIP_SPREADS * self._spread_ms, HEIGHT_LEAST_MS)
        force_ms = config.step * trust * max(-clip_ms, min(clip_ms, off_ms))
        keep = 1 - min(1.0, math.dist(mine.vec, _ORIGIN) / config.gravity_ms**2)
        height_ms = mine.height_ms
        if apart_ms > _TOGETHER_MS:
            scale = force_ms / bare_ms
            height_ms = min(max(height_ms + scale * heights_ms, HEIGHT_LEAST_MS), FARTHEST_MS)
            near, far = keep * (1 + scale), keep * scale
            vec = [near * a - far * b for a, b in zip(mine.vec, theirs.vec, strict=True)]
        else:
            vec = [keep * a + force_ms * b for a, b in zip(mine.vec, self._direction(), strict=True)]
        beyond = math.dist(vec, _ORIGIN) / FARTHEST_MS
        if beyond > 1:
            vec = [a / beyond for a in vec]
        adjustment_ms = mine.adjustment_ms + config.adjustment_gain * weight * (off_ms / 2 - mine.adjustment_ms)
        self.coordinate = Coordinate(tuple(vec), height_ms, min(max(error, ERROR_LEAST), ERROR_MOST), adjustment_ms)

    def _direction(self) -> list[float]:
        """A unit vector that points anywhere."""
        while True:
            vec = [self._rng.gauss(0.0, 1.0) for _ in range(DIMENSIONS)]
            length = math.hypot(*vec)
            if length > _TOGETHER_MS:
                return [a / length for a in vec]


def _median(samples: tuple[float, ...]) -> float:
    # The lower of two middle ones: what goes wrong makes round trips longer, hardly ever shorter.
    return sorted(samples)[(len(samples) - 1) // 2]


def nearest(origin: Coordinate, candidates: Mapping[CandidateT, Coordinate], k: int) -> list[CandidateT]:
    """The ``k`` candidates likely to be nearest to ``origin``, nearest first: those worth a probe, not a choice."""
    return nsmallest(k, candidates, key=lambda candidate: origin.distance_ms(candidates[candidate]))
