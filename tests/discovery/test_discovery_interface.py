"""Finders side by side: none delays, breaks or hides another."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import pytest

from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import Identity, NodeId
from footloose.core.limits import SIGHTINGS_PER_FINDER
from footloose.discovery.interface import Discovery, FinderFailed
from footloose.discovery.merge import merged
from footloose.discovery.static import StaticFinder, StaticSite
from footloose.model.network import Hop, Route, RouterId, router_id
from footloose.model.site import Endpoint, Sighting, Source

OWN, OTHER, THIRD = (Identity.from_seed(bytes([n]) * 32).node_id for n in (1, 2, 3))
ROUTE = Route("10.9.0.1", (Hop(1, "10.1.0.1", 2.0), Hop(2), Hop(3, "10.3.0.1", 30.0)), 40.0)
NEAR_US, NEAR_USER = router_id("10.1.0.1"), router_id("10.3.0.1")


class Scripted:
    """A finder that does as it is told."""

    def __init__(self, source: Source, script: Callable[[Route], AsyncIterator[Sighting]]) -> None:
        self.source = source
        self.find = script


def saying(*sightings: Sighting, source: Source = Source.DHT) -> Scripted:
    async def script(route: Route) -> AsyncGenerator[Sighting, None]:
        for sighting in sightings:
            yield sighting

    return Scripted(source, script)


def seen(
    node: NodeId | None, host: str = "192.0.2.1", router: RouterId | None = None, rtt_ms: float | None = None
) -> Sighting:
    return Sighting(api=Endpoint(host, 443), source=Source.DHT, node=node, router=router, rtt_ms=rtt_ms)


async def all_of(discovery: Discovery) -> list[Sighting | FinderFailed]:
    return [finding async for finding in discovery.find(ROUTE)]


async def test_a_slow_finder_does_not_hold_up_a_quick_one() -> None:
    release = asyncio.Event()

    async def slow(route: Route) -> AsyncGenerator[Sighting, None]:
        await release.wait()
        yield seen(THIRD)

    discovery = Discovery([Scripted(Source.DNS, slow), saying(seen(OTHER))], OWN)
    stream = discovery.find(ROUTE)
    assert await anext(stream) == seen(OTHER)
    release.set()
    assert await anext(stream) == seen(THIRD)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_finder_that_fails_is_reported_and_what_it_had_found_stands() -> None:
    async def failing(route: Route) -> AsyncGenerator[Sighting, None]:
        yield seen(THIRD, "192.0.2.3")
        raise RemoteError("the resolver is gone", where="DNS")

    findings = await all_of(Discovery([Scripted(Source.DNS, failing), saying(seen(OTHER))], OWN))
    assert seen(OTHER) in findings
    assert seen(THIRD, "192.0.2.3") in findings
    assert FinderFailed(Source.DNS, "DNS: the resolver is gone") in findings


async def test_a_finder_with_a_bug_is_a_failure_like_any_other() -> None:
    def broken(route: Route) -> AsyncIterator[Sighting]:
        raise ZeroDivisionError

    async def broken_later(route: Route) -> AsyncGenerator[Sighting, None]:
        yield seen(THIRD, "192.0.2.3")
        raise KeyError("x")

    finders = [Scripted(Source.DNS, broken), Scripted(Source.STATIC, broken_later), saying(seen(OTHER))]
    findings = await all_of(Discovery(finders, OWN))
    assert FinderFailed(Source.DNS, "ZeroDivisionError") in findings
    assert FinderFailed(Source.STATIC, "'x'") in findings
    assert seen(OTHER) in findings


async def test_a_finder_that_never_ends_is_stopped_and_cleaned_up() -> None:
    cleaned = asyncio.Event()

    async def endless(route: Route) -> AsyncGenerator[Sighting, None]:
        try:
            yield seen(OTHER)
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    findings = await all_of(Discovery([Scripted(Source.DHT, endless)], OWN, time_limit_s=0.05))
    assert findings == [seen(OTHER), FinderFailed(Source.DHT, "not done after 0.05 s")]
    assert cleaned.is_set()


async def test_a_finder_that_floods_is_stopped() -> None:
    async def flood(route: Route) -> AsyncGenerator[Sighting, None]:
        port = 0
        while True:
            port += 1
            yield Sighting(api=Endpoint("192.0.2.1", port), source=Source.DNS)

    findings = await all_of(Discovery([Scripted(Source.DNS, flood)], OWN))
    assert len(findings) == SIGHTINGS_PER_FINDER + 1
    assert isinstance(findings[-1], FinderFailed)


async def test_the_own_site_is_left_out() -> None:
    api = Endpoint("192.0.2.9", 443)
    finder = saying(seen(OWN), seen(None, "192.0.2.9"), seen(OTHER))
    assert await all_of(Discovery([finder], OWN, [api])) == [seen(OTHER)]


async def test_a_site_comes_again_only_when_it_is_nearer_the_user() -> None:
    near_us = seen(OTHER, router=NEAR_US, rtt_ms=1.0)  # 1 ms from a router 38 ms from the user
    near_user = seen(OTHER, router=NEAR_USER, rtt_ms=5.0)  # 5 ms from a router 10 ms from the user
    assert await all_of(Discovery([saying(near_us, near_user, near_us, near_user)], OWN)) == [near_us, near_user]
    assert await all_of(Discovery([saying(near_user, near_us)], OWN)) == [near_user]


async def test_a_measured_distance_is_better_than_none() -> None:
    by_dns = seen(OTHER, router=NEAR_USER)
    by_dht = seen(OTHER, router=NEAR_US, rtt_ms=9.0)
    assert await all_of(Discovery([saying(by_dns, by_dht, by_dns)], OWN)) == [by_dns, by_dht]


async def test_sightings_without_a_node_id_are_told_apart_by_endpoint() -> None:
    once, twice = seen(None, "192.0.2.1"), seen(None, "192.0.2.2")
    assert await all_of(Discovery([saying(once, twice, once, twice)], OWN)) == [once, twice]


async def test_a_node_that_claims_an_endpoint_does_not_hide_who_else_is_seen_there() -> None:
    claim, other = seen(OTHER, rtt_ms=0.1, router=NEAR_USER), seen(None)
    assert await all_of(Discovery([saying(claim, other)], OWN)) == [claim, other]


async def test_stopping_early_stops_all_finders() -> None:
    cleaned = asyncio.Event()

    async def endless(route: Route) -> AsyncGenerator[Sighting, None]:
        try:
            await asyncio.Event().wait()
            yield seen(THIRD)
        finally:
            cleaned.set()

    stream = Discovery([Scripted(Source.DNS, endless), saying(seen(OTHER))], OWN).find(ROUTE)
    await anext(stream)
    await stream.aclose()
    assert cleaned.is_set()


async def test_without_finders_nothing_is_found() -> None:
    assert await all_of(Discovery([], OWN)) == []


async def test_static_sites_are_found_on_every_route() -> None:
    sites = [StaticSite(Endpoint("192.0.2.1", 443)), StaticSite(Endpoint("site.test", 8443), OTHER)]
    assert [sighting async for sighting in StaticFinder(sites).find(ROUTE)] == [
        Sighting(api=Endpoint("192.0.2.1", 443), source=Source.STATIC),
        Sighting(api=Endpoint("site.test", 8443), source=Source.STATIC, node=OTHER),
    ]


def test_a_static_site_with_a_wrong_node_id_is_refused_with_its_address() -> None:
    with pytest.raises(LocalError, match=r"192\.0\.2\.1:443"):
        StaticFinder([StaticSite(Endpoint("192.0.2.1", 443), NodeId("nonsense"))])


async def test_merged_streams_give_each_item_once_and_raise_the_first_error() -> None:
    async def numbers(*values: int) -> AsyncGenerator[int, None]:
        for value in values:
            yield value

    async def failing() -> AsyncGenerator[int, None]:
        await asyncio.sleep(0)
        yield 7
        raise ValueError("broken")

    assert sorted([value async for value in merged([numbers(1, 2), numbers(3), numbers()])]) == [1, 2, 3]
    with pytest.raises(ValueError, match="broken"):
        [value async for value in merged([failing()])]
