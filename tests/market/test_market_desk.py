"""What a site agrees to run for others."""

from collections.abc import Callable

import msgspec
import pytest

from footloose.core.codec import sign
from footloose.core.digest import digest_of
from footloose.core.errors import RemoteError
from footloose.core.identity import Identity, NodeId
from footloose.core.limits import IDLE_BEFORE_RETIRE_S
from footloose.market.desk import NOTICE_S, Desk, EndCopy, LeaseChanged, NoSuchLease, Policy, State
from footloose.model.app import App, GuestKind, Service, Where
from footloose.model.site import ProviderId
from footloose.model.terms import Lease, LeaseRequest

HOME = Identity.from_seed(b"h" * 32)
SITE = Identity.from_seed(b"s" * 32)
OTHER = Identity.from_seed(b"o" * 32)
NOBODY: frozenset[NodeId] = frozenset()
PARENT_URL = f"http://home/pulse-{HOME.node_id[:16]}/web/"


ANYWHERE = Where()


def an_app(where: Where = ANYWHERE, owner: NodeId = HOME.node_id) -> App:
    service = Service(name="web", artifact=digest_of(b"code"), guest=GuestKind.HANDLER, where=where)
    return App("pulse", owner, (service,))


def a_request(app: App | None = None, **changes: object) -> LeaseRequest:
    request = LeaseRequest(
        request_id="1",
        customer=HOME.node_id,
        app=sign(app or an_app(), HOME),
        service="web",
        term_s=60.0,
        parent_url=PARENT_URL,
        relay_token="secret",
        price_per_hour=1.0,
    )
    return msgspec.structs.replace(request, **changes)


def a_desk(**policy: object) -> Desk:
    return Desk(SITE.node_id, msgspec.structs.replace(Policy(provider=ProviderId(SITE.node_id)), **policy))


def granted(desk: Desk, request: LeaseRequest, now: float = 0.0) -> Lease:
    accepted = desk.consider(request, request.customer, NOBODY)
    lease, _ = desk.grant(request, accepted, "http://site/pulse/web/", now)
    return lease


def test_a_lease_says_who_what_where_and_until_when() -> None:
    lease = granted(a_desk(price_per_hour=0.5), a_request(), now=100.0)
    assert (lease.provider_node, lease.customer) == (SITE.node_id, HOME.node_id)
    assert lease.service == f"{an_app().app_id}/web"
    assert (lease.starts_at, lease.ends_at, lease.price_per_hour) == (100.0, 160.0, 0.5)


def test_asking_again_gets_the_same_lease() -> None:
    desk = a_desk()
    assert granted(desk, a_request(), 0.0) == granted(desk, a_request(), 5.0)
    assert len(desk.all_held()) == 1


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: (a_desk(), a_request(request_id=""), HOME.node_id), "too long, or not plain text"),
        (lambda: (a_desk(), a_request(relay_token="two\nlines"), HOME.node_id), "too long, or not plain text"),
        (lambda: (a_desk(), a_request(term_s=-1.0), HOME.node_id), "a term of -1 s"),
        (lambda: (a_desk(), a_request(parent_url="http://home/other/web/"), HOME.node_id), "does not end in"),
        (lambda: (a_desk(), a_request(parent_url=f"http://a@b{PARENT_URL[11:]}"), HOME.node_id), "nothing more"),
        (lambda: (a_desk(), a_request(customer=OTHER.node_id), HOME.node_id), "another customer"),
        (lambda: (a_desk(), a_request(app=an_app(owner=OTHER.node_id)), HOME.node_id), "not signed by its owner"),
        (lambda: (a_desk(), a_request(service="nope"), HOME.node_id), "no service"),
        (lambda: (a_desk(price_per_hour=2.0), a_request(), HOME.node_id), "price"),
        (lambda: (a_desk(region="us"), a_request(app=an_app(Where(regions=("eu",)))), HOME.node_id), "region"),
        (
            lambda: (a_desk(), a_request(app=an_app(Where(not_providers=(SITE.node_id,)))), HOME.node_id),
            "does not allow this provider",
        ),
        (lambda: (a_desk(max_leases=0), a_request(), HOME.node_id), "places here are taken"),
        (lambda: (a_desk(denied_customers=frozenset({HOME.node_id})), a_request(), HOME.node_id), "does not deal"),
    ],
)
def test_what_a_site_would_not_run_is_refused_with_the_reason(
    build: Callable[[], tuple[Desk, LeaseRequest, NodeId]], complaint: str
) -> None:
    desk, request, caller = build()
    with pytest.raises(RemoteError, match=complaint):
        desk.consider(request, caller, NOBODY)


def test_an_altered_app_is_refused() -> None:
    request = a_request()
    forged = msgspec.structs.replace(request.app, payload=request.app.payload.replace(b"pulse", b"pulsf"))
    with pytest.raises(RemoteError, match="signature"):
        a_desk().consider(msgspec.structs.replace(request, app=forged), HOME.node_id, NOBODY)


def test_a_site_does_not_lease_to_its_own_copy() -> None:
    with pytest.raises(RemoteError, match="leases that service from the asker"):
        a_desk().consider(a_request(), HOME.node_id, frozenset({HOME.node_id}))


def test_a_renewed_lease_runs_from_now() -> None:
    desk = a_desk()
    lease = granted(desk, a_request())
    held, effects = desk.poll(lease.lease_id, HOME.node_id, renew=True, now=40.0)
    assert held.lease.ends_at == 100.0
    assert effects == [LeaseChanged(held)]


def test_another_customer_learns_nothing_of_a_lease() -> None:
    desk = a_desk()
    lease = granted(desk, a_request())
    with pytest.raises(RemoteError, match="no such lease"):
        desk.poll(lease.lease_id, OTHER.node_id, renew=True, now=1.0)
    with pytest.raises(RemoteError, match="no such lease"):
        desk.release(lease.lease_id, OTHER.node_id, "mine")


def test_releasing_the_last_lease_ends_the_copy_and_sends_its_users_to_the_parent() -> None:
    desk = a_desk()
    lease = granted(desk, a_request())
    effects = desk.release(lease.lease_id, HOME.node_id, "no users")
    assert EndCopy(lease.service, PARENT_URL, "released: no users") in effects
    assert desk.all_held() == []


def test_a_copy_leased_twice_outlives_the_first_release() -> None:
    desk = a_desk()
    first = granted(desk, a_request())
    granted(desk, a_request(customer=OTHER.node_id))
    effects = desk.release(first.lease_id, HOME.node_id, "no users")
    assert not [effect for effect in effects if isinstance(effect, EndCopy)]


def test_a_lapsed_lease_goes_on_for_its_grace_while_there_are_users() -> None:
    desk = a_desk()
    lease = granted(desk, a_request())
    now = 0.0
    while now < 1000.0:
        desk.users_seen(lease.service, now)
        assert not [effect for effect in desk.wake(now) if isinstance(effect, EndCopy)]
        now += 10.0
    assert desk.all_held()[0].state is State.GRACE
    effects = desk.wake(now + IDLE_BEFORE_RETIRE_S + 1)
    assert [effect.reason for effect in effects if isinstance(effect, EndCopy)] == [
        "its customer is not heard of and it has no users"
    ]


def test_a_customer_heard_of_during_the_grace_gets_its_lease_renewed() -> None:
    desk = a_desk()
    lease = granted(desk, a_request())
    desk.users_seen(lease.service, 100.0)
    desk.wake(100.0)
    held, _ = desk.poll(lease.lease_id, HOME.node_id, renew=True, now=101.0)
    assert held.state is State.ACTIVE
    assert held.lease.ends_at == 161.0


def test_the_grace_has_an_end() -> None:
    desk = a_desk(grace_s=100.0)
    lease = granted(desk, a_request())
    desk.users_seen(lease.service, 61.0)
    desk.wake(61.0)
    desk.users_seen(lease.service, 159.0)
    assert not [effect for effect in desk.wake(159.0) if isinstance(effect, EndCopy)]
    assert [effect for effect in desk.wake(160.5) if isinstance(effect, EndCopy)]


def test_draining_gives_notice_takes_nothing_new_and_ends_what_is_not_fetched_back() -> None:
    desk = a_desk()
    lease = granted(desk, a_request())
    desk.drain("maintenance", 10.0)
    held, _ = desk.poll(lease.lease_id, HOME.node_id, renew=True, now=11.0)
    assert held.ending == "maintenance"
    assert held.lease.ends_at == lease.ends_at
    with pytest.raises(RemoteError, match="maintenance"):
        desk.consider(a_request(request_id="2"), HOME.node_id, NOBODY)
    assert desk.next_deadline() == 10.0 + NOTICE_S
    assert [effect for effect in desk.wake(10.0 + NOTICE_S) if isinstance(effect, EndCopy)]


def test_a_desk_made_again_from_what_it_held_holds_the_same() -> None:
    desk = a_desk()
    lease = granted(desk, a_request())
    again = Desk(SITE.node_id, Policy(provider=ProviderId(SITE.node_id)), desk.all_held())
    held, _ = again.poll(lease.lease_id, HOME.node_id, renew=False, now=1.0)
    assert held.lease == lease


def test_a_copy_whose_lease_ran_out_while_its_site_was_down_gets_the_time_to_be_used() -> None:
    desk = a_desk()
    granted(desk, a_request())
    again = Desk(SITE.node_id, Policy(provider=ProviderId(SITE.node_id)), desk.all_held(), now=1000.0)
    assert not [effect for effect in again.wake(1000.0) if isinstance(effect, EndCopy)]
    assert again.all_held()[0].state is State.GRACE
    assert not [effect for effect in again.wake(1000.0 + IDLE_BEFORE_RETIRE_S) if isinstance(effect, EndCopy)]
    assert [effect for effect in again.wake(1001.0 + IDLE_BEFORE_RETIRE_S) if isinstance(effect, EndCopy)]


def test_a_copy_is_not_unused_for_having_no_users_while_its_site_stood_still() -> None:
    desk = a_desk()
    granted(desk, a_request())
    desk.stood_still(1000.0)
    assert not [effect for effect in desk.wake(1000.0) if isinstance(effect, EndCopy)]
    assert desk.all_held()[0].state is State.GRACE
    assert [effect for effect in desk.wake(1001.0 + IDLE_BEFORE_RETIRE_S) if isinstance(effect, EndCopy)]


def test_a_copy_that_cannot_be_run_loses_all_its_leases() -> None:
    desk = a_desk()
    lease = granted(desk, a_request())
    granted(desk, a_request(customer=OTHER.node_id))
    effects = desk.give_up(lease.service, "the code is gone")
    assert [type(effect) for effect in effects] == [LeaseChanged, LeaseChanged, EndCopy]
    with pytest.raises(NoSuchLease):
        desk.poll(lease.lease_id, HOME.node_id, renew=False, now=1.0)


def test_of_two_versions_of_an_app_the_older_is_not_run_beside_the_newer() -> None:
    desk = a_desk()
    code = msgspec.structs.replace(an_app().services[0], artifact=digest_of(b"newer code"))
    newer = msgspec.structs.replace(an_app(), services=(code,), version=2)
    granted(desk, a_request(app=newer))
    with pytest.raises(RemoteError, match="a newer version of the app runs here"):
        desk.consider(a_request(request_id="2"), HOME.node_id, NOBODY)
    same_code = msgspec.structs.replace(newer, version=1)
    assert desk.consider(a_request(app=same_code, request_id="3"), HOME.node_id, NOBODY).service == code
