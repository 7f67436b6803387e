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
    """One service's placement as one site sees it. Each site is a candidate once.

    ``demand`` is requests per second (or any weight) by prefix; ``origin_rtt_ms`` what each prefix has if it stays;
    ``paths`` the routers from here to it, nearest first; ``served_at`` where it is served now, if not here. At most
    ``copies`` sites may be chosen. A prefix goes to a new copy only if that is better by more than ``hysteresis_ms``
    than what there is, to a copy that runs already by more than half of it; to stay where it is served now, that copy
    has only to be better than the origin. ``seed`` feeds placers that draw lots.
    """

    demand: Mapping[Prefix, float]
    origin_rtt_ms: Mapping[Prefix, float]
    candidates: tuple[Candidate, ...]
    copies: int
    paths: Mapping[Prefix, tuple[RouterId, ...]] = {}
    served_at: Mapping[Prefix, NodeId] = {}
    slo_latency_ms: float | None = None
    hysteresis_ms: float = 2.0
    seed: int = 0


class Choice(msgspec.Struct, frozen=True):
    """A site chosen, why, and the figures the reason rests on.

    ``gain_ms`` is the latency it saves the prefixes assigned to it against staying, averaged over all demand.
    """

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
