"""Topologies: what is refused and how it is said; the file format; the ready-made ones."""

from pathlib import Path

import pytest

from footloose.model.network import prefix_of
from footloose.testbed import Host, Link, Role, Router, Topology, TopologyError, demo, icon, load, parse, random, tree
from footloose.testbed.addresses import AddressPlan
from footloose.testbed.routes import Routes

GOOD = """\
name: two-cities
seed: 7
routers:
  paris-1: {domain: isp.example, dns: core1}
  london-1:
  london-2: {silent: true, icmp_per_s: 5}
hosts:
  home: {role: home, region: paris}
  user: {role: user}
links:
  - {between: [home, paris-1], delay_ms: 1}
  - between: [paris-1, london-1]
    delay_ms: 8
    jitter_ms: 1.5
    loss: 0.01
    rate_mbit: 20
    queue_ms: 50
  - {between: [london-1, london-2], delay_ms: 1}
  - {between: [london-2, user], delay_ms: 3}
"""


def test_a_file_becomes_a_topology(tmp_path: Path) -> None:
    path = tmp_path / "anything.yaml"
    path.write_text(GOOD)
    topology = load(path)
    assert (topology.name, topology.seed) == ("two-cities", 7)
    assert topology.routers[0] == Router("paris-1", dns="core1", domain="isp.example")
    assert topology.routers[2].silent
    assert topology.host("home").role is Role.HOME
    assert topology.links[1] == Link("paris-1", "london-1", 8, 1.5, 0.01, 20, 50)
    assert Routes(topology).delay_ms("home", "user") == pytest.approx(13)


def test_the_example_in_the_reference_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/topology-files.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    assert Routes(parse(example)).delay_ms("home", "user") == pytest.approx(50.5)


def test_a_file_without_a_name_is_called_after_the_file(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text("routers: {r: }\nhosts: {}\nlinks: []\n")
    assert load(path).name == "small"


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("delay_ms: 8", "delay_ms: soon", 13, "links[1].delay_ms"),
        ("delay_ms: 8", "delay_ms: -8", 12, "delay_ms is -8"),
        ("loss: 0.01", "loss: 2", 12, "from 0 to 1"),
        ("jitter_ms: 1.5", "jitter_ms: 9", 12, "from 0 to delay_ms"),
        ("queue_ms", "queue", 12, "between, delay_ms, jitter_ms, loss, rate_mbit, queue_ms"),
        ("[london-1, london-2]", "[london-1, londn-2]", 18, "londn-2"),
        ("[london-1, london-2]", "[london-1, paris-1]", 18, "joined already by links[1]"),
        ("[london-2, user]", "[home, user]", 19, "put a router between them"),
        ("  - {between: [london-2, user], delay_ms: 3}\n", "", 9, "host 'user' has 0 links"),
        ("role: home", "role: boss", 8, "hosts"),
        ("silent: true", "silent: maybe", 6, "routers"),
        ("silent: true", "quiet: true", 6, "silent, icmp_per_s, icmp_burst, dns, domain"),
        ("icmp_per_s: 5", "icmp_per_s: 0", 6, "icmp_per_s must be more than 0"),
        ("paris-1: {", "Paris_1: {", 4, "not a name"),
        ("london-1:\n", "paris-1:\n", 5, "stands here twice"),
        ("  user: {role: user}", "  user: {role: user}\n  london-1: {}", 10, "used 2 times"),
        ("isp.example", "isp..example", 4, "not a domain"),
        ("hosts:", "machines:", 1, "keys here are routers, hosts, links, name, seed"),
        ("seed: 7", "seed: [7", 3, "not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_key(old: str, new: str, line: int, said: str) -> None:
    assert old in GOOD
    with pytest.raises(TopologyError) as caught:
        parse(GOOD.replace(old, new), where="net.yaml")
    message = str(caught.value)
    assert message.startswith(f"net.yaml:{line}"), message
    assert said in message


@pytest.mark.parametrize(
    "text", ["", "3", "[]", "- a", "\x00", "a: &a [*a]", "routers: {? [x] : y}", "!!python/none x"]
)
def test_what_is_no_topology_at_all_is_refused(text: str) -> None:
    with pytest.raises(TopologyError, match=r"net\.yaml"):
        parse(text, where="net.yaml")


def test_aliases_cannot_blow_a_file_up() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join(['*' + old] * 10)}]" for old, new in zip("abcdef", "bcdefg", strict=True)]
    with pytest.raises(TopologyError, match="more than"):
        parse("\n".join(lines))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=r"nowhere\.yaml: cannot be read"):
        load(tmp_path / "nowhere.yaml")


def test_a_host_needs_exactly_one_link() -> None:
    routers = (Router("a"), Router("b"))
    links = (Link("h", "a", 1), Link("h", "b", 1))
    with pytest.raises(TopologyError, match="has 2 links"):
        Topology("t", routers, (Host("h"),), links)


def test_icon_has_the_round_trips_of_the_thesis() -> None:
    routes = Routes(icon())
    for a, b, rtt_ms in (("client", "root", 92), ("client", "edge", 14), ("edge", "root", 102)):
        assert 2 * (routes.delay_ms(a, b) or 0) == pytest.approx(rtt_ms)
        assert len(routes.path(a, b) or ()) >= 5


def test_demo_has_a_far_home_near_sites_and_a_region_without_one() -> None:
    topology = demo()
    routes = Routes(topology)
    home, sites, users = (topology.with_role(role) for role in (Role.HOME, Role.SITE, Role.USER))
    assert len(home) == 1
    assert 4 <= len(sites) <= 5
    prefixes = {prefix_of(AddressPlan(topology).hosts[user.name]) for user in users}
    assert len(prefixes) == len(users) == 2 * len({user.region for user in users})
    without = {user.region for user in users} - {site.region for site in sites}
    assert len(without) == 1
    for user in users:
        to_home = 2 * (routes.delay_ms(user.name, "home") or 0)
        to_sites = {site.region: 2 * (routes.delay_ms(user.name, site.name) or 0) for site in sites}
        assert 80 <= to_home <= 120
        assert min(to_sites.values()) < to_home - 10
        if user.region not in without:
            assert 3 <= to_sites[user.region] <= 15
            assert min(to_sites, key=lambda region: to_sites[region]) == user.region
    assert any(router.silent for router in topology.routers)
    assert any(router.icmp_per_s for router in topology.routers)
    assert {router.domain for router in topology.routers} >= {f"{site.region}.example" for site in sites}


def test_demo_routers_have_one_router_id_each() -> None:
    plan = AddressPlan(demo())
    assert all(len(plan.router_ids(router.name)) == 1 for router in demo().routers)


def test_tree_is_a_tree_of_the_size_asked_for() -> None:
    topology = tree(routers=240, hosts=30, fanout=4)
    assert len(topology.routers) == 240
    assert len(topology.hosts) == 30
    assert len(topology.links) == 239 + 30
    assert all(Routes(topology).path("home", host.name) for host in topology.hosts)


@pytest.mark.parametrize("make", [tree, random])
def test_generated_topologies_follow_from_their_seed(make: object) -> None:
    assert callable(make)
    assert make(seed=5) == make(seed=5)
    assert make(seed=5) != make(seed=6)


def test_the_smallest_networks_can_be_generated() -> None:
    assert Routes(random(routers=1, hosts=2)).path("h0", "h1") == ("h0", "r0", "h1")
    assert Routes(tree(routers=1, hosts=2)).path("home", "user1") == ("home", "r0", "user1")
