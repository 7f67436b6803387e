"""Providers that lie, answer garbage or hang: the home says so, serves on, and sends nobody there."""

from collections.abc import Callable, Iterator

import msgspec
import pytest
from node_fakes import FakeSite, FakeSites
from node_sites import USER, Site, Town, answering, eventually, follow, get, known_to

from footloose.core.codec import encode, sign
from footloose.core.digest import digest_of
from footloose.core.identity import Identity
from footloose.core.limits import CLOCK_SKEW_S, RECORD_LIFETIME_S
from footloose.model.app import ServiceId
from footloose.model.network import Observation, Prefix, prefix_of
from footloose.model.terms import Lease, LeaseAnswer, MeterReading
from footloose.testbed.sites import Sites

pytestmark = pytest.mark.slow
OTHER = Identity.from_seed(b"o" * 32)
HONEST = [f"honest{number}" for number in range(10)]
"""Sites whose records are good; each test has some to spoil."""
NEWCOMER = "127.0.99.1"
"""A user of a prefix that nobody else comes from, so that sites near it are looked for at once and not some time."""


def from_elsewhere(fake: FakeSite) -> bytes:
    """The genuine record of another site."""
    record = msgspec.structs.replace(fake.record(), node=OTHER.node_id, provider=OTHER.node_id)
    return encode(sign(record, OTHER))


def altered(fake: FakeSite) -> bytes:
    """A record changed after it was signed."""
    signed = sign(fake.record(), fake.identity)
    payload = signed.payload.replace(b'"price_per_hour":0.0', b'"price_per_hour":9.0')
    return encode(msgspec.structs.replace(signed, payload=payload))


RECORDS: dict[str, tuple[Callable[[FakeSite], bytes | None], str]] = {
    "altered": (altered, "the signature does not fit"),
    "another site's": (from_elsewhere, "shows the record of another site"),
    "signed by another": (lambda fake: encode(sign(fake.record(), OTHER)), "signed by another key"),
    "expired": (lambda fake: fake.signed_record(issued_at=fake.now() - 90, expires_at=fake.now() - 30), "expired"),
    "from the future": (
        lambda fake: fake.signed_record(
            issued_at=fake.now() + 2 * CLOCK_SKEW_S, expires_at=fake.now() + RECORD_LIFETIME_S
        ),
        "issued in the future",
    ),
    "leading elsewhere": (lambda fake: fake.signed_record(gateway="http://a@b.example/x"), "and nothing more"),
    "garbage": (lambda _: b"\x00{not json", "not a valid Signed"),
    "nothing": (lambda _: b"", "not a valid Signed"),
    "without end": (lambda _: b" " * 300_000, "bytes allowed"),
    "never": (lambda _: None, "no answer within 5 s"),
}


class Stage:
    """A home and the fakes it knows."""

    def __init__(self, town: Town, fakes: FakeSites) -> None:
        self.liars = {what: fakes.start(town.address(), what) for what in RECORDS}
        for what, (record, _) in RECORDS.items():
            self.liars[what].answers["site"] = record(self.liars[what])
        self.honest = {name: fakes.start(town.address(), name) for name in HONEST}
        self.edge = town.start("edge").ready()
        known = [fake.api for fake in (*self.liars.values(), *self.honest.values())]
        self.home = town.start("home", *known_to(self.edge, *known)).ready()
        eventually(lambda: {"home", "edge", *HONEST} == {site.name for site in self.home.view().sites})
        self._spare = iter(self.honest.values())
        self._apps = 0

    def deployed(self, user: str = USER, **changes: object) -> ServiceId:
        """A new app, with a user."""
        self._apps += 1
        service = self.home.deploy(answering("hello"), name=f"app{self._apps}", **changes)
        assert get(self.home.url(service), source=user).status == 200
        return service

    def explained(self, service: ServiceId) -> str:
        """All the home decided about it."""
        return self.home.explained(service.split("/")[0])

    def spare(self) -> FakeSite:
        """One that no test has used yet."""
        return next(self._spare)

    def moved_to(self, fake: FakeSite) -> ServiceId:
        """A new app whose users are asked to go to a fake site."""
        service = self.deployed()
        self.home.admin.move(service, fake.node)
        return service


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One for all tests here; no fake may do the home any harm."""
    with FakeSites() as fakes, Sites() as sites:
        made = Stage(Town(sites), fakes)
        yield made
        assert "Traceback" not in made.home.log()


def redirected(home: Site, service: ServiceId) -> Callable[[], bool]:
    """A look at whether users are sent on."""
    return lambda: get(home.url(service)).status == 302


def test_sites_whose_records_are_not_genuine_are_named_with_the_reason_and_not_used(stage: Stage) -> None:
    service = stage.deployed(NEWCOMER, follow_users=True)

    def told_of(what: str) -> list[str]:
        at = str(stage.liars[what].api)
        decisions = stage.home.decisions(service.split("/")[0])
        return [one.reason for one in decisions if one.outcome == "no such site" and at in str(one.inputs)]

    for what, (_, why) in RECORDS.items():
        assert why in eventually(lambda what=what: told_of(what))[0]  # type: ignore[misc]
    assert not {site.name for site in stage.home.view().sites} & set(RECORDS)
    assert follow(stage.home.url(service)).body == "hello"


LEASES: dict[str, tuple[Callable[[Lease], dict[str, object]], str]] = {
    "for another service": (lambda _: {"service": "other/web"}, "not the one asked for"),
    "for another customer": (lambda _: {"customer": OTHER.node_id}, "not the one asked for"),
    "of another site": (lambda _: {"provider_node": OTHER.node_id}, "not signed by the site itself"),
    "for ever": (lambda lease: {"ends_at": lease.ends_at + 1e9}, "for longer than was asked"),
    "that is over": (lambda _: {"starts_at": 0.0, "ends_at": 60.0}, "run out already"),
    "that costs": (lambda _: {"price_per_hour": 5.0}, "more than was offered"),
    "leading elsewhere": (lambda _: {"url": "http://evil.example/"}, "does not end in"),
    "splitting the answer": (
        lambda lease: {"url": f"http://a\r\nSet-Cookie: b=c\r\n\r\n/{lease.service}/"},
        "and nothing more",
    ),
}


def test_a_lease_that_is_not_what_was_asked_for_is_not_used(stage: Stage) -> None:
    fake = stage.spare()
    for change, why in LEASES.values():
        fake.lease = lambda lease, change=change: msgspec.structs.replace(lease, **change(lease))  # type: ignore[misc]
        fake.released.clear()
        service = stage.moved_to(fake)
        eventually(lambda service=service, why=why: why in stage.explained(service))  # type: ignore[misc]
        assert get(stage.home.url(service)).body == "hello"
        assert stage.home.serving(service) == {"home"}
        if "signed" not in why:
            eventually(lambda: fake.released)  # and is given back


def test_an_answer_that_is_no_lease_is_told_as_what_it_is(stage: Stage) -> None:
    fake = stage.spare()
    for answer, why in (
        (b"\xff\xfe garbage", "not a valid LeaseAnswer"),
        (b"{}", "refused without a reason"),
        (encode(LeaseAnswer(refused="we are closed")), "we are closed"),
        (encode(LeaseAnswer(needs_artifact=digest_of(b"your secrets"))), "wants another artifact"),
    ):
        fake.answers["lease"] = answer
        service = stage.moved_to(fake)
        eventually(lambda service=service, why=why: why in stage.explained(service))  # type: ignore[misc]
        assert get(stage.home.url(service)).body == "hello"


def test_while_one_site_hangs_users_are_served_and_another_site_is_used(stage: Stage) -> None:
    fake = stage.spare()
    fake.answers |= {"lease": None, "probe": None}
    service = stage.moved_to(fake)
    eventually(lambda: stage.home.places(service)[fake.name].state == "asking")
    stage.home.move(service, stage.edge)
    eventually(redirected(stage.home, service))
    assert "edge" in stage.home.serving(service)


LYING: dict[str, Callable[[Lease], Observation]] = {
    "of another service": lambda _: Observation("other/web", Prefix("192.0.2.0/24"), "192.0.2.1", requests=10**6),
    "from nowhere": lambda lease: Observation(lease.service, Prefix("everywhere"), "everyone", requests=1),
    "below nothing": lambda lease: Observation(lease.service, Prefix("192.0.2.0/24"), "192.0.2.1", requests=-1),
}


def test_a_copy_that_cannot_be_believed_gets_no_users_until_it_can(stage: Stage) -> None:
    home = stage.home
    copies = {what: (fake := stage.spare(), stage.moved_to(fake)) for what in (*LYING, "garbage", "never")}
    for what, (fake, service) in copies.items():
        eventually(redirected(home, service))
        fake.reading = lambda lease, what=what, fake=fake: LeaseAnswer(  # type: ignore[misc]
            reading=MeterReading(lease.lease_id, 0.0, fake.now(), (LYING[what](lease),))
        )
        if what not in LYING:
            fake.answers["poll"] = {"garbage": b"}{", "never": None}[what]
    for fake, service in copies.values():
        eventually(lambda f=fake, s=service: home.places(s)[f.name].state == "suspect")  # type: ignore[misc]
        eventually(lambda service=service: get(home.url(service)).status == 200)  # type: ignore[misc]
    assert {user.prefix for user in home.view().users} - {prefix_of(NEWCOMER)} == {prefix_of(USER)}
    for fake, service in copies.values():
        fake.answers.clear()
        fake.reading = fake.empty
        eventually(redirected(home, service))


def test_a_site_that_forgot_a_lease_is_asked_for_another(stage: Stage) -> None:
    fake = stage.spare()
    service = stage.moved_to(fake)
    eventually(redirected(stage.home, service))
    fake.forget()
    eventually(lambda: "no such lease" in stage.explained(service))
    eventually(lambda: get(stage.home.url(service)).status == 200)
    stage.home.admin.drain(fake.node, resume=True)  # not to wait until it is asked again by itself
    stage.home.admin.move(service, fake.node)
    eventually(redirected(stage.home, service))
