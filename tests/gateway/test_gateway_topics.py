"""Publications reach everyone once."""

import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.errors import RemoteError
from footloose.core.limits import (
    PUBLICATIONS_REMEMBERED,
    RELAY_HOPS,
    RELAY_RETRY_S,
    TOPIC_BYTES,
    TOPICS_PER_CONNECTION,
    WEBSOCKET_MESSAGE_BYTES,
)
from footloose.gateway import topics
from footloose.gateway.topics import Origin, Publication, Topics
from footloose.gateway.uplink import UPLINK_TABLE, Effect, Event, State, Uplink
from footloose.gateway.websocket import server_frame
from footloose.model.app import ServiceId

S = ServiceId("a-1/s")


class User:
    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def deliver(self, frame: bytes) -> None:
        self.frames.append(frame)


class Worker:
    """One worker's topics with one subscriber; what it sends goes into the net's queue."""

    def __init__(self, net: "Net", name: str) -> None:
        self.net = net
        self.siblings: list[Worker] = []
        self.topics = Topics(name, self._site)
        self.user = User()
        self.topics.subscribe(S, "t", self.user)

    def _site(self, data: bytes) -> None:
        for sibling in self.siblings:
            self.net.queue.append((sibling, data, Origin.SITE))


class Way:
    """One direction of a link between two workers."""

    def __init__(self, net: "Net", to: Worker) -> None:
        self.net = net
        self.to = to
        self.back: Way

    def forward(self, data: bytes) -> None:
        self.net.sent += 1
        self.net.queue.append((self.to, data, self.back))


class Net:
    def __init__(self, sizes: list[int]) -> None:
        self.queue: deque[tuple[Worker, bytes, Way | Origin]] = deque()
        self.sent = 0
        self.sites = [[Worker(self, f"{site}-{n}") for n in range(size)] for site, size in enumerate(sizes)]
        for site in self.sites:
            for worker in site:
                worker.siblings = [other for other in site if other is not worker]

    def link(self, one: Worker, two: Worker) -> None:
        there, back = Way(self, two), Way(self, one)
        there.back, back.back = back, there
        one.topics.join(S, there)
        two.topics.join(S, back)

    def settle(self) -> None:
        while self.queue:
            worker, data, came_by = self.queue.popleft()
            worker.topics.spread(topics.decode(data), came_by)

    @property
    def users(self) -> list[User]:
        return [worker.user for site in self.sites for worker in site]


@given(st.lists(st.integers(1, 3), min_size=1, max_size=7), st.randoms(use_true_random=False))
def test_in_any_tree_of_sites_everyone_gets_a_publication_exactly_once(sizes: list[int], rng: random.Random) -> None:
    net = Net(sizes)
    for number, site in enumerate(net.sites[1:], start=1):
        net.link(site[0], rng.choice(net.sites[rng.randrange(number)]))
    rng.choice(rng.choice(net.sites)).topics.publish(S, "t", "hi")
    net.settle()
    assert [user.frames for user in net.users] == [[server_frame("hi")]] * len(net.users)
    assert net.sent == len(sizes) - 1


def test_even_where_the_tree_is_a_ring_everyone_gets_it_once() -> None:
    net = Net([1, 2, 1, 1])
    for number in range(4):
        net.link(net.sites[number][0], net.sites[(number + 1) % 4][-1])
    net.sites[2][0].topics.publish(S, "t", b"hi")
    net.settle()
    assert all(user.frames == [server_frame(b"hi")] for user in net.users)


def test_only_those_who_subscribed_get_it_and_only_until_they_leave() -> None:
    worker = Worker(Net([]), "w")
    other, gone = User(), User()
    worker.topics.subscribe(S, "other", other)
    worker.topics.subscribe(S, "t", gone)
    worker.topics.subscribe(S, "t", gone)
    worker.topics.leave(gone)
    worker.topics.leave(gone)
    worker.topics.publish(S, "t", "x")
    worker.topics.publish(ServiceId("a-1/other"), "other", "x")
    assert (len(worker.user.frames), other.frames, gone.frames) == (1, [], [])


def test_topics_and_subscriptions_have_limits() -> None:
    worker = Worker(Net([]), "w")
    for bad in ("", "x" * (TOPIC_BYTES + 1), "a\nb", "é" * TOPIC_BYTES):
        assert not worker.topics.subscribe(S, bad, worker.user)
        assert not worker.topics.publish(S, bad, "x")
    for number in range(TOPICS_PER_CONNECTION - 1):
        assert worker.topics.subscribe(S, f"t{number}", worker.user)
    assert not worker.topics.subscribe(S, "one more", worker.user)
    assert worker.topics.subscribe(S, "t", worker.user)


def test_one_service_cannot_use_up_the_ids_of_another() -> None:
    worker = Worker(Net([]), "w")
    for number in range(10):
        worker.topics.spread(Publication(1, f"w.{number}", ServiceId("evil/s"), "t", True, b""), Origin.SITE)
    worker.topics.publish(S, "t", "x")
    assert len(worker.user.frames) == 1


def test_the_memory_of_past_publications_is_bounded_and_so_are_hops() -> None:
    net = Net([1, 1])
    net.link(net.sites[0][0], net.sites[1][0])
    first = net.sites[0][0].topics
    for number in range(PUBLICATIONS_REMEMBERED + 5):
        first.spread(Publication(1, f"x{number}", S, "none", True, b"", RELAY_HOPS), Origin.GUEST)
    assert net.sent == 0
    first.spread(Publication(1, "x0", S, "t", True, b"", RELAY_HOPS), Origin.GUEST)
    assert len(net.sites[0][0].user.frames) == 1


@given(st.binary(max_size=200))
def test_garbage_is_no_publication(data: bytes) -> None:
    try:
        publication = topics.decode(data)
    except RemoteError:
        return
    assert topics.decode(topics.encode(publication)) == publication


@pytest.mark.parametrize(
    "publication",
    [
        Publication(2, "i", S, "t", True, b""),
        Publication(1, "i" * 65, S, "t", True, b""),
        Publication(1, "i", S, "", True, b""),
        Publication(1, "i", S, "t", True, b"", -1),
        Publication(1, "i", S, "t", True, b"", RELAY_HOPS + 1),
        Publication(1, "i", S, "t", True, b"\xff"),
        Publication(1, "i", S, "t", False, b"x" * (WEBSOCKET_MESSAGE_BYTES + 1)),
    ],
)
def test_a_publication_out_of_bounds_is_refused(publication: Publication) -> None:
    with pytest.raises(RemoteError):
        topics.decode(topics.encode(publication))


@given(st.lists(st.booleans(), max_size=40), st.integers())
def test_an_uplink_calls_again_later_each_time_but_never_too_late(joins: list[bool], seed: int) -> None:
    uplink, now = Uplink(random.Random(seed)), 0.0
    for join in joins:
        assert uplink.wake(now) == [Effect.CALL]
        assert uplink.next_deadline() is None
        if join:
            uplink.receive(Event.ACCEPTED, now)
            now += 0.5
        uplink.receive(Event.LOST, now)
        due = uplink.next_deadline()
        assert due is not None
        assert now < due <= now + RELAY_RETRY_S
        assert uplink.wake(now) == []
        now = due


def test_an_uplink_that_held_long_is_called_again_soon() -> None:
    uplink = Uplink(random.Random(1))
    now = 0.0
    for _ in range(10):
        uplink.wake(now)
        uplink.receive(Event.LOST, now)
        now = uplink.next_deadline() or now
    uplink.wake(now)
    uplink.receive(Event.ACCEPTED, now)
    now += 3600
    uplink.receive(Event.LOST, now)
    assert (uplink.next_deadline() or 0) - now < 0.3
    assert UPLINK_TABLE.allows(State.CALLING, Event.LOST)
