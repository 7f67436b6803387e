"""Datagrams: what is refused, why, and that nothing a stranger sends does more than that."""

import pytest
from dht_records import NOW, notary, public, record
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.errors import LocalError, RemoteError
from footloose.core.limits import CLOCK_SKEW_S, DATAGRAM_BYTES
from footloose.discovery.dht.contact import Contact, pack, unpack
from footloose.discovery.dht.keys import Key, key_bytes, node_key
from footloose.discovery.dht.rtt import LONGEST_S, SHORTEST_S, Rtt
from footloose.discovery.dht.wire import (
    HEAD_BYTES,
    REQUEST_BYTES,
    VERSION,
    Drop,
    FindNode,
    FindValue,
    Framing,
    Nearest,
    Ping,
    Pong,
    Refused,
    Store,
    Stored,
    batches,
    fit,
)
from footloose.model.site import Endpoint

ME, YOU = Framing(notary(1)), Framing(notary(2))
RPC, TOKEN = b"request!", b"a token!"
BODIES = [
    Ping(),
    FindNode(bytes(32)),
    FindValue(bytes(32)),
    Store(TOKEN, (record().raw,)),
    Pong(TOKEN),
    Nearest(TOKEN, (record().raw,), (pack(Contact(Key(5), Endpoint("192.0.2.1", 4000))),)),
    Stored(1),
]


def why(datagram: bytes, now: float = NOW) -> Drop:
    with pytest.raises(Refused) as caught:
        YOU.open(datagram, now)
    return caught.value.drop


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_every_message_comes_out_as_it_went_in(body: Ping) -> None:
    message = YOU.open(ME.seal(body, RPC, YOU.key, NOW), NOW)
    assert (message.sender, message.rpc, message.addressed, message.body) == (public(1), RPC, True, body)
    assert not YOU.open(ME.seal(body, RPC, None, NOW), NOW).addressed


def test_a_node_stands_where_the_digest_of_its_key_says() -> None:
    assert ME.key == node_key(public(1))


def test_requests_with_long_answers_are_padded() -> None:
    for body in (FindNode(bytes(32)), FindValue(bytes(32))):
        assert REQUEST_BYTES <= len(ME.seal(body, RPC, None, NOW)) <= REQUEST_BYTES + 3
    assert len(ME.seal(Ping(), RPC, None, NOW)) < REQUEST_BYTES


def test_a_datagram_altered_anywhere_is_refused() -> None:
    datagram = ME.seal(Store(TOKEN, (record().raw,)), RPC, YOU.key, NOW)
    for place in range(len(datagram)):
        for bit in (1, 128):
            with pytest.raises(Refused):
                YOU.open(datagram[:place] + bytes([datagram[place] ^ bit]) + datagram[place + 1 :], NOW)


def test_what_another_signed_cannot_be_passed_off_as_ones_own() -> None:
    datagram = ME.seal(Ping(), RPC, YOU.key, NOW)
    assert why(bytes([VERSION]) + public(3) + datagram[33:]) is Drop.FORGED


def test_a_reflected_datagram_is_refused() -> None:
    assert why(YOU.seal(Ping(), RPC, None, NOW)) is Drop.REFLECTED


def test_a_datagram_for_another_node_is_refused() -> None:
    assert why(ME.seal(Ping(), RPC, Framing(notary(3)).key, NOW)) is Drop.MISADDRESSED


@pytest.mark.parametrize("off_s", [-CLOCK_SKEW_S - 1, CLOCK_SKEW_S + 1, float("nan"), float("inf")])
def test_an_old_datagram_or_one_from_the_future_is_refused(off_s: float) -> None:
    assert why(ME.seal(Ping(), RPC, YOU.key, NOW + off_s)) is Drop.STALE


def test_an_oversized_datagram_is_refused_and_not_sent() -> None:
    assert why(bytes([VERSION]) * (DATAGRAM_BYTES + 1)) is Drop.OVERSIZED
    with pytest.raises(LocalError, match="more than 1200"):
        ME.seal(Store(TOKEN, (bytes(300),) * 5), RPC, None, NOW)


def test_another_version_is_refused() -> None:
    datagram = ME.seal(Ping(), RPC, YOU.key, NOW)
    assert why(bytes([VERSION + 1]) + datagram[1:]) is Drop.GARBAGE


@given(st.binary(max_size=DATAGRAM_BYTES + 100))
def test_garbage_raises_nothing_but_a_remote_error(garbage: bytes) -> None:
    for datagram in (garbage, bytes([VERSION]) + garbage, ME.seal(Ping(), RPC, None, NOW)[:HEAD_BYTES] + garbage):
        with pytest.raises(RemoteError):
            YOU.open(datagram, NOW)


@given(st.sampled_from(BODIES), st.integers(0, 400), st.binary(min_size=1, max_size=20))
def test_a_damaged_message_raises_nothing_but_a_remote_error(body: Ping, place: int, damage: bytes) -> None:
    datagram = ME.seal(body, RPC, YOU.key, NOW)
    damaged = datagram[: HEAD_BYTES + place] + damage + datagram[HEAD_BYTES + place + len(damage) :]
    if damaged != datagram:
        with pytest.raises(RemoteError):
            YOU.open(damaged, NOW)


@given(st.binary(max_size=60))
def test_a_packed_contact_is_read_or_refused(raw: bytes) -> None:
    try:
        contact = unpack(raw)
    except RemoteError:
        return
    assert pack(contact) == raw


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1", "::", "ff02::1"])
def test_a_contact_that_is_no_single_machine_is_refused(host: str) -> None:
    with pytest.raises(RemoteError, match="no node can be"):
        unpack(pack(Contact(Key(1), Endpoint(host, 4000))))


def test_a_contact_without_a_port_is_refused() -> None:
    with pytest.raises(RemoteError):
        unpack(key_bytes(Key(1)) + bytes(2) + bytes([192, 0, 2, 1]))


@given(
    st.lists(st.integers(150, 320), max_size=32),
    st.lists(st.sampled_from([38, 50]), max_size=21),
    st.integers(0, DATAGRAM_BYTES),
)
def test_an_answer_is_cut_to_the_room_there_is(records: list[int], contacts: list[int], room: int) -> None:
    raw_records = tuple(bytes([index]) * size for index, size in enumerate(records))
    raw_contacts = tuple(bytes([index]) * size for index, size in enumerate(contacts))
    kept, nearest = fit(raw_records, raw_contacts, room)
    assert kept == raw_records[: len(kept)]
    assert nearest == raw_contacts[: len(nearest)]
    length = len(ME.seal(Nearest(TOKEN, kept, nearest), RPC, YOU.key, NOW))
    assert length <= max(room, len(ME.seal(Nearest(TOKEN), RPC, YOU.key, NOW)))


def test_a_full_answer_has_several_records_and_the_nearest_contacts() -> None:
    records = tuple(record(number).raw for number in range(1, 33))
    contacts = tuple(pack(Contact(Key(number), Endpoint("192.0.2.1", 4000))) for number in range(20))
    kept, nearest = fit(records, contacts, DATAGRAM_BYTES)
    assert len(kept) >= 5
    assert len(nearest) >= 4
    assert len(fit((), contacts, DATAGRAM_BYTES)[1]) == 20


@given(st.lists(st.integers(100, 320), max_size=40))
def test_records_are_grouped_into_stores_that_fit(sizes: list[int]) -> None:
    records = [bytes([index]) * size for index, size in enumerate(sizes)]
    groups = batches(records)
    assert [each for group in groups for each in group] == records
    for group in groups:
        ME.seal(Store(TOKEN, group), RPC, YOU.key, NOW)


def test_patience_follows_the_round_trips_seen() -> None:
    quick = slow = Rtt.first(0.2)
    for _ in range(50):
        quick, slow = quick.after(0.001), slow.after(0.4)
    assert quick.patience_s == SHORTEST_S
    assert 0.4 <= slow.patience_s <= 0.6
    assert slow.after(30.0).patience_s == LONGEST_S
