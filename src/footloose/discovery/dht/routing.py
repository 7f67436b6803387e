"""The contacts of a node, in buckets by distance (Kademlia §2.2, §2.4), and those it has lost.

A contact stands here only once it has answered, from that address, a request with a random id. Lost contacts are kept
aside and tried again ever more seldom, so that two halves of a network find each other after a partition.
"""

import math
import random
from collections.abc import Iterator
from enum import Enum

import msgspec
from msgspec.structs import replace

from footloose.core.limits import DHT_BUCKET, DHT_LOST_CONTACTS
from footloose.core.table import TransitionTable
from footloose.discovery.dht.contact import Contact
from footloose.discovery.dht.keys import KEY_BITS, Key
from footloose.discovery.dht.rtt import LONGEST_S, Rtt

KEEPALIVE_S = 300.0
"""A contact not heard from for so long is asked whether it is still there."""
FRESH_S = 10.0
"""A contact heard from within this time is not checked before a newcomer is put behind it."""
RECHECK_S = 1.0
"""How soon a contact that missed one request is asked again."""
LOST_RETRY_S = 60.0
"""Longest pause between two tries of a lost contact."""
CHECKS_AT_ONCE = 16
"""Contacts checked per call of :meth:`RoutingTable.due`."""


class ContactState(Enum):
    """What is known of a contact."""

    HEARD = "heard"
    """It wrote to us, or others told of it: not in the table."""
    GOOD = "good"
    DOUBTFUL = "doubtful"
    LOST = "lost"


class ContactEvent(Enum):
    """What happens to a contact."""

    ANSWERED = "answered"
    TIMED_OUT = "timed out"


CONTACT = TransitionTable(
    "DHT contact",
    {
        (ContactState.HEARD, ContactEvent.ANSWERED): ContactState.GOOD,
        (ContactState.GOOD, ContactEvent.ANSWERED): ContactState.GOOD,
        (ContactState.GOOD, ContactEvent.TIMED_OUT): ContactState.DOUBTFUL,
        (ContactState.DOUBTFUL, ContactEvent.ANSWERED): ContactState.GOOD,
        (ContactState.DOUBTFUL, ContactEvent.TIMED_OUT): ContactState.LOST,
        (ContactState.LOST, ContactEvent.ANSWERED): ContactState.GOOD,
        (ContactState.LOST, ContactEvent.TIMED_OUT): ContactState.LOST,
    },
)


class Known(msgspec.Struct, frozen=True, gc=False):
    """A contact and what is known of it. Times in seconds; ``misses`` in a row."""

    contact: Contact
    state: ContactState
    heard_at: float
    check_at: float
    rtt: Rtt
    misses: int = 0


class Change(Enum):
    """What an answer changed in the table."""

    NEW = "new"
    RETURNED = "returned"
    NONE = "none"


class RoutingTable:
    """Up to ``bucket`` contacts for each distance from ``own``, least recently heard from first."""

    def __init__(
        self, own: Key, rng: random.Random, *, bucket: int = DHT_BUCKET, lost: int = DHT_LOST_CONTACTS
    ) -> None:
        self.own = own
        self._rng = rng
        self._bucket = bucket
        self._most_lost = lost
        self._buckets: dict[int, dict[Key, Known]] = {}
        self._spares: dict[int, dict[Key, Known]] = {}
        self._lost: dict[Key, Known] = {}
        self._typical: Rtt | None = None

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def __bool__(self) -> bool:
        return any(self._buckets.values())

    def contacts(self) -> list[Contact]:
        """The contacts in the buckets, good or doubtful."""
        return [known.contact for known in self._all()]

    def lost(self) -> list[Contact]:
        """The contacts that fell silent."""
        return [known.contact for known in self._lost.values()]

    def knows(self, contact: Contact) -> bool:
        """Whether this node is in the table at this address, in good standing: the address is proven."""
        known = self._find(contact.key)
        return known is not None and known.state is ContactState.GOOD and known.contact == contact

    def closest(self, target: Key, count: int, *, good_only: bool = False) -> list[Contact]:
        """The ``count`` contacts nearest ``target``, nearest first."""
        found: list[Contact] = []
        apart = self.own ^ target
        # Buckets of the bits in which own and target differ, the highest first, are nearer than own is, in that order;
        # the others are farther, in the opposite one.
        for index in sorted(self._buckets, key=lambda index: ~index if apart >> index & 1 else index):
            bucket = self._buckets[index].values()
            contacts = [known.contact for known in bucket if not good_only or known.state is ContactState.GOOD]
            contacts.sort(key=lambda contact: contact.key ^ target)
            found += contacts
            if len(found) >= count:
                break
        return found[:count]

    def patience_s(self, key: Key | None) -> float:
        """How long to wait for an answer of ``key``: by its own past answers, else by those of all."""
        known = self._find(key) if key is not None else None
        rtt = known.rtt if known is not None else self._typical
        return rtt.patience_s if rtt is not None else LONGEST_S

    def answered(self, contact: Contact, rtt_s: float, now: float) -> tuple[Change, Contact | None]:
        """``contact`` answered a request. Returns the change, and whom to ask before it gives way to this one."""
        if contact.key == self.own:
            return Change.NONE, None
        self._typical = self._typical.after(rtt_s) if self._typical is not None else Rtt.first(rtt_s)
        index = self._index(contact.key)
        bucket = self._buckets.setdefault(index, {})
        before = bucket.pop(contact.key, None) or self._spares.get(index, {}).pop(contact.key, None)
        lost = self._lost.get(contact.key)
        known = self._after_answer(contact, before or lost, rtt_s, now)
        self._lost.pop(contact.key, None)
        change = Change.RETURNED if lost is not None else Change.NONE
        if len(bucket) < self._bucket:
            bucket[contact.key] = known
            return (Change.NEW if before is None and lost is None else change), None
        spares = self._spares.setdefault(index, {})
        spares[contact.key] = known
        if len(spares) > self._bucket:
            del spares[next(iter(spares))]
        oldest = next(iter(bucket.values()))
        return change, oldest.contact if now - oldest.heard_at >= FRESH_S else None

    def timed_out(self, contact: Contact, now: float) -> None:
        """``contact`` did not answer. After the second miss in a row it is lost, and a spare takes its place."""
        known = self._find(contact.key)
        if known is None or known.contact != contact:
            self._spares.get(self._index(contact.key), {}).pop(contact.key, None)
            return
        state = CONTACT.next(known.state, ContactEvent.TIMED_OUT)
        misses = known.misses + 1
        pause_s = RECHECK_S if state is ContactState.DOUBTFUL else self._pause_s(misses)
        known = replace(known, state=state, misses=misses, check_at=now + pause_s)
        if state is ContactState.LOST:
            self._lose(known)
        else:
            self._buckets[self._index(contact.key)][contact.key] = known

    def heard(self, contact: Contact, now: float) -> bool:
        """A request came from ``contact``. Returns whether it is worth a ping to find out if it is there."""
        if contact.key == self.own:
            return False
        index = self._index(contact.key)
        bucket = self._buckets.get(index, {})
        known = bucket.get(contact.key)
        if known is not None and known.contact == contact and known.state is ContactState.GOOD:
            del bucket[contact.key]
            bucket[contact.key] = replace(known, heard_at=now, check_at=now + KEEPALIVE_S)
            return False
        if known is not None or contact.key in self._lost:
            return True
        spares = self._spares.get(index, {})
        return len(bucket) < self._bucket or (contact.key not in spares and len(spares) < self._bucket)

    def due(self, now: float) -> list[Contact]:
        """Contacts to ask now whether they are there; each comes once per pause."""
        holders = (*self._buckets.values(), self._lost)
        due = [known for holder in holders for known in holder.values() if known.check_at <= now]
        due.sort(key=lambda known: known.check_at)
        for known in due[:CHECKS_AT_ONCE]:
            holder = self._lost if known.state is ContactState.LOST else self._buckets[self._index(known.contact.key)]
            holder[known.contact.key] = replace(known, check_at=now + KEEPALIVE_S)
        return [known.contact for known in due[:CHECKS_AT_ONCE]]

    def next_check(self) -> float:
        """When the next contact is to be asked."""
        holders = (*self._buckets.values(), self._lost)
        return min((known.check_at for holder in holders for known in holder.values()), default=math.inf)

    def retry_lost(self, now: float) -> None:
        """One lost contact came back, so others may be back too: try all of them soon."""
        for key, known in self._lost.items():
            self._lost[key] = replace(known, misses=2, check_at=now + self._rng.random())

    @property
    def lost_share(self) -> float:
        """The part of all contacts ever made, as far as they are remembered, that is lost."""
        return len(self._lost) / (len(self._lost) + len(self)) if self._lost else 0.0

    def refresh_targets(self) -> list[Key]:
        """A random key for each distance at which there can be nodes, the farthest first (Kademlia §2.3)."""
        nearest = min((index for index, bucket in self._buckets.items() if bucket), default=KEY_BITS)
        indices = range(KEY_BITS - 1, nearest - 1, -1)
        return [Key(self.own ^ (1 << index | self._rng.getrandbits(index))) for index in indices]

    def sparse(self, target: Key) -> bool:
        """Whether the bucket of ``target`` has room for more."""
        return len(self._buckets.get(self._index(target), {})) < self._bucket // 2

    def _after_answer(self, contact: Contact, before: Known | None, rtt_s: float, now: float) -> Known:
        state = before.state if before is not None else ContactState.HEARD
        rtt = before.rtt.after(rtt_s) if before is not None else Rtt.first(rtt_s)
        return Known(contact, CONTACT.next(state, ContactEvent.ANSWERED), now, now + KEEPALIVE_S, rtt)

    def _lose(self, known: Known) -> None:
        key = known.contact.key
        if key in self._lost:
            self._lost[key] = known
            return
        index = self._index(key)
        del self._buckets[index][key]
        self._lost[key] = known
        if len(self._lost) > self._most_lost:
            del self._lost[next(iter(self._lost))]
        spares = self._spares.get(index)
        if spares:
            _, spare = spares.popitem()
            self._buckets[index][spare.contact.key] = spare

    def _pause_s(self, misses: int) -> float:
        pause_s: float = min(LOST_RETRY_S, 2.0 ** min(misses, 10))
        return pause_s * (0.5 + self._rng.random() / 2)

    def _find(self, key: Key) -> Known | None:
        if key == self.own:
            return None
        return self._buckets.get(self._index(key), {}).get(key) or self._lost.get(key)

    def _all(self) -> Iterator[Known]:
        for bucket in self._buckets.values():
            yield from bucket.values()

    def _index(self, key: Key) -> int:
        return (self.own ^ key).bit_length() - 1
