"""How a node answers the requests of others."""

import hashlib
import hmac
import random
from collections import Counter, OrderedDict

from footloose.core.errors import RemoteError
from footloose.core.limits import CLOCK_SKEW_S, DATAGRAM_BYTES, DHT_BUCKET, DHT_REPLAYS
from footloose.discovery.dht.contact import Contact, pack
from footloose.discovery.dht.keys import Key, key_from
from footloose.discovery.dht.notary import Notary
from footloose.discovery.dht.quota import StoreQuota
from footloose.discovery.dht.records import open_record
from footloose.discovery.dht.routing import RoutingTable
from footloose.discovery.dht.storage import Storage
from footloose.discovery.dht.wire import (
    TOKEN_BYTES,
    Drop,
    FindNode,
    FindValue,
    Message,
    Nearest,
    Ping,
    Pong,
    Refused,
    Reply,
    Request,
    Store,
    Stored,
    fit,
)
from footloose.model.site import Endpoint

SECRET_S = 300.0
"""How often the secret behind the tokens changes; a token is good for one to two such times."""
AMPLIFICATION = 3
"""An address that has not proven to be the sender's is sent at most so many times what came from it."""
PING_BYTES = 200
"""Room left within that for a ping."""


class Answering:
    """Answers from the table and the storage; remembers requests to refuse copies. Counts in ``dropped``."""

    def __init__(
        self,
        table: RoutingTable,
        storage: Storage,
        rng: random.Random,
        dropped: Counter[Drop],
        quota: StoreQuota,
        notary: Notary,
    ) -> None:
        self._table = table
        self._storage = storage
        self._dropped = dropped
        self._rng = rng
        self._quota = quota
        self._notary = notary
        self._seen: OrderedDict[tuple[bytes, bytes], float] = OrderedDict()
        self._secrets: tuple[bytes, bytes] = (rng.randbytes(16), rng.randbytes(16))
        self._secret_until = float("-inf")

    def answer(self, message: Message, request: Request, sender: Contact, length: int, now: float) -> Reply:
        """The answer to ``request``, which came in ``length`` bytes. Raises :class:`Refused` if there is to be none."""
        self._refuse_copies(message, now)
        match request:
            case Ping():
                return Pong(self._token(sender.address, now))
            case FindNode():
                return self._nearest(key_from(request.target), (), sender, length, now)
            case FindValue():
                key = key_from(request.target)
                records = tuple(record.raw for record in self._storage.get(key, now))
                return self._nearest(key, records, sender, length, now)
            case Store():
                return self._store(request, sender.address, now)

    def _nearest(self, key: Key, records: tuple[bytes, ...], sender: Contact, length: int, now: float) -> Nearest:
        contacts = self._table.closest(key, DHT_BUCKET + 1, good_only=True)
        packed = tuple(pack(contact) for contact in contacts if contact.key != sender.key)
        allowed = DATAGRAM_BYTES
        if not self._table.knows(sender):
            allowed = min(allowed, AMPLIFICATION * length - PING_BYTES)
        return Nearest(self._token(sender.address, now), *fit(records, packed[:DHT_BUCKET], allowed))

    def _store(self, request: Store, source: Endpoint, now: float) -> Stored:
        if not any(hmac.compare_digest(request.token, token) for token in self._tokens(source, now)):
            return self._decline(Drop.UNINVITED)
        if not self._quota.take(source.host, len(request.records), now):
            return self._decline(Drop.OVER_QUOTA)
        kept = 0
        for raw in request.records:
            try:
                kept += self._storage.put(open_record(raw, now, self._notary), now)
            except RemoteError:
                self._dropped[Drop.BAD_RECORD] += 1
        return Stored(kept)

    def _decline(self, why: Drop) -> Stored:
        """Said, not left unsaid: who gets no answer would take this node for lost."""
        self._dropped[why] += 1
        return Stored(0)

    def _refuse_copies(self, message: Message, now: float) -> None:
        while self._seen and (next(iter(self._seen.values())) <= now or len(self._seen) >= DHT_REPLAYS):
            self._seen.popitem(last=False)
        mark = (message.sender, message.rpc)
        if mark in self._seen:
            raise Refused(Drop.REPLAYED, "answered before")
        # Until then its time stamp may pass; afterwards it is refused as stale.
        self._seen[mark] = now + 2 * CLOCK_SKEW_S

    def _token(self, address: Endpoint, now: float) -> bytes:
        return self._tokens(address, now)[0]

    def _tokens(self, address: Endpoint, now: float) -> tuple[bytes, bytes]:
        if now >= self._secret_until:
            self._secrets = (self._rng.randbytes(16), self._secrets[0])
            self._secret_until = now + SECRET_S
        text = str(address).encode()
        new, old = (hashlib.blake2b(text, key=secret, digest_size=TOKEN_BYTES).digest() for secret in self._secrets)
        return new, old
