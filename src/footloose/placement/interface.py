"""The question put to a placer and the answer it gives."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from footloose.core.identity import NodeId
from footloose.model.network import Prefix, RouterId


class Candidate(msgspec.Struct, frozen=True):
    """A site that could have a copy. ``rtt_ms`` to each user prefix, measured or estimated; a prefix it has no figure
    for is left out. ``router`` is where it hangs on the tree, if known. ``running`` if it has a copy already."""

    site: NodeId
    rtt_ms: Mapping[Prefix, float]
    router: RouterId | None = None
    price_per_hour: float = 0.0
    running: bool = False


class Problem(msgspec.Struct, frozen=True):
    """One service's placement as one site sees it.

    ``demand`` is requests per second (or any weight) by prefix; ``origin_rtt_ms`` what each prefix has if it stays;
    ``paths`` the routers from here to it, nearest first. At most ``copies`` sites may be chosen. A new copy must be
    better by ``hysteresis_ms`` (weighted by the prefix's demand share) than what there is. ``seed`` feeds placers that
    draw lots.
    """

    demand: Mapping[Prefix, float]
    origin_rtt_ms: Mapping[Prefix, float]
    candidates: tuple[Candidate, ...]
    copies: int
    paths: Mapping[Prefix, tuple[RouterId, ...]] = {}
    slo_latency_ms: float | None = None
    hysteresis_ms: float = 2.0
    seed: int = 0


class Choice(msgspec.Struct, frozen=True):
    """A site chosen, why, and the figures the reason rests on."""

    site: NodeId
    reason: str
    gain_ms: float


class Placement(msgspec.Struct, frozen=True):
    """The sites chosen, best first, and where each prefix goes (prefixes that stay here are left out)."""

    choices: tuple[Choice, ...]
    assignment: Mapping[Prefix, NodeId]


class Placer(Protocol):
    """A placement algorithm. Must be a pure function of the problem."""

    name: str

    def place(self, problem: Problem) -> Placement:
        """Choose sites for ``problem``."""
        ...
