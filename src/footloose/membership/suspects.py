"""Suspicions in the order in which they run out."""

import heapq
import itertools
import math
from collections.abc import Mapping

from footloose.core.identity import NodeId
from footloose.membership.suspicion import Suspicion
from footloose.membership.view import Member


class Suspects:
    """Which member's time to refute is over next. A suspicion is filed anew whenever its deadline comes nearer."""

    def __init__(self) -> None:
        self._filed: list[tuple[float, int, Suspicion]] = []
        self._number = itertools.count()

    @property
    def deadline(self) -> float:
        """When one may be over."""
        return self._filed[0][0] if self._filed else math.inf

    def file(self, suspicion: Suspicion) -> None:
        """Look at it when its present deadline is over."""
        heapq.heappush(self._filed, (suspicion.deadline, next(self._number), suspicion))

    def take_silent(self, members: Mapping[NodeId, Member], now: float) -> list[Member]:
        """Members that had their time and did not refute."""
        silent = []
        while self._filed and self._filed[0][0] <= now:
            _, _, suspicion = heapq.heappop(self._filed)
            member = members.get(suspicion.first.subject)
            if member is None or member.suspicion is not suspicion or member in silent:
                continue
            if suspicion.deadline > now:
                self.file(suspicion)
            else:
                silent.append(member)
        return silent
