"""What each store keeps, forgets and refuses."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import state_facts as facts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from footloose.core.codec import Signed, encode, open_signed, sign
from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import Identity
from footloose.core.limits import GUEST_LOG_BYTES, RECORD_LIFETIME_S
from footloose.model.app import App, AppId, ServiceId
from footloose.model.routing import GuestLog
from footloose.model.terms import Lease
from footloose.state.database import Database
from footloose.state.decisions import DecisionLog
from footloose.state.entries import Entry
from footloose.state.guest_logs import GuestLogs
from footloose.state.intent import INTENT, Intent
from footloose.state.leases import LeaseKept, LeaseStore, Side
from footloose.state.sites import SiteBook
from footloose.state.volume import DirectoryVolume
from footloose.transport.signatures import (
    Message,
    RequestSigner,
    content_digest,
    evidence_of,
    verify_evidence,
    verify_head,
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "site.db")
    yield opened
    opened.close()


@pytest.fixture
def again(database: Database) -> Iterator[Database]:
    """The same database as the next start of the node sees it."""
    opened = Database.open(database.path)
    yield opened
    opened.close()


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[DirectoryVolume]:
    """Where the record is: each ``Intent(volume)`` is another start of the node."""
    opened = DirectoryVolume(tmp_path)
    yield opened
    opened.close()


class Unwritten:
    """Keeps nothing."""

    def promise(self, *entries: Entry) -> None:
        raise AssertionError(entries)

    note = promise


# Apps


def test_an_app_is_kept_with_its_owners_signature_and_replaced_by_its_next_version(volume: DirectoryVolume) -> None:
    apps = Intent(volume).apps
    first = apps.put(facts.app("shop"), facts.NOW)
    apps.put(facts.app("shop", version=2), facts.NOW + 1)
    apps.put(facts.app("blog"), facts.NOW)
    (blog, shop) = Intent(volume).apps.list()
    assert (blog.app.name, shop.app.version, shop.deployed_at) == ("blog", 2, facts.NOW + 1)
    assert shop.signed == facts.app("shop", version=2)
    assert apps.get(first.app_id) == shop
    assert apps.remove(first.app_id)
    assert not apps.remove(first.app_id)
    assert Intent(volume).apps.get(first.app_id) is None


def test_an_app_its_owner_did_not_sign_is_refused(volume: DirectoryVolume) -> None:
    apps = Intent(volume).apps
    stranger = Identity.generate()
    with pytest.raises(RemoteError, match="not signed by its owner"):
        apps.put(sign(App("shop", facts.OWNER.node_id, ()), stranger), facts.NOW)
    good = facts.app()
    with pytest.raises(RemoteError):
        apps.put(msgspec.structs.replace(good, payload=good.payload.replace(b"shop", b"shop2")), facts.NOW)
    with pytest.raises(RemoteError, match="where a App was wanted"):
        apps.put(facts.lease(), facts.NOW)
    assert apps.list() == ()


def test_apps_of_two_owners_with_one_name_are_two(volume: DirectoryVolume) -> None:
    apps = Intent(volume).apps
    apps.put(facts.app("shop"), facts.NOW)
    apps.put(facts.app("shop", owner=Identity.generate()), facts.NOW)
    assert len(apps.list()) == 2
    assert apps.get(AppId("shop-nobody")) is None


# Leases


def test_a_lease_is_kept_with_its_request_and_its_proof(volume: DirectoryVolume) -> None:
    body, url = b"{}", "https://edge:7300/v1/leases"
    headers = RequestSigner(facts.CUSTOMER).headers(
        "POST", url, to=facts.PROVIDER.node_id, digest=content_digest(body), now=facts.NOW
    )
    evidence = evidence_of(verify_head(Message("POST", url, headers)), body, facts.NOW)
    Intent(volume).leases.put(Side.PROVIDER, facts.lease(), facts.request(), state="active", evidence=evidence)
    (kept,) = Intent(volume).leases.open(Side.PROVIDER)
    assert (kept.signed, kept.request, kept.state) == (facts.lease(), facts.request(), "active")
    assert kept.lease.url == "http://copy:8080/shop-x/web/"
    assert kept.evidence is not None
    assert verify_evidence(kept.evidence).caller == facts.CUSTOMER.node_id

    Intent(volume).leases.put(Side.PROVIDER, facts.lease(starts_at=facts.NOW + 30), facts.request(), state="active")
    renewed = Intent(volume).leases.get(Side.PROVIDER, "lease-0")
    assert renewed is not None
    assert (renewed.lease.ends_at, renewed.evidence) == (facts.NOW + 90, evidence)


def test_both_sides_of_a_lease_are_kept_apart(volume: DirectoryVolume) -> None:
    leases = Intent(volume).leases
    leases.put(Side.PROVIDER, facts.lease(1), facts.request(1), state="active")
    leases.put(Side.CUSTOMER, facts.lease(2), facts.request(2), state="agreed")
    assert [one.lease.lease_id for one in leases.open(Side.PROVIDER)] == ["lease-1"]
    assert [one.lease.lease_id for one in leases.open(Side.CUSTOMER)] == ["lease-2"]
    assert leases.get(Side.CUSTOMER, "lease-1") is None


def test_a_request_made_again_finds_its_lease(volume: DirectoryVolume) -> None:
    leases = Intent(volume).leases
    leases.put(Side.PROVIDER, facts.lease(7), facts.request(7), state="active")
    found = leases.by_request(Side.PROVIDER, facts.CUSTOMER.node_id, "request-7")
    assert found is not None
    assert found.lease.lease_id == "lease-7"
    assert leases.by_request(Side.PROVIDER, facts.OWNER.node_id, "request-7") is None


def test_every_end_carries_its_reason_and_is_final(volume: DirectoryVolume) -> None:
    leases = Intent(volume).leases
    leases.put(Side.PROVIDER, facts.lease(), facts.request(), state="active")
    leases.put(
        Side.PROVIDER, facts.lease(), facts.request(), state="ending", ending="machine needed", ends_by=facts.NOW + 10
    )
    (noticed,) = leases.open(Side.PROVIDER)
    assert (noticed.state, noticed.ending, noticed.ends_by) == ("ending", "machine needed", facts.NOW + 10)
    assert leases.end(Side.PROVIDER, "lease-0", "notice ran out", facts.NOW + 10)
    assert not leases.end(Side.PROVIDER, "lease-0", "again", facts.NOW + 11)
    assert not leases.end(Side.PROVIDER, "none", "again", facts.NOW + 11)
    with pytest.raises(LocalError, match="has ended already"):
        leases.put(Side.PROVIDER, facts.lease(), facts.request(), state="active")
    assert leases.open(Side.PROVIDER) == ()
    (ended,) = Intent(volume).leases.ended(Side.PROVIDER)
    assert (ended.state, ended.ending, ended.ended_at) == ("ended", "notice ran out", facts.NOW + 10)


def test_a_lease_the_hosting_site_did_not_sign_is_refused(volume: DirectoryVolume) -> None:
    forged = sign(open_signed(facts.lease(), Lease), facts.CUSTOMER)
    with pytest.raises(RemoteError, match="not signed by the site that hosts"):
        Intent(volume).leases.put(Side.CUSTOMER, forged, facts.request(), state="active")


def test_of_ended_leases_the_newest_are_kept_and_open_ones_are_never_dropped(volume: DirectoryVolume) -> None:
    leases = Intent(volume, ended_kept=3).leases
    for number in range(10):
        leases.put(Side.PROVIDER, facts.lease(number), facts.request(number), state="active")
    for number in range(8):
        leases.end(Side.PROVIDER, f"lease-{number}", "over", facts.NOW + number)
    for kept in (leases, Intent(volume, ended_kept=3).leases):
        assert [one.lease.lease_id for one in kept.ended(Side.PROVIDER)] == ["lease-7", "lease-6", "lease-5"]
        assert [one.lease.lease_id for one in kept.open(Side.PROVIDER)] == ["lease-8", "lease-9"]
        assert kept.by_request(Side.PROVIDER, facts.CUSTOMER.node_id, "request-4") is None
    fewer = Intent(volume, ended_kept=1).leases  # by a site that was told to keep less, too
    assert [one.lease.lease_id for one in fewer.ended(Side.PROVIDER)] == ["lease-7"]


def test_ended_leases_are_kept_up_to_so_many_bytes(volume: DirectoryVolume) -> None:
    leases = Intent(volume).leases
    for number in range(4):
        leases.put(Side.PROVIDER, facts.lease(number), facts.request(number), state="active")
        leases.end(Side.PROVIDER, f"lease-{number}", "over", facts.NOW + number)
    every = leases.ended(Side.PROVIDER)
    size_bytes = max(len(payload) for payload in (encode(entry) for entry in leases.live()))

    def kept(ended_bytes: int) -> list[str]:
        bounded = LeaseStore(Unwritten(), ended_bytes=ended_bytes)
        for entry in leases.live():
            assert isinstance(entry, LeaseKept)
            bounded.apply(entry)
        return [one.lease.lease_id for one in bounded.ended(Side.PROVIDER)]

    assert len(every) == 4
    assert kept(3 * size_bytes - 1) == ["lease-3", "lease-2"]
    assert kept(3 * size_bytes) == ["lease-3", "lease-2", "lease-1"]
    assert kept(0) == []


def test_a_lease_that_was_forgotten_may_come_back_under_its_id(volume: DirectoryVolume) -> None:
    leases = Intent(volume, ended_kept=0).leases
    for _ in range(2):
        leases.put(Side.PROVIDER, facts.lease(), facts.request(), state="active")
        leases.end(Side.PROVIDER, "lease-0", "over", facts.NOW)
    leases.put(Side.PROVIDER, facts.lease(), facts.request(), state="active")
    more = Intent(volume).leases  # here the first is not forgotten when the next comes
    assert [one.lease.lease_id for one in more.open(Side.PROVIDER)] == ["lease-0"]
    assert more.ended(Side.PROVIDER) == ()
    assert more.end(Side.PROVIDER, "lease-0", "over", facts.NOW)
    assert len(more.ended(Side.PROVIDER)) == 1


# Orders


def test_an_order_that_changes_nothing_is_not_written(volume: DirectoryVolume) -> None:
    orders = Intent(volume).orders
    orders.drain("painting")
    written = volume.read(INTENT)
    orders.drain("painting")
    orders.move(ServiceId("a/b"), None)
    assert volume.read(INTENT) == written
    orders.drain(None)
    assert Intent(volume).orders.draining() is None


# Rings


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=8))
def test_the_last_decisions_are_kept_in_order(database: Database, batches: list[list[str]]) -> None:
    with database.note() as connection:
        connection.execute("DELETE FROM decisions")
    kept, added = DecisionLog(database, kept=7), []
    for batch in batches:
        decisions = [facts.decision(len(added) + offset, service) for offset, service in enumerate(batch)]
        kept.add(decisions)
        added += decisions
    newest = added[-7:][::-1]
    assert list(kept.recent()) == newest
    assert list(kept.recent(limit=2)) == newest[:2]
    assert list(kept.recent(ServiceId("a"))) == [one for one in newest if one.service == "a"]


def test_a_talkative_guest_does_not_push_out_the_logs_of_others(database: Database, again: Database) -> None:
    logs = GuestLogs(database, kept=8, per_service=3)
    quiet, loud = ServiceId("a/quiet"), ServiceId("b/loud")
    logs.add([GuestLog(facts.NOW, quiet, "hello")])
    for number in range(20):
        logs.add([GuestLog(facts.NOW + number, loud, f"line {number}")])
    assert [log.text for log in GuestLogs(again).recent(loud)] == ["line 19", "line 18", "line 17"]
    assert [log.text for log in logs.recent(quiet)] == ["hello"]
    assert len(logs.recent()) == 4
    for number in range(20):
        logs.add([GuestLog(facts.NOW, ServiceId(f"c/{number}"), "x")])
    assert len(logs.recent()) == 8


def test_a_log_entry_is_cut_to_its_limit(database: Database) -> None:
    logs = GuestLogs(database)
    logs.add(
        [
            GuestLog(facts.NOW, ServiceId("a/b"), "é" * GUEST_LOG_BYTES),
            GuestLog(facts.NOW, ServiceId("a/b"), "\ud800\0"),
        ]
    )
    odd, long = logs.recent()
    assert long.text == "é" * (GUEST_LOG_BYTES // 2)
    assert odd.text == "?\0"


# Sites


def test_the_newest_record_of_a_site_is_kept(database: Database, again: Database) -> None:
    book = SiteBook(database)
    old, new = facts.record(facts.PROVIDER), facts.record(facts.PROVIDER, issued_at=facts.NOW + 5, name="renamed")
    book.put(new, facts.NOW + 5)
    assert book.put(old, facts.NOW + 6).name == "edge"
    (known,) = SiteBook(again).list()
    assert (known.record.name, known.signed, known.seen_at) == ("renamed", new, facts.NOW + 6)
    assert book.get(facts.PROVIDER.node_id) == known
    assert book.forget(facts.PROVIDER.node_id)
    assert not book.forget(facts.PROVIDER.node_id)
    assert SiteBook(again).get(facts.PROVIDER.node_id) is None


def test_forged_and_expired_records_are_refused(database: Database) -> None:
    book = SiteBook(database)
    good = facts.record(facts.PROVIDER)
    with pytest.raises(RemoteError):
        book.put(Signed(good.kind, good.payload, facts.OWNER.node_id, good.signature), facts.NOW)
    with pytest.raises(RemoteError, match="expired"):
        book.put(good, facts.NOW + RECORD_LIFETIME_S)
    assert book.list() == ()


def test_the_sites_unseen_for_longest_are_forgotten_first(database: Database) -> None:
    book = SiteBook(database, kept=3)
    sites = [Identity.from_seed(bytes([number]) * 32) for number in range(5)]
    for number, site in enumerate(sites):
        book.put(facts.record(site), facts.NOW + number)
        book.put(facts.record(sites[0]), facts.NOW + number + 0.5)
    assert [known.record.node for known in book.list()] == [sites[0].node_id, sites[4].node_id, sites[3].node_id]
