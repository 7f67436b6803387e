"""Instances kept between requests, of all warm services of a worker: few, and none for long."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from footloose.core.limits import WARM_CALLS, WARM_IDLE_S, WARM_INSTANCES
from footloose.runtimes.wasm.instance import Instance


class Resting:
    """An instance that waits for its next request.

    ``calls`` is how many it has answered, since ``since_s`` it rests, and with ``first_bytes`` of memory it began.
    """

    __slots__ = ("calls", "first_bytes", "instance", "since_s")

    def __init__(self, instance: Instance, first_bytes: int) -> None:
        self.instance = instance
        self.first_bytes = first_bytes
        self.calls = 0
        self.since_s = 0.0


class WarmInstances:
    """Whose instances rest. The one used last is taken first, so that what is not needed falls idle.

    Safe to use from threads. When there are too many, the one that has rested longest is thrown away, whosever it is.
    """

    def __init__(self, most: int = WARM_INSTANCES, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._all: OrderedDict[Resting, object] = OrderedDict()
        self._by_owner: dict[object, list[Resting]] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._all)

    def take(self, owner: object) -> Resting | None:
        """One of this owner's, if one rests."""
        with self._lock:
            resting = self._by_owner.get(owner)
            if not resting:
                return None
            taken = resting.pop()
            if not resting:
                del self._by_owner[owner]
            del self._all[taken]
            return taken

    def put(self, owner: object, resting: Resting) -> None:
        """It has answered a request, and may answer more."""
        resting.calls += 1
        resting.since_s = self._clock()
        with self._lock:
            if self._closed or resting.calls >= WARM_CALLS:
                spent = resting
            else:
                self._all[resting] = owner
                self._by_owner.setdefault(owner, []).append(resting)
                if len(self._all) <= self._most:
                    return
                spent = self._drop_oldest()
        spent.instance.close()

    def tidy(self) -> None:
        """Throw away what has rested for long."""
        before_s = self._clock() - WARM_IDLE_S
        while True:
            with self._lock:
                oldest = next(iter(self._all), None)
                if oldest is None or oldest.since_s > before_s:
                    return
                self._drop_oldest()
            oldest.instance.close()

    def close(self) -> None:
        """Throw all away, and keep none from now on."""
        with self._lock:
            self._closed = True
            resting = list(self._all)
            self._all.clear()
            self._by_owner.clear()
        for one in resting:
            one.instance.close()

    def _drop_oldest(self) -> Resting:
        oldest, owner = self._all.popitem(last=False)
        resting = self._by_owner[owner]
        resting.remove(oldest)
        if not resting:
            del self._by_owner[owner]
        return oldest
