"""The routing table: what stands in it, who gives way to whom, and how the lost are found again."""

import random

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from footloose.discovery.dht.contact import Contact
from footloose.discovery.dht.keys import Key, key_of
from footloose.discovery.dht.routing import (
    CONTACT,
    FRESH_S,
    KEEPALIVE_S,
    LOST_RETRY_S,
    Change,
    ContactEvent,
    ContactState,
    RoutingTable,
)
from footloose.model.site import Endpoint

OWN = key_of("own")


def contact(number: int, port: int = 4000) -> Contact:
    return Contact(key_of(f"contact {number}"), Endpoint(f"10.0.{number // 256}.{number % 256}", port))


def far(number: int) -> Contact:
    """A contact in the farthest bucket."""
    return Contact(Key(OWN ^ (1 << 255) ^ number), Endpoint(f"10.1.{number // 256}.{number % 256}", 4000))


def table(**limits: int) -> RoutingTable:
    return RoutingTable(OWN, random.Random(1), **limits)


def lose(routes: RoutingTable, who: Contact, now: float) -> None:
    routes.timed_out(who, now)
    routes.timed_out(who, now)


class TableMachine(RuleBasedStateMachine):
    """Any order of answers, time-outs and requests keeps the table in order."""

    def __init__(self) -> None:
        super().__init__()
        self.table = RoutingTable(OWN, random.Random(1), bucket=3, lost=4)
        self.now = 1000.0
        self.answered: set[Contact] = set()

    @rule(number=st.integers(0, 40), port=st.sampled_from([4000, 4001]), rtt_s=st.floats(0.001, 2))
    def answer(self, number: int, port: int, rtt_s: float) -> None:
        self.table.answered(contact(number, port), rtt_s, self.now)
        self.answered.add(contact(number, port))

    @rule(number=st.integers(0, 40), port=st.sampled_from([4000, 4001]))
    def time_out(self, number: int, port: int) -> None:
        self.table.timed_out(contact(number, port), self.now)

    @rule(number=st.integers(0, 40))
    def hear(self, number: int) -> None:
        before = set(self.table.contacts())
        self.table.heard(contact(number), self.now)
        assert set(self.table.contacts()) == before

    @rule(key=st.just(OWN))
    def answer_of_own(self, key: Key) -> None:
        self.table.answered(Contact(key, Endpoint("10.9.9.9", 1)), 0.1, self.now)

    @rule(seconds=st.floats(0.1, 200))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def check(self) -> None:
        known = {*self.table.contacts(), *self.table.lost()}
        assert set(self.table.due(self.now)) <= known

    @rule()
    def retry(self) -> None:
        self.table.retry_lost(self.now)

    @invariant()
    def buckets_are_in_order(self) -> None:
        contacts = self.table.contacts()
        keys = [each.key for each in contacts]
        assert len(keys) == len(set(keys)) == len(self.table)
        assert OWN not in keys
        assert set(contacts) <= self.answered, "only who has answered stands in the table"
        sizes: dict[int, int] = {}
        for key in keys:
            distance = (key ^ OWN).bit_length()
            sizes[distance] = sizes.get(distance, 0) + 1
        assert max(sizes.values(), default=0) <= 3
        lost = [each.key for each in self.table.lost()]
        assert len(lost) <= 4
        assert not set(lost) & set(keys)

    @invariant()
    def the_closest_are_the_closest(self) -> None:
        target = key_of("target")
        expected = sorted(self.table.contacts(), key=lambda each: each.key ^ target)
        assert self.table.closest(target, 5) == expected[:5]


TestTable = TableMachine.TestCase


def test_a_newcomer_waits_until_the_least_recently_heard_fails_its_check() -> None:
    routes = table(bucket=2)
    for number in (1, 2):
        assert routes.answered(far(number), 0.01, number) == (Change.NEW, None)
    now = 100.0
    change, unsure = routes.answered(far(3), 0.01, now)
    assert (change, unsure) == (Change.NONE, far(1))
    assert set(routes.contacts()) == {far(1), far(2)}
    lose(routes, far(1), now)
    assert set(routes.contacts()) == {far(2), far(3)}
    assert routes.lost() == [far(1)]


def test_a_contact_that_answers_its_check_stays() -> None:
    routes = table(bucket=2)
    for number in (1, 2):
        routes.answered(far(number), 0.01, number)
    _, unsure = routes.answered(far(3), 0.01, 100.0)
    assert unsure is not None
    routes.answered(unsure, 0.01, 100.1)
    assert set(routes.contacts()) == {far(1), far(2)}
    assert routes.answered(far(4), 0.01, 100.2)[1] == far(2), "the next to be checked is the next least recent"


def test_contacts_heard_from_a_moment_ago_are_not_checked_for_every_newcomer() -> None:
    routes = table(bucket=1)
    routes.answered(far(1), 0.01, 100.0)
    assert routes.answered(far(2), 0.01, 100.0 + FRESH_S / 2) == (Change.NONE, None)


def test_one_missed_answer_makes_doubtful_and_is_asked_again_soon() -> None:
    routes = table()
    routes.answered(far(1), 0.01, 100.0)
    routes.timed_out(far(1), 100.0)
    assert routes.contacts() == [far(1)]
    assert routes.closest(OWN, 5, good_only=True) == []
    assert routes.due(102.0) == [far(1)]
    routes.answered(far(1), 0.01, 102.0)
    assert routes.closest(OWN, 5, good_only=True) == [far(1)]


def test_a_quiet_contact_is_asked_whether_it_is_there_and_a_lively_one_is_not() -> None:
    routes = table()
    routes.answered(far(1), 0.01, 100.0)
    routes.answered(far(2), 0.01, 100.0)
    assert routes.heard(far(2), 130.0) is False
    assert routes.due(100.0 + KEEPALIVE_S) == [far(1)]
    assert routes.due(100.0 + KEEPALIVE_S) == [], "once per pause"


def test_the_lost_are_tried_ever_more_seldom_but_for_ever() -> None:
    routes = table()
    now = 100.0
    routes.answered(far(1), 0.01, now)
    lose(routes, far(1), now)
    pauses, last = [], now
    while len(pauses) < 12:
        now += 0.25
        if routes.due(now):
            pauses.append(now - last)
            last = now
            routes.timed_out(far(1), now)
    assert pauses[0] <= 4.5
    assert pauses[-1] >= LOST_RETRY_S / 2 - 1
    assert max(pauses) <= LOST_RETRY_S + 1


def test_when_one_lost_contact_returns_the_others_are_tried_soon() -> None:
    routes = table()
    for number in range(1, 6):
        routes.answered(far(number), 0.01, 100.0)
        for _ in range(8):
            routes.timed_out(far(number), 100.0)
    assert routes.lost_share == 1.0
    assert routes.answered(far(1), 0.01, 101.0)[0] is Change.RETURNED
    routes.retry_lost(101.0)
    assert set(routes.due(102.1)) == {far(number) for number in range(2, 6)}


def test_a_node_that_answers_from_a_new_address_is_kept_under_that() -> None:
    routes = table()
    routes.answered(contact(1, 4000), 0.01, 100.0)
    assert routes.heard(contact(1, 4001), 101.0) is True
    routes.answered(contact(1, 4001), 0.01, 101.1)
    assert routes.contacts() == [contact(1, 4001)]
    routes.timed_out(contact(1, 4000), 102.0)
    assert routes.closest(OWN, 1, good_only=True) == [contact(1, 4001)], "the old address no longer counts against it"


def test_only_a_good_contact_at_its_address_is_proven() -> None:
    routes = table()
    routes.answered(contact(1), 0.01, 100.0)
    assert routes.knows(contact(1))
    assert not routes.knows(contact(1, 4001))
    routes.timed_out(contact(1), 101.0)
    assert not routes.knows(contact(1))


@given(st.integers(0, 255))
def test_refresh_targets_lie_in_each_bucket_from_the_nearest_in_use_outward(index: int) -> None:
    routes = table()
    routes.answered(Contact(Key(OWN ^ (1 << index)), Endpoint("10.0.0.1", 1)), 0.01, 1.0)
    lengths = [(key ^ OWN).bit_length() for key in routes.refresh_targets()]
    assert lengths == list(range(256, index, -1))


def test_patience_is_by_contact_else_by_what_is_usual() -> None:
    routes = table()
    assert routes.patience_s(contact(1).key) == 1.0
    for _ in range(20):
        routes.answered(contact(1), 0.4, 1.0)
        routes.answered(contact(2), 0.001, 1.0)
    assert routes.patience_s(contact(1).key) > routes.patience_s(contact(2).key)
    assert routes.patience_s(contact(2).key) < routes.patience_s(None) <= 1.0


def test_a_contact_is_lost_only_after_being_doubtful() -> None:
    assert not CONTACT.allows(ContactState.HEARD, ContactEvent.TIMED_OUT)
    assert CONTACT.next(ContactState.GOOD, ContactEvent.TIMED_OUT) is ContactState.DOUBTFUL
