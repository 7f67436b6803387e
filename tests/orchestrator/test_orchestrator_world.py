"""The loop at work: one home, sites near and far, users who come and go, and what goes wrong on the way."""

from itertools import pairwise

import msgspec
import pytest
from orchestrator_world import TIMEOUT_S, User, World, an_app, node

from footloose.core.limits import (
    IDLE_BEFORE_RETIRE_S,
    LEASE_TERM_S,
    REFUSAL_MEMORY_S,
    SILENT_AFTER_S,
    USER_MEMORY_S,
)
from footloose.market.desk import NOTICE_S
from footloose.migration.switch import Ask, Release, State
from footloose.model.app import Budget, ServiceId, Where
from footloose.model.network import prefix_of
from footloose.orchestrator.memory import LOOK_AGAIN_FIRST_S
from footloose.orchestrator.messages import (
    CopyEnded,
    Discover,
    Measure,
    MoveWanted,
    SetRedirects,
    SiteAvoided,
    Trace,
)


def a_world(**service: object) -> tuple[World, ServiceId]:
    """Home in the middle; a west and an east, each with a site in a town, 38 ms away, and one halfway, 20 ms away."""
    world = World()
    world.site("home", "core")
    for side in ("west", "east"):
        world.router(side, "core", 20.0)
        world.router(f"{side}town", side, 18.0)
        world.site(f"{side}half", side)
        world.site(f"{side}site", f"{side}town")
    return world, world.deploy(an_app("home", **service))


def settle(world: World, user: User, at: str, within_s: float = 30.0) -> None:
    """Run until a user is served at a site and has been for a while."""
    world.run_until(lambda: user.at == at, within_s)
    began = world.now
    world.run(5.0)
    assert world.served_at(user, began + 1.1) == {at}


# The steps, and their order


def test_the_first_user_is_traced_found_measured_leased_and_redirected() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    first: dict[type, float] = {}
    for when, name, effect in world.effects:
        if name == "home":
            first.setdefault(type(effect), when)
    assert first[Trace] < first[Discover] < first[Ask] < first[SetRedirects]
    assert first[Trace] < first[Measure] < first[SetRedirects]
    steps = [one.step for one in world.decisions if one.site == node("home")]
    figure = ["observe", "trace", "discover", "measure", "choose", "agree", "deploy", "redirect"]
    assert sorted(figure, key=steps.index)[:2] == ["observe", "trace"]
    assert set(steps) == set(figure)
    assert user.failed == []


def test_a_clear_cut_record_is_acted_on_before_anything_is_measured() -> None:
    world, service = a_world()
    world.slow_s["westsite"] = 1.0
    world.user("ann", "westtown", service)
    world.run_until(lambda: bool(world.asked("westsite")))
    measured = world.decided(step="measure", at="home")
    assert not [one for one in measured if one.inputs["site"] == node("westsite")]
    (why,) = world.decided(step="choose", at="home", subject="westsite")
    assert why.inputs["gain_ms"] > 0


def test_without_a_figure_in_its_record_a_site_is_measured_before_it_is_chosen() -> None:
    world, service = a_world()
    for name in ("westsite", "westhalf", "eastsite", "easthalf"):
        world.lies_ms[name] = 45.0  # modest: nothing clear-cut about it
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    chosen = world.decided(step="choose", at="home", subject=user.prefix)[0]
    measured = [one.inputs["site"] for one in world.decided(step="measure", at="home") if one.at <= chosen.at]
    assert node("westsite") in measured


def test_a_record_that_lies_is_corrected_by_the_measurement() -> None:
    world, service = a_world()
    world.lies_ms["eastsite"] = 0.1
    world.hidden = {("home", "westsite"), ("westhalf", "westsite")}
    user = world.user("ann", "westtown", service)
    settle(world, user, "westhalf")
    assert world.asked("eastsite")  # it was believed
    choices = [one.outcome for one in world.decided(step="choose", at="home", subject=user.prefix)]
    assert choices[-2:] == ["eastsite", "westhalf"]
    world.run(IDLE_BEFORE_RETIRE_S + 5)
    assert "eastsite" not in world.copies("home")
    assert user.failed == []


def test_nobody_is_sent_to_a_copy_before_it_serves() -> None:
    world, service = a_world()
    world.slow_s = {"westsite": 3.0, "westhalf": 2.0}
    user = world.user("ann", "westtown", service, every_s=0.1)
    settle(world, user, "westsite")
    for when, effect in world.told(SetRedirects, "home"):
        assert isinstance(effect, SetRedirects)
        for redirect in effect.redirects:
            site = world.site_at(redirect.url)
            asked = world.asked(site.name, "home")[0]
            assert when > asked + world.slow_s[site.name]
    assert user.failed == []


def test_while_a_nearer_site_still_starts_users_go_to_the_one_that_serves() -> None:
    world, service = a_world()
    world.hidden.add(("home", "westsite"))
    user = world.user("ann", "westtown", service, comes_home=True)
    world.hidden.add(("westhalf", "westsite"))
    settle(world, user, "westhalf")
    world.hidden.clear()
    world.slow_s["westsite"] = 5.0  # asked twice: the code has to be sent
    asked = world.run_until(lambda: bool(world.asked("westsite", "home")), 60.0)
    world.run(5.0)
    assert world.served_at(user, asked - 1) == {"westhalf"}
    settle(world, user, "westsite")


def test_every_decision_gives_its_reason_and_the_figures_it_rests_on() -> None:
    world, service = a_world(budget=Budget(copies=2), where=Where(regions=("",)))
    users = [world.user(f"user{n}", place, service) for n, place in enumerate(("westtown", "easttown", "core"))]
    world.run(10.0)
    users[0].active = False
    world.cut_off("home", "eastsite")
    world.run(USER_MEMORY_S + IDLE_BEFORE_RETIRE_S + 10)
    inputs = {
        "observe": set(),
        "trace": {"hops", "rtt_ms"},
        "measure": {"site", "rtt_ms"},
        "redirect": set(),
        "agree": set(),
        "retire": set(),
    }
    assert {one.step for one in world.decisions} >= {*inputs, "choose", "deploy", "discover"}
    for one in world.decisions:
        assert one.subject and one.outcome and one.reason, one
        assert one.inputs.keys() >= inputs.get(one.step, set()), one
    for one in world.decided(step="choose"):
        figures = one.inputs.get("rtt_ms", one.inputs.get("gain_ms"))
        assert figures, one


# Where a service may run


def test_a_site_that_refuses_is_left_alone_for_longer_each_time() -> None:
    world, service = a_world()
    world.sites["westsite"].desk.policy = msgspec.structs.replace(world.sites["westsite"].policy, max_leases=0)
    user = world.user("ann", "westtown", service)
    settle(world, user, "westhalf")
    world.run(8 * REFUSAL_MEMORY_S)
    asked = world.asked("westsite", "home")
    waits = [later - before for before, later in pairwise(asked)]
    assert len(waits) == 3
    assert all(wait > REFUSAL_MEMORY_S for wait in waits)
    assert waits == sorted(waits)
    assert waits[1] > 1.9 * waits[0]
    assert "all 0 places here are taken" in world.decided(step="agree", at="home", subject="westsite")[1].reason
    assert user.at == "westhalf"


def test_a_site_that_refused_once_is_used_when_it_has_room() -> None:
    world, service = a_world()
    site = world.sites["westsite"]
    site.desk.policy = msgspec.structs.replace(site.policy, max_leases=0)
    user = world.user("ann", "westtown", service)
    settle(world, user, "westhalf")
    site.desk.policy = site.policy
    settle(world, user, "westsite", 2 * REFUSAL_MEMORY_S)


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ({"where": Where(regions=("", "north"))}, "does not allow region 'south'"),
        ({"where": Where(not_providers=(node("westsite"),))}, "does not allow its provider"),
        ({"where": Where(providers=(node("westhalf"),))}, "does not allow its provider"),
        ({"budget": Budget(price_per_hour=1.0)}, "its price of 2 an hour is over the budget of 1"),
    ],
)
def test_a_site_the_owner_does_not_allow_is_never_asked_and_the_reason_is_told_once(
    service: dict[str, object], why: str
) -> None:
    world, service_id = a_world(**service)
    site = world.sites["westsite"]
    site.policy = msgspec.structs.replace(site.policy, region="south", price_per_hour=2.0)
    user = world.user("ann", "westtown", service_id)
    settle(world, user, "westhalf")
    world.run(60.0)
    assert world.asked("westsite") == []
    (told,) = world.decided(step="choose", at="home", subject="westsite")
    assert why in told.reason
    assert (told.inputs["region"], told.inputs["price_per_hour"]) == ("south", 2.0)


def test_there_are_never_more_copies_than_the_budget_allows_and_they_move_with_the_demand() -> None:
    world, service = a_world(budget=Budget(copies=1))
    most = 0

    def count(site: object, _effect: object) -> None:
        nonlocal most
        most = max([most, *(len(world.copies(name)) for name in world.sites)])

    world.watchers.append(count)
    west = [world.user(f"west{n}", "westtown", service, every_s=0.2) for n in range(3)]
    settle(world, west[0], "westsite")
    east = [world.user(f"east{n}", "easttown", service, every_s=0.2) for n in range(6)]
    for user in west:
        user.active = False
    settle(world, east[0], "eastsite", USER_MEMORY_S + IDLE_BEFORE_RETIRE_S)
    assert most == 1
    assert not any(user.failed for user in east)


# Users who leave, come back and move


def test_copies_are_given_up_when_their_users_have_left() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    user.active = False
    world.run(USER_MEMORY_S + IDLE_BEFORE_RETIRE_S + 5)
    assert world.copies("home") == {}
    assert service not in world.sites["westsite"].runs
    assert world.sites["westsite"].desk.all_held() == []
    assert world.sites["home"].given == {}
    assert world.sites["home"].redirects[service] == ()
    home = world.sites["home"].loop
    assert (home.located, home.services[service].users) == ({}, {})
    assert (
        "no users for whom it is the best site" in world.decided(step="retire", at="home", subject="westsite")[0].reason
    )


def test_users_who_do_not_follow_their_redirect_do_not_make_copies_come_and_go() -> None:
    world, service = a_world()
    world.user("ann", "westtown", service, stays_put=True)
    world.run(5 * IDLE_BEFORE_RETIRE_S)
    assert len(world.asked("westsite")) == 1
    assert world.copies("home")["westsite"] is State.SERVING


def test_a_user_who_moves_to_another_network_is_found_a_site_there() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    before = user.prefix
    user.address = "100.99.0.7"
    world.net.move("ann", "easttown", 1.0)
    world.run_until(lambda: user.at == "eastsite", 60.0)
    world.run(USER_MEMORY_S + 2)
    assert user.at == "eastsite"
    assert before not in world.sites["home"].loop.located
    assert prefix_of(user.address) in world.sites["westsite"].loop.located or user.at == "eastsite"


def test_users_who_came_nearer_home_are_sent_back_by_the_copy() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    world.net.move("ann", "core", 1.0)
    settle(world, user, "home", 60.0)
    assert user.failed == []


def test_a_user_whose_first_trace_is_lost_is_traced_again() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service)
    world.lossy = 1.0
    world.run_until(lambda: any(world.told(Trace, "home")))
    world.heal()
    world.run(3 * LOOK_AGAIN_FIRST_S)
    settle(world, user, "westsite")


def test_users_who_cannot_be_traced_still_find_sites_that_are_known_by_other_means() -> None:
    world, service = a_world()
    world.listed = {"westhalf", "eastsite"}
    user = world.user("ann", "westtown", service)
    world.untraceable.add(user.address)
    settle(world, user, "westhalf")
    assert world.decided(step="trace", at="home", subject=user.prefix)[0].reason == "no permission to trace"
    world.untraceable.clear()
    settle(world, user, "westsite", 60.0)


def test_users_who_answer_no_probes_are_placed_by_what_the_kernel_and_clear_cut_records_say() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service)
    world.silent_users.add(user.address)
    settle(world, user, "westsite")
    world.run(60.0)
    assert user.at == "westsite"
    assert len(world.asked("westsite", "home")) == 1


def test_of_users_who_answer_no_probes_a_copy_tells_how_far_they_are_and_a_lie_is_found_out() -> None:
    world, service = a_world()
    world.lies_ms["eastsite"] = 0.1
    world.hidden = {(a, b) for a in world.sites for b in ("westsite", "westhalf", "easthalf")}
    user = world.user("ann", "westtown", service, comes_home=True)
    world.silent_users.add(user.address)
    world.run_until(lambda: user.at == "eastsite")
    settle(world, user, "home")


# Sites that fall silent, forget, drain and come back


def test_a_silent_copy_gets_no_users_and_has_them_again_when_it_is_heard_of() -> None:
    world, service = a_world()
    world.hidden.add(("westhalf", "westsite"))
    user = world.user("ann", "westtown", service, comes_home=True, every_s=0.5)
    settle(world, user, "westsite")
    world.cut_off("home", "westsite")
    cut = world.now
    world.run(SILENT_AFTER_S + TIMEOUT_S)
    assert world.copies("home")["westsite"] is State.SUSPECT
    assert user.at == "westhalf"
    world.run(2 * LEASE_TERM_S)
    assert "westsite" not in world.served_at(user, cut + SILENT_AFTER_S + TIMEOUT_S)
    world.heal()
    settle(world, user, "westsite", 60.0)
    assert user.failed == []


def test_a_copy_cut_off_from_its_customer_serves_on_and_sends_nobody_back_there() -> None:
    world, service = a_world()
    world.hidden |= {("westsite", other) for other in ("westhalf", "easthalf", "eastsite")}
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    world.cut_off("home", "westsite")
    world.run(SILENT_AFTER_S + TIMEOUT_S)
    world.net.move("ann", "core", 1.0)  # home is nearer now, but is it there?
    world.run(2 * LEASE_TERM_S)
    assert world.served_at(user, world.now - LEASE_TERM_S) == {"westsite"}
    assert user.failed == []
    world.heal()
    settle(world, user, "home", 60.0)


def test_a_site_that_is_lost_is_replaced_by_the_next_best() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    world.lose("westsite")
    settle(world, user, "westhalf", 60.0)


def test_a_site_that_restarts_goes_on_with_its_copies() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    world.lose("westsite")
    world.run(1.0)
    world.restart("westsite")
    settle(world, user, "westsite")
    assert len(world.asked("westsite")) == 1


def test_a_site_that_lost_its_memory_is_replaced_and_asked_anew_later() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    world.hidden.add(("westhalf", "westsite"))
    world.lose("westsite")
    world.restart("westsite", forgets=True)
    settle(world, user, "westhalf")
    (ended,) = [one for one in world.decided(step="retire", at="home", subject="westsite") if one.outcome == "ended"]
    assert "no such lease" in ended.reason
    settle(world, user, "westsite", 2 * REFUSAL_MEMORY_S)


def test_a_home_that_restarts_takes_up_its_copies_without_asking_again() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service, comes_home=True)
    settle(world, user, "westsite")
    asked = {name: len(world.asked(name)) for name in world.sites}
    world.lose("home")
    world.run(10.0)
    world.restart("home")
    assert world.copies("home")["westsite"] is State.SUSPECT
    settle(world, user, "westsite")
    assert {name: len(world.asked(name)) for name in world.sites} == asked


def test_a_home_away_for_longer_than_the_lease_finds_its_copies_still_serving() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    world.lose("home")
    world.run(3 * LEASE_TERM_S)
    assert world.served_at(user, world.now - LEASE_TERM_S) == {"westsite"}
    world.restart("home")
    world.run(LEASE_TERM_S)
    assert world.copies("home")["westsite"] is State.SERVING
    assert world.served_at(user, world.now - 10) == {"westsite"}
    assert user.failed == []


def test_a_draining_site_gives_its_users_back_in_time_and_is_left_alone() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service, every_s=0.2)
    settle(world, user, "westsite")
    world.drain("westsite")
    drained = world.now
    settle(world, user, "westhalf", NOTICE_S)
    world.run(REFUSAL_MEMORY_S - 20)
    assert user.failed == []
    assert world.sites["westsite"].desk.all_held() == []
    assert max(world.asked("westsite", "home")) < drained
    world.sites["westsite"].desk.resume()
    settle(world, user, "westsite", 2 * REFUSAL_MEMORY_S)


# What people ask for


def test_a_site_avoided_by_hand_is_emptied_and_used_again_when_that_is_taken_back() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    world.tell(world.sites["home"], SiteAvoided(node("westsite")))
    world.hidden.add(("westhalf", "westsite"))
    settle(world, user, "westhalf")
    assert "westsite" not in world.copies("home")
    world.tell(world.sites["home"], SiteAvoided(node("westsite"), avoid=False))
    settle(world, user, "westsite", 2 * IDLE_BEFORE_RETIRE_S)
    assert user.failed == []


def test_users_moved_by_hand_stay_though_other_sites_are_nearer_until_they_are_left_to_the_loop() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service, comes_home=True)
    settle(world, user, "westsite")
    home = world.sites["home"]
    world.tell(home, MoveWanted(service, node("eastsite")))
    settle(world, user, "eastsite")
    world.run(60.0)
    assert world.served_at(user, world.now - 50) == {"eastsite"}
    assert set(world.copies("home")) == {"eastsite"}
    assert world.copies("eastsite") == {}
    world.tell(home, MoveWanted(service, None))
    settle(world, user, "westsite", 60.0)
    assert user.failed == []


def test_users_moved_to_a_copy_are_not_sent_back_by_it_however_near_home_they_are() -> None:
    world, service = a_world()
    user = world.user("ann", "core", service, comes_home=True)
    world.run(10.0)
    world.tell(world.sites["home"], MoveWanted(service, node("eastsite")))
    settle(world, user, "eastsite")
    world.run(60.0)
    assert user.failed == []
    assert world.served_at(user, world.now - 50) == {"eastsite"}
    told = [one for one in world.decisions if one.site == node("eastsite") and one.outcome == "all users stay here"]
    assert "asked for by hand at" in told[0].reason


def test_users_moved_home_by_hand_come_home() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    world.tell(world.sites["home"], MoveWanted(service, node("home")))
    settle(world, user, "home")
    world.run(60.0)
    assert world.copies("home") == {}
    assert world.served_at(user, world.now - 50) == {"home"}
    assert user.failed == []


def test_a_move_to_where_the_service_may_not_run_is_not_made_and_says_why() -> None:
    world, service = a_world(where=Where(not_providers=(node("eastsite"),)))
    world.user("ann", "westtown", service)
    world.run(10.0)
    world.tell(world.sites["home"], MoveWanted(service, node("eastsite")))
    world.run(10.0)
    assert world.asked("eastsite") == []
    told = world.decided(step="choose", at="home", subject="eastsite")[-1]
    assert told.outcome == "not moved to eastsite"
    assert told.reason == "the app file does not allow its provider"


def test_with_a_budget_of_one_a_move_by_hand_gives_up_the_copy_there_is() -> None:
    world, service = a_world(budget=Budget(copies=1))
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    world.tell(world.sites["home"], MoveWanted(service, node("eastsite")))
    settle(world, user, "eastsite")
    assert set(world.copies("home")) == {"eastsite"}
    assert user.failed == []


# Round again, from every copy


def test_a_copy_pushes_its_users_on_to_a_site_only_it_can_find() -> None:
    world, service = a_world()
    world.hidden = {("home", "westsite"), ("home", "eastsite"), ("home", "easthalf")}
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    assert set(world.copies("home")) == {"westhalf"}
    assert set(world.copies("westhalf")) == {"westsite"}
    world.run(60.0)
    assert world.copies("home") == {"westhalf": State.SERVING}  # its own copy's users are its users
    assert world.served_at(user, world.now - 50) == {"westsite"}
    user.active = False
    world.run(2 * (USER_MEMORY_S + IDLE_BEFORE_RETIRE_S))
    assert not any(world.copies(name) for name in world.sites)


def test_a_copy_that_ends_gives_up_the_copies_it_leased_itself() -> None:
    world, service = a_world()
    world.hidden = {("home", "westsite"), ("home", "eastsite"), ("home", "easthalf")}
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    world.tell(world.sites["home"], SiteAvoided(node("westhalf")))
    world.run(20.0)
    assert world.sites["westsite"].desk.all_held() == []
    assert world.sites["westhalf"].given == {}
    assert world.served_at(user, world.now - 5) == {"home"}
    assert user.failed == []


def test_users_of_two_copies_find_the_nearer_of_both() -> None:
    """A copy may lease where its customer has a copy already: the two then agree who serves whom."""
    world, service = a_world()
    ann = world.user("ann", "westtown", service)
    bea = world.user("bea", "easttown", service)
    settle(world, ann, "westsite")
    settle(world, bea, "eastsite")
    world.net.move("ann", "easttown", 1.0)
    world.net.move("bea", "westtown", 1.0)
    settle(world, ann, "eastsite", 90.0)
    settle(world, bea, "westsite", 90.0)
    world.run(60.0)
    assert (ann.at, bea.at) == ("eastsite", "westsite")
    assert ann.failed == bea.failed == []


# More than one service


def test_two_services_are_placed_each_by_its_own_users_and_limits() -> None:
    world, shop = a_world()
    wiki = world.deploy(an_app("home", "wiki", where=Where(not_providers=(node("westsite"),))))
    ann = world.user("ann", "westtown", shop)
    bea = world.user("bea", "westtown", wiki)
    settle(world, ann, "westsite")
    settle(world, bea, "westhalf")
    world.remove(shop)
    world.run(10.0)
    assert shop not in world.sites["westsite"].runs
    assert wiki in world.sites["westhalf"].runs
    assert world.served_at(bea, world.now - 5) == {"westhalf"}


def test_users_of_two_services_in_one_prefix_are_located_once() -> None:
    world, shop = a_world()
    wiki = world.deploy(an_app("home", "wiki"))
    ann = world.user("ann", "westtown", shop)
    bea = world.user("bea", "westtown", wiki)
    bea.address = ann.address
    world.run(1.5)
    assert len([one for _, one in world.told(Trace, "home")]) == 1
    settle(world, ann, "westsite")
    settle(world, bea, "westsite")


# Answers that are lost, late or out of order


def test_a_request_whose_answer_is_lost_is_given_up_and_the_lease_runs_out_by_itself() -> None:
    world, service = a_world()
    world.hidden = {("home", name) for name in ("westhalf", "easthalf", "eastsite")}
    user = world.user("ann", "westtown", service)
    world.slow_s["westsite"] = 1.0
    world.run_until(lambda: bool(world.asked("westsite")))
    world.lossy = 1.0
    world.run(5.0)
    world.heal()
    world.run_until(lambda: "westsite" not in world.copies("home"), 200.0)
    assert "did not answer in time" in world.decided(step="agree", at="home", subject="westsite")[-1].reason
    settle(world, user, "westsite", 3 * REFUSAL_MEMORY_S)


def test_a_lease_granted_to_a_service_that_was_removed_meanwhile_is_released() -> None:
    world, service = a_world()
    world.slow_s = {"westsite": 5.0}
    world.user("ann", "westtown", service)
    world.run_until(lambda: bool(world.asked("westsite")))
    world.remove(service)
    world.run(20.0)
    assert world.sites["westsite"].desk.all_held() == []
    assert world.sites["home"].given == {}
    assert any(world.told(Release, "home"))
    assert any(isinstance(one, CopyEnded) and one.lease_id for _, one in world.told(CopyEnded, "home"))


def test_a_service_deployed_again_at_once_is_not_troubled_by_answers_to_what_ran_before() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service)
    settle(world, user, "westsite")
    world.late_s = 0.5
    world.remove(service)
    assert world.deploy(an_app("home")) == service
    world.run(5.0)
    settle(world, user, "westsite")
    held = [one for site in world.sites.values() for one in site.desk.all_held()]
    assert set(world.sites["home"].given) == {one.lease.lease_id for one in held if one.lease.customer == node("home")}


def test_without_a_network_nothing_fails_and_afterwards_all_is_as_it_should_be() -> None:
    world, service = a_world()
    user = world.user("ann", "westtown", service, comes_home=True)
    settle(world, user, "westsite")
    for other in world.sites:
        world.cut_off("home", other)
    world.run(3 * LEASE_TERM_S)
    assert world.served_at(user, world.now - LEASE_TERM_S) == {"home"}
    world.heal()
    settle(world, user, "westsite", 3 * REFUSAL_MEMORY_S)
    assert user.failed == []
