"""What each service here served since its customers last asked: the source of meter readings."""

from dataclasses import dataclass, field

import msgspec

from footloose.core.identity import NodeId
from footloose.core.limits import PREFIXES_PER_SERVICE
from footloose.model.app import ServiceId
from footloose.model.network import Observation, Prefix
from footloose.model.terms import MeterReading


@dataclass(eq=False)
class _Count:
    """What was seen for one lease ``since`` its last reading (seconds)."""

    service: ServiceId
    since: float
    seen: dict[tuple[Prefix, NodeId], Observation] = field(default_factory=dict)


class Meter:
    """Adds up observations per lease between one reading and the next."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}
        self._of_service: dict[str, list[_Count]] = {}

    def open(self, lease_id: str, service: ServiceId, now: float) -> None:
        """Start counting for a lease."""
        self.close(lease_id)
        count = self._counts[lease_id] = _Count(service, now)
        self._of_service.setdefault(service, []).append(count)

    def close(self, lease_id: str) -> None:
        """Stop counting for a lease."""
        count = self._counts.pop(lease_id, None)
        if count is not None:
            self._of_service[count.service].remove(count)
            if not self._of_service[count.service]:
                del self._of_service[count.service]

    def add(self, observations: tuple[Observation, ...], site: NodeId) -> None:
        """Count what was seen at ``site``."""
        for one in observations:
            for count in self._of_service.get(one.service, ()):
                _add(count.seen, msgspec.structs.replace(one, site=one.site or site))

    def read(self, lease_id: str, limit: int, now: float) -> MeterReading:
        """The reading of an open lease since the last: at most ``limit`` prefixes, the rest wait for the next."""
        count = self._counts[lease_id]
        observations = tuple(count.seen.pop(key) for key in list(count.seen)[:limit])
        shared = self._of_service[count.service][0] is not count
        reading = MeterReading(lease_id, count.since, now, observations, shared)
        count.since = now
        return reading


def _add(seen: dict[tuple[Prefix, NodeId], Observation], one: Observation) -> None:
    assert one.site is not None  # noqa: S101  the meter filled it in
    key = (one.prefix, one.site)
    before = seen.get(key)
    if before is not None:
        seen[key] = msgspec.structs.replace(
            one,
            requests=before.requests + one.requests,
            errors=before.errors + one.errors,
            rtt_ms=one.rtt_ms if one.rtt_ms is not None else before.rtt_ms,
        )
    elif len(seen) < PREFIXES_PER_SERVICE:
        seen[key] = one
