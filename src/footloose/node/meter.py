"""What each service here served since its customers last asked: the source of meter readings."""

import msgspec

from footloose.core.identity import NodeId
from footloose.core.limits import PREFIXES_PER_SERVICE
from footloose.model.app import ServiceId
from footloose.model.network import Observation, Prefix
from footloose.model.terms import MeterReading


class Meter:
    """Adds up observations per lease between one reading and the next."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._service_of: dict[str, ServiceId] = {}
        self._seen: dict[str, dict[tuple[Prefix, NodeId], Observation]] = {}

    def open(self, lease_id: str, service: ServiceId, now: float) -> None:
        """Start counting for a lease."""
        self._service_of[lease_id] = service
        self._since[lease_id] = now
        self._seen[lease_id] = {}

    def close(self, lease_id: str) -> None:
        """Stop counting for a lease."""
        self._service_of.pop(lease_id, None)
        self._since.pop(lease_id, None)
        self._seen.pop(lease_id, None)

    def add(self, observations: tuple[Observation, ...], site: NodeId) -> None:
        """Count what was seen at ``site``."""
        for lease_id, service in self._service_of.items():
            for one in observations:
                if one.service == service:
                    _add(self._seen[lease_id], msgspec.structs.replace(one, site=one.site or site))

    def read(self, lease_id: str, limit: int, now: float) -> MeterReading:
        """The reading of a lease since the last: at most ``limit`` prefixes, the rest wait for the next reading."""
        seen = self._seen[lease_id]
        observations = tuple(seen.pop(key) for key in list(seen)[:limit])
        reading = MeterReading(lease_id, self._since[lease_id], now, observations)
        self._since[lease_id] = now
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
