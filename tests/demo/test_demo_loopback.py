"""The demo where there are no network namespaces: less is real, and it says so."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_runs import demo_run

from footloose.demo.ground import Loopback
from footloose.testbed import Host, Link, Role, Router, Topology
from footloose.testbed.relay import NOT_REAL

SMALL = """
name: small
routers: {gw: {}, exchange: {}, near: {}, side: {}}
hosts:
  home: {role: home}
  near-site: {role: site, region: near}
  side-site: {role: site, region: side}
  near-user: {role: user}
  side-user: {role: user}
links:
  - {between: [home, gw], delay_ms: 1}
  - {between: [gw, exchange], delay_ms: 40}
  - {between: [exchange, near], delay_ms: 5}
  - {between: [exchange, side], delay_ms: 15}
  - {between: [near, near-site], delay_ms: 1}
  - {between: [near, near-user], delay_ms: 1}
  - {between: [side, side-site], delay_ms: 1}
  - {between: [side, side-user], delay_ms: 1}
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    yield path


@pytest.mark.slow
def test_latency_falls_and_users_end_at_the_nearest_sites_without_namespaces(small: Path) -> None:
    with demo_run("--json", "--loopback", "--topology", str(small)) as run:
        ended = run.ended()
    assert (ended.code, ended.left_behind) == (0, ()), ended.err
    report = json.loads(ended.out)
    assert {user["user"]: user["site"] for user in report["users"]} == {
        "near-user": "near-site",
        "side-user": "side-site",
    }
    for user in report["users"]:
        assert user["errors"] == []
        assert user["first_rtt_ms"] > 80
        assert user["rtt_ms"] < user["first_rtt_ms"] / 2
        assert user["rtt_ms"] >= user["nearest_rtt_ms"] * 0.9
    assert {site["found_by"] for site in report["sites"]} == {"static"}
    assert set(NOT_REAL) < set(report["not_real"])
    for what in report["not_real"]:
        assert what in ended.err


@pytest.mark.root
@pytest.mark.slow
def test_without_the_right_to_make_namespaces_it_falls_back_by_itself_and_says_so_in_plain_lines(small: Path) -> None:
    # A user namespace in which nobody is mapped has no rights at all.
    rightless = ("unshare", "--user", sys.executable, "-m", "footloose")
    if subprocess.run([*rightless[:2], "true"], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("this kernel makes no user namespaces")
    with demo_run("--headless", "--topology", str(small), footloose=rightless) as run:
        ended = run.ended()
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith("without network namespaces (network namespaces are allowed neither")
    assert {f"  - {what}" for what in NOT_REAL} < set(lines)
    assert lines[-1] == "2 of 2 users are settled at their nearest site; 0 errors seen by users"
    assert "\x1b" not in ended.out
    rows = [line.rstrip() for line in lines if line.startswith(("near-user", "side-user"))]
    assert [row.split()[1:3] for row in rows] == [["near-site", "✓"], ["side-site", "✓"]]
    assert all(len(row) <= 100 for row in rows)


def test_the_echo_of_a_user_is_the_only_port_of_it_that_is_exposed() -> None:
    hosts = (Host("home", Role.HOME), Host("site", Role.SITE), Host("user", Role.USER))
    links = (Link("home", "r", 10), Link("site", "r", 1), Link("user", "r", 1))
    ground = Loopback(Topology("three", (Router("r"),), hosts, links))
    with ground.up():
        assert ground.place("user").address != ground.place("site").address
        assert "--site" in ground.options("home", joins=True, resolver=None).extra
        assert ground.options("site", joins=True, resolver="1.2.3.4:53").resolver is None
        for port, open_ in ((8007, True), (8080, False)):
            with socket.socket() as probe:
                assert (probe.connect_ex((ground.place("user").address, port)) == 0) is open_
