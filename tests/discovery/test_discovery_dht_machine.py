"""One DHT machine before strangers: copies, forgeries, spoofed addresses, floods."""

import itertools
import random
from collections.abc import Sequence

import msgspec
import pytest
from dht_records import NOW, ROUTER, identity, notary, record, signed_anyhow
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.errors import LocalError
from footloose.core.limits import DATAGRAM_BYTES, DHT_LOOKUPS, DHT_REQUESTS, DHT_VALUES_PER_KEY
from footloose.discovery.dht.answering import AMPLIFICATION, SECRET_S
from footloose.discovery.dht.contact import unpack
from footloose.discovery.dht.events import (
    Announce,
    Bootstrap,
    Effect,
    Found,
    Joined,
    LookUp,
    LookupDone,
    Received,
    SendDatagram,
)
from footloose.discovery.dht.keys import PUBLIC_KEY_BYTES, key_bytes, key_of
from footloose.discovery.dht.machine import Dht
from footloose.discovery.dht.quota import StoreQuota
from footloose.discovery.dht.records import Nearness
from footloose.discovery.dht.wire import (
    HEAD_BYTES,
    Drop,
    FindNode,
    FindValue,
    Framing,
    Message,
    Nearest,
    Ping,
    Pong,
    Reply,
    Request,
    Store,
    Stored,
)
from footloose.model.network import RouterId
from footloose.model.site import Endpoint

API = Endpoint("192.0.2.1", 443)
ME = 100
RPCS = itertools.count(1)


def machine(number: int = ME, **options: StoreQuota) -> Dht:
    return Dht(notary(number), API, random.Random(1), NOW, **options)


class Peer:
    """A node played by the test, at an address."""

    def __init__(self, number: int, target: Dht, host: str = "10.0.0.2", port: int = 4000) -> None:
        self.framing = Framing(notary(number))
        self.target = target
        self.address = Endpoint(host, port)

    def seal(self, body: Request, now: float = NOW, *, addressed: bool = True) -> bytes:
        return self.framing.seal(body, next(RPCS).to_bytes(8, "big"), self.target.key if addressed else None, now)

    def send(self, datagram: bytes, now: float = NOW) -> list[Message]:
        """What the machine says to this."""
        return self.read(self.target.receive(Received(datagram, self.address), now), now)

    def ask(self, body: Request, now: float = NOW) -> list[Message]:
        return self.send(self.seal(body, now), now)

    def read(self, effects: Sequence[Effect], now: float = NOW) -> list[Message]:
        sent = [effect for effect in effects if isinstance(effect, SendDatagram) and effect.to == self.address]
        return [self.framing.open(effect.datagram, now) for effect in sent]

    def reply(self, to: Message, body: Reply, now: float = NOW) -> Sequence[Effect]:
        datagram = self.framing.seal(body, to.rpc, self.target.key, now)
        return self.target.receive(Received(datagram, self.address), now)

    def get_known(self, now: float = NOW) -> None:
        """Ping and answer the ping that comes back, as an honest newcomer does."""
        pong, ping = self.ask(Ping(), now)
        assert isinstance(pong.body, Pong)
        assert isinstance(ping.body, Ping)
        for message in self.read(self.reply(ping, Pong(bytes(8)), now), now):
            if isinstance(message.body, FindNode):
                self.reply(message, Nearest(bytes(8)), now)

    def token(self, now: float = NOW) -> bytes:
        answer = self.ask(FindNode(bytes(32)), now)[0].body
        assert isinstance(answer, Nearest)
        return answer.token

    def store(self, *raw: bytes, now: float = NOW) -> int:
        answer = self.ask(Store(self.token(now), raw), now)[0].body
        assert isinstance(answer, Stored)
        return answer.kept


# Getting into the table


def test_a_stranger_is_answered_and_pinged_and_stands_in_the_table_only_once_it_answers() -> None:
    node = machine()
    peer = Peer(1, node)
    assert [type(message.body) for message in peer.ask(Ping())] == [Pong, Ping]
    assert node.table.contacts() == []
    Peer(1, node, "10.0.0.3").get_known()
    assert [contact.address.host for contact in node.table.contacts()] == ["10.0.0.3"]


def test_an_answer_from_another_address_or_node_or_to_nothing_asked_counts_for_nothing() -> None:
    node = machine()
    peer, elsewhere, other = Peer(1, node), Peer(1, node, "10.0.0.9"), Peer(2, node)
    _, ping = peer.ask(Ping())
    elsewhere.reply(ping, Pong(bytes(8)))
    other.reply(ping, Pong(bytes(8)))
    peer.reply(ping, Stored(1))
    peer.send(peer.framing.seal(Pong(bytes(8)), b"unasked!", node.key, NOW))
    assert node.table.contacts() == []
    assert node.dropped == {Drop.UNEXPECTED: 4}
    peer.reply(ping, Pong(bytes(8)))
    assert len(node.table.contacts()) == 1


def test_an_answer_that_does_not_name_its_receiver_is_refused() -> None:
    node = machine()
    peer = Peer(1, node)
    _, ping = peer.ask(Ping())
    peer.send(peer.framing.seal(Pong(bytes(8)), ping.rpc, None, NOW))
    assert node.dropped == {Drop.UNEXPECTED: 1}


def test_a_copy_of_a_request_is_not_answered() -> None:
    node = machine()
    peer = Peer(1, node)
    datagram = peer.seal(Ping())
    assert peer.send(datagram)
    assert peer.send(datagram) == []
    assert Peer(1, node, "10.0.0.66").send(datagram) == []
    assert node.dropped == {Drop.REPLAYED: 2}
    assert peer.send(datagram, NOW + 200) == []
    assert node.dropped[Drop.STALE] == 1


def test_a_nodes_own_datagrams_sent_back_to_it_are_refused() -> None:
    node = machine()
    (ping,) = node.receive(Bootstrap((Endpoint("10.0.0.2", 4000),)), NOW)
    assert isinstance(ping, SendDatagram)
    assert node.receive(Received(ping.datagram, ping.to), NOW) == []
    assert node.dropped == {Drop.REFLECTED: 1}


@given(st.binary(max_size=1300))
def test_garbage_is_dropped_and_counted(garbage: bytes) -> None:
    node = machine()
    assert node.receive(Received(garbage, Endpoint("10.0.0.2", 4000)), NOW) == []
    assert sum(node.dropped.values()) == 1


# Answers are no weapon


@pytest.mark.parametrize("full", [False, True])
def test_an_unproven_address_gets_little_more_than_it_sent(full: bool) -> None:
    node = machine()
    for number in range(1, 40):
        Peer(number, node, f"10.0.1.{number}").get_known()
    holder = Peer(1, node, "10.0.1.1")
    for number in range(1, 30):
        holder.store(record(number).raw)
    victim = Peer(99, node, "10.0.0.66")
    body = FindValue(key_bytes(key_of(ROUTER)))
    datagram = victim.seal(body, addressed=False)
    if not full:  # a request without the padding that honest nodes use
        datagram = _unpadded(victim, body)
    effects = node.receive(Received(datagram, victim.address), NOW)
    sent = sum(len(effect.datagram) for effect in effects if isinstance(effect, SendDatagram))
    assert 0 < sent <= AMPLIFICATION * len(datagram)
    assert len(holder.ask(body)[0].body.records) >= 5  # type: ignore[union-attr]


def _unpadded(peer: Peer, body: FindValue) -> bytes:
    padded = peer.seal(body, addressed=False)
    head, content = padded[: 1 + PUBLIC_KEY_BYTES], padded[HEAD_BYTES:]
    bare = msgspec.msgpack.encode(msgspec.msgpack.decode(content)[:-1])
    return head + identity(99).sign(b"footloose/dht/datagram/1\n" + head + bare) + bare


def test_no_answer_is_larger_than_a_datagram_may_be() -> None:
    node = machine()
    for number in range(1, 60):
        Peer(number, node, f"10.0.1.{number}").get_known()
    holder = Peer(1, node, "10.0.1.1")
    for number in range(1, DHT_VALUES_PER_KEY + 10):
        holder.store(record(number, rtt_ms=number, host="h" * 64).raw)
    datagram = holder.seal(FindValue(key_bytes(key_of(ROUTER))))
    (effect,) = node.receive(Received(datagram, holder.address), NOW)
    assert isinstance(effect, SendDatagram)
    assert len(effect.datagram) <= DATAGRAM_BYTES
    answer = holder.framing.open(effect.datagram, NOW).body
    assert isinstance(answer, Nearest)
    assert answer.records == tuple(
        record(number, rtt_ms=number, host="h" * 64).raw for number in range(1, len(answer.records) + 1)
    )
    assert len(answer.contacts) >= 4
    target = key_of(ROUTER)
    distances = [unpack(raw).key ^ target for raw in answer.contacts]
    assert distances == sorted(distances)


# Storing


def test_a_store_without_a_token_for_its_address_is_declined() -> None:
    node = machine()
    peer, spoofed = Peer(1, node), Peer(1, node, "10.0.0.66")
    token = peer.token()
    assert spoofed.ask(Store(token, (record().raw,)))[0].body == Stored(0)
    assert spoofed.ask(Store(bytes(8), (record().raw,)))[0].body == Stored(0)
    assert node.dropped == {Drop.UNINVITED: 2}
    assert len(node.storage) == 0
    assert peer.ask(Store(token, (record().raw,)))[0].body == Stored(1)


def test_a_token_is_good_for_a_while_and_no_longer() -> None:
    node = machine()
    peer = Peer(1, node)
    token = peer.token()
    later, too_late = NOW + SECRET_S, NOW + 2 * SECRET_S
    peer.token(later)
    assert peer.ask(Store(token, (record(at=later).raw,)), later)[0].body == Stored(1)
    peer.token(too_late)
    assert peer.ask(Store(token, (record(at=too_late).raw,)), too_late)[0].body == Stored(0)


@pytest.mark.parametrize("changes", [{"expires_at": NOW - 1}, {"issued_at": NOW + 500}, {"port": 0}], ids=str)
def test_bad_records_are_not_kept_and_good_ones_beside_them_are(changes: dict[str, object]) -> None:
    node = machine()
    peer = Peer(1, node)
    good = record(2)
    forged = record(3).raw[:-1] + b"\x01"
    assert peer.store(signed_anyhow(1, **changes), forged, good.raw) == 1
    assert node.storage.get(key_of(ROUTER), NOW) == (good,)
    assert node.dropped == {Drop.BAD_RECORD: 2}


def test_one_sender_cannot_fill_the_store() -> None:
    node = machine(quota=StoreQuota(burst=20, per_s=1))
    flood = [record(1, RouterId(f"router {number}")).raw for number in range(60)]
    kept = sum(Peer(number, node, "10.0.0.2", 4000 + number).store(raw) for number, raw in enumerate(flood, 1))
    assert kept == 20
    assert node.dropped[Drop.OVER_QUOTA] == 40
    assert Peer(99, node, "10.7.0.1").store(record(2).raw) == 1, "others are not shut out"


def test_an_older_record_does_not_replace_a_newer_one() -> None:
    node = machine()
    peer = Peer(1, node)
    new, old = record(2, rtt_ms=9, at=NOW), record(2, rtt_ms=1, at=NOW - 10)
    assert peer.store(new.raw) == 1
    peer.store(old.raw)
    assert node.storage.get(key_of(ROUTER), NOW) == (new,)


# Looking up


def test_what_the_node_keeps_itself_is_found_at_once_while_others_are_still_asked() -> None:
    node = machine()
    peer = Peer(1, node)
    peer.get_known()
    mine, theirs = record(2), record(3)
    peer.store(mine.raw)
    effects = node.receive(LookUp(1, ROUTER), NOW)
    assert effects[0] == Found(1, mine, 0)
    (request,) = peer.read(effects)
    assert isinstance(request.body, FindValue)
    effects = peer.reply(request, Nearest(bytes(8), (mine.raw, theirs.raw)))
    assert effects == [Found(1, theirs, 1), LookupDone(1, 1, 1, 1)]


def test_forged_stale_and_misplaced_records_in_an_answer_are_refused() -> None:
    node = machine()
    peer = Peer(1, node)
    peer.get_known()
    (request,) = peer.read(node.receive(LookUp(1, ROUTER), NOW))
    forged = record(3).raw[:-1] + b"\x01"
    stale = record(4, at=NOW - 700).raw
    elsewhere = record(5, RouterId("10.9.9.0/29")).raw
    effects = peer.reply(request, Nearest(bytes(8), (forged, stale, elsewhere, record(6).raw)))
    assert effects == [Found(1, record(6), 1), LookupDone(1, 1, 1, 1)]
    assert node.dropped == {Drop.BAD_RECORD: 3}


def test_a_newer_word_of_a_site_is_passed_on_and_an_older_is_not() -> None:
    node = machine()
    peers = [Peer(number, node, f"10.0.0.{number}") for number in (1, 2, 3)]
    for peer in peers:
        peer.get_known()
    effects = node.receive(LookUp(1, ROUTER), NOW)
    words = [record(9, rtt_ms=5, at=NOW - 5), record(9, rtt_ms=7, at=NOW), record(9, rtt_ms=1, at=NOW - 9)]
    found = []
    for peer, word in zip(peers, words, strict=True):
        (request,) = peer.read(effects)
        found += [each for each in peer.reply(request, Nearest(bytes(8), (word.raw,))) if isinstance(each, Found)]
    assert [each.record for each in found] == words[:2]


def test_a_look_up_with_nobody_to_ask_ends_at_once() -> None:
    assert machine().receive(LookUp(1, ROUTER), NOW) == [LookupDone(1, 0, 0, 0)]


def test_a_look_up_ends_though_nobody_answers() -> None:
    node = machine()
    Peer(1, node).get_known()
    node.receive(LookUp(1, ROUTER), NOW)
    now, effects = NOW, []
    while not effects:
        now = node.next_deadline()
        assert now < NOW + 10
        effects = [effect for effect in node.wake(now) if isinstance(effect, LookupDone)]
    assert effects == [LookupDone(1, 1, 0, 0)]


def test_too_many_look_ups_at_a_time_are_our_own_mistake() -> None:
    node = machine()
    Peer(1, node).get_known()
    for number in range(DHT_LOOKUPS):
        node.receive(LookUp(number, RouterId(f"router {number}")), NOW)
    with pytest.raises(LocalError, match="more than"):
        node.receive(LookUp(999, ROUTER), NOW)


# Announcing


def test_what_cannot_be_announced_is_refused_when_it_is_asked_for() -> None:
    with pytest.raises(LocalError, match="cannot be announced"):
        machine().receive(Announce((Nearness(ROUTER, -1.0, 1),)), NOW)


def test_a_thousand_announcements_without_any_contact_do_no_harm() -> None:
    node = machine()
    node.receive(Announce(tuple(Nearness(RouterId(f"router {n}"), 1.0, 1) for n in range(1000))), NOW)
    assert len(node.storage) == 1000
    found = node.receive(LookUp(1, RouterId("router 7")), NOW)[0]
    assert isinstance(found, Found)


def test_a_bootstrap_endpoint_that_is_down_is_tried_ever_more_seldom_but_always_again() -> None:
    node = machine()
    endpoint = Endpoint("10.0.0.2", 4000)
    assert len(node.receive(Bootstrap((endpoint,)), NOW)) == 1
    tried = [NOW]
    while len(tried) < 12:
        now = node.next_deadline()
        tried += [now for effect in node.wake(now) if isinstance(effect, SendDatagram)]
    pauses = [after - before for before, after in itertools.pairwise(tried)]
    assert pauses[0] < 3
    assert max(pauses) <= 62


def test_a_bootstrap_endpoint_that_comes_up_late_is_joined_by_way_of() -> None:
    node, late = machine(), Peer(1, machine(1))
    late.target = node
    node.receive(Bootstrap((late.address,)), NOW)
    now, pings = NOW, []
    while now < NOW + 300:
        now = node.next_deadline()
        pings += late.read(node.wake(now), now)
    late.reply(pings[0], Pong(bytes(8)), now)
    assert node.table.contacts() == [], "an answer that late is none"
    while not (pings := late.read(node.wake(now), now)):
        now = node.next_deadline()
    (join,) = late.read(late.reply(pings[0], Pong(bytes(8)), now), now)
    assert join.body == FindNode(key_bytes(node.key))
    assert Joined() in late.reply(join, Nearest(bytes(8)), now)
    assert [contact.address for contact in node.table.contacts()] == [late.address]


def test_strangers_at_made_up_addresses_do_not_keep_a_node_from_asking() -> None:
    node = machine()
    peer = Peer(1, node)
    peer.get_known()
    for number in range(DHT_REQUESTS):
        stranger = Peer(2, node, f"10.{number // 65536 + 1}.{number // 256 % 256}.{number % 256}")
        node.receive(Received(stranger.seal(Ping()), stranger.address), NOW)
    (request,) = peer.read(node.receive(LookUp(1, ROUTER), NOW))
    assert isinstance(request.body, FindValue)


def test_buckets_are_refreshed_and_quiet_contacts_checked_as_time_goes_by() -> None:
    node = machine()
    peer = Peer(1, node)
    peer.get_known()
    asked: list[type] = []
    now = NOW
    while now < NOW + 1000:
        now = node.next_deadline()
        waiting = peer.read(node.wake(now), now)
        while waiting:
            message = waiting.pop()
            asked.append(type(message.body))
            answer = Pong(bytes(8)) if isinstance(message.body, Ping) else Nearest(bytes(8))
            waiting += peer.read(peer.reply(message, answer, now), now)
    assert asked.count(FindNode) in (3, 4)
    assert len(node.table.contacts()) == 1
    assert node.table.lost() == []
