"""Messages as bytes: what goes in comes out, fits, and anything else is refused."""

import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from membership_network import identity_of, node_name

from footloose.core.errors import LocalError, RemoteError
from footloose.core.limits import FACTS_NAME_BYTES
from footloose.membership.card import Accusation, Card, Facts, News
from footloose.membership.comparing import deltas
from footloose.membership.messages import (
    Ack,
    Delta,
    Exchange,
    Gossip,
    Message,
    Nack,
    Ping,
    PingRequest,
    RegionSketch,
    Relayed,
)
from footloose.membership.notary import IdentityNotary
from footloose.membership.regions import REGISTERS
from footloose.membership.wire import (
    HEAD_BYTES,
    LINES,
    SKETCH_BYTES,
    WANTS,
    decode,
    encode,
    news_bytes,
    signed_bytes,
)
from footloose.model.site import Endpoint
from footloose.topology.coordinates import NOWHERE, Coordinate
from footloose.transport.datagrams import PAYLOAD_BYTES


def single(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


counts = st.integers(0, 2**63 - 1)
tags = st.integers(0, 2**32 - 1)
nodes = st.integers(0, 30).map(node_name)
places = st.builds(
    Coordinate,
    st.tuples(*[st.floats(-9000, 9000).map(single)] * 5),
    st.floats(0.1, 30_000).map(single),
    st.floats(0, 1.5).map(single),
    st.floats(-30_000, 30_000).map(single),
)
names = st.text(max_size=FACTS_NAME_BYTES).filter(lambda name: len(name.encode()) <= FACTS_NAME_BYTES)
facts = st.builds(Facts, names, names, tags, st.integers(0, 1000), tags, places)
hosts = st.ip_addresses().filter(lambda ip: not (ip.is_multicast or ip.is_unspecified)).map(str)
addresses = st.builds(Endpoint, hosts, st.integers(1, 65535))
signatures = st.binary(max_size=64)
cards = st.builds(Card, nodes, addresses, st.tuples(counts, counts, counts), st.booleans(), facts, signatures)
accusations = st.builds(Accusation, nodes, nodes, counts, signatures)
sketches = st.none() | st.builds(RegionSketch, names, counts, st.binary(min_size=REGISTERS, max_size=REGISTERS))
news = st.lists(cards | accusations, max_size=2).map(tuple)
messages = st.one_of(
    st.builds(Ping, tags, st.tuples(counts, counts, counts), st.booleans(), news, sketches),
    st.builds(Ack, tags, places, tags, news, sketches),
    st.builds(PingRequest, tags, nodes, addresses, st.tuples(counts, counts, counts), st.booleans(), tags),
    st.builds(Relayed, tags, st.lists(cards, max_size=1).map(tuple)),
    st.builds(Nack, tags),
    st.builds(Gossip, news),
    st.builds(Exchange, st.lists(counts, max_size=20).map(tuple), tags, tags, places, tags),
    st.builds(Delta, st.lists(cards, max_size=2).map(tuple), st.lists(tags, max_size=WANTS).map(tuple)),
)


@given(messages)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    assert decode(encode(message)) == message


@given(cards | accusations)
def test_news_takes_no_more_than_is_reckoned_for_it(one: News) -> None:
    assert len(encode(Gossip((one,)))) - len(encode(Gossip(()))) <= news_bytes(one)


@given(messages)
def test_the_rest_of_a_message_fits_into_what_is_reckoned_for_it(message: Message) -> None:
    size = len(encode(message)) - sum(news_bytes(one) for one in getattr(message, "news", ()))
    size -= SKETCH_BYTES if getattr(message, "sketch", None) is not None else 0
    size -= 9 * len(getattr(message, "lines", ())) + 5 * len(getattr(message, "wants", ()))
    assert size <= HEAD_BYTES


def test_the_longest_exchange_and_the_longest_answer_fit() -> None:
    longest = Exchange((2**63,) * LINES, 2**32 - 1, 2**32 - 1, NOWHERE, 2**32 - 1)
    assert len(encode(msgspec.structs.replace(longest, lines=(2**63 - 1,) * LINES))) <= PAYLOAD_BYTES
    name = "x" * FACTS_NAME_BYTES
    card = Card(
        node_name(1), Endpoint("2001:db8::1", 65535), (2**40, 2**32, 2**20), False, Facts(name, name), b"s" * 64
    )
    sizes = [len(encode(delta)) for delta in deltas([card] * 20, [2**32 - 1] * WANTS)]
    assert max(sizes) <= PAYLOAD_BYTES
    assert sum(len(delta.news) for delta in deltas([card] * 20, ())) == 20


@given(messages, st.data())
def test_a_message_cut_short_or_with_more_behind_it_is_refused(message: Message, data: Any) -> None:
    payload = encode(message)
    cut = data.draw(st.integers(0, len(payload) - 1))
    for wrong in (payload[:cut], payload + b"\x00"):
        with pytest.raises(RemoteError):
            decode(wrong)


@given(st.binary(max_size=1200))
def test_garbage_is_refused_or_makes_sense(garbage: bytes) -> None:
    for payload in (garbage, b"\x01" + garbage):
        try:
            message = decode(payload)
        except RemoteError:
            continue
        assert decode(encode(message)) == message


@given(messages, st.integers(0, 1199), st.integers(1, 255))
def test_one_byte_changed_is_refused_or_makes_sense(message: Message, place: int, flip: int) -> None:
    payload = bytearray(encode(message))
    payload[place % len(payload)] ^= flip
    try:
        decode(bytes(payload))
    except RemoteError as error:
        assert error.where == "membership"


@pytest.mark.parametrize(
    "impossible",
    [
        Coordinate((float("nan"),) + (0.0,) * 4),
        Coordinate((float("inf"),) + (0.0,) * 4),
        Coordinate((1e9,) + (0.0,) * 4),
        Coordinate(height_ms=-1.0),
        Coordinate(error=7.0),
    ],
)
def test_an_impossible_coordinate_is_refused(impossible: Coordinate) -> None:
    with pytest.raises(RemoteError, match="no coordinate"):
        decode(encode(Ack(1, impossible)))


@pytest.mark.parametrize("host", ["224.0.0.1", "0.0.0.0", "::", "ff02::1"])
def test_an_address_of_nobody_is_refused(host: str) -> None:
    with pytest.raises(RemoteError, match="no member can be"):
        decode(encode(PingRequest(1, node_name(1), Endpoint(host, 7946))))


def test_too_much_for_one_datagram_is_our_own_mistake() -> None:
    card = Card(node_name(1), Endpoint("10.0.0.1", 1), (1, 1, 1), False, Facts(), b"s" * 64)
    with pytest.raises(LocalError, match="more than"):
        encode(Gossip((card,) * 9))


@given(cards, cards)
def test_two_cards_that_differ_are_never_signed_alike(one: Card, other: Card) -> None:
    bare = msgspec.structs.replace(one, signature=b""), msgspec.structs.replace(other, signature=b"")
    # Told apart by what they show: 0.0 and -0.0 are equal, and yet not the same bytes.
    assert (signed_bytes(one) == signed_bytes(other)) == (repr(bare[0]) == repr(bare[1]))


def test_a_zero_with_a_sign_is_kept_through_the_wire_with_its_signature() -> None:
    notary = IdentityNotary(identity_of(1))
    facts = Facts(coordinate=Coordinate((-0.0, 0.0, -0.0, 0.0, 0.0), 0.7, 0.3, -0.0))
    card = notary.sign_card(Card(node_name(1), Endpoint("10.0.0.1", 1), (1, 2, 3), False, facts))
    (read,) = decode(encode(Gossip((card,)))).news  # type: ignore[union-attr]
    assert repr(read) == repr(card)
    assert notary.genuine(read)


def test_a_signed_card_is_genuine_on_the_other_side_and_no_other_is() -> None:
    notary = IdentityNotary(identity_of(1))
    facts = Facts("somewhere", "rack", 7, 33, 2, Coordinate((1.1, 2.2, 3.3, 4.4, 5.5), 0.7, 0.3, 0.1), 7443)
    card = notary.sign_card(Card(node_name(1), Endpoint("10.0.0.1", 1), (1, 2, 3), False, facts))
    (read,) = decode(encode(Gossip((card,)))).news  # type: ignore[union-attr]
    assert read == card
    assert notary.genuine(read)
    assert not notary.genuine(msgspec.structs.replace(card, left=True))
    assert not notary.genuine(msgspec.structs.replace(card, node=node_name(2)))
    accusation = notary.sign_accusation(Accusation(node_name(1), node_name(2), 5))
    assert notary.genuine(accusation)
    assert not notary.genuine(msgspec.structs.replace(accusation, subject=node_name(3)))
    assert not notary.genuine(msgspec.structs.replace(accusation, accuser=node_name(2)))


@pytest.mark.parametrize(
    "card",
    [
        Card(node_name(1), Endpoint("a.name.example", 1), (1, 1, 1), False, Facts()),
        Card(node_name(1), Endpoint("10.0.0.1", 1), (1, 1, 1), False, Facts(region="x" * 99)),
        Card(node_name(1), Endpoint("10.0.0.1", 1), (1, 1, 1), False, Facts(domain="ü" * 17)),
        Card(node_name(1), Endpoint("10.0.0.1", 1), (1, 1, 1), False, Facts(api_port=65_536)),
        Card(node_name(1), Endpoint("10.0.0.1", 1), (1, 1, 1), False, Facts(capacity=-1)),
        Card(node_name(1), Endpoint("10.0.0.1", 0), (1, 1, 1), False, Facts()),
    ],
)
def test_a_card_others_would_refuse_is_not_signed(card: Card) -> None:
    with pytest.raises(LocalError, match="not a card others would accept"):
        IdentityNotary(identity_of(1)).sign_card(card)
