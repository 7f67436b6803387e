"""The DHT node as a sans-IO machine: joins, answers, looks up, announces, and finds back together after a partition."""

import random
from collections import Counter
from collections.abc import Sequence
from enum import Enum

from footloose.core.errors import LocalError, RemoteError
from footloose.core.limits import (
    DHT_BACKGROUND_LOOKUPS,
    DHT_BOOTSTRAP,
    DHT_BUCKET,
    DHT_LOOKUP_S,
    DHT_LOOKUPS,
    DHT_READ,
    DHT_REQUESTS,
)
from footloose.discovery.dht.answering import Answering
from footloose.discovery.dht.contact import Contact, unpack
from footloose.discovery.dht.events import (
    Abandon,
    Announce,
    Bootstrap,
    Effect,
    Event,
    Found,
    Joined,
    LookUp,
    LookupDone,
    Received,
    SendDatagram,
    Withdraw,
)
from footloose.discovery.dht.handover import Handover
from footloose.discovery.dht.keys import Key, key_bytes, key_of, node_key
from footloose.discovery.dht.lookup import Lookup
from footloose.discovery.dht.notary import Notary
from footloose.discovery.dht.publisher import Publisher
from footloose.discovery.dht.quota import StoreQuota
from footloose.discovery.dht.records import Record, open_record
from footloose.discovery.dht.requests import Pending, Requests
from footloose.discovery.dht.routing import Change, RoutingTable
from footloose.discovery.dht.storage import Storage
from footloose.discovery.dht.wire import (
    Drop,
    FindNode,
    FindValue,
    Framing,
    Message,
    Nearest,
    Ping,
    Pong,
    Refused,
    Reply,
    Request,
    Store,
    Stored,
    batches,
)
from footloose.model.network import RouterId
from footloose.model.site import Endpoint

TICK_S = 1.0
"""How often what is not urgent is looked after while there is something to do…"""
IDLE_TICK_S = 15.0
"""…and how often when nothing is due."""
REFRESH_S = 300.0
"""How often one bucket, in turn, is refreshed by a look-up in its range."""
REJOIN_S = 30.0
"""Shortest time between two times a node makes itself known anew."""
REJOIN_LOST_SHARE = 0.2
"""A lost contact that returns means a partition has healed if so many of all contacts were lost."""
BOOTSTRAP_CHECK_S = 30.0
"""How often it is looked at whether a bootstrap endpoint is still among the contacts."""
BOOTSTRAP_RETRY_S = 60.0
"""Longest pause between two tries of a bootstrap endpoint that is not among the good contacts."""
_ANSWERS: dict[type, type] = {Ping: Pong, FindNode: Nearest, FindValue: Nearest, Store: Stored}


class Purpose(Enum):
    """What a look-up is for."""

    READ = "read"
    ANNOUNCE = "announce"
    JOIN = "join"
    REFRESH = "refresh"


class _Job:
    """A look-up under way."""

    def __init__(
        self, number: int, purpose: Purpose, lookup: Lookup, deadline: float, router: RouterId | None, asker: int | None
    ) -> None:
        self.number = number
        self.purpose = purpose
        self.lookup = lookup
        self.deadline = deadline
        self.router = router
        self.asker = asker
        self.seen: set[bytes] = set()
        self.newest: dict[bytes, float] = {}


class Dht:
    """One node.

    ``notary`` signs for it; ``api`` is what it announces; ``ip_version`` which contacts its socket can reach.

    ``rng`` must not be predictable by others outside of tests (``random.SystemRandom``): request ids come from it.
    """

    def __init__(
        self,
        notary: Notary,
        api: Endpoint,
        rng: random.Random,
        now: float,
        *,
        ip_version: int = 4,
        quota: StoreQuota | None = None,
    ) -> None:
        self._notary = notary
        self._framing = Framing(notary)
        self._rng = rng
        self._ip_version = ip_version
        self.key = self._framing.key
        self.table = RoutingTable(self.key, rng)
        self.storage = Storage(self.key)
        self.dropped: Counter[Drop] = Counter()
        self._answering = Answering(self.table, self.storage, rng, self.dropped, quota or StoreQuota(), notary)
        self._publisher = Publisher(notary, api, rng)
        self._handover = Handover(self.table, self.storage)
        self._requests = Requests(rng)
        self._jobs: dict[int, _Job] = {}
        self._jobs_started = 0
        self._bootstrap: dict[Endpoint, tuple[float, int]] = {}
        self._refreshes: list[Key] = []
        self._rejoin_at: float | None = None
        self._rejoined_at = float("-inf")
        self._refresh_at = now + REFRESH_S * rng.random()
        self._tick_at = now + TICK_S * rng.random()
        self._background_due = False
        self._effects: list[Effect] = []

    # Events in, effects out

    def receive(self, event: Event, now: float) -> Sequence[Effect]:
        """Take one event. Raises :class:`LocalError` for what cannot be announced or looked up."""
        match event:
            case Received():
                self._received(event, now)
            case Bootstrap():
                for endpoint in event.endpoints:
                    if len(self._bootstrap) < DHT_BOOTSTRAP:
                        self._bootstrap.setdefault(endpoint, (now, 0))
                self._try_bootstrap(now)
                self._look_soon(now)
            case Announce():
                self._publisher.put(event.items, now)
                self._background_due = True
                self._look_soon(now)
            case Withdraw():
                self._publisher.withdraw(event.routers)
            case LookUp():
                self._look_up(event, now)
            case Abandon():
                for job in [job for job in self._jobs.values() if job.asker == event.lookup]:
                    del self._jobs[job.number]
        return self._take_effects(now)

    def wake(self, now: float) -> Sequence[Effect]:
        """Do what has fallen due."""
        for pending, failed in self._requests.overdue(now):
            self._overdue(pending, failed, now)
        for job in [job for job in self._jobs.values() if job.deadline <= now]:
            job.lookup.out_of_time()
            self._advance(job, now)
        for contact, token, records in self._handover.step(now):
            self._ask(contact, Store(token, records), now)
        if now >= self._tick_at:
            self._tick(now)
            self._tick_at = max(now + TICK_S, min(now + IDLE_TICK_S, self._next_chore()))
        return self._take_effects(now)

    def next_deadline(self) -> float:
        """When to wake it next. There is always something."""
        # Look-ups all last equally long, so the first is the first to end.
        first = next(iter(self._jobs.values()), None)
        times = (self._requests.next_deadline(), self._handover.next_deadline(), first.deadline if first else None)
        return min([self._tick_at, *(time for time in times if time is not None)])

    # Datagrams

    def _received(self, event: Received, now: float) -> None:
        try:
            message = self._framing.open(event.datagram, now)
            sender = Contact(node_key(message.sender), event.source)
            if isinstance(message.body, Request):
                self._answer(message, message.body, sender, len(event.datagram), now)
            else:
                self._answered(message, message.body, sender, now)
        except Refused as refused:
            self.dropped[refused.drop] += 1

    def _answer(self, message: Message, request: Request, sender: Contact, length: int, now: float) -> None:
        reply = self._answering.answer(message, request, sender, length, now)
        self._send(sender.address, self._framing.seal(reply, message.rpc, sender.key, now))
        # Senders' addresses may be made up: pings to them must not use up the room for requests of our own.
        room = len(self._requests) < DHT_REQUESTS // 2
        if self.table.heard(sender, now) and room and not self._requests.awaits(sender.address):
            self._ask(sender, Ping(), now)

    def _answered(self, message: Message, reply: Reply, sender: Contact, now: float) -> None:
        pending = self._requests.answer(message.rpc, sender.key, sender.address, type(reply))
        if pending is None or not message.addressed:
            raise Refused(Drop.UNEXPECTED, "nothing was asked of this node at this address")
        healed = self.table.lost_share >= REJOIN_LOST_SHARE
        first = not self.table
        change, unsure = self.table.answered(sender, now - pending.sent_at, now)
        if unsure is not None and not self._requests.awaits(unsure.address):
            self._ask(unsure, Ping(), now)
        if change is not Change.NONE and not isinstance(reply, Stored):
            self._handover.add(sender, reply.token, now)
        if change is Change.RETURNED:
            self.table.retry_lost(now)
            self._look_soon(now)
        if first or (change is Change.RETURNED and healed):
            self._rejoin_at = self._rejoin_at or max(now, self._rejoined_at + REJOIN_S)
            self._background_due = True
        if isinstance(reply, Stored) and reply.kept and pending.router is not None:
            self._publisher.stored(pending.router, now)
        job = self._jobs.get(pending.job) if pending.job is not None else None
        if job is not None and isinstance(reply, Nearest):
            self._read(job, reply.records, job.lookup.round_trips_to(sender.key), now)
            job.lookup.answered(sender.key, reply.token, self._contacts(reply.contacts))
            self._advance(job, now)

    def _overdue(self, pending: Pending, failed: bool, now: float) -> None:
        job = self._jobs.get(pending.job) if pending.job is not None else None
        if failed and pending.key is not None:
            self.table.timed_out(Contact(pending.key, pending.address), now)
            self._look_soon(now)
        if job is not None and pending.key is not None:
            (job.lookup.failed if failed else job.lookup.late)(pending.key)
            self._advance(job, now)

    def _contacts(self, packed: Sequence[bytes]) -> list[Contact]:
        contacts = []
        for raw in packed:
            try:
                contact = unpack(raw)
            except RemoteError:
                self.dropped[Drop.GARBAGE] += 1
                continue
            if contact.ip_version == self._ip_version:
                contacts.append(contact)
        return contacts

    def _ask(
        self, contact: Contact, request: Request, now: float, *, job: int | None = None, router: RouterId | None = None
    ) -> bool:
        """Send a request to a node known by key. Returns False if too many are unanswered already."""
        patience_s = self.table.patience_s(contact.key)
        expects = _ANSWERS[type(request)]
        pending = self._requests.open(contact.address, contact.key, expects, now, patience_s, job=job, router=router)
        if pending is not None:
            self._send(contact.address, self._framing.seal(request, pending.rpc, contact.key, now))
        return pending is not None

    def _send(self, to: Endpoint, datagram: bytes) -> None:
        self._effects.append(SendDatagram(datagram, to))

    def _take_effects(self, now: float) -> list[Effect]:
        # Here and not where it is found due: a look-up without contacts ends at once and makes the next one due.
        while self._background_due:
            self._background_due = False
            self._start_background(now)
        effects, self._effects = self._effects, []
        return effects

    # Look-ups

    def _look_up(self, event: LookUp, now: float) -> None:
        if sum(job.purpose is Purpose.READ for job in self._jobs.values()) >= DHT_LOOKUPS:
            raise LocalError(f"more than {DHT_LOOKUPS} look-ups at a time", where="DHT")
        job = self._start(Purpose.READ, key_of(event.router), now, width=DHT_READ, asker=event.lookup)
        for record in self.storage.get(job.lookup.target, now):
            self._found(job, record, 0)
        self._advance(job, now)

    def _start(
        self,
        purpose: Purpose,
        target: Key,
        now: float,
        *,
        width: int,
        router: RouterId | None = None,
        asker: int | None = None,
    ) -> _Job:
        self._jobs_started += 1
        lookup = Lookup(target, self.key, self.table.closest(target, DHT_BUCKET), width=width)
        job = _Job(self._jobs_started, purpose, lookup, now + DHT_LOOKUP_S, router, asker)
        self._jobs[job.number] = job
        return job

    def _advance(self, job: _Job, now: float) -> None:
        target = key_bytes(job.lookup.target)
        request = FindValue(target) if job.purpose is Purpose.READ else FindNode(target)
        while contacts := job.lookup.next_queries():
            for contact in contacts:
                if not self._ask(contact, request, now, job=job.number):
                    job.lookup.failed(contact.key)
        if job.lookup.done and self._jobs.pop(job.number, None) is not None:
            self._finish(job, now)

    def _finish(self, job: _Job, now: float) -> None:
        match job.purpose:
            case Purpose.READ if job.asker is not None:
                self._effects.append(_done(job.asker, job.lookup))
            case Purpose.ANNOUNCE if job.router is not None:
                self._store(job.router, job.lookup, now)
            case Purpose.JOIN:
                self._refreshes = [key for key in self.table.refresh_targets() if self.table.sparse(key)]
                self._publisher.hurry(now)
                self._look_soon(now)
                self._effects.append(Joined())
        self._background_due = True

    def _read(self, job: _Job, records: Sequence[bytes], round_trips: int, now: float) -> None:
        for raw in records:
            if raw in job.seen:
                continue
            job.seen.add(raw)
            try:
                record = open_record(raw, now, self._notary)
            except RemoteError:
                self.dropped[Drop.BAD_RECORD] += 1
                continue
            if record.key == job.lookup.target:
                self._found(job, record, round_trips)
            else:
                self.dropped[Drop.BAD_RECORD] += 1

    def _found(self, job: _Job, record: Record, round_trips: int) -> None:
        said = record.announcement
        if job.asker is not None and job.newest.get(said.node, float("-inf")) < said.issued_at:
            job.newest[said.node] = said.issued_at
            self._effects.append(Found(job.asker, record, round_trips))

    # What a node does of itself

    def _tick(self, now: float) -> None:
        self.storage.expire(now)
        for contact in self.table.due(now):
            if not self._requests.awaits(contact.address):
                self._ask(contact, Ping(), now)
        self._try_bootstrap(now)
        if now >= self._refresh_at:
            self._refresh_at = now + REFRESH_S
            targets = self.table.refresh_targets()
            if targets:
                self._refreshes.append(self._rng.choice(targets))
        self._background_due = True

    def _next_chore(self) -> float:
        """When the first of what a tick looks after falls due."""
        bootstrap = min((due_at for due_at, _ in self._bootstrap.values()), default=self._refresh_at)
        rejoin = self._rejoin_at if self._rejoin_at is not None else self._refresh_at
        return min(self._refresh_at, bootstrap, rejoin, self.table.next_check(), self._publisher.next_due())

    def _look_soon(self, now: float) -> None:
        """Something has come up that falls due sooner than what there was."""
        self._tick_at = min(self._tick_at, now + TICK_S)

    def _start_background(self, now: float) -> None:
        """Start look-ups that are due, a few at a time: making ourselves known first, then announcing."""
        if self._rejoin_at is not None and self._rejoin_at <= now:
            self._rejoin_at, self._rejoined_at = None, now
            self._advance(self._start(Purpose.JOIN, self.key, now, width=DHT_BUCKET), now)
        room = DHT_BACKGROUND_LOOKUPS - sum(job.purpose is not Purpose.READ for job in self._jobs.values())
        for router in self._publisher.take_due(now, max(0, room)):
            room -= 1
            job = self._start(Purpose.ANNOUNCE, key_of(router), now, width=DHT_BUCKET, router=router)
            self._advance(job, now)
        while room > 0 and self._refreshes:
            room -= 1
            self._advance(self._start(Purpose.REFRESH, self._refreshes.pop(), now, width=DHT_READ), now)

    def _store(self, router: RouterId, lookup: Lookup, now: float) -> None:
        record = self._publisher.record(router, now)
        if record is None:
            return
        self.storage.put(record, now)
        for contact, token in lookup.holders(DHT_BUCKET):
            for batch in batches([record.raw]):
                self._ask(contact, Store(token, batch), now, router=router)

    def _try_bootstrap(self, now: float) -> None:
        """Ping those bootstrap endpoints that are not among the contacts, ever more seldom."""
        due = [(endpoint, tries) for endpoint, (due_at, tries) in self._bootstrap.items() if due_at <= now]
        there = {contact.address for contact in self.table.contacts()} if due else set()
        for endpoint, tries in due:
            if endpoint in there:
                self._bootstrap[endpoint] = (now + BOOTSTRAP_CHECK_S, 0)
            else:
                pause_s = min(BOOTSTRAP_RETRY_S, 2.0**tries) * (0.5 + self._rng.random() / 2)
                self._bootstrap[endpoint] = (now + pause_s, min(tries + 1, 10))
                pending = self._requests.open(endpoint, None, Pong, now, self.table.patience_s(None))
                if pending is not None:
                    self._send(endpoint, self._framing.seal(Ping(), pending.rpc, None, now))


def _done(asker: int, lookup: Lookup) -> LookupDone:
    return LookupDone(asker, lookup.asked, lookup.answers, lookup.round_trips)
