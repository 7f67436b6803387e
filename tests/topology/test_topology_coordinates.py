"""Network coordinates: what holds of any, and how well they fit spaces whose distances are known."""

import math
import random
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.topology.coordinates import (
    DIMENSIONS,
    ERROR_MOST,
    FARTHEST_MS,
    HEIGHT_LEAST_MS,
    NOWHERE,
    Coordinate,
    Sample,
    Vivaldi,
    VivaldiConfig,
    nearest,
)

places = st.floats(-FARTHEST_MS / 3, FARTHEST_MS / 3)
coordinates = st.builds(
    Coordinate,
    st.tuples(*[places] * DIMENSIONS),
    st.floats(HEIGHT_LEAST_MS, FARTHEST_MS),
    st.floats(0, ERROR_MOST),
    st.floats(-FARTHEST_MS, FARTHEST_MS),
)
anything = st.floats(allow_nan=True, allow_infinity=True)
impostors = st.builds(Coordinate, st.lists(anything, max_size=8).map(tuple), anything, anything, anything)
Rtt = Callable[[int, int], float]


def settled(rtt_ms: Rtt, count: int, *, rounds: int = 400, seed: int = 1) -> list[Vivaldi]:
    """``count`` nodes that have each measured ``rounds`` others."""
    rng = random.Random(seed)
    nodes = [Vivaldi(random.Random(rng.random())) for _ in range(count)]
    for now in range(rounds):
        for one, node in enumerate(nodes):
            other = rng.randrange(count)
            if other != one:
                node.observe(other, nodes[other].coordinate, rtt_ms(one, other), 5.0 * now)
    return nodes


def errors(nodes: list[Vivaldi], rtt_ms: Rtt) -> list[float]:
    return [
        abs(one.coordinate.distance_ms(other.coordinate) / rtt_ms(here, there) - 1)
        for here, one in enumerate(nodes)
        for there, other in enumerate(nodes)
        if here != there
    ]


def in_the_plane(count: int, seed: int = 3) -> Rtt:
    rng = random.Random(seed)
    points = [(rng.uniform(0, 200), rng.uniform(0, 200)) for _ in range(count)]
    return lambda one, other: math.dist(points[one], points[other]) + 1.0


def on_a_sphere(count: int, seed: int = 4) -> Rtt:
    """As the earth: 100 ms once around half of it."""
    rng = random.Random(seed)
    points = []
    for _ in range(count):
        vec = [rng.gauss(0, 1) for _ in range(3)]
        points.append([a / math.hypot(*vec) for a in vec])

    def rtt_ms(one: int, other: int) -> float:
        cosine = sum(a * b for a, b in zip(points[one], points[other], strict=True))
        return 1.0 + 100 / math.pi * math.acos(max(-1.0, min(1.0, cosine)))

    return rtt_ms


def behind_access_links(count: int, seed: int = 5) -> Rtt:
    """Three towns, every host behind a link of its own."""
    rng = random.Random(seed)
    towns = [rng.randrange(3) for _ in range(count)]
    links = [rng.uniform(1, 40) for _ in range(count)]
    return lambda one, other: links[one] + links[other] + 60.0 * abs(towns[one] - towns[other])


@given(coordinates, coordinates)
def test_the_distance_is_the_same_both_ways_and_never_less_than_nothing(one: Coordinate, other: Coordinate) -> None:
    assert one.distance_ms(other) == other.distance_ms(one)
    assert HEIGHT_LEAST_MS <= one.distance_ms(other) < math.inf


@given(st.lists(st.tuples(st.integers(0, 3), coordinates | impostors, anything | st.floats(0.01, 500)), max_size=60))
def test_whatever_is_measured_the_coordinate_stays_finite_and_within_bounds(
    samples: list[tuple[int, Coordinate, float]],
) -> None:
    node = Vivaldi(random.Random(1))
    for now, (peer, theirs, rtt_ms) in enumerate(samples):
        node.observe(peer, theirs, rtt_ms, float(now))
        assert node.coordinate.valid()


@given(impostors, st.floats(0.1, 1000))
def test_an_impossible_coordinate_moves_nothing(theirs: Coordinate, rtt_ms: float) -> None:
    node = Vivaldi(random.Random(1))
    if not theirs.valid():
        assert node.observe("peer", theirs, rtt_ms, 0.0) is Sample.REFUSED
        assert node.coordinate == NOWHERE
        assert node.rtt_ms("peer") is None


@pytest.mark.parametrize("rtt_ms", [0.0, -1.0, math.nan, math.inf, FARTHEST_MS * 2])
def test_an_impossible_round_trip_moves_nothing(rtt_ms: float) -> None:
    node = Vivaldi(random.Random(1))
    assert node.observe("peer", NOWHERE, rtt_ms, 0.0) is Sample.REFUSED
    assert node.coordinate == NOWHERE


@pytest.mark.parametrize(
    ("space", "most"),
    [(in_the_plane, 0.05), (on_a_sphere, 0.12), (behind_access_links, 0.08)],
    ids=["plane", "sphere", "access links"],
)
def test_distances_come_to_be_those_of_the_space(space: Callable[[int], Rtt], most: float) -> None:
    rtt_ms = space(40)
    nodes = settled(rtt_ms, 40)
    assert statistics.median(errors(nodes, rtt_ms)) < most


def test_hosts_behind_slow_links_get_heights() -> None:
    links = [1.0] * 20 + [30.0] * 20
    nodes = settled(lambda one, other: links[one] + links[other], 40)
    heights = [node.coordinate.height_ms for node in nodes]
    assert max(heights[:20]) < min(heights[20:])


def test_the_error_a_node_gives_of_itself_falls_as_it_settles() -> None:
    nodes = settled(in_the_plane(30), 30, rounds=200)
    assert all(node.coordinate.error < 0.3 for node in nodes)
    assert NOWHERE.error == ERROR_MOST


def test_the_same_seed_gives_the_same_coordinates() -> None:
    first, again = (settled(in_the_plane(10), 10, rounds=50) for _ in range(2))
    other = settled(in_the_plane(10), 10, rounds=50, seed=2)
    assert [node.coordinate for node in first] == [node.coordinate for node in again]
    assert [node.coordinate for node in first] != [node.coordinate for node in other]


def test_one_slow_answer_of_a_peer_is_filtered_out() -> None:
    node = Vivaldi(random.Random(1))
    for rtt_ms in (20.0, 21.0, 900.0, 20.0, 22.0):
        node.observe("peer", NOWHERE, rtt_ms, 0.0)
    assert node.rtt_ms("peer") == 21.0


def test_a_settled_node_rejects_a_peer_that_does_not_fit_until_it_insists() -> None:
    rtt_ms = in_the_plane(20)
    node, *others = settled(rtt_ms, 20)
    before = node.coordinate
    assert node.observe("liar", others[0].coordinate, 5_000.0, 2_000.0) is Sample.OUTLIER
    assert node.coordinate == before
    outcomes = [node.observe("liar", others[0].coordinate, 5_000.0, 2_000.0) for _ in range(60)]
    assert outcomes.index(Sample.USED) > 3


def test_a_network_that_becomes_slower_is_followed() -> None:
    rtt_ms = in_the_plane(20)
    nodes = settled(rtt_ms, 20)

    def slower(one: int, other: int) -> float:
        return rtt_ms(one, other) * 3

    rng = random.Random(7)
    for now in range(600):
        for one, node in enumerate(nodes):
            other = rng.randrange(20)
            if other != one:
                node.observe(other, nodes[other].coordinate, slower(one, other), 5_000.0 + 5 * now)
    assert statistics.median(errors(nodes, slower)) < 0.1


def test_gravity_keeps_the_middle_of_all_near_the_origin() -> None:
    nodes = settled(in_the_plane(20), 20, rounds=1500)
    middle = [statistics.mean(node.coordinate.vec[axis] for node in nodes) for axis in range(DIMENSIONS)]
    assert math.hypot(*middle) < 150


def test_the_peers_remembered_are_bounded_and_the_least_recent_go_first() -> None:
    node = Vivaldi(random.Random(1), VivaldiConfig(peers=8))
    for peer in range(100):
        node.observe(peer, NOWHERE, 10.0, 0.0)
        node.observe(0, NOWHERE, 10.0, 0.0)
    assert node.rtt_ms(0) == 10.0
    assert [peer for peer in range(100) if node.rtt_ms(peer) is not None] == [0, *range(93, 100)]
    node.forget(0)
    assert node.rtt_ms(0) is None


def test_an_old_neighbour_pulls_less_than_a_fresh_one() -> None:
    moved = []
    for age_s in (0.0, 10_000.0):
        node = Vivaldi(random.Random(1))
        far = Coordinate((100.0, 0.0, 0.0, 0.0, 0.0), 1.0, 0.1)
        near = Coordinate((0.0, 100.0, 0.0, 0.0, 0.0), 1.0, 0.1)
        node.observe("far", far, 50.0, 0.0)
        node.observe("near", near, 60.0, age_s)
        moved.append(node.coordinate)
    assert moved[0] != moved[1]
    once = Vivaldi(random.Random(1), VivaldiConfig(replay_window=0))
    once.observe("far", Coordinate((100.0, 0.0, 0.0, 0.0, 0.0), 1.0, 0.1), 50.0, 0.0)
    once.observe("near", Coordinate((0.0, 100.0, 0.0, 0.0, 0.0), 1.0, 0.1), 60.0, 0.0)
    assert math.dist(moved[1].vec, once.coordinate.vec) < math.dist(moved[0].vec, once.coordinate.vec)


@given(coordinates, st.dictionaries(st.integers(), coordinates, max_size=20), st.integers(0, 25))
def test_the_nearest_are_as_many_as_asked_for_and_in_order(
    origin: Coordinate, candidates: dict[int, Coordinate], k: int
) -> None:
    chosen = nearest(origin, candidates, k)
    distances = [origin.distance_ms(candidates[one]) for one in chosen]
    assert len(chosen) == min(k, len(candidates))
    assert distances == sorted(distances)
    rest = [origin.distance_ms(place) for one, place in candidates.items() if one not in chosen]
    assert not rest or not distances or max(distances) <= min(rest)


def test_probing_some_of_the_nearest_finds_the_best_more_often_than_trusting_the_first() -> None:
    rng = random.Random(8)
    plain = in_the_plane(60)
    # A tenth of all pairs takes a detour, which no coordinates can tell.
    detours = {
        (one, other): rng.uniform(1, 3) if rng.random() < 0.1 else 1.0 for one in range(60) for other in range(60)
    }

    def rtt_ms(one: int, other: int) -> float:
        return plain(one, other) * detours[min(one, other), max(one, other)]

    nodes = settled(rtt_ms, 60)
    extra: dict[int, float] = {1: 0.0, 5: 0.0, 10: 0.0}
    for one, node in enumerate(nodes):
        others = {other: there.coordinate for other, there in enumerate(nodes) if other != one}
        order = nearest(node.coordinate, others, 10)
        best = min(rtt_ms(one, other) for other in others)
        for probes in extra:
            extra[probes] += min(rtt_ms(one, other) for other in order[:probes]) - best
    assert extra[10] <= extra[5] < extra[1]
    assert extra[10] / 60 < 1.0
