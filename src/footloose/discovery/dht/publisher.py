"""This node's own announcements: when each is due to be stored again."""

import math
import random
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from footloose.core.limits import DHT_ANNOUNCED, RECORD_LIFETIME_S
from footloose.discovery.dht.notary import Notary
from footloose.discovery.dht.records import Nearness, Record, sign_record
from footloose.model.network import RouterId
from footloose.model.site import Endpoint

RENEW_S = RECORD_LIFETIME_S / 2
"""A stored announcement is stored again this long after, a little earlier by chance so that not all come at once."""
RETRY_S = 10.0
"""An announcement nobody took is tried again after this, then after twice as long, and so on up to the above."""
HURRY_SPREAD_S = 2.0
"""Time over which announcements are spread that became due all at once."""
RECENT_S = 5.0
"""An announcement stored within this time is not hurried."""
_MOVED_MS = 1.0
_MOVED_SHARE = 0.2


class _Own(msgspec.Struct, frozen=True):
    near: Nearness
    due_at: float
    stored_at: float = float("-inf")
    tries: int = 0


class Publisher:
    """Keeps the announcements of one node and signs them afresh each time."""

    def __init__(self, notary: Notary, api: Endpoint, rng: random.Random, *, limit: int = DHT_ANNOUNCED) -> None:
        self._notary = notary
        self._api = api
        self._rng = rng
        self._limit = limit
        self._own: dict[RouterId, _Own] = {}

    def __len__(self) -> int:
        return len(self._own)

    def put(self, items: Iterable[Nearness], now: float) -> None:
        """Announce these, at once if they are new or have moved. Raises :class:`LocalError` if one cannot be."""
        for near in items:
            sign_record(self._notary, self._api, near, now)  # so that what is wrong shows here and not much later
            before = self._own.pop(near.router, None)
            if before is None or _moved(before.near, near):
                self._own[near.router] = _Own(near, now)
            else:
                self._own[near.router] = replace(before, near=near)
            if len(self._own) > self._limit:
                del self._own[next(iter(self._own))]

    def withdraw(self, routers: Iterable[RouterId]) -> None:
        """Stop announcing these."""
        for router in routers:
            self._own.pop(router, None)

    def take_due(self, now: float, count: int) -> list[RouterId]:
        """Up to ``count`` routers to announce now. Unless :meth:`stored` follows they come again after a while."""
        due = [router for router, own in self._own.items() if own.due_at <= now][:count]
        for router in due:
            own = self._own[router]
            pause_s = min(RENEW_S, RETRY_S * 2.0 ** min(own.tries, 10))
            self._own[router] = replace(own, due_at=now + pause_s, tries=own.tries + 1)
        return due

    def next_due(self) -> float:
        """When :meth:`take_due` has something next."""
        return min((own.due_at for own in self._own.values()), default=math.inf)

    def record(self, router: RouterId, now: float) -> Record | None:
        """The announcement about ``router``, signed now; None if it was withdrawn."""
        own = self._own.get(router)
        return sign_record(self._notary, self._api, own.near, now) if own is not None else None

    def stored(self, router: RouterId, now: float) -> None:
        """Another node took the announcement about ``router``."""
        own = self._own.get(router)
        if own is not None and own.stored_at <= now - RECENT_S:
            due_at = now + RENEW_S * (0.8 + 0.2 * self._rng.random())
            self._own[router] = replace(own, stored_at=now, due_at=due_at, tries=0)

    def hurry(self, now: float) -> None:
        """The neighbourhood changed: announce everything again soon."""
        for router, own in self._own.items():
            if own.stored_at <= now - RECENT_S:
                due_at = min(own.due_at, now + HURRY_SPREAD_S * self._rng.random())
                self._own[router] = replace(own, due_at=due_at, tries=0)


def _moved(before: Nearness, after: Nearness) -> bool:
    change_ms = abs(before.rtt_ms - after.rtt_ms)
    return change_ms > max(_MOVED_MS, _MOVED_SHARE * before.rtt_ms)
