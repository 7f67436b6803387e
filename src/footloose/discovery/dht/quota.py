"""How much each source may store, so that none can fill a node (a token bucket per user prefix)."""

from collections import OrderedDict

from footloose.core.limits import DHT_STORE_BURST, DHT_STORES_PER_S, PREFIXES_PER_SERVICE
from footloose.model.network import Prefix, prefix_of


class StoreQuota:
    """Counts per prefix, because an address within one's own prefix costs nothing."""

    def __init__(self, *, burst: float = DHT_STORE_BURST, per_s: float = DHT_STORES_PER_S) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left: OrderedDict[Prefix, tuple[float, float]] = OrderedDict()

    def take(self, host: str, count: int, now: float) -> bool:
        """Whether ``host`` may store ``count`` records now; if so they are counted."""
        prefix = prefix_of(host)
        left, since = self._left.pop(prefix, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_s)
        allowed = left >= count
        self._left[prefix] = (left - count if allowed else left, now)
        if len(self._left) > PREFIXES_PER_SERVICE:
            self._left.popitem(last=False)
        return allowed
