"""What has happened to each user so far, and whether it is as it should be."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from footloose.demo.user import Failed, Happening, Moved, Page, Sample
from footloose.model.decision import Decision
from footloose.testbed.sites import Place

SETTLED_SAMPLES = 12
"""Round trips a user must have had from its nearest site, one after another, to count as settled."""


class Distances(Protocol):
    """Knows the round trips of the network as it was built."""

    def rtt_ms(self, a: str, b: str) -> float:
        """Between two hosts, in milliseconds."""
        ...


class UserStory:
    """One user: where it should end, and what it has seen."""

    def __init__(self, name: str, nearest: str, nearest_rtt_ms: float, home_rtt_ms: float) -> None:
        self.name = name
        self.nearest = nearest
        self.nearest_rtt_ms = nearest_rtt_ms
        self.home_rtt_ms = home_rtt_ms
        self.site = ""
        self.first_rtt_ms: float | None = None
        self.rtt_ms: float | None = None
        self.moved_after_s: float | None = None
        self.moves = 0
        self.pages = 0
        self.errors: list[str] = []
        self.recent_ms: deque[float] = deque(maxlen=40)
        self._started_at: float | None = None
        self._at_nearest = 0

    @property
    def settled(self) -> bool:
        """Whether it has been at its nearest site for a while."""
        return self._at_nearest >= SETTLED_SAMPLES

    def sampled(self, rtt_ms: float, site: str, at: float) -> None:
        """A round trip to ``site``."""
        if self.first_rtt_ms is None:
            self.first_rtt_ms, self._started_at = rtt_ms, at
        self.rtt_ms, self.site = rtt_ms, site
        self.recent_ms.append(rtt_ms)
        self._at_nearest = self._at_nearest + 1 if site == self.nearest else 0

    def moved(self, at: float) -> None:
        """It went to another site."""
        self.moves += 1
        if self.moved_after_s is None and self._started_at is not None:
            self.moved_after_s = at - self._started_at


class Story:
    """All users, and the decisions made about them."""

    def __init__(self, net: Distances, sites: Sequence[Place], users: Sequence[str], home: str) -> None:
        self.users: dict[str, UserStory] = {}
        self.decisions: deque[Decision] = deque(maxlen=200)
        self.started_at = time.monotonic()
        self.first_redirect_s: float | None = None
        self._site_at = {site.address: site.name for site in sites}
        self._settled = asyncio.Event()
        for user in users:
            nearest = min((site.name for site in sites), key=lambda site: net.rtt_ms(user, site))
            self.users[user] = UserStory(user, nearest, net.rtt_ms(user, nearest), net.rtt_ms(user, home))

    def happened(self, happening: Happening) -> None:
        """Something happened to a user."""
        user = self.users[happening.user]
        match happening:
            case Sample():
                user.sampled(happening.rtt_ms, self._site_at.get(happening.host, happening.host), happening.at)
            case Moved():
                user.moved(happening.at)
                if self.first_redirect_s is None:
                    self.first_redirect_s = time.monotonic() - self.started_at
            case Page():
                user.pages += 1
            case Failed():
                user.errors.append(happening.what)
        if all(one.settled for one in self.users.values()):
            self._settled.set()

    def decided(self, decision: Decision) -> None:
        """The home site made a decision."""
        self.decisions.append(decision)

    async def until_settled(self, *, stay: bool) -> None:
        """Wait until all users are at their nearest sites; for ever if ``stay``."""
        await (asyncio.Event() if stay else self._settled).wait()

    @property
    def errors(self) -> list[str]:
        """Every error a user saw."""
        return [f"{user.name}: {error}" for user in self.users.values() for error in user.errors]

    @property
    def good(self) -> bool:
        """Whether every user ended at its nearest site and none saw an error."""
        return all(user.settled for user in self.users.values()) and not self.errors
