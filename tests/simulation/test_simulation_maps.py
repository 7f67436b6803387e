"""Maps: generated, measured, published; the ways over them; and bad files."""

import lzma
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.errors import LocalError
from footloose.model.network import router_id
from footloose.simulation.maps.graph import Edge, GraphMap
from footloose.simulation.maps.hub import hub_map, hub_names
from footloose.simulation.maps.interface import Place, RoutedMap
from footloose.simulation.maps.matrix import MatrixMap, filled, read_matrix
from footloose.simulation.maps.spread import Spread
from footloose.simulation.maps.trace import ROUTERS, router_address, traced
from footloose.simulation.maps.tree import TreeMap

places = st.integers(0, 14)


def places_named(count: int) -> list[Place]:
    return [Place(str(number)) for number in range(count)]


def ladder(rungs: int, **options: int) -> GraphMap:
    """Two rails with a rung at each step: many equal ways."""
    edges = [Edge(2 * step, 2 * step + 1, 1.0) for step in range(rungs)]
    edges += [Edge(2 * step + side, 2 * step + side + 2, 1.0) for step in range(rungs - 1) for side in (0, 1)]
    return GraphMap("ladder", places_named(2 * rungs), edges, **options)


def check_ways(of: RoutedMap, a: int, b: int) -> None:
    route = of.route(a, b)
    assert (route[0].place, route[0].rtt_ms) == (a, 0.0)
    assert (route[-1].place, route[-1].rtt_ms) == (b, of.rtt_ms(a, b))
    assert all(one.rtt_ms < other.rtt_ms for one, other in pairwise(route))
    assert of.rtt_ms(a, b) == of.rtt_ms(b, a)
    assert [stop.place for stop in of.route(b, a)] == [stop.place for stop in reversed(route)]


@given(places, places)
def test_the_way_over_a_tree_goes_up_to_where_branches_meet_and_down(a: int, b: int) -> None:
    tree = TreeMap(2, (8.0, 4.0, 2.0))
    check_ways(tree, a, b)
    assert (tree.rtt_ms(7, 14), tree.rtt_ms(7, 8), tree.rtt_ms(0, 7)) == (28.0, 4.0, 14.0)
    assert (list(tree.leaves), tree.depth(0), tree.depth(14)) == (list(range(7, 15)), 0, 3)


@given(places, places, st.integers(0, 3))
def test_links_of_a_tree_that_vary_stay_within_their_spread(a: int, b: int, seed: int) -> None:
    tree = TreeMap(2, (8.0, 4.0, 2.0), spread=0.5, seed=seed)
    check_ways(tree, a, b)
    assert 0.5 * 14.0 <= tree.rtt_ms(0, 14) <= 1.5 * 14.0
    assert tree.rtt_ms(a, b) == TreeMap(2, (8.0, 4.0, 2.0), spread=0.5, seed=seed).rtt_ms(a, b)


@pytest.mark.parametrize(
    ("branching", "link_ms", "spread"),
    [(0, (1.0,), 0.0), (2, (), 0.0), (2, (0.0,), 0.0), (2, (1e9,), 0.0), (2, (1.0,), 1.0), (10, (1.0,) * 6, 0.0)],
)
def test_a_tree_that_cannot_be_is_refused(branching: int, link_ms: tuple[float, ...], spread: float) -> None:
    with pytest.raises(LocalError, match="tree"):
        TreeMap(branching, link_ms, spread=spread)


@given(st.integers(0, 19), st.integers(0, 19))
def test_of_equal_ways_over_a_graph_it_is_always_the_same_one_in_both_directions(a: int, b: int) -> None:
    graph = ladder(10)
    check_ways(graph, a, b)
    assert graph.rtt_ms(a, b) == abs(a // 2 - b // 2) + abs(a % 2 - b % 2)


def test_a_graph_keeps_only_so_many_trees_of_ways_and_answers_the_same_without_them() -> None:
    few, all_kept = ladder(8, trees_kept=3), ladder(8)
    pairs = [(a, b) for a in range(16) for b in range(16)]
    assert [few.rtt_ms(a, b) for a, b in pairs] == [all_kept.rtt_ms(a, b) for a, b in pairs]
    assert [few.route(a, b) for a, b in reversed(pairs)] == [all_kept.route(a, b) for a, b in reversed(pairs)]
    assert few.trees_kept == 3


def test_the_shorter_of_two_links_between_the_same_places_counts() -> None:
    graph = GraphMap("twice", places_named(2), [Edge(0, 1, 5.0), Edge(1, 0, 3.0), Edge(0, 0, 1.0)])
    assert graph.rtt_ms(0, 1) == 3.0
    assert graph.neighbours(0) == (1,)


@pytest.mark.parametrize(
    ("count", "edges", "message"),
    [
        (0, [], "without places"),
        (2, [], "no way leads to 1"),
        (2, [Edge(0, 2, 1.0)], "place 2"),
        (2, [Edge(0, 1, -1.0)], "-1.0 ms"),
        (2, [Edge(0, 1, float("nan"))], "nan"),
    ],
)
def test_a_graph_that_cannot_be_is_refused(count: int, edges: list[Edge], message: str) -> None:
    with pytest.raises(LocalError, match=message):
        GraphMap("bad", places_named(count), edges)


def write(path: Path, text: str) -> Path:
    path.write_bytes(lzma.compress(text.encode()) if path.suffix == ".xz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["rtt-1.txt", "rtt-1.txt.xz"])
def test_a_matrix_is_read_plain_or_packed_in_its_unit(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "0\t0.01\t0.5\n0.03\t0\t0.1\n0.5\t0.1\t0\n")
    hosts = MatrixMap.read(path, unit="s")
    assert (hosts.name, len(hosts.places)) == ("rtt-1", 3)
    assert hosts.rtt_ms(0, 1) == hosts.rtt_ms(1, 0) == 20.0


def test_what_was_not_measured_is_filled_from_the_other_direction_a_detour_or_the_median() -> None:
    measured = [[0.0, 10.0, 0.0, 0.0], [0.0, 0.0, 4.0, 0.0], [0.0, 6.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    assert filled(measured) == [
        [0.0, 10.0, 15.0, 7.5],
        [10.0, 0.0, 5.0, 7.5],
        [15.0, 5.0, 0.0, 7.5],
        [7.5, 7.5, 7.5, 0.0],
    ]


@pytest.mark.parametrize("unmeasured", ["nan", "-1", "inf", "0"])
def test_whatever_stands_for_not_measured_is_taken_for_it(tmp_path: Path, unmeasured: str) -> None:
    assert read_matrix(write(tmp_path / "m.txt", f"0 {unmeasured}\n7 0\n")) == [[0.0, 0.0], [7.0, 0.0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 lines"),
        ("0\n", "1 lines"),
        ("0 1\n1\n", "line 2: 1 values"),
        ("0 1\nx 0\n", "line 2: not a number"),
        ("0 100000\n1 0\n", "check the unit"),
    ],
)
def test_a_file_that_is_no_matrix_is_refused_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LocalError, match=message) as caught:
        read_matrix(write(tmp_path / "m.txt.xz", text))
    assert "m.txt.xz" in str(caught.value)
    assert caught.value.fix


def test_a_file_that_is_missing_damaged_or_empty_of_measurements_is_refused(tmp_path: Path) -> None:
    (tmp_path / "damaged.txt.xz").write_bytes(b"not xz")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\xff")
    for name in ("missing.txt.xz", "damaged.txt.xz", "binary.txt"):
        with pytest.raises(LocalError, match="cannot be read"):
            read_matrix(tmp_path / name)
    with pytest.raises(LocalError, match="no round trip"):
        filled([[0.0, 0.0], [0.0, 0.0]])


def test_published_networks_are_maps_with_positions_and_ways() -> None:
    pytest.importorskip("topohub")
    abilene = hub_map("topozoo/Abilene")
    names = [place.name for place in abilene.places]
    new_york, los_angeles = names.index("New York"), names.index("Los Angeles")
    check_ways(abilene, new_york, los_angeles)
    assert 40.0 < abilene.rtt_ms(new_york, los_angeles) < 60.0, "4,000 km and more, in fibre, there and back"
    assert abilene.places[new_york].longitude == -74.01
    assert "topozoo/Abilene" in hub_names("topozoo")
    assert len(hub_names("caida")) > 50


def test_a_published_network_that_is_not_there_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("topohub")
    for ask in (lambda: hub_map("topozoo/Nowhere"), lambda: hub_names("nowhere")):
        with pytest.raises(LocalError, match="has no"):
            ask()
    monkeypatch.setitem(sys.modules, "topohub", None)
    with pytest.raises(LocalError, match="pip install topohub"):
        hub_map("topozoo/Abilene")


def test_nodes_spread_on_a_map_fill_all_places_before_they_share_one() -> None:
    tree = TreeMap(2, (8.0, 4.0, 2.0))
    nodes = Spread(tree, 20, 7, at=tree.leaves, access_ms=(1.0, 1.0))
    assert sorted(nodes.place[:8]) == list(tree.leaves)
    assert nodes.place[8:16] == nodes.place[:8]
    assert nodes.rtt_ms(0, 8) == 2.0
    assert nodes.delay_s(0, 1) == (tree.rtt_ms(nodes.place[0], nodes.place[1]) + 2.0) / 2000.0
    assert Spread(tree, 20, 7).access_ms == Spread(tree, 20, 7).access_ms
    with pytest.raises(LocalError, match="no places"):
        Spread(tree, 20, 7, at=[])


def test_a_way_over_a_map_is_a_route_whose_silent_routers_have_no_address() -> None:
    tree = TreeMap(2, (8.0, 4.0, 2.0))
    route = traced(tree, 7, 4, "192.0.2.9", from_ms=1.0, to_ms=3.0, silent={3})
    assert [hop.rtt_ms for hop in route.hops] == [1.0, None, 7.0, 11.0]
    assert [hop.address for hop in route.hops] == [router_address(7), None, router_address(1), router_address(4)]
    assert route.rtt_ms == 1.0 + tree.rtt_ms(7, 4) + 3.0
    assert route.reached


def test_every_router_has_an_id_of_its_own() -> None:
    assert len({router_id(router_address(place)) for place in range(0, ROUTERS, 997)}) == len(range(0, ROUTERS, 997))
    with pytest.raises(LocalError, match="no address"):
        router_address(ROUTERS)


_DIGEST = """
from footloose.simulation.maps.tree import TreeMap
from footloose.simulation.maps.spread import Spread
from footloose.simulation.maps.trace import traced
tree = TreeMap(3, (8.0, 4.0, 2.0), spread=0.3, seed=5)
nodes = Spread(tree, 100, 5)
print([nodes.rtt_ms(a, (7 * a) % 100) for a in range(100)], [traced(tree, a, 39 - a, "192.0.2.1") for a in range(20)])
"""


def test_maps_do_not_depend_on_how_python_hashes() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", _DIGEST], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(said) == 1
