"""Finding sites in the DNS, against a real authoritative server."""

import time
from collections.abc import Iterator
from pathlib import Path

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st
from name_servers import nsd, relay_to, silent

from footloose.core.errors import LocalError, RemoteError
from footloose.core.limits import DNS_SITES_PER_ZONE
from footloose.discovery.dns import DnsFinder, zones_of
from footloose.model.network import Hop, Route, router_id
from footloose.model.site import Endpoint, Sighting, Source

__all__ = ["silent"]

LONG = ".".join(["a" * 60] * 4)

CROWD = "\n".join(
    f"_edge._tcp.crowd.test. SRV {n} 0 443 n{n}.crowd.test.\nn{n}.crowd.test. A 192.0.2.{n}" for n in range(50, 90)
)

RECORDS = rf"""
1.0.1.10.in-addr.arpa. PTR ae1.core.isp.test.
2.0.1.10.in-addr.arpa. PTR ae2.core.isp.test.
_edge._tcp.isp.test. SRV 10 30 5060 low.isp.test.
_edge._tcp.isp.test. SRV 10 60 5061 high.isp.test.
_edge._tcp.isp.test. SRV 5 1 5062 first.isp.test.
low.isp.test. A 192.0.2.1
high.isp.test. A 192.0.2.2
first.isp.test. A 192.0.2.3
first.isp.test. AAAA 2001:db8::3

1.0.2.10.in-addr.arpa. PTR r1.closed.test.
_edge._tcp.closed.test. SRV 0 0 0 .

1.0.3.10.in-addr.arpa. PTR loop-a.knot.test.
loop-a.knot.test. CNAME loop-b.knot.test.
loop-b.knot.test. CNAME loop-a.knot.test.
_edge._tcp.knot.test. SRV 0 0 443 loop-a.knot.test.
_edge._tcp.loop-a.knot.test. CNAME _edge._tcp.loop-b.knot.test.
_edge._tcp.loop-b.knot.test. CNAME _edge._tcp.loop-a.knot.test.

1.0.4.10.in-addr.arpa. PTR \000\255\032x.\009.odd.test.
_edge._tcp.odd.test. SRV 0 0 443 \000\001.odd.test.
\000\001.odd.test. A 192.0.2.40

1.0.5.10.in-addr.arpa. PTR {LONG}.
2.0.5.10.in-addr.arpa. PTR .
3.0.5.10.in-addr.arpa. PTR test.
4.0.5.10.in-addr.arpa. PTR 1.0.1.10.in-addr.arpa.
_edge._tcp.test. SRV 0 0 443 low.isp.test.

1.0.6.10.in-addr.arpa. PTR r.inward.test.
_edge._tcp.inward.test. SRV 0 0 443 here.inward.test.
here.inward.test. A 127.0.0.1
here.inward.test. A 224.0.0.1
here.inward.test. A 0.0.0.0
here.inward.test. A 169.254.169.254
here.inward.test. AAAA ::1
1.0.0.127.in-addr.arpa. PTR localhost.inward.test.

1.0.7.10.in-addr.arpa. PTR r.crowd.test.
{CROWD}

1.0.8.10.in-addr.arpa. PTR nowhere.dangling.test.
_edge._tcp.dangling.test. SRV 0 0 443 missing.dangling.test.

1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR r6.isp.test.
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with nsd(tmp_path_factory.mktemp("nsd"), {".": RECORDS}) as endpoint:
        yield endpoint


def route(*addresses: str | None, target: str = "10.99.0.9") -> Route:
    hops = tuple(Hop(ttl, address, float(ttl) if address else None) for ttl, address in enumerate(addresses, 1))
    return Route(target, hops, 50.0)


def patient(server: Endpoint, **options: int) -> DnsFinder:
    """A finder that asks nothing twice because a busy machine was slow to answer."""
    return DnsFinder([server], timeout_s=60.0, **options)


async def find(finder: DnsFinder, on: Route) -> list[Sighting]:
    return [sighting async for sighting in finder.find(on)]


async def test_a_site_is_found_by_the_name_of_a_hop_and_the_srv_records_of_its_zone(server: Endpoint) -> None:
    sightings = await find(patient(server), route(None, "10.1.0.1"))
    assert sightings == [
        Sighting(api=Endpoint(host, port), source=Source.DNS, router=router_id("10.1.0.1"))
        for host, port in [
            ("192.0.2.3", 5062),
            ("2001:db8::3", 5062),
            ("192.0.2.2", 5061),
            ("192.0.2.1", 5060),
        ]
    ]


async def test_the_name_of_the_user_itself_counts_too(server: Endpoint) -> None:
    sightings = await find(patient(server), route(None, target="10.1.0.2"))
    assert {sighting.router for sighting in sightings} == {router_id("10.1.0.2")}
    assert len(sightings) == 4


async def test_a_hop_with_an_ipv6_address_is_asked_about_under_ip6_arpa(server: Endpoint) -> None:
    sightings = await find(patient(server), route("2001:db8::1"))
    assert {sighting.router for sighting in sightings} == {router_id("2001:db8::1")}


async def test_a_hop_without_a_name_hides_no_other(server: Endpoint) -> None:
    sightings = await find(patient(server), route("10.250.0.1", "10.1.0.1", None, "10.251.0.1"))
    assert len(sightings) == 4


async def test_a_zone_that_says_it_has_no_sites_is_believed(server: Endpoint) -> None:
    assert await find(patient(server), route("10.2.0.1")) == []


async def test_a_loop_of_aliases_ends_and_is_reported(server: Endpoint) -> None:
    found = []
    with pytest.raises(RemoteError, match="no answer"):
        async for sighting in patient(server).find(route("10.3.0.1", "10.1.0.1")):
            found.append(sighting)  # noqa: PERF401 - what came before the error is wanted
    assert len(found) == 4


async def test_strange_bytes_in_names_do_no_harm(server: Endpoint) -> None:
    sightings = await find(patient(server), route("10.4.0.1"))
    assert [sighting.api for sighting in sightings] == [Endpoint("192.0.2.40", 443)]


@pytest.mark.parametrize("hop", ["10.5.0.1", "10.5.0.2", "10.5.0.3", "10.5.0.4"])
async def test_names_too_long_or_too_short_lead_nowhere(server: Endpoint, hop: str) -> None:
    assert await find(patient(server), route(hop)) == []


async def test_a_zone_cannot_send_us_to_ourselves_or_to_no_single_machine(server: Endpoint) -> None:
    assert await find(patient(server), route("10.6.0.1")) == []


async def test_a_hop_on_this_machine_may_name_this_machine(server: Endpoint) -> None:
    sightings = await find(patient(server), route("127.0.0.1"))
    assert {sighting.api.host for sighting in sightings} == {"127.0.0.1", "::1"}


async def test_of_many_sites_in_a_zone_the_preferred_are_taken(server: Endpoint) -> None:
    sightings = await find(patient(server), route("10.7.0.1"))
    assert [sighting.api.host for sighting in sightings] == [f"192.0.2.{n}" for n in range(50, 50 + DNS_SITES_PER_ZONE)]


async def test_a_target_without_an_address_is_left_out(server: Endpoint) -> None:
    assert await find(patient(server), route("10.8.0.1")) == []


async def test_each_question_is_asked_once_per_route_and_not_again_while_its_answer_is_good(server: Endpoint) -> None:
    async with relay_to(server) as (address, relay):
        finder = patient(address)
        await find(finder, route("10.1.0.1", "10.1.0.2", "10.250.0.1"))
        assert len(relay.asked) == len(set(relay.asked))
        assert "_edge._tcp.isp.test. SRV" in relay.asked
        assert not any(question.startswith("_edge._tcp.test.") for question in relay.asked)
        before = len(relay.asked)
        await find(finder, route("10.1.0.1", "10.1.0.2", "10.250.0.1"))
        assert len(relay.asked) == before


async def test_an_answer_is_asked_for_again_when_its_time_is_over(
    server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with relay_to(server) as (address, relay):
        finder = patient(address)
        await find(finder, route("10.1.0.1"))
        before = sorted(relay.asked)
        relay.asked.clear()
        later, real = 301.0, time.time
        monkeypatch.setattr(time, "time", lambda: real() + later)
        await find(finder, route("10.1.0.1"))
        assert sorted(relay.asked) == before


async def test_no_more_questions_are_asked_than_the_limit(server: Endpoint) -> None:
    async with relay_to(server) as (address, relay):
        finder = patient(address, lookups_per_route=5)
        with pytest.raises(RemoteError, match="left out after 5"):
            await find(finder, route(*(f"10.1.{n}.1" for n in range(20))))
        assert len(relay.asked) == 5


async def test_a_silent_name_server_is_given_up_in_favour_of_the_next(server: Endpoint, silent: Endpoint) -> None:
    assert len(await find(DnsFinder([silent, server], timeout_s=2.0), route("10.1.0.1"))) == 4


async def test_when_no_name_server_answers_that_is_reported(silent: Endpoint) -> None:
    with pytest.raises(RemoteError, match="2 of 2 questions had no answer"):
        await find(DnsFinder([silent], timeout_s=0.2), route("10.1.0.1"))


async def test_a_zone_that_is_refused_does_not_spoil_the_others(tmp_path: Path) -> None:
    zones = {
        "10.in-addr.arpa.": "1.0.1 PTR r.isp.test.\n1.0.2 PTR r.elsewhere.test.\n",
        "isp.test.": "_edge._tcp SRV 0 0 443 here\nhere A 192.0.2.1\n",
    }
    found = []
    with nsd(tmp_path, zones) as server, pytest.raises(RemoteError, match=r"2 of .* no answer.*elsewhere\.test"):
        async for sighting in patient(server).find(route("10.1.0.1", "10.2.0.1")):
            found.append(sighting.api)  # noqa: PERF401 - what came before the error is wanted
    assert found == [Endpoint("192.0.2.1", 443)]


async def test_a_reader_who_stops_early_leaves_nothing_running(server: Endpoint) -> None:
    stream = patient(server).find(route("10.1.0.1"))
    await anext(stream)
    await stream.aclose()


def test_a_name_server_must_be_an_address() -> None:
    with pytest.raises(LocalError, match="not an address"):
        DnsFinder([Endpoint("ns.isp.test", 53)])
    with pytest.raises(LocalError, match="no name server"):
        DnsFinder([])


@given(st.lists(st.binary(min_size=1, max_size=10), max_size=12))
def test_the_zones_of_a_name_are_its_suffixes_of_at_least_two_labels(labels: list[bytes]) -> None:
    name = dns.name.Name([*labels, b""])
    for zone in zones_of(name):
        assert name.is_subdomain(zone)
        assert len(zone.labels) >= 3  # two and the root
