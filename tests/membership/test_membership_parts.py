"""The parts of a member, one by one."""

import itertools
import math
import random
import statistics
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from membership_network import node_name

from footloose.core.errors import IllegalTransition, LocalError
from footloose.core.limits import MEMBERS_GONE, MEMBERS_LOST, MEMBERSHIP_MET, MEMBERSHIP_SEEDS
from footloose.membership.card import Accusation, Card, Facts
from footloose.membership.config import LAN, WAN, plain_swim
from footloose.membership.health import LocalHealth
from footloose.membership.messages import RegionSketch
from footloose.membership.news import NewsQueue
from footloose.membership.regions import REGISTERS, Regions, contribution
from footloose.membership.seeds import Seeds
from footloose.membership.states import LIVE, MEMBER, MemberEvent, MemberState
from footloose.membership.suspicion import Suspicion
from footloose.membership.view import View
from footloose.model.site import Endpoint
from footloose.topology.coordinates import Coordinate

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "membership.md"


def card(number: int, *, version: tuple[int, int, int] = (1, 1, 1), away_ms: float = 0.0) -> Card:
    place = Coordinate((away_ms, 0.0, 0.0, 0.0, 0.0), 0.1, 0.1)
    return Card(node_name(number), Endpoint("10.0.0.1", 1 + number), version, False, Facts(coordinate=place))


# States


def test_the_page_shows_the_table() -> None:
    assert MEMBER.mermaid() in PAGE.read_text()


def test_silence_alone_never_kills() -> None:
    assert MEMBER.next(MemberState.ALIVE, MemberEvent.ACCUSED) is MemberState.SUSPECT
    assert MEMBER.next(MemberState.SUSPECT, MemberEvent.SILENT) is MemberState.UNREACHABLE
    for state in LIVE:
        with pytest.raises(IllegalTransition):
            MEMBER.next(state, MemberEvent.FORGOTTEN)
    with pytest.raises(IllegalTransition):
        MEMBER.next(MemberState.ALIVE, MemberEvent.SILENT)


# Suspicion


def accusation(number: int) -> Accusation:
    return Accusation(node_name(number), node_name(0), 1)


def test_a_suspicion_shortens_with_each_confirmation_down_to_the_least() -> None:
    suspicion = Suspicion(accusation(1), WAN, 100, 1000.0)
    deadlines = [suspicion.deadline]
    for number in range(2, 8):
        suspicion.confirm(node_name(number))
        deadlines.append(suspicion.deadline)
    least_s = WAN.suspicion_mult * 2.0 * WAN.probe_interval_s
    assert deadlines[0] == pytest.approx(1000 + least_s * WAN.suspicion_max_mult)
    assert deadlines[4] == pytest.approx(1000 + least_s)
    assert deadlines[4:] == [deadlines[4]] * 3
    assert deadlines[:5] == sorted(deadlines[:5], reverse=True)


def test_an_accuser_counts_once() -> None:
    suspicion = Suspicion(accusation(1), WAN, 100, 0.0)
    before = suspicion.deadline
    assert not suspicion.confirm(node_name(1))
    assert suspicion.deadline == before
    assert suspicion.confirm(node_name(2))
    assert not suspicion.confirm(node_name(2))


def test_plain_swim_and_tiny_groups_wait_for_nobody() -> None:
    least_s = LAN.suspicion_mult * LAN.probe_interval_s
    assert Suspicion(accusation(1), plain_swim(LAN), 10, 0.0).deadline == pytest.approx(least_s)
    assert Suspicion(accusation(1), LAN, 3, 0.0).deadline == pytest.approx(least_s)
    assert Suspicion(accusation(1), LAN, 4, 0.0).deadline == pytest.approx(least_s * LAN.suspicion_max_mult)


def test_health_stays_between_its_ends() -> None:
    health = LocalHealth(8)
    health.better()
    assert health.scale == 1
    health.worse(100)
    assert health.scale == 8
    health.better()
    assert health.scale == 7


# News


def taken(queue: NewsQueue[str, str], room_bytes: int, limit: int, but: str | None = None) -> list[str]:
    return queue.take(room_bytes, limit, but)[0]


def test_news_is_passed_on_a_bounded_number_of_times_the_least_passed_on_first() -> None:
    queue: NewsQueue[str, str] = NewsQueue()
    queue.put("a", "old", 10)
    assert taken(queue, 10, 3) == ["old"]
    queue.put("b", "new", 10)
    assert taken(queue, 10, 3) == ["new"]
    assert sorted(taken(queue, 25, 3)) == ["new", "old"]
    assert sorted(taken(queue, 25, 3)) == ["new", "old"]
    assert taken(queue, 25, 3) == []
    assert len(queue) == 0


def test_later_news_replaces_earlier_and_what_is_about_the_receiver_waits() -> None:
    queue: NewsQueue[str, str] = NewsQueue()
    queue.put("a", "first", 10)
    queue.put("a", "second", 10)
    assert taken(queue, 99, 2, but="a") == []
    assert taken(queue, 99, 2) == ["second"]
    queue.drop("a")
    queue.drop("a")
    assert len(queue) == 0


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 40)), max_size=30),
    st.integers(0, 100),
    st.integers(1, 5),
)
def test_a_queue_of_news_keeps_its_promises(puts: list[tuple[str, int]], room_bytes: int, limit: int) -> None:
    queue: NewsQueue[str, tuple[str, int]] = NewsQueue(most=5)
    for key, size in puts:
        queue.put(key, (key, size), size)
        assert len(queue) <= 5
    times: dict[str, int] = {}
    for _ in range(60):
        news, left = queue.take(room_bytes, limit)
        assert sum(size for _, size in news) == room_bytes - left <= room_bytes
        assert len({key for key, _ in news}) == len(news)
        for key, _ in news:
            times[key] = times.get(key, 0) + 1
    assert all(count <= limit for count in times.values())
    if all(size <= room_bytes for _, size in puts):
        assert len(queue) == 0


# Seeds


def test_seeds_are_tried_ever_more_seldom_and_left_alone_while_they_are_there() -> None:
    seeds, there = Seeds(random.Random(1)), Endpoint("10.0.0.1", 1)
    seeds.add([there, Endpoint("10.0.0.2", 1)], 0.0)
    tries, now = [], 0.0
    while now < 600:
        tries += [now for seed in seeds.take_due(lambda seed: seed == there, 0, now) if seed != there]
        now = seeds.deadline
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert tries[0] == 0.0
    assert gaps[0] <= 1.0
    assert max(gaps) <= 60.0
    assert len(tries) < 25


@pytest.mark.parametrize("size", [100, 1000, 3000])
def test_a_seed_is_tried_as_often_by_many_as_by_few(size: int) -> None:
    sites = [Seeds(random.Random(number)) for number in range(size)]
    for site in sites:
        site.add([Endpoint("10.0.0.1", 1)], 0.0)
    tries = 0
    for site in sites:
        while site.deadline < 12_000:
            tries += bool(site.take_due(lambda _: False, size, site.deadline)) and site.deadline > 4_000
    assert 0.5 < tries / 8_000 < 2.5


def test_a_seed_is_tried_soon_again_when_many_members_have_fallen_silent() -> None:
    seeds = Seeds(random.Random(1))
    seeds.add([Endpoint("10.0.0.1", 1)], 0.0)
    assert seeds.take_due(lambda _: False, 3_000, 0.0)
    assert seeds.deadline > 1_000
    seeds.hurry(100.0)
    assert 100 < seeds.deadline <= 160
    hurried = seeds.deadline
    seeds.hurry(110.0)  # a try that is near is not put off
    assert seeds.deadline == hurried


def test_a_system_said_to_be_huge_keeps_nobody_from_trying_a_seed() -> None:
    seeds = Seeds(random.Random(1))
    seeds.add([Endpoint("10.0.0.1", 1)], 0.0)
    assert seeds.take_due(lambda _: False, 1e30, 0.0)
    assert seeds.deadline <= 3600


def test_there_is_a_limit_to_seeds() -> None:
    with pytest.raises(LocalError, match="seeds"):
        Seeds(random.Random(1)).add([Endpoint("10.0.0.1", port) for port in range(1, MEMBERSHIP_SEEDS + 2)], 0.0)


def test_one_met_is_tried_until_it_is_there_and_then_no_more() -> None:
    seeds, met = Seeds(random.Random(1)), Endpoint("10.0.0.1", 1)
    seeds.meet(met, 0.0)
    assert seeds.take_due(lambda _: False, 0, 0.0) == [met]
    assert seeds.deadline < 2.0
    assert seeds.take_due(lambda _: True, 0, seeds.deadline) == []
    assert seeds.deadline == math.inf


def test_those_met_longest_ago_make_room_and_those_named_stay() -> None:
    seeds, named = Seeds(random.Random(1)), [Endpoint("10.0.0.1", port) for port in range(1, MEMBERSHIP_SEEDS + 1)]
    met = [Endpoint("10.0.0.2", port) for port in range(1, MEMBERSHIP_MET + 3)]
    seeds.add(named, 0.0)
    for one in met[:-1]:
        seeds.meet(one, 0.0)
    seeds.meet(met[1], 0.0)  # met again: the one after it goes next
    seeds.meet(met[-1], 0.0)
    kept = [one for one in met if one not in (met[0], met[2])]
    assert sorted(seeds.take_due(lambda _: False, 0, 0.0), key=str) == sorted([*named, *kept], key=str)


def test_one_met_that_is_named_later_stays() -> None:
    seeds, both = Seeds(random.Random(1)), Endpoint("10.0.0.1", 1)
    seeds.meet(both, 0.0)
    seeds.add([both], 0.0)
    for port in range(1, MEMBERSHIP_MET + 2):
        seeds.meet(Endpoint("10.0.0.2", port), 0.0)
    assert both in seeds.take_due(lambda _: False, 0, 0.0)


# Views


def away_ms(one: Card) -> float:
    return one.facts.coordinate.vec[0]


def test_a_full_view_keeps_the_nearest_and_those_dealt_with_and_a_random_few() -> None:
    config = msgspec.structs.replace(LAN, live=20, near=8)
    kept = []
    for seed in (1, 2):
        view = View(config, random.Random(seed))
        view.watch(node_name(99))
        for number in range(100):
            one = card(number, away_ms=float(number))
            if view.wants(one, away_ms):
                view.add(one, 0.0)
            if view.crowded:
                view.settle(away_ms)
        view.settle(away_ms)
        names = {member.node for member in view.live}
        assert len(names) == 20
        assert {node_name(number) for number in range(8)} <= names
        assert node_name(99) in names
        kept.append(names)
    assert kept[0] != kept[1]


def test_the_random_few_do_not_depend_on_how_often_they_are_mentioned() -> None:
    config = msgspec.structs.replace(LAN, live=10, near=2)
    often, rarely = 0, 0
    for seed in range(60):
        view, rng = View(config, random.Random(seed)), random.Random(-seed)
        mentions = [number for number in range(60) for _ in range(20 if number < 30 else 1)]
        rng.shuffle(mentions)
        for number in mentions:
            one = card(number, away_ms=100.0 + number % 2)
            if one.node not in view.members and view.wants(one, away_ms):
                view.add(one, 0.0)
                if view.crowded:
                    view.settle(away_ms)
        view.settle(away_ms)
        chosen = [member for member in view.live if not member.near]
        often += sum(member.node in {node_name(number) for number in range(30)} for member in chosen)
        rarely += sum(member.node in {node_name(number) for number in range(30, 60)} for member in chosen)
    assert 0.7 < often / rarely < 1.4


def test_lost_and_gone_members_are_remembered_up_to_a_limit() -> None:
    view = View(msgspec.structs.replace(LAN, live=10_000), random.Random(1))
    members = [view.add(card(number), 0.0) for number in range(MEMBERS_LOST + MEMBERS_GONE + 60)]
    for member in members:
        if len(view.lost) <= MEMBERS_LOST + 20:
            view.change(member, MemberEvent.ACCUSED, 0.0)
            view.change(member, MemberEvent.SILENT, 0.0)
        else:
            view.change(member, MemberEvent.SAID_GOODBYE, 0.0)
    dropped = list(view.overflow())
    assert len(view.lost) == MEMBERS_LOST
    assert len(view.gone) <= MEMBERS_GONE
    assert members[0] in dropped
    assert all(member.node not in view.members for member in dropped)
    assert view.live == []


# Sums of regions

registers = st.binary(min_size=REGISTERS, max_size=REGISTERS)


@given(st.lists(registers, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_it_matters_neither_in_which_order_nor_how_often_sketches_are_merged(
    parts: list[bytes], rng: random.Random
) -> None:
    sums = []
    for _ in range(2):
        regions = Regions("home", 60.0)
        for part in [*parts, *parts]:
            assert regions.merge(RegionSketch("r", 100, part), 6000.0)
        sums.append(next(iter(regions.summaries(6000.0))))
        rng.shuffle(parts)
    assert sums[0] == sums[1]


@given(registers, registers)
def test_a_merge_never_makes_a_sum_smaller(one: bytes, other: bytes) -> None:
    regions = Regions("home", 60.0)
    regions.merge(RegionSketch("r", 100, one), 6000.0)
    before = next(iter(regions.summaries(6000.0)))
    regions.merge(RegionSketch("r", 100, other), 6000.0)
    after = next(iter(regions.summaries(6000.0)))
    assert (after.sites, after.domains, after.capacity, after.free) >= (
        before.sites,
        before.domains,
        before.capacity,
        before.free,
    )


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_a_sum_is_right_within_its_error(count: int) -> None:
    ratios = []
    for seed in range(12 if count < 1000 else 4):
        regions, rng = Regions("r", 60.0), random.Random(seed)
        for number in range(count):
            facts = Facts(region="r", domain=f"rack {number % 7}", capacity=40, load_percent=25)
            regions.merge(RegionSketch("r", 100, contribution(facts, 100, rng)), 6000.0)
        (summary,) = regions.summaries(6000.0)
        ratios += [summary.sites / count, summary.capacity / (40 * count), summary.free / (30 * count)]
        assert 0.3 < summary.domains / min(count, 7) < 3
    assert 0.8 < statistics.mean(ratios) < 1.25
    assert statistics.pstdev(ratios) < 0.35


def test_sums_of_another_time_are_not_taken_in() -> None:
    regions = Regions("home", 60.0)
    for epoch in (98, 102, 10**9):
        assert not regions.merge(RegionSketch("r", epoch, bytes([9]) * REGISTERS), 6000.0)
    assert len(regions) == 0


def test_a_whole_epoch_is_shown_once_there_is_one() -> None:
    regions, rng = Regions("home", 60.0), random.Random(1)
    regions.contribute(Facts(region="home", capacity=4), 6000.0, rng)
    assert [one.complete for one in regions.summaries(6000.0)] == [False]
    regions.contribute(Facts(region="home", capacity=4), 6060.0, rng)
    (summary,) = regions.summaries(6060.0)
    assert summary.complete
    assert list(regions.summaries(6060.0 + 180.0)) == []


def test_invented_regions_do_not_push_out_ones_own() -> None:
    regions = Regions("home", 60.0, most=8)
    regions.contribute(Facts(region="home", capacity=4), 6000.0, random.Random(1))
    for number in range(100):
        regions.merge(RegionSketch(f"invented {number}", 100, bytes([9]) * REGISTERS), 6000.0)
    assert len(regions) == 8
    assert "home" in {summary.region for summary in regions.summaries(6000.0)}
    while (sketch := regions.next_sketch()) is not None:
        assert math.isfinite(sketch.epoch)
