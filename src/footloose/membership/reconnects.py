"""When to try a silent member again: ever more seldom, but never never, so that halves find each other again.

Silent is who is unreachable, and whom this site suspects itself: after a partition a suspect may have heard of no
accusation, and would not refute before its time is over.
"""

import heapq
import math
import random
from collections.abc import Callable, Mapping

from footloose.core.identity import NodeId
from footloose.membership.config import Config
from footloose.membership.view import Member

PER_LEAST_PAUSE = 16
"""Members tried at most in the shortest pause before one is tried again."""
_DOUBLINGS = 16
_DOUBLINGS_OF_SUSPECTS = 2
"""A suspect has only so long to refute, so it is told again sooner."""


class Reconnects:
    """A plan of tries. What was planned for a member before is void when it is planned anew."""

    def __init__(self, config: Config, rng: random.Random, now: float) -> None:
        self._config = config
        self._rng = rng
        self._free_at = now
        self._plan: list[tuple[float, int, NodeId]] = []

    @property
    def deadline(self) -> float:
        """When there may be something to do."""
        return max(self._plan[0][0], self._free_at) if self._plan else math.inf

    def plan(self, member: Member, now: float) -> None:
        """Try it after its next pause."""
        doublings = _DOUBLINGS if member.suspicion is None else _DOUBLINGS_OF_SUSPECTS
        pause_s = self._config.reconnect_least_s * 2.0 ** min(member.tries, doublings)
        member.tries += 1
        self._plan_at(member, now + min(pause_s, self._config.reconnect_most_s) * (0.5 + self._rng.random() / 2))

    def soon(self, member: Member, now: float) -> None:
        """There is a sign of life: try it now, unless that is about to happen."""
        if member.try_at - now > self._config.gossip_interval_s:
            self._plan_at(member, now)

    def take_due(
        self, members: Mapping[NodeId, Member], is_silent: Callable[[Member], bool], now: float
    ) -> Member | None:
        """One member to try now, planned anew for the next time; the next may be taken a little later."""
        while self._plan and self._plan[0][0] <= now:
            due_at, _, node = heapq.heappop(self._plan)
            member = members.get(node)
            if member is not None and member.try_at == due_at and is_silent(member):
                self._free_at = now + self._config.reconnect_least_s / PER_LEAST_PAUSE
                self.plan(member, now)
                return member
        return None

    def _plan_at(self, member: Member, at: float) -> None:
        member.try_at = at
        heapq.heappush(self._plan, (at, member.tag, member.node))
