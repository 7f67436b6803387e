"""The tree of routes, estimates from it, and what a site announces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.identity import NodeId
from footloose.model.network import Hop, Prefix, Route, RouterId, router_id
from footloose.model.site import Endpoint, Sighting, Source
from footloose.topology.announce import NearbyRouter, nearby_routers
from footloose.topology.estimate import LEAST_RTT_MS, estimate
from footloose.topology.tree import RouteTree, path_of

HERE = NodeId("here")


def route(*hops: tuple[str, float] | None, rtt_ms: float | None = 50.0, target: str = "203.0.113.9") -> Route:
    listed = (Hop(ttl, *hop) if hop is not None else Hop(ttl) for ttl, hop in enumerate(hops, start=1))
    return Route(target, tuple(listed), rtt_ms)


def prefix(number: int) -> Prefix:
    return Prefix(f"203.0.{number}.0/24")


CORE, NORTH, SOUTH = ("10.0.0.1", 2.0), ("10.1.0.1", 20.0), ("10.2.0.1", 30.0)


def test_routers_on_several_routes_are_one() -> None:
    tree = RouteTree(HERE)
    tree.update(prefix(1), route(CORE, NORTH, rtt_ms=21.0), 0.0)
    tree.update(prefix(2), route(("10.0.0.6", 1.5), SOUTH, rtt_ms=31.0), 0.0)  # the same /29 as CORE
    assert [(node.id, node.kind, node.parent, node.rtt_ms) for node in tree.nodes("home")] == [
        (HERE, "site", None, 0.0),
        ("10.0.0.0/29", "router", HERE, 1.5),
        ("10.1.0.0/29", "router", "10.0.0.0/29", 20.0),
        ("10.2.0.0/29", "router", "10.0.0.0/29", 30.0),
        (prefix(1), "prefix", "10.1.0.0/29", 21.0),
        (prefix(2), "prefix", "10.2.0.0/29", 31.0),
    ]


def test_silent_routers_are_bridged() -> None:
    tree = RouteTree(HERE)
    tree.update(prefix(1), route(CORE, None, None, NORTH), 0.0)
    assert tree.path(prefix(1)) == (router_id("10.0.0.1"), router_id("10.1.0.1"))


def test_a_prefix_whose_route_shows_no_router_hangs_at_the_site() -> None:
    tree = RouteTree(HERE)
    tree.update(prefix(1), route(None, None), 0.0)
    assert tree.nodes("home")[1].parent == HERE


def test_a_new_route_replaces_the_old_one_and_its_figures() -> None:
    tree = RouteTree(HERE)
    tree.update(prefix(1), route(CORE, NORTH), 0.0)
    tree.update(prefix(1), route(("10.0.0.1", 9.0), SOUTH), 1.0)
    assert tree.path(prefix(1)) == (router_id("10.0.0.1"), router_id("10.2.0.1"))
    assert tree.router_rtt_ms(router_id("10.0.0.1")) == 9.0
    assert tree.router_rtt_ms(router_id("10.1.0.1")) is None
    assert len(tree) == 1


def test_the_least_round_trip_to_a_router_counts_while_its_route_is_known() -> None:
    tree = RouteTree(HERE)
    tree.update(prefix(1), route(("10.0.0.1", 2.0)), 0.0)
    tree.update(prefix(2), route(("10.0.0.1", 5.0)), 0.0)
    assert tree.router_rtt_ms(router_id("10.0.0.1")) == 2.0
    tree.forget(prefix(1))
    assert tree.router_rtt_ms(router_id("10.0.0.1")) == 5.0


def test_an_unknown_prefix_has_no_path_and_can_be_forgotten() -> None:
    tree = RouteTree(HERE)
    tree.forget(prefix(9))
    assert tree.path(prefix(9)) == ()
    assert tree.route(prefix(9)) is None


def test_routes_grow_stale_with_age() -> None:
    tree = RouteTree(HERE)
    for number, traced_at in enumerate((10.0, 20.0, 30.0)):
        tree.update(prefix(number), route(CORE), traced_at)
    tree.update(prefix(0), route(CORE), 35.0)
    assert tree.stale(40.0, 15.0) == (prefix(1),)
    assert tree.stale(50.0, 15.0) == (prefix(1), prefix(2), prefix(0))


def test_a_full_tree_gives_up_the_route_traced_longest_ago() -> None:
    tree = RouteTree(HERE, limit=2)
    for number in range(3):
        tree.update(prefix(number), route(CORE), float(number))
    assert tree.prefixes() == (prefix(1), prefix(2))


def test_sites_are_shown_at_their_routers() -> None:
    tree = RouteTree(HERE)
    tree.update(prefix(1), route(CORE, NORTH), 0.0)
    nodes = {node.id: node for node in tree.nodes("home", {router_id("10.1.0.1"): (NodeId("there"),)})}
    assert nodes["10.1.0.0/29"].sites == ("there",)
    assert nodes["10.0.0.0/29"].sites == ()


def test_where_routes_disagree_a_router_hangs_on_the_way_most_prefixes_take() -> None:
    tree = RouteTree(HERE)
    last = ("10.9.0.1", 40.0)
    tree.update(prefix(1), route(NORTH, last), 0.0)
    tree.update(prefix(2), route(SOUTH, last), 0.0)
    tree.update(prefix(3), route(SOUTH, last), 0.0)
    parents = {node.id: node.parent for node in tree.nodes("home")}
    assert parents["10.9.0.0/29"] == "10.2.0.0/29"


# Few routers, so that routes cross, loop and contradict each other
hop_lists = st.lists(st.none() | st.tuples(st.integers(0, 60).map(lambda n: f"10.0.0.{n}"), st.floats(0.1, 99.0)))
changes = st.lists(st.tuples(st.integers(0, 6).map(prefix), st.none() | hop_lists), max_size=30)


@given(changes)
def test_no_series_of_routes_makes_a_cycle_or_outgrows_the_limit(
    series: list[tuple[Prefix, list[tuple[str, float] | None] | None]],
) -> None:
    tree = RouteTree(HERE, limit=4)
    kept: dict[Prefix, Route] = {}
    for now, (where, hops) in enumerate(series):
        kept.pop(where, None)
        if hops is None:
            tree.forget(where)
        else:
            kept[where] = route(*hops)
            tree.update(where, kept[where], float(now))
            while len(kept) > 4:
                del kept[next(iter(kept))]
    assert {where: tree.route(where) for where in tree.prefixes()} == kept
    crossed = {hop.router for one in kept.values() for hop in one.hops if hop.router is not None}
    for where, one in kept.items():
        path = tree.path(where)
        assert path == path_of(one)
        assert len(path) == len(set(path))
    shown: set[str] = set()
    for node in tree.nodes("home"):
        assert node.id not in shown
        assert node.parent is None or node.parent in shown
        shown.add(node.id)
    assert shown == {HERE} | crossed | set(kept)
    for router in crossed:
        figures = [hop.rtt_ms for one in kept.values() for hop in one.hops if hop.router == router]
        assert tree.router_rtt_ms(router) == min(figures)


# Estimates


def sighting(router: str | None, rtt_ms: float | None) -> Sighting:
    found_at = router_id(router) if router is not None else None
    return Sighting(Endpoint("192.0.2.1", 4443), Source.DHT, NodeId("there"), router=found_at, rtt_ms=rtt_ms)


def test_an_estimate_adds_the_sites_own_figure_to_what_lies_beyond_the_router() -> None:
    made = estimate(route(CORE, NORTH, ("10.3.0.1", 45.0), ("10.4.0.1", 48.0)), sighting("10.1.0.1", 3.0))
    assert made is not None
    assert made.rtt_ms == pytest.approx(3.0 + 50.0 - 20.0)
    assert made.router == router_id("10.1.0.1")
    assert not made.clear_cut  # too far from the user to be sure of


def test_a_site_at_the_users_last_router_that_saves_most_of_the_way_is_clear_cut() -> None:
    made = estimate(route(CORE, NORTH, ("10.3.0.1", 48.0)), sighting("10.3.0.1", 1.0))
    assert made is not None
    assert made.rtt_ms == pytest.approx(3.0)
    assert made.clear_cut


def test_a_site_found_at_the_users_own_router_id_is_as_near_as_it_says() -> None:
    made = estimate(route(CORE, target="10.9.9.9"), sighting("10.9.9.9", 3.0))
    assert made is not None
    assert (made.rtt_ms, made.clear_cut) == (3.0, True)


@pytest.mark.parametrize(
    ("present_ms", "clear_cut"), [(50.0, True), (14.0, True), (12.0, False), (5.0, False), (2.0, False)]
)
def test_a_small_saving_is_never_clear_cut(present_ms: float, clear_cut: bool) -> None:
    made = estimate(route(CORE, ("10.3.0.1", 48.0)), sighting("10.3.0.1", 1.0), present_ms)
    assert made is not None
    assert made.clear_cut is clear_cut


def test_where_the_user_did_not_answer_the_kernels_figure_stands_in() -> None:
    silent = route(CORE, ("10.3.0.1", 48.0), rtt_ms=None)
    assert estimate(silent, sighting("10.3.0.1", 1.0)) is None
    made = estimate(silent, sighting("10.3.0.1", 1.0), 51.5)
    assert made is not None
    assert made.rtt_ms == pytest.approx(4.5)


def test_a_router_slow_to_answer_is_taken_to_be_no_farther_than_what_lies_beyond_it() -> None:
    made = estimate(route(CORE, ("10.1.0.1", 90.0), ("10.3.0.1", 40.0)), sighting("10.1.0.1", 3.0))
    assert made is not None
    assert made.rtt_ms == pytest.approx(3.0 + 50.0 - 40.0)


@pytest.mark.parametrize("found", [sighting(None, 1.0), sighting("10.0.0.1", None), sighting("10.7.0.1", 1.0)])
def test_without_a_figure_for_a_router_on_the_route_there_is_no_estimate(found: Sighting) -> None:
    assert estimate(route(CORE, NORTH), found) is None


@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(0, 400)), min_size=1, max_size=10),
    st.floats(0, 400),
    st.floats(0, 400),
)
def test_an_estimate_lies_between_the_sites_figure_and_the_way_through_both(
    hops: list[tuple[int, float]], user_ms: float, site_ms: float
) -> None:
    traced = route(*((f"10.0.0.{number}", rtt) for number, rtt in hops), rtt_ms=user_ms)
    made = estimate(traced, sighting(f"10.0.0.{hops[0][0]}", site_ms))
    assert made is not None
    assert max(site_ms, LEAST_RTT_MS) <= made.rtt_ms + 1e-9
    assert made.rtt_ms <= max(site_ms + user_ms, LEAST_RTT_MS) + 1e-9


# Announcements


def test_a_site_announces_each_router_once_with_its_least_figures_nearest_first() -> None:
    routes = [route(CORE, NORTH), route(("10.0.0.2", 1.0), None, ("10.2.0.1", 3.0))]
    assert nearby_routers(routes) == (
        NearbyRouter(RouterId("10.0.0.0/29"), 1.0, 1),
        NearbyRouter(RouterId("10.2.0.0/29"), 3.0, 3),
        NearbyRouter(RouterId("10.1.0.0/29"), 20.0, 2),
    )


def test_far_routers_are_not_announced() -> None:
    assert [near.rtt_ms for near in nearby_routers([route(CORE, NORTH, SOUTH)], within_ms=25.0)] == [2.0, 20.0]


def test_the_number_of_announcements_is_limited_to_the_nearest() -> None:
    routes = [route((f"10.{number}.0.1", float(number))) for number in range(40, 0, -1)]
    assert [near.rtt_ms for near in nearby_routers(routes, most=3)] == [1.0, 2.0, 3.0]
    assert len(nearby_routers(routes)) == 32
