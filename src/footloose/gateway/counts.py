"""Who uses what: per service and user prefix, what the loop that places copies has to know."""

from collections.abc import Callable
from typing import Protocol

from footloose.core.limits import PREFIXES_PER_SERVICE
from footloose.model.app import ServiceId
from footloose.model.network import Observation, Prefix


class Peer(Protocol):
    """One user's connection, as far as counting goes."""

    def rtt_ms(self) -> float | None:
        """The round trip to the user, if it can still be asked for."""
        ...


class Seen:
    """What was seen of one prefix at one service since the last report; ``websockets`` are those open now."""

    __slots__ = ("address", "errors", "peer", "prefix", "requests", "rtt_ms", "service", "websockets")

    def __init__(self, service: ServiceId, prefix: Prefix) -> None:
        self.service = service
        self.prefix = prefix
        self.address = ""
        self.requests = 0
        self.errors = 0
        self.rtt_ms: float | None = None
        self.peer: Peer | None = None
        self.websockets: dict[Peer, str] = {}

    def measure(self) -> float | None:
        """The latest round trip known, asked anew where the connection is still there.

        Asking costs as much as a small guest's call, so it is done when a connection is new and for reports.
        """
        if self.peer is not None:
            measured = self.peer.rtt_ms()
            if measured is None:  # the connection is gone: what it measured last stays
                self.peer = None
            else:
                self.rtt_ms = measured
        return self.rtt_ms


class Counts:
    """All that a worker has seen. ``urgent`` is called when something must be reported at once, ``soon`` otherwise."""

    def __init__(self, soon: Callable[[], None], urgent: Callable[[], None]) -> None:
        self._soon = soon
        self._urgent = urgent
        self._services: dict[ServiceId, dict[Prefix, Seen]] = {}
        self._changed: dict[Seen, None] = {}

    def request(self, service: ServiceId, prefix: Prefix, address: str, peer: Peer) -> Seen:
        """Count one request from ``address``; ``peer`` is the connection it came by."""
        users = self._services.get(service)
        if users is None:
            users = self._services[service] = {}
        seen = users.get(prefix)
        if seen is None:
            seen = users[prefix] = Seen(service, prefix)
            self._urgent()
        seen.requests += 1
        if seen.peer is not peer:
            seen.peer = peer
            seen.address = address
        if seen not in self._changed:
            self._changed[seen] = None
            self._soon()
        return seen

    def error(self, seen: Seen) -> None:
        """Count a request that failed by the guest's fault."""
        seen.errors += 1
        self._changed[seen] = None
        self._soon()

    def opened(self, seen: Seen, peer: Peer, address: str) -> None:
        """A WebSocket was opened."""
        seen.websockets[peer] = address
        seen.peer, seen.address = peer, address
        self._services.setdefault(seen.service, {})[seen.prefix] = seen
        self._changed[seen] = None
        self._urgent()

    def closed(self, seen: Seen, peer: Peer) -> None:
        """A WebSocket is gone; another of the same prefix, if there is one, now stands for it."""
        seen.websockets.pop(peer, None)
        if seen.peer is peer:
            seen.peer, seen.address = next(iter(seen.websockets.items()), (None, seen.address))
        self._changed[seen] = None
        self._soon()

    def mark_open(self) -> bool:
        """Have every prefix with an open WebSocket reported again; False if there is none."""
        still_open = [seen for users in self._services.values() for seen in users.values() if seen.websockets]
        self._changed.update(dict.fromkeys(still_open))
        return bool(still_open)

    def take(self) -> tuple[Observation, ...]:
        """What changed since it was last asked; the counts begin anew."""
        changed, self._changed = self._changed, {}
        observations = tuple(self._observe(seen) for seen in changed)
        for service in {seen.service for seen in changed}:
            self._forget_oldest(service)
        return observations

    def _observe(self, seen: Seen) -> Observation:
        users = self._services.setdefault(seen.service, {})
        users.pop(seen.prefix, None)
        users[seen.prefix] = seen  # the order of the dict is that of last use
        observation = Observation(
            seen.service,
            seen.prefix,
            seen.address,
            seen.requests,
            seen.errors,
            seen.measure(),
            len(seen.websockets),
        )
        seen.requests = seen.errors = 0
        return observation

    def _forget_oldest(self, service: ServiceId) -> None:
        users = self._services[service]
        surplus = len(users) - PREFIXES_PER_SERVICE
        if surplus > 0:
            for seen in [seen for seen in users.values() if not seen.websockets][:surplus]:
                del users[seen.prefix]
