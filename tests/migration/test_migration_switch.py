"""One copy as its customer sees it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.digest import digest_of
from footloose.core.errors import IllegalTransition
from footloose.core.identity import Identity
from footloose.core.limits import LEASE_GRACE_S, POLL_INTERVAL_S, SILENT_AFTER_S
from footloose.migration.switch import (
    TABLE,
    ArtifactSent,
    Ask,
    LeaseAnswered,
    LeaseReleased,
    Poll,
    PollAnswered,
    PollFailed,
    Release,
    RetireWanted,
    Send,
    State,
    Step,
    Switch,
)
from footloose.model.app import ServiceId
from footloose.model.terms import Lease

SERVICE = ServiceId("pulse-abc/web")
SITE = Identity.from_seed(b"s" * 32).node_id
HOME = Identity.from_seed(b"h" * 32).node_id


def a_lease(now: float, term_s: float = 60.0) -> Lease:
    return Lease("lease", SITE, HOME, SERVICE, digest_of(b"code"), now, now + term_s, LEASE_GRACE_S, 0.0, "http://s/")


def serving(now: float = 0.0) -> Switch:
    switch = Switch(SERVICE, SITE, now)
    switch.start()
    switch.receive(LeaseAnswered(lease=a_lease(now)), now)
    return switch


def test_a_site_that_has_the_code_serves_after_one_request() -> None:
    switch = Switch(SERVICE, SITE, 0.0)
    (ask,) = switch.start()
    assert isinstance(ask, Ask)
    assert switch.receive(LeaseAnswered(lease=a_lease(0.1)), 0.1) == []
    assert switch.state is State.SERVING
    assert not switch.cold
    assert switch.usable_until == 60.1


def test_a_site_without_the_code_is_sent_it_and_asked_the_same_again() -> None:
    switch = Switch(SERVICE, SITE, 0.0)
    first = switch.start()
    assert switch.receive(LeaseAnswered(needs_artifact=True), 0.1) == [Send(SERVICE, SITE, switch.request_id)]
    assert switch.receive(ArtifactSent(), 0.2) == first
    switch.receive(LeaseAnswered(lease=a_lease(0.3)), 0.3)
    assert switch.state is State.SERVING
    assert switch.cold


def test_a_site_that_keeps_asking_for_the_code_is_given_up() -> None:
    switch = Switch(SERVICE, SITE, 0.0)
    switch.start()
    switch.receive(LeaseAnswered(needs_artifact=True), 0.1)
    switch.receive(ArtifactSent(), 0.2)
    assert switch.receive(LeaseAnswered(needs_artifact=True), 0.3) == []
    assert switch.state is State.ENDED


def test_a_refusal_ends_the_switch_with_its_reason() -> None:
    switch = Switch(SERVICE, SITE, 0.0)
    switch.start()
    switch.receive(LeaseAnswered(refused="too dear"), 0.1)
    assert switch.state is State.ENDED
    assert switch.end_reason == "too dear"


def test_a_serving_copy_is_polled_and_its_lease_renewed_from_half_its_term() -> None:
    switch = serving()
    assert switch.wake(POLL_INTERVAL_S) == [Poll(SERVICE, SITE, switch.request_id, "lease", renew=False)]
    switch.receive(PollAnswered(), POLL_INTERVAL_S + 0.1)
    assert switch.wake(31.0) == [Poll(SERVICE, SITE, switch.request_id, "lease", renew=True)]
    switch.receive(PollAnswered(lease=a_lease(31.0)), 31.1)
    assert switch.usable_until == 91.0


def test_a_silent_copy_gets_no_more_users_until_it_is_heard_of_again() -> None:
    switch = serving()
    switch.receive(PollFailed("timed out"), 1.0)
    assert switch.usable_until is not None
    switch.receive(PollFailed("timed out"), SILENT_AFTER_S)
    assert switch.state is State.SUSPECT
    assert switch.usable_until is None
    (poll,) = switch.wake(SILENT_AFTER_S + 5)
    assert isinstance(poll, Poll)
    assert poll.renew
    switch.receive(PollAnswered(lease=a_lease(10.0)), 10.0)
    assert switch.state is State.SERVING
    assert switch.usable_until == 70.0


def test_a_copy_that_is_only_cut_off_is_not_given_up_before_lease_and_grace_have_run_out() -> None:
    switch = serving()
    switch.receive(PollFailed("timed out"), SILENT_AFTER_S)
    assert switch.wake(60.0 + LEASE_GRACE_S - 1) != []
    assert switch.state is State.SUSPECT
    switch.wake(60.0 + LEASE_GRACE_S + 60)
    assert switch.state is State.ENDED


def test_a_copy_whose_lease_the_site_has_forgotten_is_ended_at_once() -> None:
    switch = serving()
    switch.receive(PollFailed("no such lease", gone=True), 1.0)
    assert switch.state is State.ENDED


def test_a_site_that_wants_to_be_rid_of_a_copy_gets_its_lease_released() -> None:
    switch = serving()
    (release,) = switch.receive(PollAnswered(ending="maintenance"), 1.0)
    assert isinstance(release, Release)
    assert "maintenance" in release.reason
    switch.receive(LeaseReleased(), 1.1)
    assert switch.state is State.ENDED


def test_a_lease_granted_after_the_copy_was_given_up_is_released() -> None:
    switch = Switch(SERVICE, SITE, 0.0)
    switch.start()
    assert switch.receive(RetireWanted("users left"), 0.1) == []
    (release,) = switch.receive(LeaseAnswered(lease=a_lease(0.2)), 0.2)
    assert release == Release(SERVICE, SITE, switch.request_id, "lease", "users left")


def test_a_refusal_after_the_copy_was_given_up_leaves_nothing_to_release() -> None:
    switch = Switch(SERVICE, SITE, 0.0)
    switch.start()
    switch.receive(RetireWanted("users left"), 0.1)
    assert switch.receive(LeaseAnswered(refused="full"), 0.2) == []
    assert switch.state is State.ENDED


def test_a_remembered_copy_is_asked_after_at_once_and_not_used_before_it_answers() -> None:
    switch = Switch.resumed(SERVICE, a_lease(0.0), 20.0)
    assert switch.usable_until is None
    assert switch.wake(20.0) == [Poll(SERVICE, SITE, switch.request_id, "lease", renew=True)]


def test_what_the_table_does_not_list_is_illegal() -> None:
    with pytest.raises(IllegalTransition, match="heard"):
        TABLE.next(State.ASKING, Step.HEARD)


EVENTS = st.sampled_from(
    ["grant", "need", "sent", "send failed", "refuse", "heard", "silent", "gone", "ending", "retire"]
)


@given(st.lists(st.tuples(EVENTS, st.floats(0.01, 30.0)), max_size=40))
def test_whatever_the_site_does_every_granted_lease_is_used_released_or_run_out(
    script: list[tuple[str, float]],
) -> None:
    """Answers come only to what was asked; between them time passes and the customer may give up."""
    now = 0.0
    switch = Switch(SERVICE, SITE, now)
    outstanding = list(switch.start())
    granted = released = False
    for what, wait_s in script:
        now += wait_s
        outstanding += switch.wake(now)
        if what == "retire":
            if switch.state not in (State.ENDED, State.RETIRING):
                outstanding += switch.receive(RetireWanted("enough"), now)
            continue
        if not outstanding:
            continue
        effect = outstanding.pop(0)
        match effect:
            case Ask():
                granted = granted or what == "grant"
                answer = (
                    LeaseAnswered(lease=a_lease(now))
                    if what == "grant"
                    else LeaseAnswered(needs_artifact=what == "need", refused=None if what == "need" else "no")
                )
                outstanding += switch.receive(answer, now)
            case Send():
                outstanding += switch.receive(ArtifactSent(failed=None if what == "sent" else "cut"), now)
            case Poll():
                if what in ("silent", "gone"):
                    outstanding += switch.receive(PollFailed("lost", gone=what == "gone"), now)
                else:
                    ending = "drained" if what == "ending" else None
                    outstanding += switch.receive(PollAnswered(lease=a_lease(now), ending=ending), now)
            case Release():
                released = True
                outstanding += switch.receive(LeaseReleased(), now)
    pending = any(isinstance(effect, Release) for effect in outstanding)
    if granted and switch.state is State.ENDED:
        assert released or pending or switch.end_reason is not None
    assert (switch.usable_until is not None) == (switch.state is State.SERVING)
    assert not (granted and switch.state is State.RETIRING and not (released or pending))


@pytest.mark.parametrize("state", [State.ASKING, State.SENDING])
def test_what_is_never_answered_is_given_up(state: State) -> None:
    switch = Switch(SERVICE, SITE, 0.0)
    switch.start()
    if state is State.SENDING:
        switch.receive(LeaseAnswered(needs_artifact=True), 1.0)
    due = switch.next_deadline()
    assert due is not None
    assert switch.wake(due - 1) == []
    assert switch.state is state
    switch.wake(due)
    assert switch.state is State.ENDED
    assert switch.end_reason == "it did not answer in time"
    assert switch.next_deadline() is None


def test_a_release_nobody_acknowledges_ends_the_switch_all_the_same() -> None:
    switch = serving()
    switch.receive(RetireWanted("users left"), 1.0)
    due = switch.next_deadline()
    assert due is not None
    switch.wake(due)
    assert switch.state is State.ENDED
    assert switch.end_reason == "users left"


def test_a_copy_given_up_while_it_was_asked_for_waits_for_the_answer_but_not_for_ever() -> None:
    switch = Switch(SERVICE, SITE, 0.0)
    switch.start()
    switch.receive(RetireWanted("users left"), 0.1)
    due = switch.next_deadline()
    assert due is not None
    switch.wake(due)
    assert switch.state is State.ENDED


def test_polls_of_which_nothing_comes_back_at_all_make_a_copy_suspect_too() -> None:
    switch = serving()
    now = 0.0
    while switch.state is State.SERVING:
        now += POLL_INTERVAL_S
        switch.wake(now)
        assert now < 10 * SILENT_AFTER_S
    assert now >= SILENT_AFTER_S
    assert switch.usable_until is None


def test_a_site_that_answers_but_does_not_renew_loses_its_users_when_the_lease_is_over() -> None:
    switch = serving()
    for now in range(1, 61):
        switch.wake(float(now))
        switch.receive(PollAnswered(), now + 0.1)
    assert switch.state is State.SERVING
    switch.wake(61.2)
    assert switch.state is State.ENDED
    assert "did not renew" in (switch.end_reason or "")


def test_the_grace_is_what_the_lease_says_but_no_more_than_ours() -> None:
    short = Switch.resumed(SERVICE, msgspec.structs.replace(a_lease(0.0), grace_s=10.0), 1.0)
    assert short.wake(69.0)
    short.wake(80.0)
    assert short.state is State.ENDED
    endless = Switch.resumed(SERVICE, msgspec.structs.replace(a_lease(0.0), grace_s=1e12), 1.0)
    endless.wake(60.0 + LEASE_GRACE_S + 10)
    assert endless.state is State.ENDED


def test_answers_to_polls_that_overtake_each_other_do_not_shorten_the_lease() -> None:
    switch = serving()
    switch.receive(PollAnswered(lease=a_lease(40.0)), 40.0)
    switch.receive(PollAnswered(lease=a_lease(35.0)), 40.1)
    assert switch.usable_until == 100.0


@pytest.mark.parametrize(
    "event", [LeaseAnswered(refused="no"), ArtifactSent(), ArtifactSent("cut"), LeaseReleased(), PollFailed("lost")]
)
def test_an_answer_nobody_waits_for_changes_nothing(event: object) -> None:
    switch = serving() if not isinstance(event, PollFailed) else Switch(SERVICE, SITE, 0.0)
    before = switch.state
    assert switch.receive(event, 1.0) == []  # type: ignore[arg-type]
    assert switch.state is before


def test_two_switches_for_one_site_go_by_different_names() -> None:
    assert Switch(SERVICE, SITE, 1.0).request_id != Switch(SERVICE, SITE, 1.000001).request_id


def test_a_copy_is_not_silent_for_not_being_heard_of_while_its_customer_stood_still() -> None:
    switch = serving()
    switch.wake(1.0)
    switch.stood_still(20.0)
    assert switch.receive(PollFailed("timed out"), 21.0) == []
    assert switch.wake(21.5) == [Poll(SERVICE, SITE, switch.request_id, "lease", renew=False)]
    assert switch.state is State.SERVING


def test_a_copy_that_is_silent_also_when_it_is_listened_to_is_suspect_soon_after_its_customer_stood_still() -> None:
    switch = serving()
    switch.wake(1.0)
    switch.stood_still(20.0)
    switch.receive(PollFailed("timed out"), 20.0 + SILENT_AFTER_S)
    assert switch.state is State.SUSPECT


def test_a_lease_that_ran_out_while_its_customer_stood_still_is_renewed() -> None:
    switch = serving()
    switch.stood_still(100.0)
    assert switch.wake(100.0) == [Poll(SERVICE, SITE, switch.request_id, "lease", renew=True)]
    assert switch.state is State.SERVING
    switch.receive(PollAnswered(lease=a_lease(100.1)), 100.1)
    switch.wake(101.2)
    assert switch.usable_until == 160.1


def test_an_answer_that_waited_while_the_customer_stood_still_is_as_good_as_any() -> None:
    switch = Switch(SERVICE, SITE, 0.0)
    switch.start()
    switch.stood_still(1000.0)
    switch.wake(1000.0)
    assert switch.state is State.ASKING
    switch.receive(LeaseAnswered(lease=a_lease(1000.0)), 1000.0)
    assert switch.state is State.SERVING
