"""Apps from elsewhere: within the bounds of app files, or refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.codec import sign
from footloose.core.digest import Digest, digest_of
from footloose.core.errors import RemoteError
from footloose.core.identity import Identity
from footloose.core.limits import APP_BYTES, GUEST_TIME_CEILING_MS, SERVICES_PER_APP
from footloose.model.app import App, GuestKind, Instances, Limits, Service, check_app, open_app

OWNER = Identity.from_seed(b"o" * 32)
OTHER = Identity.from_seed(b"x" * 32)
WEB = Service("web", digest_of(b"code"), GuestKind.HANDLER)
SHOP = App("shop", OWNER.node_id, (WEB,))


def with_service(**changes: object) -> App:
    return msgspec.structs.replace(SHOP, services=(msgspec.structs.replace(WEB, **changes),))


def test_an_app_signed_by_its_owner_opens() -> None:
    assert open_app(sign(SHOP, OWNER)) == SHOP


def test_an_app_signed_by_somebody_else_is_refused() -> None:
    with pytest.raises(RemoteError, match="not signed by its owner"):
        open_app(sign(SHOP, OTHER))


@pytest.mark.parametrize(
    ("app", "why"),
    [
        (msgspec.structs.replace(SHOP, name="a/b"), "not a name for an app"),
        (msgspec.structs.replace(SHOP, name=""), "not a name for an app"),
        (msgspec.structs.replace(SHOP, name="shop\n"), "not a name for an app"),
        (msgspec.structs.replace(SHOP, name="x" * 41), "not a name for an app"),
        (msgspec.structs.replace(SHOP, version=0), "not a version"),
        (msgspec.structs.replace(SHOP, services=()), "not 1 to"),
        (msgspec.structs.replace(SHOP, services=(WEB, WEB)), "a name of its own"),
        (
            msgspec.structs.replace(
                SHOP,
                services=tuple(msgspec.structs.replace(WEB, name=f"s{n}") for n in range(SERVICES_PER_APP + 1)),
            ),
            "not 1 to",
        ),
        (with_service(name="../../etc"), "not a name for a service"),
        (with_service(name="a b"), "not a name for a service"),
        (with_service(artifact=Digest("sha256:abc")), "not a digest"),
        (with_service(limits=Limits(memory_bytes=0)), "memory"),
        (with_service(limits=Limits(memory_bytes=2**40)), "memory"),
        (with_service(limits=Limits(time_ms=0.0)), "time"),
        (with_service(limits=Limits(time_ms=GUEST_TIME_CEILING_MS + 1)), "time"),
        (with_service(limits=Limits(output_bytes=-1)), "output"),
        (with_service(guest=GuestKind.COMMAND, instances=Instances.WARM), "only a handler can be warm"),
        (with_service(environment=(("A=B", "1"),)), "not a variable"),
        (with_service(environment=(("A", "1\x002"),)), "not a variable"),
        (with_service(environment=(("A", "x" * APP_BYTES),)), "more than"),
    ],
)
def test_an_app_that_could_not_have_come_of_an_app_file_is_refused(app: App, why: str) -> None:
    with pytest.raises(RemoteError, match=why):
        check_app(app)


@given(st.text(max_size=50), st.text(max_size=70))
def test_names_that_pass_make_a_path_of_two_segments(app: str, service: str) -> None:
    made = msgspec.structs.replace(with_service(name=service), name=app)
    try:
        check_app(made)
    except RemoteError as error:
        assert str(error).isprintable()
    else:
        assert made.service_id(made.services[0]).split("/") == [made.app_id, service]
