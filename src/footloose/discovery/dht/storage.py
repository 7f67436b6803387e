"""The announcements a node keeps for others.

Several announcements share a key, one per node; merging keeps the newest of each node, nearest first, and culls the
tail (ICON Python Orchestrator §3.1.1). Whoever stores decides nothing: what is kept follows from the records alone.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

from footloose.core.limits import DHT_KEYS, DHT_RECORDS, DHT_VALUES_PER_KEY
from footloose.discovery.dht.keys import Key
from footloose.discovery.dht.records import Record

SWEEP_CALLS = 60
"""Calls of :meth:`Storage.expire` until every key has been looked at."""


def merge(*sets: Iterable[Record], limit: int | None = None) -> tuple[Record, ...]:
    """The newest record of each node in ``sets``, by RTT, at most ``limit``."""
    newest: dict[bytes, Record] = {}
    for record in (record for records in sets for record in records):
        held = newest.get(record.announcement.node)
        if held is None or _age(record) > _age(held):
            newest[record.announcement.node] = record
    return tuple(sorted(newest.values(), key=_nearness)[:limit])


class Storage:
    """Records by key, within limits. When it is full the keys farthest from ``own`` go first."""

    def __init__(
        self,
        own: Key,
        *,
        keys: int = DHT_KEYS,
        records: int = DHT_RECORDS,
        values_per_key: int = DHT_VALUES_PER_KEY,
    ) -> None:
        self._own = own
        self._most_keys = keys
        self._most_records = records
        self._values_per_key = values_per_key
        self._values: dict[Key, tuple[Record, ...]] = {}
        self._by_distance: list[int] = []
        self._unswept: list[Key] = []
        self.records = 0

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> list[Key]:
        """All keys there are records for."""
        return list(self._values)

    def put(self, record: Record, now: float) -> bool:
        """Merge in ``record``, which must have been checked. Returns whether it is kept, or a newer one is."""
        key = record.key
        merged = merge(self.get(key, now), (record,), limit=self._values_per_key)
        self._set(key, merged)
        self._make_room()
        return any(kept.announcement.node == record.announcement.node for kept in self._values.get(key, ()))

    def get(self, key: Key, now: float) -> tuple[Record, ...]:
        """The records in force at ``key``, nearest first."""
        return tuple(record for record in self._values.get(key, ()) if record.announcement.expires_at > now)

    def expire(self, now: float) -> None:
        """Free what has expired, a part of the keys per call; :data:`SWEEP_CALLS` calls go through all."""
        if not self._unswept:
            self._unswept = list(self._values)
        for _ in range(len(self._values) // SWEEP_CALLS + 1):
            if self._unswept:
                key = self._unswept.pop()
                self._set(key, self.get(key, now))

    def _set(self, key: Key, records: tuple[Record, ...]) -> None:
        held = self._values.get(key)
        self.records += len(records) - len(held or ())
        if not records:
            if held is not None:
                del self._values[key]
                del self._by_distance[bisect_left(self._by_distance, key ^ self._own)]
            return
        if held is None:
            insort(self._by_distance, key ^ self._own)
        self._values[key] = records

    def _make_room(self) -> None:
        while len(self._values) > self._most_keys or self.records > self._most_records:
            self._set(Key(self._by_distance[-1] ^ self._own), ())


def _age(record: Record) -> tuple[float, bytes]:
    return (record.announcement.issued_at, record.raw)


def _nearness(record: Record) -> tuple[float, bytes]:
    return (record.announcement.rtt_ms, record.announcement.node)
