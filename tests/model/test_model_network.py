"""Users' prefixes and router ids."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.codec import decode, encode
from footloose.core.errors import RemoteError
from footloose.model.network import Hop, Route, prefix_of, router_id

addresses = st.ip_addresses()
BITS = {"prefix": {4: 24, 6: 48}, "router": {4: 29, 6: 125}}


def plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@given(addresses)
def test_an_address_lies_in_its_prefix_and_router_network(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    for kind, masked in (("prefix", prefix_of(str(address))), ("router", router_id(str(address)))):
        network = ipaddress.ip_network(masked)
        assert plain(address) in network
        assert network.prefixlen == BITS[kind][network.version]
        assert str(network) == masked


@given(addresses)
def test_all_addresses_of_a_router_network_have_one_id(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    network = ipaddress.ip_network(router_id(str(address)))
    assert {router_id(str(one)) for one in network} == {str(network)}


@given(st.ip_addresses(v=4))
def test_ipv4_written_as_ipv6_is_the_same_user_and_router(address: ipaddress.IPv4Address) -> None:
    assert prefix_of(f"::ffff:{address}") == prefix_of(str(address))
    assert router_id(f"::ffff:{address}") == router_id(str(address))


@pytest.mark.parametrize(
    ("address", "prefix", "router"),
    [
        ("198.51.100.77", "198.51.100.0/24", "198.51.100.72/29"),
        ("2001:db8:1:2::9", "2001:db8:1::/48", "2001:db8:1:2::8/125"),
        ("::ffff:192.0.2.1", "192.0.2.0/24", "192.0.2.0/29"),
    ],
)
def test_known_addresses_have_known_prefixes_and_routers(address: str, prefix: str, router: str) -> None:
    assert (prefix_of(address), router_id(address)) == (prefix, router)


@given(st.text())
def test_text_that_is_no_address_is_a_remote_error_and_nothing_worse(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        with pytest.raises(RemoteError, match="is not an IP address"):
            prefix_of(text)


@pytest.mark.parametrize("text", ["", "1.2.3", "01.2.3.4", "1.2.3.4/24", "localhost", "::1::", "fe80::1%", " 1.2.3.4"])
def test_near_misses_are_no_addresses(text: str) -> None:
    with pytest.raises(RemoteError):
        router_id(text)


def test_a_silent_hop_has_no_router() -> None:
    assert Hop(3).router is None
    assert Hop(3, "198.51.100.77", 1.0).router == "198.51.100.72/29"


def test_a_route_says_whether_it_was_reached_and_survives_the_wire() -> None:
    route = Route("198.51.100.9", (Hop(1, "192.0.2.1", 0.4), Hop(2), Hop(3, "198.51.100.9", 2.5)), 2.5)
    assert route.reached
    assert not Route("198.51.100.9", ()).reached
    assert decode(encode(route), Route) == route
