"""Sealed datagrams: who may read them, who can have made them, and what a copy is worth."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import Identity, NodeId
from footloose.core.limits import CLOCK_SKEW_S, DATAGRAM_BYTES
from footloose.transport.datagrams import (
    PAYLOAD_BYTES,
    SEALED_OVERHEAD_BYTES,
    DatagramRefused,
    Datagrams,
    Drop,
    node_of,
    raw_key,
    x25519_public,
)

NOW = 1_700_000_000.0
ANN, BOB, EVE = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2, 3))


def refusal(datagrams: Datagrams, datagram: bytes, now: float = NOW) -> Drop:
    with pytest.raises(DatagramRefused) as caught:
        datagrams.open(datagram, now)
    return caught.value.drop


@given(st.binary(max_size=PAYLOAD_BYTES), st.booleans())
@settings(max_examples=50, deadline=None)
def test_what_was_sent_is_read_and_by_whom_it_was_sent_is_known(payload: bytes, addressed: bool) -> None:
    datagram = Datagrams(ANN).seal(payload, BOB.node_id if addressed else None, NOW)
    opened = Datagrams(BOB).open(datagram, NOW)
    assert (opened.sender, opened.payload, opened.addressed) == (ANN.node_id, payload, addressed)
    assert len(datagram) <= DATAGRAM_BYTES


def test_nobody_else_can_read_a_sealed_datagram() -> None:
    datagram = Datagrams(ANN).seal(b"a secret of some length", BOB.node_id, NOW)
    assert b"secret" not in datagram
    assert refusal(Datagrams(EVE), datagram) is Drop.FORGED


def test_both_ways_have_keys_of_their_own() -> None:
    ann, bob = Datagrams(ANN), Datagrams(BOB)
    datagram = ann.seal(b"to bob", BOB.node_id, NOW)
    as_if_by_bob = datagram[:2] + raw_key(BOB.node_id) + datagram[34:]
    assert refusal(ann, as_if_by_bob) is Drop.FORGED
    assert refusal(ann, datagram) is Drop.REFLECTED
    assert bob.open(datagram, NOW).payload == b"to bob"


@given(st.integers(0, 199), st.integers(1, 255), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_datagram_changed_anywhere_is_refused(place: int, flip: int, addressed: bool) -> None:
    datagram = bytearray(Datagrams(ANN).seal(b"x" * 120, BOB.node_id if addressed else None, NOW))
    datagram[place % len(datagram)] ^= flip
    refusal(Datagrams(BOB), bytes(datagram))


@given(st.binary(max_size=1300))
@settings(deadline=None)
def test_garbage_is_refused(garbage: bytes) -> None:
    bob = Datagrams(BOB)
    for datagram in (garbage, b"\x01\x00" + garbage, b"\x01\x01" + garbage):
        assert refusal(bob, datagram) in (Drop.GARBAGE, Drop.OVERSIZED, Drop.STALE, Drop.FORGED)


def test_a_datagram_cut_short_or_lengthened_is_refused() -> None:
    datagram = Datagrams(ANN).seal(b"x" * 120, BOB.node_id, NOW)
    bob = Datagrams(BOB)
    for length in range(len(datagram)):
        refusal(bob, datagram[:length])
    assert refusal(bob, datagram + b"x") is Drop.FORGED
    assert refusal(bob, datagram + bytes(DATAGRAM_BYTES)) is Drop.OVERSIZED


def test_a_copy_is_refused_even_among_many_others_out_of_order() -> None:
    ann, bob, rng = Datagrams(ANN), Datagrams(BOB), random.Random(1)
    sent = [ann.seal(b"%d" % number, BOB.node_id, NOW + number / 100) for number in range(100)]
    rng.shuffle(sent)
    assert len({bob.open(datagram, NOW + 1).payload for datagram in sent}) == 100
    rng.shuffle(sent)
    assert {refusal(bob, datagram, NOW + 1) for datagram in sent} == {Drop.REPLAYED}


def test_what_is_older_than_all_that_is_remembered_counts_as_a_copy() -> None:
    ann, bob = Datagrams(ANN), Datagrams(BOB)
    first = ann.seal(b"first", BOB.node_id, NOW)
    for number in range(300):
        bob.open(ann.seal(b"x", BOB.node_id, NOW + number / 100), NOW + 3)
    assert refusal(bob, first, NOW + 3) is Drop.REPLAYED


@pytest.mark.parametrize("off_s", [-CLOCK_SKEW_S - 1, CLOCK_SKEW_S + 1])
def test_what_was_sealed_at_another_time_is_refused(off_s: float) -> None:
    datagram = Datagrams(ANN).seal(b"x", BOB.node_id, NOW)
    assert refusal(Datagrams(BOB), datagram, NOW + off_s) is Drop.STALE


def test_a_sender_that_starts_again_is_heard_at_once() -> None:
    bob = Datagrams(BOB)
    bob.open(Datagrams(ANN).seal(b"x", BOB.node_id, NOW), NOW)
    assert bob.open(Datagrams(ANN).seal(b"y", BOB.node_id, NOW + 0.001), NOW + 0.001).payload == b"y"


def test_no_two_datagrams_have_the_same_nonce_though_the_clock_stands_still() -> None:
    ann = Datagrams(ANN)
    sealed = [ann.seal(b"same", BOB.node_id, NOW) for _ in range(1000)]
    assert len({datagram[34:46] for datagram in sealed}) == 1000
    # Another process with the same key and the same clock has another salt.
    assert Datagrams(ANN).seal(b"same", BOB.node_id, NOW)[34:38] != sealed[0][34:38]


def test_too_large_a_payload_is_our_own_mistake_and_no_key_is_the_others() -> None:
    ann = Datagrams(ANN)
    with pytest.raises(LocalError, match="payload"):
        ann.seal(bytes(PAYLOAD_BYTES + 1), BOB.node_id, NOW)
    with pytest.raises(RemoteError):
        ann.seal(b"x", NodeId("nobody"), NOW)
    # y = 1 is the neutral point: it has no counterpart, and all could compute its secret.
    with pytest.raises(RemoteError, match="no node can have this key"):
        ann.seal(b"x", node_of((1).to_bytes(32, "little")), NOW)


def test_the_keys_are_those_that_libsodium_would_compute() -> None:
    # From libsodium's own test of the conversion (test/default/ed25519_convert.c).
    seed = bytes.fromhex("421151a459faeade3d247115f94aedae42318124095afabe4d1451a559faedee")
    expected = bytes.fromhex("f1814f0e8ff1043d8a44d25babff3cedcae6c22c3edaa48f857ae70de2baae50")
    assert x25519_public(raw_key(Identity.from_seed(seed).node_id)) == expected


def test_a_million_distinct_senders_would_fill_nothing() -> None:
    bob = Datagrams(BOB, peers=64, strangers_per_s=1e9)
    head = b"\x01\x00"
    number = int(NOW * 1e6).to_bytes(8, "big")
    rng = random.Random(1)
    for _ in range(3000):
        assert refusal(bob, head + rng.randbytes(32) + b"salt" + number + bytes(30)) is Drop.FORGED
    assert len(bob) == 0
    for seed in range(200):
        stranger = Datagrams(Identity.from_seed(seed.to_bytes(32, "big")))
        bob.open(stranger.seal(b"x", BOB.node_id, NOW), NOW)
    assert len(bob) == 64


def test_members_keep_their_windows_while_strangers_come_and_go() -> None:
    bob = Datagrams(BOB, spare=lambda node: node == ANN.node_id, peers=8, strangers_per_s=1e9)
    first = Datagrams(ANN).seal(b"x", BOB.node_id, NOW)
    bob.open(first, NOW)
    for seed in range(50):
        stranger = Datagrams(Identity.from_seed(seed.to_bytes(32, "big")))
        bob.open(stranger.seal(b"x", BOB.node_id, NOW), NOW)
    assert len(bob) == 8
    assert refusal(bob, first) is Drop.REPLAYED


def test_only_so_many_strangers_are_got_to_know_per_second_but_known_ones_are_heard() -> None:
    bob, ann = Datagrams(BOB, strangers_per_s=10), Datagrams(ANN)
    bob.open(ann.seal(b"x", BOB.node_id, NOW), NOW)
    drops = [
        refusal(
            bob, b"\x01\x00" + bytes([9]) * 31 + bytes([seed]) + b"salt" + int(NOW * 1e6).to_bytes(8, "big") + bytes(30)
        )
        for seed in range(40)
    ]
    assert drops.count(Drop.BUSY) == 31
    assert bob.open(ann.seal(b"y", BOB.node_id, NOW), NOW).payload == b"y"
    stranger = Datagrams(EVE).seal(b"z", BOB.node_id, NOW + 1)
    assert bob.open(stranger, NOW + 1).payload == b"z"


def test_a_sealed_datagram_is_hardly_larger_than_what_is_in_it() -> None:
    assert len(Datagrams(ANN).seal(b"x" * 100, BOB.node_id, NOW)) == 100 + SEALED_OVERHEAD_BYTES
    assert SEALED_OVERHEAD_BYTES == 62
