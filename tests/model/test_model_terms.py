"""Terms from another site: what it made up itself is checked before anything is done by it."""

import msgspec
import pytest

from footloose.core.codec import sign
from footloose.core.digest import digest_of
from footloose.core.errors import RemoteError
from footloose.core.identity import Identity
from footloose.core.limits import LEASE_GRACE_S, LEASE_TERM_S, TERMS_TEXT_CHARS
from footloose.model.app import App, GuestKind, Service, ServiceId
from footloose.model.network import Observation, Prefix
from footloose.model.terms import Lease, LeaseRequest, check_lease, check_reading, check_request

HOME = Identity.from_seed(b"h" * 32)
SITE = Identity.from_seed(b"s" * 32)
APP = App("shop", HOME.node_id, (Service("web", digest_of(b"code"), GuestKind.HANDLER),))
SERVICE = APP.service_id(APP.services[0])
NOW = 1_700_000_000.0
REQUEST = LeaseRequest(
    request_id="1",
    customer=HOME.node_id,
    app=sign(APP, HOME),
    service="web",
    term_s=LEASE_TERM_S,
    parent_url=f"http://home.example:8080/{SERVICE}/",
    relay_token="token",
    price_per_hour=1.0,
)
LEASE = Lease(
    lease_id="1f",
    provider_node=SITE.node_id,
    customer=HOME.node_id,
    service=SERVICE,
    artifact=APP.services[0].artifact,
    starts_at=NOW,
    ends_at=NOW + LEASE_TERM_S,
    grace_s=LEASE_GRACE_S,
    price_per_hour=1.0,
    url=f"http://site.example/{SERVICE}/",
)
SEEN = Observation(SERVICE, Prefix("192.0.2.0/24"), "192.0.2.7", requests=1, rtt_ms=3.0)


def test_what_is_as_it_should_be_passes() -> None:
    check_request(REQUEST, SERVICE, "test")
    check_lease(LEASE, REQUEST, SERVICE, NOW, "test")
    check_reading((SEEN, msgspec.structs.replace(SEEN, site=SITE.node_id)), SERVICE, "test")


@pytest.mark.parametrize(
    "changes",
    [
        {"request_id": ""},
        {"request_id": "x" * (TERMS_TEXT_CHARS + 1)},
        {"relay_token": "a\r\nb"},
        {"term_s": 0.0},
        {"parent_url": f"javascript:/{SERVICE}/"},
        {"parent_url": f"http://home.example/other/{SERVICE}/"},
        {"parent_url": "http://home.example/"},
    ],
)
def test_a_request_that_cannot_be_worked_with_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RemoteError):
        check_request(msgspec.structs.replace(REQUEST, **changes), SERVICE, "test")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"customer": SITE.node_id}, "not the one asked for"),
        ({"service": ServiceId("other/web")}, "not the one asked for"),
        ({"ends_at": NOW - 1}, "run out"),
        ({"ends_at": NOW + 1e9}, "longer than was asked"),
        ({"starts_at": NOW - 1e9}, "longer than was asked"),
        ({"starts_at": NOW + 1e9}, "longer than was asked"),
        ({"price_per_hour": 1.5}, "more than was offered"),
        ({"lease_id": "../../v1"}, "letters and digits"),
        ({"url": f"http://site.example/\r\nSet-Cookie: a=b\r\n/{SERVICE}/"}, "nothing more"),
        ({"url": "http://site.example/elsewhere/"}, "does not end in"),
    ],
)
def test_a_lease_other_than_was_asked_for_is_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(RemoteError, match=why):
        check_lease(msgspec.structs.replace(LEASE, **changes), REQUEST, SERVICE, NOW, "test")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"service": "other/web"}, "another service"),
        ({"prefix": "192.0.3.0/24"}, "is not in"),
        ({"address": "nowhere"}, "not an IP address"),
        ({"requests": -1}, "below nothing"),
        ({"rtt_ms": -1.0}, "below nothing"),
        ({"site": "somebody"}, "not a node id"),
    ],
)
def test_a_reading_of_what_cannot_have_been_seen_is_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(RemoteError, match=why):
        check_reading((SEEN, msgspec.structs.replace(SEEN, **changes)), SERVICE, "test")
