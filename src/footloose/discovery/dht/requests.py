"""Requests that wait for an answer, each with a time after which it is late and one after which it has failed."""

import heapq
import random
from collections import Counter

import msgspec

from footloose.core.limits import DHT_REQUESTS
from footloose.discovery.dht.keys import Key
from footloose.discovery.dht.wire import RPC_BYTES
from footloose.model.network import RouterId
from footloose.model.site import Endpoint

FAIL_AFTER_S = 1.0
"""No answer is given up sooner than this."""
FAIL_AFTER_LATE = 3.0
"""An answer is given up after so many times what makes it late."""


class Pending(msgspec.Struct, frozen=True):
    """A request sent to ``address``. ``key`` is who must answer, None if anyone there may.

    ``expects`` is the type of its answer; ``job`` the look-up it belongs to, ``router`` what it stores.
    """

    rpc: bytes
    address: Endpoint
    key: Key | None
    expects: type
    sent_at: float
    fail_at: float
    job: int | None = None
    router: RouterId | None = None


class Requests:
    """The unanswered requests of one node."""

    def __init__(self, rng: random.Random, *, limit: int = DHT_REQUESTS) -> None:
        self._rng = rng
        self._limit = limit
        self._pending: dict[bytes, Pending] = {}
        self._addresses: Counter[Endpoint] = Counter()
        self._times: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def open(
        self,
        address: Endpoint,
        key: Key | None,
        expects: type,
        now: float,
        patience_s: float,
        *,
        job: int | None = None,
        router: RouterId | None = None,
    ) -> Pending | None:
        """A new request with a random id, or None if too many are unanswered."""
        if len(self._pending) >= self._limit:
            return None
        fail_at = now + max(FAIL_AFTER_S, FAIL_AFTER_LATE * patience_s)
        rpc = self._rng.getrandbits(8 * RPC_BYTES).to_bytes(RPC_BYTES, "big")
        pending = Pending(rpc, address, key, expects, now, fail_at, job, router)
        self._pending[rpc] = pending
        self._addresses[address] += 1
        heapq.heappush(self._times, (now + patience_s, rpc))
        heapq.heappush(self._times, (fail_at, rpc))
        return pending

    def awaits(self, address: Endpoint) -> bool:
        """Whether some request to ``address`` is unanswered."""
        return address in self._addresses

    def answer(self, rpc: bytes, sender: Key, address: Endpoint, kind: type) -> Pending | None:
        """The request that this answers; None if none was sent to that node at that address with that id."""
        pending = self._pending.get(rpc)
        if pending is None or pending.address != address or pending.expects is not kind:
            return None
        if pending.key is not None and pending.key != sender:
            return None
        self._close(pending)
        return pending

    def overdue(self, now: float) -> list[tuple[Pending, bool]]:
        """Requests that became late (False) or failed (True) by ``now``."""
        overdue = []
        while self._times and self._times[0][0] <= now:
            due_at, rpc = heapq.heappop(self._times)
            pending = self._pending.get(rpc)
            if pending is None:
                continue
            failed = due_at >= pending.fail_at
            if failed:
                self._close(pending)
            overdue.append((pending, failed))
        return overdue

    def next_deadline(self) -> float | None:
        """When the next one becomes late or fails."""
        while self._times and self._times[0][1] not in self._pending:
            heapq.heappop(self._times)
        return self._times[0][0] if self._times else None

    def _close(self, pending: Pending) -> None:
        del self._pending[pending.rpc]
        self._addresses[pending.address] -= 1
        if not self._addresses[pending.address]:
            del self._addresses[pending.address]
