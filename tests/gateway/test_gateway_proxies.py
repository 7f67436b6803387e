"""Proxies in front of a gateway: who is believed, and what of it."""

import asyncio
import struct
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
from gateway_support import WEB, Answer, Sites, connected, eventually, fetch, get, hello, talk
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.limits import PROXY_HEADER_BYTES
from footloose.gateway.crowd import Crowd
from footloose.gateway.forwarded import Told, Trusted, told_by
from footloose.gateway.proxyproto import Behind, Garbage, ProxyHeader
from footloose.gateway.tls import CertificateFiles
from footloose.node.certificates import read_certificate
from tls_files import trusting, write_certificate

V2 = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL = ("127.0.0.0/8",)


def version_2(source: str, target: str, port: int, *, command: int = 0x21, options: bytes = b"") -> bytes:
    packed = ip_address(source).packed + ip_address(target).packed + struct.pack("!HH", 4711, port) + options
    family = 0x21 if ":" in source else 0x11
    return V2 + bytes([command, family]) + struct.pack("!H", len(packed)) + packed


def environment(answer: Answer) -> dict[str, str]:
    seen = answer.json["env"]
    assert isinstance(seen, dict)
    return seen


# Forwarding headers.


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, Told()),
        ({"-X_FORWARDED_FOR": "198.51.100.7"}, Told("198.51.100.7")),
        ({"-X_FORWARDED_FOR": "6.6.6.6, 198.51.100.7"}, Told("198.51.100.7")),
        ({"-X_FORWARDED_FOR": "6.6.6.6, 198.51.100.7, 10.0.0.2"}, Told("198.51.100.7")),
        ({"-X_FORWARDED_FOR": "10.0.0.3, 10.0.0.2"}, Told("10.0.0.3")),
        ({"-X_FORWARDED_FOR": "198.51.100.7, junk"}, Told()),
        ({"-X_FORWARDED_FOR": "198.51.100.7, junk, 10.0.0.2"}, Told("10.0.0.2")),
        ({"-X_FORWARDED_FOR": "198.51.100.7:443"}, Told("198.51.100.7")),
        ({"-X_FORWARDED_FOR": "::ffff:198.51.100.7"}, Told("198.51.100.7")),
        ({"-X_FORWARDED_FOR": "198.51.100.7", "-X_FORWARDED_PROTO": "https"}, Told("198.51.100.7", True)),
        ({"-X_FORWARDED_FOR": "198.51.100.7, 10.0.0.2", "-X_FORWARDED_PROTO": "https"}, Told("198.51.100.7", True)),
        (
            {"-X_FORWARDED_FOR": "198.51.100.7, 10.0.0.2", "-X_FORWARDED_PROTO": "https, http"},
            Told("198.51.100.7", True),
        ),
        ({"-FORWARDED": "for=198.51.100.7;proto=http", "-X_FORWARDED_FOR": "6.6.6.6"}, Told("198.51.100.7", False)),
        ({"-FORWARDED": 'For="[2001:db8::7]:4711";Proto=HTTPS;by=10.0.0.1'}, Told("2001:db8::7", True)),
        ({"-FORWARDED": "for=_hidden, for=10.0.0.2"}, Told("10.0.0.2")),
        ({"-FORWARDED": 'for="1.1.1.1, for=2.2.2.2";x="\\"", for=198.51.100.7'}, Told("198.51.100.7")),
        ({"-FORWARDED": "garbage"}, Told()),
    ],
)
def test_the_rightmost_address_that_is_no_trusted_proxy_is_the_users(fields: dict[str, str], told: Told) -> None:
    assert told_by(fields, Trusted(["10.0.0.0/8", "fd00::/8"])) == told


@given(
    st.dictionaries(st.sampled_from(["-FORWARDED", "-X_FORWARDED_FOR", "-X_FORWARDED_PROTO"]), st.text(max_size=300))
)
def test_whatever_a_forwarding_header_says_the_user_has_an_address_or_none(fields: dict[str, str]) -> None:
    told = told_by(fields, Trusted(["10.0.0.0/8"]))
    assert told.address is None or str(ip_address(told.address)) == told.address


async def test_a_trusted_proxy_says_whose_a_request_is(sites: Sites) -> None:
    site = await sites.start(trusted_proxies=LOCAL)
    seen = environment(
        await fetch(site.port, get(f"/{WEB}/", "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: https"))
    )
    assert (seen["REMOTE_ADDR"], seen["HTTPS"]) == ("198.51.100.7", "on")
    assert not [name for name in seen if "FORWARDED" in name]
    await site.until(lambda: bool(site.reports))
    (observed,) = site.reports[0].observations
    assert (observed.prefix, observed.address, observed.rtt_ms) == ("198.51.100.0/24", "198.51.100.7", None)


async def test_each_request_on_a_proxys_connection_has_its_own_user(sites: Sites) -> None:
    site = await sites.start(trusted_proxies=LOCAL)
    addresses = ["198.51.100.7", "203.0.113.9", ""]
    requests = [
        get(f"/{WEB}/", *([f"X-Forwarded-For: {address}"] if address else []), close=address == "")
        for address in addresses
    ]
    data = await talk(site.port, b"".join(requests))
    answers = [Answer(b"HTTP/1.1 200 OK" + part) for part in data.split(b"HTTP/1.1 200 OK")[1:]]
    assert [environment(answer)["REMOTE_ADDR"] for answer in answers] == [*addresses[:2], "127.0.0.1"]


async def test_nobody_else_is_believed_and_no_guest_hears_it(sites: Sites) -> None:
    site = await sites.start(trusted_proxies=("192.0.2.0/24",))
    said = [
        "X-Forwarded-For: 6.6.6.6",
        "Forwarded: for=6.6.6.6;proto=https",
        "X-Real-IP: 6.6.6.6",
        "X-Forwarded-Host: e",
    ]
    seen = environment(await fetch(site.port, get(f"/{WEB}/", *said)))
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert "HTTPS" not in seen
    assert not [name for name in seen if "FORWARDED" in name or "REAL" in name]


# The PROXY protocol.


@pytest.mark.parametrize(
    ("header", "behind"),
    [
        (b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 80\r\n", Behind("198.51.100.7", "203.0.113.1", 80)),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", Behind("2001:db8::7", "2001:db8::1", 443)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        (version_2("198.51.100.7", "203.0.113.1", 80), Behind("198.51.100.7", "203.0.113.1", 80)),
        (
            version_2("2001:db8::7", "2001:db8::1", 443, options=b"\x04\x00\x01x"),
            Behind("2001:db8::7", "2001:db8::1", 443),
        ),
        (version_2("::ffff:198.51.100.7", "2001:db8::1", 1), Behind("198.51.100.7", "2001:db8::1", 1)),
        (version_2("198.51.100.7", "203.0.113.1", 80, command=0x20), None),
        (V2 + b"\x21\x00\x00\x00", None),
        (V2 + b"\x21\x31\x00\xd8" + bytes(216), None),
    ],
)
def test_a_header_is_understood_however_it_is_cut_and_nothing_behind_it_is_taken(
    header: bytes, behind: Behind | None
) -> None:
    for step in (1, 7, 1000):
        parser, stream = ProxyHeader(), header + b"GET / HTTP/1.1"
        while not parser.done:
            stream = stream[parser.feed(stream[:step]) :]
        assert (parser.behind, stream) == (behind, b"GET / HTTP/1.1")


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 4711\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 80 \r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 80\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 65536\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.1 04711 80\r\n",
        b"PROXY TCP4 198.51.100.007 203.0.113.1 4711 80\r\n",
        b"PROXY TCP5 x\r\n",
        b"PROXY \xff\r\n",
        b"PROXY " + b"x" * 101,
        V2 + b"\x11\x11\x00\x0c" + bytes(12),
        V2 + b"\x22\x11\x00\x0c" + bytes(12),
        V2 + b"\x21\x11\x00\x0b" + bytes(11),
        V2 + b"\x21\x21\x00\x0c" + bytes(12),
        V2 + b"\x21\x11" + struct.pack("!H", PROXY_HEADER_BYTES + 1),
        V2[:11] + b"\r",
    ],
)
def test_garbage_is_no_header(garbage: bytes) -> None:
    with pytest.raises(Garbage):
        ProxyHeader().feed(garbage)


@given(
    st.one_of(
        st.binary(max_size=300), st.binary(max_size=300).map(V2.__add__), st.binary(max_size=200).map(b"PROXY ".__add__)
    )
)
def test_whatever_comes_is_a_header_or_garbage_or_not_whole_yet(data: bytes) -> None:
    whole, parts = ProxyHeader(), ProxyHeader()
    try:
        used = whole.feed(data)
    except Garbage:
        with pytest.raises(Garbage):
            for index in range(len(data)):
                parts.feed(data[index : index + 1])
        return
    assert sum(parts.feed(data[index : index + 1]) for index in range(len(data))) == used
    assert (parts.done, parts.behind) == (whole.done, whole.behind)
    assert whole.done or used == len(data)


async def test_a_user_behind_the_proxy_protocol_is_observed_as_itself(sites: Sites) -> None:
    site = await sites.start(trusted_proxies=LOCAL, proxy_protocol=True)
    for header in (
        b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 8000\r\n",
        version_2("198.51.100.7", "203.0.113.1", 8000),
    ):
        async with asyncio.timeout(30), connected(site.port) as (reader, writer):
            writer.write(header[:9])
            await writer.drain()
            writer.write(header[9:] + get())
            seen = environment(Answer(await reader.read()))
        assert (seen["REMOTE_ADDR"], seen["SERVER_PORT"]) == ("198.51.100.7", "8000")
    await site.until(lambda: bool(site.reports), 30)
    (observed,) = site.reports[0].observations
    assert (observed.prefix, observed.rtt_ms) == ("198.51.100.0/24", None)


async def test_a_header_comes_before_the_handshake_of_tls(sites: Sites, tmp_path: Path) -> None:
    chain, key = write_certificate(tmp_path, "localhost")
    certificate = read_certificate(CertificateFiles(chain, key))
    site = await sites.start(trusted_proxies=LOCAL, proxy_protocol=True, tls=[certificate])
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.tls_port)
        writer.write(version_2("198.51.100.7", "203.0.113.1", 443))
        await writer.start_tls(trusting(chain), server_hostname="localhost")
        writer.write(get())
        seen = environment(Answer(await reader.read()))
        writer.close()
        await writer.wait_closed()
    assert (seen["REMOTE_ADDR"], seen["HTTPS"]) == ("198.51.100.7", "on")


async def test_who_should_begin_with_a_header_and_does_not_is_cut_off(sites: Sites) -> None:
    site = await sites.start(trusted_proxies=LOCAL, proxy_protocol=True)
    async with asyncio.timeout(30), connected(site.port) as (reader, writer):
        writer.write(get())
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    assert site.gateway.connections == 0


async def test_a_header_of_one_who_is_not_trusted_is_no_request(sites: Sites) -> None:
    site = await sites.start(trusted_proxies=("192.0.2.0/24",), proxy_protocol=True)
    data = await talk(site.port, b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 80\r\n" + get(), timeout_s=30)
    assert Answer(data).status == 400
    assert (await fetch(site.port, get())).status == 200


# How many of one address.


async def test_one_address_may_not_have_all_connections(sites: Sites) -> None:
    site = await sites.start({"hello": hello}, connections_per_address=2)
    async with connected(site.port) as (_, first), connected(site.port):
        first.write(get(close=False))
        async with asyncio.timeout(30), connected(site.port) as (reader, _writer):
            assert Answer(await reader.read()).status == 503
    await eventually(lambda: site.gateway.connections == 0, 30)
    assert (await fetch(site.port, get())).status == 200


def test_a_64_counts_as_one_address() -> None:
    crowd = Crowd(2)
    assert [crowd.enter(address) for address in ("2001:db8:0:1::1", "2001:db8:0:1:a:b:c:d", "2001:db8:0:1::2")] == [
        True,
        True,
        False,
    ]
    assert crowd.enter("2001:db8:0:2::1")
    assert [crowd.enter("192.0.2.1"), crowd.enter("192.0.2.2")] == [True, True]
    crowd.leave("2001:db8:0:1::1")
    assert crowd.enter("2001:db8:0:1::9")
