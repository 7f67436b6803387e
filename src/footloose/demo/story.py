"""What has happened to each user so far, and whether it is as it should be."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean, median
from urllib.parse import urlsplit

from footloose.core.identity import NodeId
from footloose.demo.user import Failed, Happening, Moved, Page, Sample
from footloose.model.decision import Decision
from footloose.model.network import prefix_of

SETTLED_SAMPLES = 12
"""Round trips a user must have had from its nearest site, one after another, to count as settled."""
NOW_SAMPLES = 5
"""Of so many round trips the middle one is what a user has now: this machine may be late for any one of them."""
HISTORY = 256
"""Figures kept of each user's round trips; when there are more, each two become one."""
BEGINNING = 24
"""The first round trips, which are kept as they are."""
DECISIONS = 500


class History:
    """Round trips from the first to the last, however long it takes: the beginning in full, the rest condensed."""

    def __init__(self) -> None:
        self._beginning: list[float] = []
        self._figures: list[float] = []
        self._per_figure = 1
        self._waiting: list[float] = []

    def add(self, rtt_ms: float) -> None:
        """One more."""
        if len(self._beginning) < BEGINNING:
            self._beginning.append(rtt_ms)
            return
        self._waiting.append(rtt_ms)
        if len(self._waiting) < self._per_figure:
            return
        self._figures.append(fmean(self._waiting))
        self._waiting.clear()
        if len(self._figures) > HISTORY:
            self._figures = [fmean(self._figures[at : at + 2]) for at in range(0, len(self._figures), 2)]
            self._per_figure *= 2

    def in_parts(self, parts: int) -> list[float]:
        """At most so many figures: a half for the beginning, a half for all since then."""
        since = _in_parts(self._figures, parts // 2)
        return [*_in_parts(self._beginning, parts - len(since)), *since]


def _in_parts(figures: Sequence[float], parts: int) -> list[float]:
    """The middle figure of each of at most so many equal parts."""
    parts = min(parts, len(figures))
    bounds = [part * len(figures) // parts for part in range(parts + 1)] if parts else []
    return [median(figures[start:end]) for start, end in pairwise(bounds)]


class UserStory:
    """One user: where it should end, and what it has seen."""

    def __init__(self, name: str, nearest: str, nearest_rtt_ms: float, home_rtt_ms: float) -> None:
        self.name = name
        self.nearest = nearest
        self.nearest_rtt_ms = nearest_rtt_ms
        self.home_rtt_ms = home_rtt_ms
        self.site = ""
        self.first_rtt_ms: float | None = None
        self.moved_after_s: float | None = None
        self.moves = 0
        self.pages = 0
        self.errors: list[str] = []
        self.history = History()
        self._recent_ms: deque[float] = deque(maxlen=NOW_SAMPLES)
        self._started_at: float | None = None
        self._at_nearest = 0

    @property
    def settled(self) -> bool:
        """Whether it has been at its nearest site for a while."""
        return self._at_nearest >= SETTLED_SAMPLES

    @property
    def rtt_ms(self) -> float | None:
        """What it has now, from the site that serves it now; None before the first round trip."""
        return median(self._recent_ms) if self._recent_ms else None

    def sampled(self, rtt_ms: float, site: str, at: float) -> None:
        """A round trip to ``site``."""
        if self.first_rtt_ms is None:
            self.first_rtt_ms, self._started_at = rtt_ms, at
        if site != self.site:
            self._recent_ms.clear()
        self.site = site
        self._recent_ms.append(rtt_ms)
        self.history.add(rtt_ms)
        self._at_nearest = self._at_nearest + 1 if site == self.nearest else 0

    def moved(self, at: float) -> None:
        """It went to another site."""
        self.moves += 1
        if self.moved_after_s is None and self._started_at is not None:
            self.moved_after_s = at - self._started_at


class SiteStory:
    """One site: what it is called and where it is; how the home came upon it, and how soon it had a copy there."""

    def __init__(self, name: str, node: NodeId, address: str) -> None:
        self.name = name
        self.node = node
        self.address = address
        self.found_by: str | None = None
        self.copy: str | None = None


class Story:
    """All users, all sites, and the decisions the home made about them. The first of ``sites`` is the home."""

    def __init__(self, sites: Sequence[SiteStory], users: Sequence[UserStory], addresses: Mapping[str, str]) -> None:
        self.home, *self.providers = sites
        self.users: dict[str, UserStory] = {user.name: user for user in users}
        self.decisions: deque[Decision] = deque(maxlen=DECISIONS)
        self.began_at = time.time()
        self.first_redirect_s: float | None = None
        self._began = time.monotonic()
        self._site_at = {site.address: site for site in sites}
        self._names: dict[str, str] = {site.node: site.name for site in sites}
        self._names |= {prefix_of(addresses[user.name]): user.name for user in users}
        self._settled = asyncio.Event()

    @property
    def elapsed_s(self) -> float:
        """Time since the app was set up."""
        return time.monotonic() - self._began

    def happened(self, happening: Happening) -> None:
        """Something happened to a user."""
        user = self.users[happening.user]
        match happening:
            case Sample():
                user.sampled(happening.rtt_ms, self.called(happening.host), happening.at)
            case Moved():
                user.moved(happening.at)
                if self.first_redirect_s is None:
                    self.first_redirect_s = self.elapsed_s
            case Page():
                user.pages += 1
            case Failed():
                user.errors.append(happening.what)
        if all(one.settled for one in self.users.values()):
            self._settled.set()

    def decided(self, decision: Decision) -> None:
        """The home made a decision."""
        self.decisions.append(decision)
        for site in self.providers:
            if decision.inputs.get("site") == site.node and "found_by" in decision.inputs:
                found_by = str(decision.inputs["found_by"])
                # To be on the path says more than to be a member somewhere.
                site.found_by = found_by if site.found_by in (None, "members") else site.found_by
            if decision.subject == site.node and decision.step == "deploy" and "kind" in decision.inputs:
                site.copy = f"{decision.inputs['kind']}, {decision.inputs['took_ms']:.0f} ms after it was asked"

    def called(self, text: str) -> str:
        """What people call a user's prefix, a site's id, address or URL; anything else as it is."""
        host = urlsplit(text).hostname if "//" in text else text
        site = self._site_at.get(host or "")
        return site.name if site is not None else self._names.get(text, text)

    async def until_settled(self) -> None:
        """Wait until all users have been at their nearest sites for a while."""
        await self._settled.wait()

    @property
    def settled(self) -> int:
        """How many users are at their nearest sites."""
        return sum(user.settled for user in self.users.values())

    @property
    def errors(self) -> list[str]:
        """Every error a user saw."""
        return [f"{user.name}: {error}" for user in self.users.values() for error in user.errors]

    @property
    def good(self) -> bool:
        """Whether every user is at its nearest site and none saw an error."""
        return self.settled == len(self.users) and not self.errors
