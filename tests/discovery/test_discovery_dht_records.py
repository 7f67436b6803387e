"""Announcements: what is refused, and how those that share a key are merged and kept."""

import math

import pytest
from dht_records import NOW, ROUTER, notary, public, record, signed_anyhow
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.errors import LocalError, RemoteError
from footloose.core.limits import CLOCK_SKEW_S, DHT_RECORD_BYTES, RECORD_LIFETIME_S
from footloose.discovery.dht.keys import Key, key_of, node_key
from footloose.discovery.dht.notary import TrustingNotary
from footloose.discovery.dht.quota import StoreQuota
from footloose.discovery.dht.records import Nearness, Record, open_record, sign_record
from footloose.discovery.dht.storage import SWEEP_CALLS, Storage, merge
from footloose.model.network import RouterId, router_id
from footloose.model.site import Endpoint, Source

NOBODY = Key(0)


def test_a_record_opens_to_what_was_signed() -> None:
    made = record(rtt_ms=4.5)
    opened = open_record(made.raw, NOW, notary(9))
    assert opened == made
    sighting = opened.sighting()
    assert (sighting.api, sighting.source, sighting.router) == (Endpoint("192.0.2.1", 443), Source.DHT, ROUTER)
    assert (sighting.rtt_ms, sighting.hops) == (4.5, 3)


def test_a_record_altered_anywhere_is_refused() -> None:
    raw = record().raw
    for place in range(len(raw)):
        altered = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(RemoteError):
            open_record(altered, NOW, notary(9))


def test_a_record_that_names_another_node_than_its_signer_is_refused() -> None:
    with pytest.raises(RemoteError, match="signature"):
        open_record(signed_anyhow(1, node=public(2)), NOW, notary(9))


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": NOW},
        {"issued_at": NOW - RECORD_LIFETIME_S - 5, "expires_at": NOW - 5},
        {"issued_at": NOW + CLOCK_SKEW_S + 1, "expires_at": NOW + CLOCK_SKEW_S + 100},
        {"expires_at": NOW + RECORD_LIFETIME_S + 2},
        {"issued_at": math.nan},
        {"expires_at": math.nan},
        {"expires_at": math.inf},
        {"issued_at": math.inf, "expires_at": math.inf},
        {"issued_at": -math.inf},
        {"rtt_ms": -1.0},
        {"rtt_ms": math.nan},
        {"rtt_ms": math.inf},
        {"hops": 256},
        {"port": 0},
        {"host": ""},
        {"host": "a b"},
        {"host": "x\n"},
        {"host": "a" * 65},
        {"router": ""},
        {"router": "r" * 65},
        {"node": b"short"},
        {"rtt_ms": "fast"},
    ],
    ids=str,
)
def test_a_record_that_is_not_current_or_not_sensible_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RemoteError):
        open_record(signed_anyhow(1, **changes), NOW, notary(9))


def test_a_record_from_a_clock_a_little_ahead_is_taken() -> None:
    open_record(record(at=NOW + CLOCK_SKEW_S - 1).raw, NOW, notary(9))


@given(st.binary(max_size=DHT_RECORD_BYTES + 20))
def test_garbage_is_no_record_and_no_accident(raw: bytes) -> None:
    with pytest.raises(RemoteError):
        open_record(raw, NOW, notary(9))


def test_the_largest_record_fits_the_limit() -> None:
    raw = signed_anyhow(1, host="h" * 64, router="r" * 64, port=65535, hops=255, rtt_ms=59_999.9)
    assert len(raw) <= DHT_RECORD_BYTES
    open_record(raw, NOW, notary(9))


@pytest.mark.parametrize(("rtt_ms", "host"), [(-1.0, "192.0.2.1"), (math.nan, "192.0.2.1"), (1.0, "not a host")])
def test_what_others_would_refuse_cannot_be_signed(rtt_ms: float, host: str) -> None:
    with pytest.raises(LocalError, match="cannot be announced"):
        record(rtt_ms=rtt_ms, host=host)


def test_a_router_and_a_node_have_keys_nobody_can_choose() -> None:
    assert key_of("10.0.0.0/29") != key_of("10.0.0.8/29")
    assert node_key(public(1)) != node_key(public(2))
    assert 0 <= node_key(public(1)) < 2**256


# Merging


POOL = [
    record(node, rtt_ms=rtt_ms, at=NOW + age)
    for node in range(1, 6)
    for rtt_ms, age in [(1.0, 0), (20.0, 0), (5.0, 1), (0.5, 2)]
]
ONE_EACH = [record(node, rtt_ms=node % 7) for node in range(1, 40)]
some_records = st.lists(st.sampled_from(POOL), max_size=8)
some_of_one_each = st.lists(st.sampled_from(ONE_EACH), max_size=30)


@given(some_records, some_records, some_records)
def test_merging_is_commutative_associative_and_idempotent(a: list[Record], b: list[Record], c: list[Record]) -> None:
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) == merge(a)
    assert merge(merge(a, b), b) == merge(a, b)


@given(some_of_one_each, some_of_one_each, some_of_one_each)
def test_with_one_record_per_node_so_is_merging_with_culling(a: list[Record], b: list[Record], c: list[Record]) -> None:
    assert merge(a, b, limit=5) == merge(b, a, limit=5)
    assert merge(merge(a, b, limit=5), c, limit=5) == merge(a, merge(b, c, limit=5), limit=5)
    assert merge(merge(a, b, limit=5), b, limit=5) == merge(a, b, limit=5)


@given(some_records)
def test_merging_keeps_the_newest_of_each_node_nearest_first(records: list[Record]) -> None:
    merged = merge(records)
    nodes = [kept.announcement.node for kept in merged]
    assert len(nodes) == len(set(nodes)) == len({given.announcement.node for given in records})
    for kept in merged:
        rivals = [given for given in records if given.announcement.node == kept.announcement.node]
        assert kept.announcement.issued_at == max(rival.announcement.issued_at for rival in rivals)
    assert [kept.announcement.rtt_ms for kept in merged] == sorted(kept.announcement.rtt_ms for kept in merged)


@given(st.permutations(POOL))
def test_a_store_ends_the_same_in_whatever_order_records_come(records: list[Record]) -> None:
    storage = Storage(NOBODY)
    for each in records:
        storage.put(each, NOW)
    assert storage.get(key_of(ROUTER), NOW) == merge(POOL)


# Keeping


def test_the_farthest_sites_are_culled() -> None:
    storage = Storage(NOBODY, values_per_key=3)
    kept = {number: storage.put(record(number, rtt_ms=number), NOW) for number in (5, 4, 3, 2, 1)}
    assert kept == {5: True, 4: True, 3: True, 2: True, 1: True}
    assert not storage.put(record(9, rtt_ms=9), NOW)
    assert [each.announcement.rtt_ms for each in storage.get(key_of(ROUTER), NOW)] == [1, 2, 3]


def test_an_expired_record_is_not_given_out_and_makes_room() -> None:
    storage = Storage(NOBODY, values_per_key=1)
    storage.put(record(1, rtt_ms=1), NOW)
    later = NOW + RECORD_LIFETIME_S
    assert storage.get(key_of(ROUTER), later - 0.1)
    assert storage.get(key_of(ROUTER), later) == ()
    assert storage.put(record(2, rtt_ms=9, at=later), later)


def test_what_has_expired_is_freed() -> None:
    storage = Storage(NOBODY)
    for number in range(200):
        storage.put(record(1, router_id(f"10.0.{number}.0"), at=NOW + number), NOW + number)
    for _call in range(2 * SWEEP_CALLS):
        storage.expire(NOW + RECORD_LIFETIME_S + 99.5)
    assert (len(storage), storage.records) == (100, 100)
    for _call in range(2 * SWEEP_CALLS):
        storage.expire(NOW + RECORD_LIFETIME_S + 1000)
    assert (len(storage), storage.records) == (0, 0)


def test_a_full_store_keeps_what_is_nearest_to_its_own_node() -> None:
    own = key_of("here")
    routers = [RouterId(f"router {number}") for number in range(40)]
    storage = Storage(own, keys=10)
    for router in routers:
        storage.put(record(1, router), NOW)
    nearest = sorted((key_of(router) for router in routers), key=lambda key: key ^ own)[:10]
    assert sorted(storage.keys()) == sorted(nearest)
    farthest = max(routers, key=lambda router: key_of(router) ^ own)
    assert not storage.put(record(2, farthest), NOW)


def test_the_number_of_records_in_all_is_bounded_too() -> None:
    storage = Storage(NOBODY, records=25)
    for number in range(10):
        for node in range(1, 6):
            storage.put(record(node, RouterId(f"router {number}")), NOW)
    assert storage.records <= 25
    assert len(storage) <= 5


def test_one_source_cannot_store_more_than_its_share() -> None:
    quota = StoreQuota(burst=10, per_s=2)
    assert [quota.take("192.0.2.1", 4, NOW) for _ in range(4)] == [True, True, False, False]
    assert not quota.take("192.0.2.77", 4, NOW)  # the same prefix is the same source
    assert quota.take("198.51.100.1", 4, NOW)
    assert quota.take("192.0.2.1", 4, NOW + 1)
    assert not quota.take("192.0.2.1", 1, NOW + 1)
    assert quota.take("192.0.2.1", 10, NOW + 1000)
    assert not quota.take("192.0.2.1", 1, NOW + 1000)


def test_a_notary_that_trusts_takes_blank_signatures_of_the_usual_length_and_no_other_notary_does() -> None:
    trusting = TrustingNotary(public(1))
    made = sign_record(trusting, Endpoint("192.0.2.1", 443), Nearness(ROUTER, 1.0, 3), NOW)
    assert len(made.raw) == len(record().raw)
    assert open_record(made.raw, NOW, TrustingNotary(public(2))) == made
    with pytest.raises(RemoteError, match="signature"):
        open_record(made.raw, NOW, notary(2))
