"""Sites that the membership finds absent: not asked for new copies, but what they run goes on."""

import pytest
from test_orchestrator_by_hand import (
    FAR,
    FAR_AT,
    NEAR,
    NEAR_AT,
    PREFIX,
    USER,
    Scene,
    an_app,
    asked,
    reasons,
    redirects,
    released,
)
from test_orchestrator_silence import EXCHANGE, both_measured, found, measured, sighted

from footloose.core.limits import REFUSAL_MEMORY_S
from footloose.migration.switch import LeaseAnswered
from footloose.model.network import Hop, Route
from footloose.model.site import Sighting, Source
from footloose.orchestrator.messages import (
    Absence,
    DiscoveryFinished,
    Identify,
    Measure,
    Remember,
    RouteTraced,
    SiteIdentified,
    SitePresence,
    SiteSighted,
)

UNREACHABLE = Absence("unreachable", 5.0, "no answer for 9.0 s to 3 members")
LEFT = Absence("left", 5.0, "said so")


def near_known_to_be_nearest() -> Scene:
    """Both sites have measured, and it is not known yet whether there are more; neither is nearest beyond doubt."""
    scene = Scene(an_app())
    scene.users()
    scene.tell(RouteTraced(PREFIX, Route(USER, (Hop(1, EXCHANGE, 50.0),), 80.0)))
    sighted(scene, NEAR_AT, 30.0)
    sighted(scene, FAR_AT, 35.0)
    measured(scene, NEAR_AT, 10.0)
    measured(scene, FAR_AT, 20.0)
    return scene


@pytest.mark.parametrize("absence", [UNREACHABLE, LEFT], ids=lambda one: one.state)
def test_a_site_that_is_absent_is_not_asked_and_the_reason_is_told(absence: Absence) -> None:
    scene = near_known_to_be_nearest()
    scene.tell(SitePresence(NEAR.node_id, absence))
    effects = scene.tell(DiscoveryFinished(PREFIX))
    assert asked(effects) == [FAR.node_id]
    assert f"{absence.state}: {absence.reason}" in reasons(scene.seen)
    (told,) = [
        one.decision
        for one in scene.seen
        if isinstance(one, Remember) and one.decision.reason.startswith(absence.state)
    ]
    assert (told.subject, told.inputs["since"]) == (NEAR.node_id, 5.0)


@pytest.mark.parametrize("absence", [UNREACHABLE, LEFT], ids=lambda one: one.state)
def test_a_site_that_is_back_is_asked_again(absence: Absence) -> None:
    scene = near_known_to_be_nearest()
    scene.tell(SitePresence(NEAR.node_id, absence))
    scene.tell(DiscoveryFinished(PREFIX))
    assert asked(scene.tell(SitePresence(NEAR.node_id))) == [NEAR.node_id]


def test_a_site_that_is_back_is_asked_to_measure_what_it_could_not() -> None:
    scene = found(80.0)
    scene.tell(SitePresence(NEAR.node_id, UNREACHABLE))
    measured(scene, NEAR_AT, None)
    back = scene.tell(SitePresence(NEAR.node_id))
    assert [effect.by for effect in back if isinstance(effect, Measure)] == [NEAR.node_id]


def test_a_direct_measurement_goes_before_what_members_say() -> None:
    scene = near_known_to_be_nearest()
    scene.tell(SitePresence(NEAR.node_id, UNREACHABLE))
    scene.tell(DiscoveryFinished(PREFIX))
    assert asked(measured(scene, NEAR_AT, None)) == []  # a measurement that failed says nothing
    assert asked(measured(scene, NEAR_AT, 10.0)) == [NEAR.node_id]


def test_a_site_that_says_who_it_is_is_there() -> None:
    scene = near_known_to_be_nearest()
    scene.tell(SitePresence(NEAR.node_id, LEFT))
    scene.tell(SiteIdentified(NEAR_AT.api, NEAR_AT))
    assert asked(scene.tell(DiscoveryFinished(PREFIX))) == [NEAR.node_id]


@pytest.mark.parametrize("absence", [UNREACHABLE, LEFT], ids=lambda one: one.state)
def test_a_copy_that_serves_goes_on_at_a_site_members_find_absent(absence: Absence) -> None:
    scene = both_measured()
    assert redirects(scene.seen) == {PREFIX: f"{NEAR_AT.gateway}/{scene.service}/"}
    effects = scene.tell(SitePresence(NEAR.node_id, absence))
    assert (released(effects), asked(effects)) == ([], [])
    scene.users()
    assert redirects(scene.seen) == {PREFIX: f"{NEAR_AT.gateway}/{scene.service}/"}


def test_a_copy_being_asked_for_is_not_given_up_for_what_members_say() -> None:
    scene = near_known_to_be_nearest()
    assert asked(scene.tell(DiscoveryFinished(PREFIX))) == [NEAR.node_id]
    effects = scene.tell(SitePresence(NEAR.node_id, UNREACHABLE))
    assert (released(effects), asked(effects)) == ([], [])
    assert redirects(scene.grant(NEAR_AT)) == {PREFIX: f"{NEAR_AT.gateway}/{scene.service}/"}


def test_a_refusal_is_remembered_through_an_absence() -> None:
    scene = near_known_to_be_nearest()
    scene.tell(DiscoveryFinished(PREFIX))
    scene.copy_event(NEAR_AT, LeaseAnswered(refused="full"))
    scene.tell(SitePresence(NEAR.node_id, UNREACHABLE))
    assert NEAR.node_id not in asked(scene.tell(SitePresence(NEAR.node_id)))
    scene.now += REFUSAL_MEMORY_S
    assert NEAR.node_id in asked(scene.loop.wake(scene.now))  # type: ignore[arg-type]


def test_who_asks_by_hand_may_ask_a_site_that_is_absent() -> None:
    scene = near_known_to_be_nearest()
    scene.tell(SitePresence(NEAR.node_id, UNREACHABLE))
    assert asked(scene.move(NEAR.node_id)) == [NEAR.node_id]


def test_a_member_later_found_on_the_path_counts_as_such() -> None:
    scene = found(80.0)
    other = Sighting(NEAR_AT.api, Source.MEMBERS, NEAR.node_id)
    scene.tell(SiteSighted(PREFIX, other))  # says less than what is known
    assert [one for one in reasons(scene.seen) if "members" in one] == []
    scene = Scene(scene.app)
    scene.users()
    from_members = scene.tell(SiteSighted(PREFIX, other))
    assert "found by members" in reasons(from_members)
    sighted(scene, NEAR_AT, 4.0)
    assert any("found by dht at router" in one for one in reasons(scene.seen))
    assert not any(isinstance(effect, Identify) for effect in from_members)


def test_a_member_later_found_in_the_dns_counts_as_found_there_and_is_told_once() -> None:
    scene = Scene(an_app())
    scene.users()
    for source in (Source.MEMBERS, Source.DNS, Source.MEMBERS, Source.DNS):
        scene.tell(SiteSighted(PREFIX, Sighting(NEAR_AT.api, source, NEAR.node_id)))
    assert [one for one in reasons(scene.seen) if one.startswith("found by")] == ["found by members", "found by dns"]
    assert scene.loop.located[PREFIX].sightings[NEAR.node_id].source is Source.DNS
