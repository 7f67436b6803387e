"""A home, three regions with sites, and people in them, on real packets: what users notice when things go wrong."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from demo_browsers import visitor
from demo_world import World, regions, world

from chromium import console_errors
from footloose.core.limits import SILENT_AFTER_S
from footloose.model.network import prefix_of
from footloose.testbed import available
from footloose.topology.trace import FIRST_PORT

pytestmark = [pytest.mark.root, pytest.mark.slow]

PROBED_PORTS = 64


@pytest.fixture(scope="module")
def regional(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The app runs at the home; the sites of regions a (nearest to the exchange), b and c know nothing of it."""
    if not available():
        pytest.skip(available().why)
    with world(regions(a=4, b=7, c=12), tmp_path_factory.mktemp("w")) as made:
        made.start("home", "a-site", "b-site", "c-site")
        made.deploy()
        yield made


@pytest.fixture
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests leave pictures of what they saw."""
    return tmp_path_factory.mktemp("shots", numbered=True)


def since(regional: World, began_at: float, *steps: str) -> list[dict[str, Any]]:
    return [one for one in regional.decisions("home", *steps) if one["at"] > began_at]


def pids_of(regional: World, site: str) -> list[int]:
    return [worker["pid"] for worker in regional.ask(site, "status")["workers"]]


@pytest.mark.browser
def test_two_browsers_in_two_regions_move_apart_and_go_on_seeing_each_other(
    regional: World, tmp_path: Path, shots: Path
) -> None:
    with (
        visitor(regional.net.host("a-user-3"), tmp_path) as anna,
        visitor(regional.net.host("c-user-3"), tmp_path) as carl,
    ):
        for who, name in ((anna, "anna"), (carl, "carl")):
            who.opens(f"{regional.home.url}?name={name}&auto=1")
        for who, site, other in ((anna, "a-site", "carl"), (carl, "c-site", "anna")):
            who.waits_until(f"state.site === '{site}' && state.moves.length > 0")
            who.waits_until(f"state.others.some(each => each.name === '{other}')")
        for who, site in ((anna, "a-site"), (carl, "c-site")):
            who.waits_until("state.rtt_ms < state.first_ms / 2")
            state = who.state
            assert state["host"] == regional.site[site].place.address
            assert state["losses"] == 0
        # Each is served by a copy of its own now: what one says comes to the other through both and the home.
        for who in (anna, carl):
            heard = who.state["others"][0]["last"]
            who.waits_until(f"state.others[0].last > {heard + 5}")
        for who, name in ((anna, "anna"), (carl, "carl")):
            who.driver.save_screenshot(str(shots / f"{name}.png"))
            assert console_errors(who.driver) == []


def test_users_are_served_on_while_their_site_is_cut_off_and_nothing_is_stopped_when_it_heals(
    regional: World,
) -> None:
    with regional.person("a-user-1") as ann:
        ann.comes_to(regional.site["a-site"])
        copy, workers = regional.copies("home")["a-site"], pids_of(regional, "a-site")
        began_at = time.time()
        regional.net.cut("exchange", "a-border")
        try:
            regional.until(
                lambda: [one for one in since(regional, began_at, "redirect") if one["outcome"] == "suspended"],
                "the home to count on the cut-off site no more",
            )
            ann.waits_for(lambda: ann.samples[-1].at > began_at + 2 * SILENT_AFTER_S, "round trips all the while")
        finally:
            regional.net.heal_all()
        regional.until(lambda: regional.copies("home")["a-site"]["state"] == "serving", "the home to hear of it again")
        after = regional.copies("home")["a-site"]
        ann.goes_on(4)
        assert ann.errors == []
        assert ann.at == regional.site["a-site"].place.address
        assert {page.host for page in ann.pages if page.at > began_at} == {ann.at}
        assert (after["since"], after["url"]) == (copy["since"], copy["url"])
        assert after["lease_ends_at"] > copy["lease_ends_at"]
        assert pids_of(regional, "a-site") == workers
        assert [one for one in since(regional, began_at, "retire") if one["subject"] == copy["site"]] == []


def test_users_of_a_killed_site_fall_back_and_move_to_the_next_nearest_and_it_serves_again_when_it_is_back(
    regional: World,
) -> None:
    killed, next_nearest = regional.site["b-site"], regional.site["a-site"]
    with ExitStack() as stack:
        ben = stack.enter_context(regional.person("b-user-1"))
        ben.comes_to(killed)
        ben.goes_on(4)
        assert ben.errors == []
        workers = pids_of(regional, "b-site")
        killed.kill()
        for pid in workers:
            kill(pid)
        try:
            ben.comes_to(regional.home)
            ben.comes_to(next_nearest)
            errors = list(ben.errors)
            assert errors
            ben.goes_on(8)
        finally:
            killed.start().wait_ready()
        bea = stack.enter_context(regional.person("b-user-2"))
        bea.comes_to(killed)
        ben.comes_to(killed)
        assert ben.errors == errors, ben.told
        assert bea.errors == [], bea.told
        regional.until(lambda: regional.copies("home")["b-site"]["state"] == "serving", "the home to hear of it again")


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it went with its node


def test_a_user_who_answers_no_probe_behind_routers_that_answer_none_is_brought_near(regional: World) -> None:
    with ExitStack() as stack:
        for port in range(FIRST_PORT, FIRST_PORT + PROBED_PORTS):
            # Something listens on every port that is probed, and keeps silent.
            silent = stack.enter_context(regional.net.socket_in("quiet-user", socket.AF_INET, socket.SOCK_DGRAM))
            silent.bind(("0.0.0.0", port))
        began_at = time.time()
        quinn = stack.enter_context(regional.person("quiet-user"))
        quinn.comes_to(regional.site["a-site"])
        quinn.goes_on(8)
        assert quinn.errors == []
        prefix = str(prefix_of(quinn.address))
        [traced] = [one for one in since(regional, began_at, "trace") if one["subject"] == prefix]
        assert traced["inputs"]["rtt_ms"] is None
        [redirect] = [one for one in since(regional, began_at, "redirect") if one["subject"] == prefix][:1]
        assert redirect["inputs"]["rtt_ms"] < redirect["inputs"]["rtt_here_ms"]
        # It stays redirected though no probe ever says how near it is: new visits need not start from the home.
        regional.until(lambda: curl(regional, "quiet-user") == ("1", "a-site"), "visits to be sent straight there")


def curl(regional: World, host: str) -> tuple[str, str]:
    """How many redirects ``curl -L`` followed from the home, and the name of the site that answered.

    It asks for something else each time: who asks for the same again and again is taken to be sent in a circle.
    """
    page = f"{regional.home.url}api/hello?name={time.monotonic_ns()}"
    command = ["curl", "-sS", "-L", "-w", "\n%{num_redirects}", page]
    done = regional.net.host(host).run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    body, _, redirects = done.stdout.rpartition("\n")
    return redirects, body.partition('"served_by":"')[2].partition('"')[0]


def test_curl_follows_the_redirect(regional: World) -> None:
    if not Path("/usr/bin/curl").exists():
        pytest.skip("curl is not installed")
    # By way of another copy at first, if one is known sooner to be nearer than the home.
    regional.until(lambda: curl(regional, "c-user-2") == ("1", "c-site"), "curl to be sent straight to the near site")
