"""One look-up: whom it asks, in what order, and when it ends."""

import random

from hypothesis import given
from hypothesis import strategies as st

from footloose.discovery.dht.contact import Contact
from footloose.discovery.dht.keys import Key
from footloose.discovery.dht.lookup import LOOKUP, Lookup, LookupState
from footloose.discovery.dht.requests import FAIL_AFTER_S, Requests
from footloose.discovery.dht.wire import Nearest, Pong
from footloose.model.site import Endpoint

OWN = Key(2**255)
TOKEN = b"a token!"


def contact(key: int) -> Contact:
    return Contact(Key(key), Endpoint("10.0.0.1", key % 60000 + 1))


def lookup(*keys: int, width: int = 4, parallel: int = 2, queries: int = 100) -> Lookup:
    return Lookup(Key(0), OWN, [contact(key) for key in keys], width=width, parallel=parallel, queries=queries)


def asked(search: Lookup) -> list[int]:
    return [each.key for each in search.next_queries()]


def test_the_nearest_are_asked_first_and_only_a_few_at_a_time() -> None:
    search = lookup(9, 3, 7, 5)
    assert asked(search) == [3, 5]
    assert asked(search) == []
    search.answered(Key(5), TOKEN, [])
    assert asked(search) == [7]


def test_when_the_nearest_has_answered_the_rest_of_the_nearest_are_asked_at_once() -> None:
    search = lookup(3, 5, 7, 9, 11)
    asked(search)
    search.answered(Key(3), TOKEN, [])
    assert search.state is LookupState.CONFIRMING
    assert asked(search) == [7, 9]
    for key in (5, 7, 9):
        search.answered(Key(key), TOKEN, [])
    assert search.done
    assert [each.key for each, _ in search.holders(3)] == [3, 5, 7]


def test_a_nearer_node_heard_of_late_is_asked_at_once() -> None:
    search = lookup(8, 10, 12, 14)
    asked(search)
    search.answered(Key(8), TOKEN, [])
    asked(search)
    search.answered(Key(10), TOKEN, [contact(1)])
    assert search.state is LookupState.SEARCHING
    assert asked(search) == [1]


def test_a_late_answer_holds_up_nothing_but_still_counts() -> None:
    search = lookup(1, 2, 3, 4, 5)
    assert asked(search) == [1, 2]
    search.late(Key(1))
    assert asked(search) == [3]
    search.answered(Key(2), TOKEN, [])
    assert asked(search) == [4, 5], "one more than the width, for the one that is late"
    search.answered(Key(1), TOKEN, [])
    search.answered(Key(3), TOKEN, [])
    assert not search.done
    search.answered(Key(4), TOKEN, [])
    assert search.done
    assert [each.key for each, _ in search.holders(9)] == [1, 2, 3, 4]


def test_it_ends_when_most_have_answered_and_the_others_are_late() -> None:
    search = lookup(1, 2, 3, parallel=3)
    asked(search)
    search.late(Key(1))
    search.answered(Key(2), TOKEN, [])
    assert not search.done
    search.answered(Key(3), TOKEN, [])
    assert search.done


def test_it_does_not_end_while_most_are_late() -> None:
    search = lookup(1, 2, 3, parallel=3)
    asked(search)
    for key in (1, 2, 3):
        search.late(Key(key))
    assert not search.done
    search.answered(Key(3), TOKEN, [])
    search.failed(Key(1))
    assert not search.done
    search.failed(Key(2))
    assert search.done


def test_a_round_trip_is_counted_where_one_request_had_to_wait_for_another() -> None:
    search = lookup(8, 10, 12)
    assert asked(search) == [8, 10]
    search.answered(Key(8), TOKEN, [contact(2)])
    assert asked(search) == [2], "because of an answer"
    search.late(Key(10))
    assert asked(search) == [12], "because of the lateness of one asked at once"
    search.answered(Key(2), TOKEN, [contact(1)])
    assert asked(search) == [1]
    assert [search.round_trips_to(Key(key)) for key in (8, 10, 2, 12, 1)] == [1, 1, 2, 2, 3]
    assert search.round_trips == 2, "of those that have answered"
    search.answered(Key(1), TOKEN, [])
    assert search.round_trips == 3


def test_without_contacts_it_is_done_at_once() -> None:
    search = lookup()
    assert search.done
    assert asked(search) == []


def test_the_own_node_and_those_known_already_are_not_asked_again() -> None:
    search = lookup(1)
    asked(search)
    search.answered(Key(1), TOKEN, [contact(OWN), contact(1), contact(2)])
    assert asked(search) == [2]


def test_it_ends_with_what_it_has_when_its_time_is_over() -> None:
    search = lookup(1, 2)
    asked(search)
    search.answered(Key(1), TOKEN, [])
    search.out_of_time()
    assert search.done
    search.answered(Key(2), TOKEN, [contact(3)])
    search.failed(Key(2))
    assert asked(search) == []
    assert [each.key for each, _ in search.holders(9)] == [1]


def test_an_endless_supply_of_nearer_nodes_ends_at_the_limit() -> None:
    search = lookup(10**9, queries=30)
    key = 10**9
    for _ in range(1000):
        for who in asked(search):
            key -= 3
            search.answered(Key(who), TOKEN, [contact(key), contact(key - 1), contact(key - 2)])
    assert search.done
    assert search.asked == 30


@given(st.integers(0, 2**32), st.integers(1, 60), st.floats(0, 0.6))
def test_in_any_network_it_ends_and_finds_the_nearest_that_live(seed: int, size: int, dead_share: float) -> None:
    rng = random.Random(seed)
    keys = rng.sample(range(1, 2**20), size)
    dead = {key for key in keys[1:] if rng.random() < dead_share}
    search = lookup(keys[0], width=8, parallel=3)
    waiting: list[int] = []
    for _ in range(10 * size + 10):
        waiting += asked(search)
        if search.done:
            break
        who = Key(waiting.pop(rng.randrange(len(waiting))))
        if who in dead:
            search.late(who)
            search.failed(who)
        else:
            search.answered(who, TOKEN, [contact(key) for key in keys])
    assert search.done
    live = sorted(set(keys) - dead)
    assert [each.key for each, _ in search.holders(8)] == live[:8]


def test_the_table_of_states_ends_in_done() -> None:
    assert "stateDiagram" in LOOKUP.mermaid()


# Requests


def requests(limit: int = 10) -> Requests:
    return Requests(random.Random(1), limit=limit)


HERE, THERE = Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 2)


def test_only_the_node_asked_at_the_address_asked_can_answer_and_only_once() -> None:
    waiting = requests()
    sent = waiting.open(HERE, Key(1), Pong, 0.0, 0.1)
    assert sent is not None
    assert waiting.answer(b"12345678", Key(1), HERE, Pong) is None
    assert waiting.answer(sent.rpc, Key(2), HERE, Pong) is None
    assert waiting.answer(sent.rpc, Key(1), THERE, Pong) is None
    assert waiting.answer(sent.rpc, Key(1), HERE, Nearest) is None
    assert waiting.awaits(HERE)
    assert waiting.answer(sent.rpc, Key(1), HERE, Pong) == sent
    assert waiting.answer(sent.rpc, Key(1), HERE, Pong) is None
    assert not waiting.awaits(HERE)


def test_a_request_is_late_first_and_then_fails() -> None:
    waiting = requests()
    sent = waiting.open(HERE, Key(1), Pong, 0.0, 0.1)
    assert waiting.next_deadline() == 0.1
    assert waiting.overdue(0.05) == []
    assert waiting.overdue(0.1) == [(sent, False)]
    assert waiting.next_deadline() == FAIL_AFTER_S
    assert waiting.overdue(5.0) == [(sent, True)]
    assert (len(waiting), waiting.next_deadline()) == (0, None)


def test_an_answered_request_falls_due_no_more() -> None:
    waiting = requests()
    sent = waiting.open(HERE, None, Pong, 0.0, 0.1)
    assert sent is not None
    assert waiting.answer(sent.rpc, Key(77), HERE, Pong) == sent, "whoever is at a bootstrap address may answer"
    assert waiting.next_deadline() is None
    assert waiting.overdue(9.0) == []


def test_no_more_requests_are_open_than_the_limit() -> None:
    waiting = requests(limit=2)
    assert waiting.open(HERE, Key(1), Pong, 0.0, 0.1)
    assert waiting.open(HERE, Key(1), Pong, 0.0, 0.1)
    assert waiting.open(HERE, Key(1), Pong, 0.0, 0.1) is None
    waiting.overdue(9.0)
    assert waiting.open(HERE, Key(1), Pong, 9.0, 0.1)
