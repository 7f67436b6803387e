"""Pings that wait for an answer: the probe under way, and all others."""

import math
import random
from collections import deque

from footloose.core.identity import NodeId
from footloose.core.limits import MEMBERSHIP_PINGS, MEMBERSHIP_RELAYS
from footloose.membership.card import Version
from footloose.membership.view import Member
from footloose.model.site import Endpoint


class Probe:
    """The probe under way: on its outcome the member's state depends."""

    __slots__ = ("address", "helpers", "member", "nacks", "sent_at", "seq", "told", "unspoilt")

    def __init__(self, member: Member, seq: int, told: Version, now: float) -> None:
        self.member = member
        self.address = member.card.address
        self.seq = seq
        self.sent_at = now
        self.told = told
        self.helpers: tuple[NodeId, ...] = ()
        self.nacks: set[NodeId] = set()
        self.unspoilt = True
        """This site was running all the time, so that the round trip measured is true."""


class Requester:
    """Who asked for a ping, and by what number."""

    __slots__ = ("address", "node", "seq")

    def __init__(self, node: NodeId, address: Endpoint, seq: int) -> None:
        self.node = node
        self.address = address
        self.seq = seq


class Pending:
    """Another ping: to a seed (``node`` None), a newcomer, an unreachable member, or for a ``requester``."""

    __slots__ = ("address", "node", "requester", "sent_at", "told")

    def __init__(
        self, node: NodeId | None, address: Endpoint, told: Version, requester: Requester | None, now: float
    ) -> None:
        self.node = node
        self.address = address
        self.told = told
        self.requester = requester
        self.sent_at = now


class Pings:
    """All pings but the probe. Nothing follows if they stay unanswered; the oldest make room when there are many."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._pending: dict[int, Pending] = {}
        self._relays: deque[tuple[float, int]] = deque()

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def deadline(self) -> float:
        """When the next requester is to be told that there is no answer so far."""
        return self._relays[0][0] if self._relays else math.inf

    @property
    def can_relay(self) -> bool:
        """Whether there is room for another requester."""
        return len(self._relays) < MEMBERSHIP_RELAYS

    def open(self, pending: Pending, nack_at: float = math.inf) -> int:
        """Remember a ping; returns its number. At ``nack_at``, always as much later, its requester wants to know."""
        if len(self._pending) >= MEMBERSHIP_PINGS:
            del self._pending[next(iter(self._pending))]
        seq = self._rng.getrandbits(32)
        self._pending[seq] = pending
        if pending.requester is not None:
            self._relays.append((nack_at, seq))
        return seq

    def answered(self, seq: int, sender: NodeId, source: Endpoint) -> Pending | None:
        """The ping that this answers; None if there is none to that node at that address."""
        pending = self._pending.get(seq)
        if pending is None or pending.node not in (None, sender) or pending.address != source:
            return None
        del self._pending[seq]
        return pending

    def take_unanswered(self, now: float) -> list[Requester]:
        """The requesters to be told by ``now`` that there is no answer so far."""
        requesters = []
        while self._relays and self._relays[0][0] <= now:
            _, seq = self._relays.popleft()
            pending = self._pending.get(seq)
            if pending is not None and pending.requester is not None:
                requesters.append(pending.requester)
        return requesters
