"""What the loop keeps has bounds, and what others claim is taken for no more than it is."""

from collections.abc import Iterator

import msgspec
import pytest
from test_orchestrator_by_hand import FAR_AT, HOME, NEAR, NEAR_AT, PREFIX, USER, Scene, a_record, an_app, asked, reasons

from footloose.core.identity import NodeId
from footloose.core.limits import (
    CUSTOMER_SILENT_S,
    REDISCOVER_S,
    REFUSAL_MEMORY_MOST_S,
    REFUSAL_MEMORY_S,
    SITES_ASKED,
    SITES_PER_PREFIX,
)
from footloose.migration.switch import LeaseAnswered, PollAnswered
from footloose.model.app import Budget, Slo
from footloose.model.network import Observation, Prefix, Route, prefix_of
from footloose.model.site import Endpoint, Sighting, Source
from footloose.orchestrator import memory
from footloose.orchestrator.loop import REST_PER_USER_S
from footloose.orchestrator.memory import Located, Running
from footloose.orchestrator.messages import (
    CustomerHeard,
    CustomerLeft,
    Discover,
    DiscoveryFinished,
    Effect,
    Identify,
    Measure,
    Parent,
    Remember,
    RouteTraced,
    RttMeasured,
    SiteIdentified,
    SiteSighted,
    Trace,
    UsersObserved,
)
from footloose.placement.greedy import Greedy
from footloose.placement.interface import Choice, Placement, Placer, Problem


def users(scene: Scene, count: int) -> Iterator[Observation]:
    """Users in so many prefixes."""
    for number in range(count):
        address = f"10.{number // 250}.{number % 250}.7"
        yield Observation(scene.service, prefix_of(address), address, requests=1, rtt_ms=80.0)


def running_in(scene: Scene) -> Running:
    return scene.loop.services[scene.service]


def placed(scene: Scene, near_ms: float = 5.0, far_ms: float = 30.0) -> list[Effect]:
    """Users, 80 ms away, near whom two sites were found and measured."""
    scene.users()
    scene.tell(RouteTraced(PREFIX, Route(USER, (), 80.0)))
    scene.tell(RttMeasured(HOME.node_id, PREFIX, 80.0))
    for record in (NEAR_AT, FAR_AT):
        scene.tell(SiteSighted(PREFIX, Sighting(record.api, Source.STATIC)))
    scene.tell(DiscoveryFinished(PREFIX))
    scene.tell(RttMeasured(FAR_AT.node, PREFIX, far_ms))
    return scene.tell(RttMeasured(NEAR_AT.node, PREFIX, near_ms))


# Users


def test_the_longest_unseen_users_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PREFIXES_PER_SERVICE", 10)
    scene = Scene(an_app())
    seen = list(users(scene, 25))
    scene.tell(UsersObserved(tuple(seen[:10])))
    scene.tell(UsersObserved((seen[0],)))
    scene.tell(UsersObserved(tuple(seen[10:19])))
    assert set(running_in(scene).users) == {one.prefix for one in (seen[0], *seen[10:19])}
    assert scene.loop.located.keys() == running_in(scene).users.keys()
    scene.tell(UsersObserved((*seen[19:],)))
    assert len(running_in(scene).users) == len(scene.loop.located) == 10


def test_with_many_users_choosing_takes_a_rest_and_misses_nothing() -> None:
    problems: list[Problem] = []

    class Counting:
        name = "counting"

        def place(self, problem: Problem) -> Placement:
            problems.append(problem)
            return Greedy().place(problem)

    scene = Scene(an_app(), lambda _: Counting())
    seen = list(users(scene, 200))
    scene.tell(UsersObserved(tuple(seen)))
    for one in seen:
        scene.now -= 0.1 - 0.0001
        scene.tell(RouteTraced(one.prefix, Route(one.address, (), 80.0)))
        scene.loop.receive(SiteSighted(one.prefix, Sighting(NEAR_AT.api, Source.STATIC)), scene.now)
        scene.loop.receive(DiscoveryFinished(one.prefix), scene.now)
        scene.loop.receive(RttMeasured(NEAR_AT.node, one.prefix, 5.0), scene.now)
    assert len(problems) < 50
    due = scene.loop.next_deadline()
    assert due is not None and due <= scene.now + 200 * REST_PER_USER_S
    scene.loop.wake(scene.now + 1.0)
    assert len(problems[-1].demand) == 200


def test_what_a_copy_tells_of_other_services_and_unknown_sites_is_left_alone() -> None:
    scene = Scene(an_app())
    placed(scene)
    scene.grant(NEAR_AT)
    made_up = [NodeId(f"site-{number}") for number in range(100)]
    told = [Observation(scene.service, PREFIX, USER, requests=1, site=site) for site in made_up]
    told += [Observation("other/web", Prefix("10.9.9.0/24"), "10.9.9.9", requests=1)]
    scene.copy_event(NEAR_AT, PollAnswered(tuple(told)))
    assert set(running_in(scene).requests_at) == {HOME.node_id}
    assert Prefix("10.9.9.0/24") not in running_in(scene).users
    assert len(running_in(scene).users[PREFIX].rtt_at_ms) <= memory.RTTS_KEPT


def test_users_only_a_copy_has_seen_are_not_looked_for_from_here() -> None:
    scene = Scene(an_app())
    placed(scene)
    scene.grant(NEAR_AT)
    elsewhere = Observation(scene.service, Prefix("10.9.9.0/24"), "10.9.9.9", requests=1, rtt_ms=5.0)
    effects = scene.copy_event(NEAR_AT, PollAnswered((elsewhere,)))
    assert not [effect for effect in effects if isinstance(effect, Trace)]
    assert running_in(scene).users[elsewhere.prefix].site == NEAR_AT.node


# Sites


def test_of_the_sites_near_one_prefix_only_silent_ones_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Located(PREFIX, USER, 0.0)
    sites = [NodeId(f"site-{number}") for number in range(SITES_PER_PREFIX + 2)]
    sighting = Sighting(Endpoint("198.51.100.1", 7443), Source.DHT)
    assert all(place.sight(site, sighting) for site in sites[:SITES_PER_PREFIX])
    assert not place.sight(sites[-1], sighting)
    place.measured(sites[3], None, answered=False)
    assert place.sight(sites[-1], sighting)
    assert sites[3] not in place.sightings
    assert len(place.sightings) == SITES_PER_PREFIX


def test_only_so_many_strangers_are_asked_at_a_time_who_they_are() -> None:
    scene = Scene(an_app())
    scene.users()
    for number in range(SITES_ASKED + 50):
        scene.tell(SiteSighted(PREFIX, Sighting(Endpoint(f"host-{number}", 1), Source.DNS)))
    identify = [effect for effect in scene.seen if isinstance(effect, Identify)]
    assert len(identify) == len(scene.loop._identifying) == SITES_ASKED


def test_a_stranger_who_never_answered_is_asked_again_and_forgotten_in_between() -> None:
    scene = Scene(an_app())
    scene.users()
    at = Endpoint("203.0.113.3", 7443)
    stranger = SiteSighted(PREFIX, Sighting(at, Source.DNS))
    assert Identify(at, None) in scene.tell(stranger)
    assert Identify(at, None) not in scene.tell(stranger)
    scene.now += REDISCOVER_S + 1
    scene.loop.wake(scene.now)
    assert scene.loop._identifying == {}
    scene.users()
    assert Identify(at, None) in scene.tell(stranger)


def test_a_site_seen_under_a_new_address_is_asked_there_and_used_meanwhile() -> None:
    scene = Scene(an_app())
    scene.users()
    moved = Endpoint("203.0.113.3", 7443)
    effects = scene.tell(SiteSighted(PREFIX, Sighting(moved, Source.DHT, NEAR_AT.node)))
    assert Identify(moved, NEAR_AT.node) in effects
    assert [effect.by for effect in effects if isinstance(effect, Measure)] == [NEAR_AT.node]
    now = msgspec.structs.replace(NEAR_AT, api=moved, issued_at=scene.now)
    scene.tell(SiteIdentified(moved, now, claimed=NEAR_AT.node))
    assert scene.loop.sites[NEAR_AT.node].api == moved
    older = SiteIdentified(NEAR_AT.api, NEAR_AT)
    scene.tell(older)
    assert scene.loop.sites[NEAR_AT.node].api == moved


def test_one_lost_measurement_moves_nobody_a_second_does() -> None:
    scene = Scene(an_app())
    placed(scene)
    scene.grant(NEAR_AT)
    at = running_in(scene).placement.assignment
    scene.tell(RttMeasured(NEAR_AT.node, PREFIX, None, "no answer", answered=False))
    assert running_in(scene).placement.assignment == at == {PREFIX: NEAR_AT.node}
    scene.tell(RttMeasured(NEAR_AT.node, PREFIX, None, "no answer", answered=False))
    assert running_in(scene).placement.assignment == {PREFIX: FAR_AT.node}


def test_two_copies_equally_near_do_not_hand_users_to_and_fro() -> None:
    scene = Scene(an_app())
    placed(scene, near_ms=10.0, far_ms=10.4)
    scene.grant(NEAR_AT)
    other = Prefix("10.0.1.0/24")
    scene.tell(UsersObserved((Observation(scene.service, other, "10.0.1.7", requests=1),)))
    scene.tell(RouteTraced(other, Route("10.0.1.7", (), 80.0)))
    scene.tell(SiteSighted(other, Sighting(FAR_AT.api, Source.STATIC)))
    scene.tell(DiscoveryFinished(other))
    scene.tell(RttMeasured(FAR_AT.node, other, 5.0))
    scene.grant(FAR_AT)  # both serve now
    for near_ms, far_ms in ((10.4, 10.0), (10.0, 10.6), (10.7, 10.0)):
        scene.tell(RttMeasured(NEAR_AT.node, PREFIX, near_ms))
        scene.tell(RttMeasured(FAR_AT.node, PREFIX, far_ms))
        assert running_in(scene).placement.assignment[PREFIX] == NEAR_AT.node
    scene.tell(RttMeasured(NEAR_AT.node, PREFIX, 12.5))
    assert running_in(scene).placement.assignment[PREFIX] == FAR_AT.node


def test_like_is_compared_with_like_what_is_measured_here_goes_before_what_the_kernel_says() -> None:
    scene = Scene(an_app())
    scene.users()  # 80 ms, says the kernel
    effects = scene.tell(RouteTraced(PREFIX, Route(USER, (), 80.0)))
    assert Measure(HOME.node_id, None, PREFIX, USER) in effects
    scene.tell(SiteSighted(PREFIX, Sighting(NEAR_AT.api, Source.STATIC)))
    scene.tell(RttMeasured(HOME.node_id, PREFIX, 20.0))
    scene.tell(DiscoveryFinished(PREFIX))
    scene.tell(RttMeasured(NEAR_AT.node, PREFIX, 19.0))
    assert asked(scene.seen) == []


def test_refusals_are_remembered_for_longer_each_time_up_to_a_limit_and_forgotten_afterwards() -> None:
    scene = Scene(an_app())
    placed(scene)
    running, now = running_in(scene), 1000.0
    waits = []
    for _ in range(8):
        running.refused(NEAR_AT.node, now)
        waits.append(running.refusals[NEAR_AT.node].until - now)
        now = running.refusals[NEAR_AT.node].until + 1
        assert not running.refuses(NEAR_AT.node, now)
    assert waits[:3] == [REFUSAL_MEMORY_S, 2 * REFUSAL_MEMORY_S, 4 * REFUSAL_MEMORY_S]
    assert waits[-1] == REFUSAL_MEMORY_MOST_S
    running.forget_refusals(now + REFUSAL_MEMORY_MOST_S + 1)
    assert running.refusals == {}


def test_a_site_that_refused_is_asked_again_as_soon_as_it_may_be_though_nothing_else_happens() -> None:
    scene = Scene(an_app())
    placed(scene)
    scene.copy_event(NEAR_AT, LeaseAnswered(refused="full"))
    (told,) = [one for one in reasons(scene.seen) if one == "full"]
    until = running_in(scene).refusals[NEAR_AT.node].until
    effects: list[Effect] = []
    while scene.now < until + 2.0:
        scene.now += 1.0
        scene.loop.receive(UsersObserved((Observation(scene.service, PREFIX, USER, requests=1),)), scene.now)
        effects += scene.loop.wake(scene.now)
        if scene.now < until:
            assert NEAR_AT.node not in asked(effects), told
    assert NEAR_AT.node in asked(effects)


def test_the_loop_never_wants_to_be_woken_at_a_moment_it_was_woken_at() -> None:
    scene = Scene(an_app())
    placed(scene)
    scene.copy_event(NEAR_AT, LeaseAnswered(refused="full"))
    end = running_in(scene).refusals[NEAR_AT.node].until + 60.0
    wakes = 0
    while (due := scene.loop.next_deadline()) is not None and due < end:
        scene.now = due
        scene.loop.wake(due)
        assert (scene.loop.next_deadline() or end) > due
        wakes += 1
    assert 0 < wakes < 200


# Customers


def a_copy() -> Scene:
    """A copy here, leased by the near site; the far site is another place."""
    scene = Scene(an_app())
    scene.loop.services.clear()
    scene.start(scene.app, Parent(NEAR_AT.node, f"{NEAR_AT.gateway}/{scene.service}/"))
    return scene


def hear(scene: Scene, *, hold: bool = False) -> list[Effect]:
    parent = Parent(NEAR_AT.node, f"{NEAR_AT.gateway}/{scene.service}/")
    return scene.tell(CustomerHeard(scene.service, parent, hold))


def test_users_are_sent_back_to_a_customer_that_is_nearer_without_a_lease_while_it_is_heard_of() -> None:
    scene = a_copy()
    hear(scene)
    placed(scene)
    assert asked(scene.seen) == []
    assert [one.url for one in running_in(scene).redirects] == [f"{NEAR_AT.gateway}/{scene.service}/"]
    scene.now += CUSTOMER_SILENT_S + 1
    scene.loop.wake(scene.now)
    assert NEAR_AT.node not in running_in(scene).customers
    assert running_in(scene).redirects == ()
    hear(scene)
    assert [one.url for one in running_in(scene).redirects] == [f"{NEAR_AT.gateway}/{scene.service}/"]


def test_no_users_are_sent_back_to_a_customer_that_has_given_up_its_lease() -> None:
    scene = a_copy()
    hear(scene)
    placed(scene)
    assert [one.url for one in running_in(scene).redirects] == [f"{NEAR_AT.gateway}/{scene.service}/"]
    scene.tell(CustomerLeft(scene.service, NEAR_AT.node))
    assert running_in(scene).redirects == ()
    assert asked(scene.seen) == [NEAR_AT.node]  # it may run a copy as any other site may
    assert scene.tell(CustomerLeft(scene.service, NEAR_AT.node)) == []


def test_at_home_users_are_nobody_elses_whoever_asks_after_a_copy() -> None:
    scene = Scene(an_app())
    hear(scene, hold=True)
    assert running_in(scene).customers == {}
    placed(scene)
    assert asked(scene.seen) == [NEAR_AT.node]


def test_users_a_customer_wants_to_stay_are_sent_nowhere_and_copies_leased_for_them_end() -> None:
    scene = a_copy()
    placed(scene)
    scene.grant(NEAR_AT)
    assert len(running_in(scene).redirects) == 1
    hear(scene, hold=True)
    assert running_in(scene).redirects == ()
    scene.tell(RttMeasured(NEAR_AT.node, PREFIX, 1.0))
    assert running_in(scene).redirects == ()
    assert "asked for by hand at 198.51.100.1, which leases this copy" in reasons(scene.seen)


# Placers


class Answering:
    """A placer with one answer."""

    name = "answering"

    def __init__(self, placement: Placement) -> None:
        self._placement = placement

    def place(self, problem: Problem) -> Placement:  # noqa: ARG002 - a placer's signature
        return self._placement


STRANGER = NodeId("stranger")
NEAR_CHOICE = Choice(NEAR_AT.node, "It is near.", 1.0)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (Placement((Choice(STRANGER, "why not", 1.0),), {PREFIX: STRANGER}), "no candidate"),
        (Placement((NEAR_CHOICE, NEAR_CHOICE), {}), "each once"),
        (Placement((NEAR_CHOICE,), {PREFIX: FAR_AT.node}), "did not choose"),
        (Placement((NEAR_CHOICE,), {Prefix("10.9.9.0/24"): NEAR_AT.node}), "nobody asked about"),
        (Placement((NEAR_CHOICE, Choice(FAR_AT.node, "too", 1.0)), {}), "at most 1"),
    ],
)
def test_what_a_placer_answers_that_is_no_answer_is_not_acted_on(answer: Placement, complaint: str) -> None:
    def find(_name: str) -> Placer:
        return Answering(answer)

    scene = Scene(an_app(budget=Budget(copies=1)), find)
    placed(scene)
    assert asked(scene.seen) == []
    assert [one for one in reasons(scene.seen) if complaint in one]


def test_a_placer_gets_the_owners_wishes_and_where_users_are_now() -> None:
    problems: list[Problem] = []

    class Looking:
        name = "looking"

        def place(self, problem: Problem) -> Placement:
            problems.append(problem)
            return Greedy().place(problem)

    scene = Scene(an_app(slo=Slo(latency_ms=20.0), budget=Budget(copies=3)), lambda _: Looking())
    placed(scene)
    scene.grant(NEAR_AT)
    problem = problems[-1]
    assert (problem.slo_latency_ms, problem.copies) == (20.0, 3)
    assert problem.served_at == {PREFIX: NEAR_AT.node}
    assert {one.site: one.running for one in problem.candidates} == {NEAR_AT.node: True, FAR_AT.node: False}
    assert problem.origin_rtt_ms == {PREFIX: 80.0}


def test_a_record_that_changes_lets_a_site_be_used_that_could_not_be() -> None:
    scene = Scene(an_app(budget=Budget(price_per_hour=1.0)))
    dear = msgspec.structs.replace(a_record(NEAR), price_per_hour=2.0, issued_at=1.0)
    scene.tell(SiteIdentified(dear.api, dear))
    placed(scene)
    assert asked(scene.seen) == [FAR_AT.node]
    told = [
        one.decision
        for one in scene.seen
        if isinstance(one, Remember) and one.decision.outcome == "not at 198.51.100.1"
    ]
    assert [one.inputs["price_per_hour"] for one in told] == [2.0]
    scene.tell(SiteIdentified(dear.api, msgspec.structs.replace(dear, price_per_hour=0.5, issued_at=2.0)))
    scene.tell(RttMeasured(NEAR_AT.node, PREFIX, 5.0))
    assert asked(scene.seen) == [FAR_AT.node, NEAR_AT.node]


def test_what_an_unanswered_look_left_behind_does_not_stop_the_next() -> None:
    scene = Scene(an_app())
    scene.users()
    scene.tell(RouteTraced(PREFIX, Route(USER, (), 80.0)))
    scene.tell(SiteSighted(PREFIX, Sighting(NEAR_AT.api, Source.STATIC)))
    assert scene.loop.located[PREFIX].discovering  # neither the finders nor the site ever answer
    scene.now += REDISCOVER_S
    scene.users()
    effects = scene.loop.wake(scene.now)
    assert [effect for effect in effects if isinstance(effect, Trace)]
    effects = scene.tell(RouteTraced(PREFIX, Route(USER, (), 80.0)))
    assert [effect for effect in effects if isinstance(effect, Discover)]
    effects = scene.tell(SiteSighted(PREFIX, Sighting(NEAR_AT.api, Source.STATIC)))
    assert [effect.by for effect in effects if isinstance(effect, Measure)] == [NEAR_AT.node]
