"""How long a suspect has to refute: the more members confirm, the less (Lifeguard §IV.B, "LHA-Suspicion")."""

import math

from footloose.core.identity import NodeId
from footloose.membership.card import Accusation
from footloose.membership.config import Config


class Suspicion:
    """One member under suspicion, since ``now`` and by its ``first`` accuser; ``members`` there are in view."""

    __slots__ = ("_least_s", "_most_s", "_wanted", "accusers", "deadline", "first", "started")

    def __init__(self, first: Accusation, config: Config, members: int, now: float) -> None:
        self.first = first
        self.accusers: set[NodeId] = set()
        self.started = now
        self._least_s = config.suspicion_mult * max(1.0, math.log10(max(members, 1))) * config.probe_interval_s
        self._most_s = self._least_s
        self._wanted = 0
        # With fewer others than confirmations wanted, waiting for them would only take longer.
        wanted = config.suspicion_mult - 2
        if config.lifeguard and config.suspicion_max_mult > 1 and 0 < wanted <= members - 2:
            self._wanted = wanted
            self._most_s = self._least_s * config.suspicion_max_mult
        self.deadline = now + self._most_s
        self.confirm(first.accuser)

    def confirm(self, accuser: NodeId) -> bool:
        """Count one more accuser. Returns whether it is new and was still wanted; the first only begins it."""
        if accuser in self.accusers or len(self.accusers) > self._wanted:
            return False
        self.accusers.add(accuser)
        if self._wanted:
            share = math.log(len(self.accusers)) / math.log(self._wanted + 1)
            self.deadline = self.started + max(self._least_s, self._most_s - share * (self._most_s - self._least_s))
        return True

    def put_off(self, by_s: float) -> None:
        """Give ``by_s`` more: so long this site was not running and could not have heard a refutation."""
        self.started += by_s
        self.deadline += by_s
