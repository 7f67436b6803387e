"""Tracing and probing across real kernel routers."""

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator

import pytest
import uvloop
from kernel_chain import Chain, kernel_chain

from footloose.core.errors import LocalError
from footloose.model.network import Route
from footloose.topology.probe import measure
from footloose.topology.traceroute import Tracer

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces needs root"),
]

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with kernel_chain() as built:
        for v6 in (False, True):  # let neighbours find each other before anything is timed
            trace(built, built.address(3, v6=v6))
        yield built


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    factory: LoopFactory = request.param
    return factory


def trace(chain: Chain, target: str, loop_factory: LoopFactory | None = None) -> Route:
    return chain.run(lambda: Tracer().trace(target), loop_factory=loop_factory)


def addresses(route: Route) -> list[str | None]:
    return [hop.address for hop in route.hops]


@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_the_route_is_the_chain_of_routers(chain: Chain, v6: bool, loop_factory: LoopFactory) -> None:
    route = trace(chain, chain.address(3, v6=v6), loop_factory)
    assert addresses(route) == [chain.address(1, v6=v6), chain.address(2, v6=v6)]
    assert route.rtt_ms is not None
    assert 0 < route.rtt_ms < 1000
    assert all(hop.rtt_ms is not None and 0 < hop.rtt_ms < 1000 for hop in route.hops)


@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_the_route_is_the_one_traceroute_sees(chain: Chain, v6: bool) -> None:
    target = chain.address(3, v6=v6)
    lines = chain.command(0, "traceroute", "-6" if v6 else "-4", "-n", "-q1", target).splitlines()[1:]
    seen = [found[1] for line in lines if (found := re.match(r"\s*\d+\s+([0-9a-f.:]+)\s", line))]
    assert [*addresses(trace(chain, target)), target] == seen


@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_a_silent_router_leaves_a_gap(chain: Chain, v6: bool) -> None:
    with chain.mute(1):
        route = trace(chain, chain.address(3, v6=v6))
    assert addresses(route) == [None, chain.address(2, v6=v6)]
    assert route.reached


def test_a_silent_target_leaves_the_routers_before_it(chain: Chain, loop_factory: LoopFactory) -> None:
    with chain.mute(3):
        route = trace(chain, chain.address(3), loop_factory)
    assert addresses(route) == [chain.address(1), chain.address(2)]
    assert not route.reached


def test_an_address_nobody_has_is_refused_by_the_last_router_with_a_route(chain: Chain) -> None:
    chain.ip(2, "route", "add", "unreachable", "198.51.100.0/24")
    try:
        route = trace(chain, "198.51.100.7")
    finally:
        chain.ip(2, "route", "del", "unreachable", "198.51.100.0/24")
    assert addresses(route) == [chain.address(1), chain.address(2)]
    assert not route.reached


def test_a_cut_off_site_is_told_so(chain: Chain) -> None:
    chain.ip(0, "route", "del", "default")
    try:
        with pytest.raises(LocalError, match="unreachable"):
            trace(chain, chain.address(3))
    finally:
        chain.ip(0, "route", "add", "default", "via", "10.77.0.2")


def test_a_networks_broadcast_address_is_refused(chain: Chain) -> None:
    with pytest.raises(LocalError, match="one host"):
        trace(chain, "10.77.0.255")


def test_many_traces_at_once_are_all_right(chain: Chain, loop_factory: LoopFactory) -> None:
    for link in range(40):
        chain.ip(3, "addr", "replace", f"192.168.7.{link + 1}/32", "dev", "lo")
    chain.ip(1, "route", "replace", "192.168.7.0/24", "via", "10.77.1.2")
    chain.ip(2, "route", "replace", "192.168.7.0/24", "via", "10.77.2.2")

    async def all_of_them() -> list[Route]:
        tracer = Tracer(at_once=8)
        return await asyncio.gather(*(tracer.trace(f"192.168.7.{host}") for host in range(1, 41)))

    routes = chain.run(all_of_them, loop_factory=loop_factory)
    assert {tuple(addresses(route)) for route in routes} == {(chain.address(1), chain.address(2))}
    assert all(route.reached for route in routes)


@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_the_round_trip_to_a_host_behind_routers_is_measured(chain: Chain, v6: bool, loop_factory: LoopFactory) -> None:
    rtt_ms = chain.run(lambda: measure(chain.address(3, v6=v6)), loop_factory=loop_factory)
    assert rtt_ms is not None
    assert 0 < rtt_ms < 1000


def test_a_host_that_keeps_silent_has_no_round_trip(chain: Chain) -> None:
    with chain.mute(3):
        assert chain.run(lambda: measure(chain.address(3), tries=1)) is None


def test_tracing_needs_no_privilege(chain: Chain) -> None:
    program = """
        import asyncio, os, sys
        from footloose.topology.probe import measure
        from footloose.topology.traceroute import Tracer

        async def main():
            route = await Tracer().trace(sys.argv[1])
            print("hops", *[hop.address for hop in route.hops])
            print("reached", route.reached, await measure(sys.argv[1]) is not None)

        os.setgroups([])
        os.setresgid(12345, 12345, 12345)
        os.setresuid(12345, 12345, 12345)
        status = open("/proc/self/status").read()
        print("uid", os.getuid(), "capabilities", int(status.split("CapEff:")[1].split()[0], 16))
        asyncio.run(main())
    """
    words = [sys.executable, "-c", textwrap.dedent(program), chain.address(3)]
    done = subprocess.run(
        ["ip", "netns", "exec", chain.names[0], *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == [
        "uid 12345 capabilities 0",
        f"hops {chain.address(1)} {chain.address(2)}",
        "reached True True",
    ], done.stderr
