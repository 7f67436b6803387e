"""Sites that fall silent and come back, and users who answer no probe."""

import pytest
from test_orchestrator_by_hand import (
    FAR_AT,
    HOME,
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

from footloose.core.codec import sign
from footloose.core.limits import (
    IDLE_BEFORE_RETIRE_S,
    REFUSAL_MEMORY_S,
    SILENT_AFTER_S,
    UNREACHED_MEMORY_S,
    USER_MEMORY_S,
)
from footloose.migration.switch import LeaseAnswered, PollAnswered, PollFailed, State
from footloose.model.network import Hop, Observation, Route, router_id
from footloose.model.site import Sighting, SiteRecord, Source
from footloose.orchestrator.messages import (
    CopyEvent,
    DiscoveryFinished,
    Effect,
    Measure,
    RouteTraced,
    RttMeasured,
    ServiceStarted,
    ServiceStopped,
    SiteSighted,
    StoodStill,
)

EXCHANGE = "203.0.113.9"


def sighted(scene: Scene, site: SiteRecord, to_router_ms: float) -> None:
    """A site was found at the exchange on the way to the users."""
    at = router_id(EXCHANGE)
    scene.tell(SiteSighted(PREFIX, Sighting(site.api, Source.DHT, site.node, site, at, to_router_ms, 2)))


def found(user_rtt_ms: float | None, behind: tuple[Hop, ...] = ()) -> Scene:
    """A scene with users 80 ms away, and two sites found at the exchange, of which the near one is nearer to it."""
    scene = Scene(an_app())
    scene.users()
    route = Route(USER, (Hop(1, EXCHANGE, 50.0), *behind), user_rtt_ms)
    scene.tell(RouteTraced(PREFIX, route))
    sighted(scene, NEAR_AT, 4.0)
    sighted(scene, FAR_AT, 9.0)
    return scene


def measured(scene: Scene, site: SiteRecord, rtt_ms: float | None) -> list[Effect]:
    return scene.tell(RttMeasured(site.node, PREFIX, rtt_ms))


def both_measured() -> Scene:
    """Both sites have answered, and the near one serves."""
    scene = found(80.0)
    scene.tell(DiscoveryFinished(PREFIX))
    measured(scene, NEAR_AT, 10.0)
    measured(scene, FAR_AT, 20.0)
    scene.grant(NEAR_AT)
    return scene


def silence(scene: Scene, site: SiteRecord) -> list[Effect]:
    """A copy leaves polls unanswered until it is no longer counted on."""
    scene.now += SILENT_AFTER_S
    return scene.copy_event(site, PollFailed("no answer"))


def test_users_of_a_silent_copy_go_to_the_next_nearest_at_once() -> None:
    scene = both_measured()
    effects = silence(scene, NEAR_AT)
    assert scene.loop.services[scene.service].copies[NEAR_AT.node].state is State.SUSPECT
    assert redirects(effects) == {}
    assert f"{NEAR_AT.name} is not heard of: no answer" in reasons(effects)
    assert asked(effects) == [FAR_AT.node]
    assert redirects(scene.grant(FAR_AT)) == {PREFIX: f"{FAR_AT.gateway}/{scene.service}/"}


def test_a_copy_that_is_heard_again_gets_its_users_back() -> None:
    scene = both_measured()
    silence(scene, NEAR_AT)
    scene.grant(FAR_AT)
    effects = scene.copy_event(NEAR_AT, PollAnswered())
    assert redirects(effects) == {PREFIX: f"{NEAR_AT.gateway}/{scene.service}/"}


def test_what_could_not_be_measured_while_a_site_was_silent_is_measured_when_it_is_back() -> None:
    scene = both_measured()
    silence(scene, NEAR_AT)
    measured(scene, NEAR_AT, None)
    measured(scene, NEAR_AT, None)  # once may have been bad luck
    effects = scene.copy_event(NEAR_AT, PollAnswered())
    assert [effect.by for effect in effects if isinstance(effect, Measure)] == [NEAR_AT.node]
    assert redirects([*measured(scene, NEAR_AT, 10.0)]) == {PREFIX: f"{NEAR_AT.gateway}/{scene.service}/"}


def unanswered() -> Scene:
    """Users who answer neither the trace nor any probe; what lies behind the exchange is far from clear-cut."""
    far_behind = (Hop(2, "203.0.113.17", 52.0), Hop(3, "203.0.113.25", 70.0), Hop(4, "203.0.113.33", 72.0))
    scene = found(None, far_behind)
    scene.tell(DiscoveryFinished(PREFIX))
    measured(scene, NEAR_AT, None)
    return scene


def test_users_who_answer_no_probe_are_placed_by_estimates_once_all_have_tried() -> None:
    scene = unanswered()
    assert asked(scene.seen) == []
    assert asked(measured(scene, FAR_AT, None)) == [NEAR_AT.node]
    assert redirects(scene.grant(NEAR_AT)) == {PREFIX: f"{NEAR_AT.gateway}/{scene.service}/"}


@pytest.mark.parametrize(("there_ms", "stays"), [(33.0, True), (95.0, False)])
def test_the_kernel_of_the_copy_confirms_or_corrects_the_estimate(there_ms: float, stays: bool) -> None:
    scene = unanswered()
    measured(scene, FAR_AT, None)
    scene.grant(NEAR_AT)
    seen = Observation(scene.service, PREFIX, USER, requests=1, rtt_ms=there_ms, site=NEAR_AT.node)
    scene.copy_event(NEAR_AT, PollAnswered((seen,)))
    measured(scene, NEAR_AT, None)
    at = scene.loop.services[scene.service].placement.assignment.get(PREFIX)
    assert at == (NEAR_AT.node if stays else FAR_AT.node)
    assert scene.loop.services[scene.service].users[PREFIX].rtt_at_ms[HOME.node_id] == 80.0


def test_a_site_that_could_not_be_reached_is_asked_again_sooner_than_one_that_refused() -> None:
    until = {}
    for unreached in (True, False):
        scene = both_measured()
        silence(scene, NEAR_AT)
        answer = LeaseAnswered(refused="no", unreached=unreached)
        scene.copy_event(FAR_AT, answer)
        until[unreached] = scene.loop.services[scene.service].refusals[FAR_AT.node].until - scene.now
    assert until == {True: pytest.approx(UNREACHED_MEMORY_S), False: pytest.approx(REFUSAL_MEMORY_S)}


def test_a_site_that_cannot_be_reached_is_not_asked_again_on_the_strength_of_its_record() -> None:
    scene = found(80.0)
    scene.tell(DiscoveryFinished(PREFIX))
    assert asked(scene.seen) == [NEAR_AT.node]  # its record was clear-cut
    scene.copy_event(NEAR_AT, LeaseAnswered(refused="no answer"))
    for site in (NEAR_AT, FAR_AT):
        scene.tell(RttMeasured(site.node, PREFIX, None, "no answer", answered=False))
    before = len(scene.seen)
    for _ in range(20):
        scene.now += 10.0
        scene.users()
        scene.seen += scene.loop.wake(scene.now)
    assert NEAR_AT.node not in asked(scene.seen[before:])
    measured(scene, NEAR_AT, 10.0)
    assert NEAR_AT.node in asked(scene.seen[before:])


def test_after_a_standstill_users_copies_and_redirects_are_what_they_were() -> None:
    scene = both_measured()
    before = scene.loop.services[scene.service].redirects
    assert [one.prefix for one in before] == [PREFIX]
    gap_s = 3 * max(SILENT_AFTER_S, USER_MEMORY_S, IDLE_BEFORE_RETIRE_S)
    scene.now += gap_s
    scene.tell(StoodStill(gap_s))
    seen = len(scene.seen)
    scene.seen += scene.loop.wake(scene.now)
    scene.copy_event(NEAR_AT, PollFailed("no answer"))  # the one that was on its way
    running = scene.loop.services[scene.service]
    assert (list(running.users), running.copies[NEAR_AT.node].state) == ([PREFIX], State.SERVING)
    assert running.placement.assignment == {PREFIX: NEAR_AT.node}
    assert released(scene.seen[seen:]) == []
    effects = scene.copy_event(NEAR_AT, PollAnswered(lease=scene.lease(NEAR_AT, NEAR_AT.name.replace(".", ""))))
    assert redirects(effects) == {PREFIX: before[0].url}


def test_a_copy_in_use_is_kept_after_its_customer_restarted_though_no_finder_has_come_upon_its_site() -> None:
    """Announcements come back only after minutes; until then a worse site, or none, is all that is found."""
    scene = Scene(an_app())
    lease = scene.lease(NEAR_AT, "before")
    web = scene.app.services[0]
    scene.tell(ServiceStopped(scene.service, "restart"))
    scene.tell(ServiceStarted(scene.service, web, sign(scene.app, HOME), None, (lease,)))
    scene.users()  # one of them came home meanwhile
    scene.tell(RouteTraced(PREFIX, Route(USER, (Hop(1, EXCHANGE, 50.0),), 80.0)))
    sighted(scene, FAR_AT, 200.0)
    scene.tell(DiscoveryFinished(PREFIX))
    measured(scene, FAR_AT, 300.0)
    request_id = scene.loop.services[scene.service].copies[NEAR_AT.node].request_id
    seen = Observation(scene.service, PREFIX, USER, requests=1, open_websockets=1, rtt_ms=10.0)
    for _ in range(int(IDLE_BEFORE_RETIRE_S) + 10):
        scene.now += 1.0
        renewed = scene.lease(NEAR_AT, "before")
        scene.tell(CopyEvent(scene.service, NEAR_AT.node, request_id, PollAnswered((seen,), renewed)))
        scene.seen += scene.loop.wake(scene.now)
    assert released(scene.seen) == []
    assert [effect.by for effect in scene.seen if isinstance(effect, Measure)].count(NEAR_AT.node) == 1
    assert redirects(measured(scene, NEAR_AT, 10.0)) == {PREFIX: lease.url}
