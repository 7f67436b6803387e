"""What each store keeps, forgets and refuses."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import state_facts as facts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from footloose.core.codec import Signed, open_signed, sign
from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import Identity
from footloose.core.limits import GUEST_LOG_BYTES, RECORD_LIFETIME_S
from footloose.model.app import App, AppId, ServiceId
from footloose.model.routing import GuestLog
from footloose.model.terms import Lease
from footloose.state.apps import AppStore
from footloose.state.database import Database
from footloose.state.decisions import DecisionLog
from footloose.state.guest_logs import GuestLogs
from footloose.state.leases import LeaseStore, Side
from footloose.state.sites import SiteBook
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


# Apps


def test_an_app_is_kept_with_its_owners_signature_and_replaced_by_its_next_version(
    database: Database, again: Database
) -> None:
    apps = AppStore(database)
    first = apps.put(facts.app("shop"), facts.NOW)
    apps.put(facts.app("shop", version=2), facts.NOW + 1)
    apps.put(facts.app("blog"), facts.NOW)
    (blog, shop) = AppStore(again).list()
    assert (blog.app.name, shop.app.version, shop.deployed_at) == ("blog", 2, facts.NOW + 1)
    assert shop.signed == facts.app("shop", version=2)
    assert apps.get(first.app_id) == shop
    assert apps.remove(first.app_id)
    assert not apps.remove(first.app_id)
    assert AppStore(again).get(first.app_id) is None


def test_an_app_its_owner_did_not_sign_is_refused(database: Database) -> None:
    apps = AppStore(database)
    stranger = Identity.generate()
    with pytest.raises(RemoteError, match="not signed by its owner"):
        apps.put(sign(App("shop", facts.OWNER.node_id, ()), stranger), facts.NOW)
    good = facts.app()
    with pytest.raises(RemoteError):
        apps.put(msgspec.structs.replace(good, payload=good.payload.replace(b"shop", b"shop2")), facts.NOW)
    with pytest.raises(RemoteError, match="where a App was wanted"):
        apps.put(facts.lease(), facts.NOW)
    assert apps.list() == ()


def test_apps_of_two_owners_with_one_name_are_two(database: Database) -> None:
    apps = AppStore(database)
    apps.put(facts.app("shop"), facts.NOW)
    apps.put(facts.app("shop", owner=Identity.generate()), facts.NOW)
    assert len(apps.list()) == 2
    assert apps.get(AppId("shop-nobody")) is None


# Leases


def test_a_lease_is_kept_with_its_request_and_its_proof(database: Database, again: Database) -> None:
    body, url = b"{}", "https://edge:7300/v1/leases"
    headers = RequestSigner(facts.CUSTOMER).headers(
        "POST", url, to=facts.PROVIDER.node_id, digest=content_digest(body), now=facts.NOW
    )
    evidence = evidence_of(verify_head(Message("POST", url, headers)), body, facts.NOW)
    LeaseStore(database).put(Side.PROVIDER, facts.lease(), facts.request(), state="active", evidence=evidence)
    (kept,) = LeaseStore(again).open(Side.PROVIDER)
    assert (kept.signed, kept.request, kept.state) == (facts.lease(), facts.request(), "active")
    assert kept.lease.url == "http://copy:8080/shop-x/web/"
    assert kept.evidence is not None
    assert verify_evidence(kept.evidence).caller == facts.CUSTOMER.node_id

    LeaseStore(again).put(Side.PROVIDER, facts.lease(starts_at=facts.NOW + 30), facts.request(), state="active")
    renewed = LeaseStore(database).get(Side.PROVIDER, "lease-0")
    assert renewed is not None
    assert (renewed.lease.ends_at, renewed.evidence) == (facts.NOW + 90, evidence)


def test_both_sides_of_a_lease_are_kept_apart(database: Database) -> None:
    leases = LeaseStore(database)
    leases.put(Side.PROVIDER, facts.lease(1), facts.request(1), state="active")
    leases.put(Side.CUSTOMER, facts.lease(2), facts.request(2), state="agreed")
    assert [one.lease.lease_id for one in leases.open(Side.PROVIDER)] == ["lease-1"]
    assert [one.lease.lease_id for one in leases.open(Side.CUSTOMER)] == ["lease-2"]
    assert leases.get(Side.CUSTOMER, "lease-1") is None


def test_a_request_made_again_finds_its_lease(database: Database) -> None:
    leases = LeaseStore(database)
    leases.put(Side.PROVIDER, facts.lease(7), facts.request(7), state="active")
    found = leases.by_request(Side.PROVIDER, facts.CUSTOMER.node_id, "request-7")
    assert found is not None
    assert found.lease.lease_id == "lease-7"
    assert leases.by_request(Side.PROVIDER, facts.OWNER.node_id, "request-7") is None


def test_every_end_carries_its_reason_and_is_final(database: Database, again: Database) -> None:
    leases = LeaseStore(database)
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
    (ended,) = LeaseStore(again).ended(Side.PROVIDER)
    assert (ended.state, ended.ending, ended.ended_at) == ("ended", "notice ran out", facts.NOW + 10)


def test_a_lease_the_hosting_site_did_not_sign_is_refused(database: Database) -> None:
    forged = sign(open_signed(facts.lease(), Lease), facts.CUSTOMER)
    with pytest.raises(RemoteError, match="not signed by the site that hosts"):
        LeaseStore(database).put(Side.CUSTOMER, forged, facts.request(), state="active")


def test_of_ended_leases_the_newest_are_kept_and_open_ones_are_never_dropped(database: Database) -> None:
    leases = LeaseStore(database, ended_kept=3)
    for number in range(10):
        leases.put(Side.PROVIDER, facts.lease(number), facts.request(number), state="active")
    for number in range(8):
        leases.end(Side.PROVIDER, f"lease-{number}", "over", facts.NOW + number)
    assert [one.lease.lease_id for one in leases.ended(Side.PROVIDER)] == ["lease-7", "lease-6", "lease-5"]
    assert [one.lease.lease_id for one in leases.open(Side.PROVIDER)] == ["lease-8", "lease-9"]


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
