"""Records passed on to nodes that come to stand near them (Kademlia §2.5)."""

from collections import deque
from collections.abc import Iterator

from footloose.core.limits import DHT_BUCKET
from footloose.discovery.dht.contact import Contact
from footloose.discovery.dht.keys import Key
from footloose.discovery.dht.routing import RoutingTable
from footloose.discovery.dht.storage import Storage
from footloose.discovery.dht.wire import batches

STEP_S = 0.05
KEYS_PER_STEP = 64
NEWCOMERS = 256
"""Newcomers waiting for records; more are left to the owners' next announcements."""
_GIVERS = 2
"""So many of the nodes nearest a key pass it on: one may be lost, all would be a flood."""


class Handover:
    """Goes through the kept keys for each newcomer, a few at a time."""

    def __init__(self, table: RoutingTable, storage: Storage) -> None:
        self._table = table
        self._storage = storage
        self._waiting: deque[tuple[Contact, bytes, Iterator[Key]]] = deque()
        self._next_at = 0.0

    def add(self, newcomer: Contact, token: bytes, now: float) -> None:
        """``newcomer`` is there, and lets us store with ``token``."""
        if len(self._storage) and len(self._waiting) < NEWCOMERS:
            self._waiting.append((newcomer, token, iter(self._storage.keys())))
            self._next_at = max(self._next_at, now)

    def next_deadline(self) -> float | None:
        """When :meth:`step` has something to do."""
        return self._next_at if self._waiting else None

    def step(self, now: float) -> list[tuple[Contact, bytes, tuple[bytes, ...]]]:
        """What to store where, each part of the size of one datagram."""
        if not self._waiting or now < self._next_at:
            return []
        self._next_at = now + STEP_S
        newcomer, token, keys = self._waiting[0]
        others = [contact.key for contact in self._table.contacts() if contact.key != newcomer.key]
        records: list[bytes] = []
        for _ in range(KEYS_PER_STEP):
            key = next(keys, None)
            if key is None:
                self._waiting.popleft()
                break
            if self._falls_to_us(key, newcomer.key, others):
                records += [record.raw for record in self._storage.get(key, now)]
        return [(newcomer, token, batch) for batch in batches(records)]

    def _falls_to_us(self, key: Key, newcomer: Key, others: list[Key]) -> bool:
        to_newcomer, to_us = newcomer ^ key, self._table.own ^ key
        nearer_than_newcomer = nearer_than_us = 0
        for other in others:
            nearer_than_newcomer += other ^ key < to_newcomer
            nearer_than_us += other ^ key < to_us
        return nearer_than_newcomer < DHT_BUCKET and nearer_than_us < _GIVERS
