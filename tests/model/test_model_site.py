"""Site records: genuine and current, or refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.codec import Signed, decode, encode, sign
from footloose.core.errors import RemoteError
from footloose.core.identity import Identity
from footloose.core.limits import CLOCK_SKEW_S, RECORD_LIFETIME_S
from footloose.model.app import App, GuestKind, Service
from footloose.model.site import Endpoint, ProviderId, SiteRecord, open_site_record

SITE = Identity.from_seed(b"s" * 32)
NOW = 1_700_000_000.0


def record(**changes: object) -> SiteRecord:
    made = SiteRecord(
        node=SITE.node_id,
        provider=ProviderId(SITE.node_id),
        name="attic",
        api=Endpoint("192.0.2.1", 7300),
        gateway="http://192.0.2.1:8080",
        issued_at=NOW,
        expires_at=NOW + RECORD_LIFETIME_S,
    )
    return msgspec.structs.replace(made, **changes)


def test_a_genuine_record_opens_after_a_journey() -> None:
    journeyed = decode(encode(sign(record(dht=Endpoint("2001:db8::1", 7301)), SITE)), Signed)
    assert open_site_record(journeyed, NOW).dht == Endpoint("2001:db8::1", 7301)


@given(st.floats(-1000, 2000))
def test_a_record_opens_while_it_is_current_and_not_else(off_s: float) -> None:
    signed = sign(record(), SITE)
    if -CLOCK_SKEW_S <= off_s < RECORD_LIFETIME_S:
        assert open_site_record(signed, NOW + off_s) == record()
    else:
        with pytest.raises(RemoteError, match="expired" if off_s > 0 else "in the future"):
            open_site_record(signed, NOW + off_s)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"node": Identity.from_seed(b"o" * 32).node_id}, "another key than the site's own"),
        ({"version": 2}, "version 2"),
        ({"expires_at": NOW + RECORD_LIFETIME_S + 10}, "longer than a record may be"),
        ({"expires_at": NOW - 1}, "expired"),
        ({"issued_at": NOW + CLOCK_SKEW_S + 1, "expires_at": NOW + 500}, "in the future"),
    ],
)
def test_a_record_that_claims_too_much_is_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(RemoteError, match=why):
        open_site_record(sign(record(**changes), SITE), NOW)


@pytest.mark.parametrize("field", ["issued_at", "expires_at"])
@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"1e999", b'"soon"', b"null"])
def test_a_record_with_a_time_that_is_none_is_refused(field: str, value: bytes) -> None:
    fields = msgspec.json.decode(encode(record()))
    fields[field] = msgspec.Raw(value)
    payload = msgspec.json.encode(fields)
    signature = SITE.sign(b"footloose/1 SiteRecord\n" + payload)
    with pytest.raises(RemoteError):
        open_site_record(Signed("SiteRecord", payload, SITE.node_id, signature), NOW)


@given(st.integers(0), st.integers(1, 255))
def test_a_record_with_any_byte_altered_is_refused(position: int, change: int) -> None:
    signed = sign(record(), SITE)
    payload = bytearray(signed.payload)
    payload[position % len(payload)] ^= change
    with pytest.raises(RemoteError):
        open_site_record(msgspec.structs.replace(signed, payload=bytes(payload)), NOW)


def test_something_else_that_the_site_signed_is_no_record() -> None:
    with pytest.raises(RemoteError, match="where a SiteRecord was wanted"):
        open_site_record(sign(App("x", SITE.node_id, ()), SITE), NOW)


def test_an_endpoint_is_written_as_in_a_url() -> None:
    assert str(Endpoint("192.0.2.1", 80)) == "192.0.2.1:80"
    assert str(Endpoint("2001:db8::1", 80)) == "[2001:db8::1]:80"


def test_an_app_has_the_same_id_everywhere_and_finds_its_services() -> None:
    service = Service("web", "sha256:" + "0" * 64, GuestKind.COMMAND)  # type: ignore[arg-type]
    app = App("shop", SITE.node_id, (service,))
    assert app.app_id == f"shop-{SITE.node_id[:16]}"
    assert app.service_id(service) == f"{app.app_id}/web"
    assert app.service("web") == service
    assert app.service("none") is None
    assert decode(encode(app), App) == app
