"""What a genuine record may not say: its addresses and names reach URLs, headers and people's screens."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.codec import encode, sign
from footloose.core.errors import RemoteError
from footloose.core.identity import Identity
from footloose.core.limits import RECORD_LIFETIME_S, SITE_NAME_CHARS, SITE_RUNTIMES, URL_CHARS
from footloose.model.site import Endpoint, ProviderId, SiteRecord, check_origin, check_site_record, open_site_record

SITE = Identity.from_seed(b"s" * 32)
NOW = 1_700_000_000.0
PLAIN = SiteRecord(
    node=SITE.node_id,
    provider=ProviderId(SITE.node_id),
    name="attic",
    api=Endpoint("192.0.2.1", 7443),
    gateway="http://192.0.2.1:8080",
    issued_at=NOW,
    expires_at=NOW + RECORD_LIFETIME_S,
)


def opened(**changes: object) -> SiteRecord:
    return open_site_record(sign(msgspec.structs.replace(PLAIN, **changes), SITE), NOW)


@pytest.mark.parametrize(
    "gateway",
    [
        "http://192.0.2.1:8080",
        "https://edge.example",
        "https://edge-1.example:443",
        "http://[2001:db8::1]:8080",
        "http://[2001:db8::1]",
        "http://127.0.0.1:1",
    ],
)
def test_a_gateway_is_a_scheme_a_host_and_perhaps_a_port(gateway: str) -> None:
    assert opened(gateway=gateway).gateway == gateway


@pytest.mark.parametrize(
    "gateway",
    [
        "",
        "edge.example:80",
        "ftp://edge.example",
        "javascript:alert(1)",
        "http://",
        "http://edge.example/",
        "http://edge.example/path",
        "http://edge.example?query",
        "http://edge.example#part",
        "http://user@edge.example",
        "http://user:secret@edge.example:80",
        "http://edge.example:0",
        "http://edge.example:65536",
        "http://edge.example:080",
        "http://edge.example:port",
        "http://edge.example:",
        "http://edge example",
        "http://edge.example\r\nX-Injected: 1",
        "http://edge.example\n",
        "http://[192.0.2.1]:80",
        "http://2001:db8::1:80",
        "http://0.0.0.0:80",
        "http://999.0.0.1:80",
        "http://a..b:80",
        "http://" + "a" * 64 + ".example",
        "http://" + "a." * URL_CHARS + "example",
    ],
)
def test_any_other_gateway_is_refused(gateway: str) -> None:
    with pytest.raises(RemoteError, match=r"not http|not a port|not a host|not the address"):
        opened(gateway=gateway)


@given(st.text(max_size=60))
def test_an_origin_that_passes_can_stand_in_a_header(text: str) -> None:
    for url in (text, f"http://{text}", f"https://a.example{text}"):
        try:
            check_origin(url, "test")
        except RemoteError as error:
            assert str(error).isprintable()
        else:
            assert url.isascii() and url.isprintable() and " " not in url and url.count("/") == 2


@pytest.mark.parametrize("field", ["api", "dht"])
@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint("192.0.2.1", 0),
        Endpoint("192.0.2.1", 65_536),
        Endpoint("192.0.2.1", -1),
        Endpoint("", 80),
        Endpoint("a b", 80),
        Endpoint("a/b", 80),
        Endpoint("user@host", 80),
        Endpoint("host:80", 80),
        Endpoint("[::1]", 80),
        Endpoint("fe80::1%eth0", 80),
        Endpoint("0.0.0.0", 80),
        Endpoint("::", 80),
        Endpoint("224.0.0.1", 80),
        Endpoint("192.0.2", 80),
        Endpoint("a" * 254, 80),
        Endpoint("käse.example", 80),
        Endpoint("host\n", 80),
    ],
)
def test_an_endpoint_needs_a_host_and_a_port(field: str, endpoint: Endpoint) -> None:
    with pytest.raises(RemoteError, match=r"not a port|not a host|not the address"):
        opened(**{field: endpoint})


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "edge.example", "Edge-1.EXAMPLE", "_edge._tcp.example"])
def test_an_address_or_a_name_is_a_host(host: str) -> None:
    assert opened(api=Endpoint(host, 65_535)).api.host == host


@pytest.mark.parametrize("field", ["name", "region"])
@pytest.mark.parametrize("text", ["x" * (SITE_NAME_CHARS + 1), "line\nfeed", "\x1b[31mred", "\u202ebackwards"])
def test_names_are_short_and_printable(field: str, text: str) -> None:
    with pytest.raises(RemoteError, match="too long for a name, or not printable"):
        opened(**{field: text})
    assert opened(**{field: "Ostseebad Prerow, Kirchturm"})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": ""}, "has no name"),
        ({"price_per_hour": -0.01}, "price below nothing"),
        ({"provider": "somebody"}, "not a node id"),
        ({"runtimes": ("wasm",) * (SITE_RUNTIMES + 1)}, "runtimes"),
        ({"runtimes": ("wa\nsm",)}, "not printable"),
    ],
)
def test_other_nonsense_is_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(RemoteError, match=why):
        opened(**changes)


@pytest.mark.parametrize("price", [b"NaN", b"Infinity", b"1e999"])
def test_a_price_that_is_no_number_is_refused(price: bytes) -> None:
    fields = msgspec.json.decode(encode(PLAIN))
    fields["price_per_hour"] = msgspec.Raw(price)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(msgspec.json.encode(fields), type=SiteRecord)


def test_a_site_can_check_its_own_record_before_it_shows_it() -> None:
    check_site_record(PLAIN)
    with pytest.raises(RemoteError, match="not the address of one host"):
        check_site_record(msgspec.structs.replace(PLAIN, api=Endpoint("0.0.0.0", 7443)))
