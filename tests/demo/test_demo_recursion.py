"""A copy pushes a copy still closer, on real packets: the home never hears of the site its users end at."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_world import World, world

from footloose.core.limits import IDLE_BEFORE_RETIRE_S, USER_MEMORY_S
from footloose.testbed import Host, Link, Role, Router, Topology, available
from footloose.testbed.sites import API_PORT, DHT_PORT, SiteOptions

pytestmark = [pytest.mark.root, pytest.mark.slow]


def chain() -> Topology:
    """Home, a site in the middle, a site near the user, along one way."""
    routers = tuple(Router(f"r{number}") for number in range(1, 6))
    hosts = (
        Host("home", Role.HOME),
        Host("mid-site", Role.SITE),
        Host("near-site", Role.SITE),
        Host("user", Role.USER),
    )
    delays_ms = {
        ("home", "r1"): 1,
        ("r1", "r2"): 40,
        ("r2", "r3"): 10,
        ("r3", "r4"): 10,
        ("r4", "r5"): 1,
        ("mid-site", "r2"): 1,
        ("near-site", "r4"): 1,
        ("user", "r5"): 0.5,
    }
    return Topology("chain", routers, hosts, tuple(Link(a, b, delay) for (a, b), delay in delays_ms.items()))


@pytest.fixture
def chained(tmp_path: Path) -> Iterator[World]:
    """The home knows the middle site and nobody else, nor what members know; the near one is not there yet."""
    if not available():
        pytest.skip(available().why)
    with world(chain(), tmp_path) as made:
        middle = made.net.host("mid-site").address
        made.start("home", options=SiteOptions(extra=("--site", f"{middle}:{API_PORT}", "--membership", "off")))
        made.start("mid-site", options=SiteOptions())
        made.deploy()
        yield made


def test_a_copy_leases_a_nearer_one_once_that_is_there_and_all_retire_when_the_users_have_gone(chained: World) -> None:
    middle = chained.net.host("mid-site").address
    with chained.person("user") as uma:
        uma.comes_to(chained.site["mid-site"])
        chained.start("near-site", options=SiteOptions(join=f"{middle}:{DHT_PORT}"))
        uma.comes_to(chained.site["near-site"])
        uma.goes_on(8)
        assert uma.errors == []
        assert [move.host for move in uma.moves] == [
            chained.net.host(name).address for name in ("mid-site", "near-site")
        ]
        assert chained.copies("home").keys() == {"mid-site"}
        assert chained.copies("mid-site").keys() == {"near-site"}
        assert chained.copies("near-site") == {}
        # What the near site serves is told up the tree: the home sees its user.
        near = chained.site["near-site"].node
        chained.until(
            lambda: [user["site"] for user in chained.ask("home", "topology")["users"]] == [near],
            "the home to see its user at the near site",
        )
    patience_s = IDLE_BEFORE_RETIRE_S + USER_MEMORY_S + 10
    chained.until(lambda: not chained.copies("home"), "the idle copy to be given up", patience_s)
    for site in ("mid-site", "near-site"):
        chained.until(lambda site=site: chained.ask(site, "ps")["services"] == [], f"{site} to stop its copy")
    assert chained.ask("home", "ps")["services"][0]["state"] == "running"
