"""What the demo makes of what happens to its users, without running anything."""

import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from footloose.cli.demo_screen import Screen, decision_line, users_table, verdict
from footloose.core.errors import LocalError
from footloose.core.identity import NodeId
from footloose.demo.plan import Plan
from footloose.demo.report import Report, report
from footloose.demo.story import BEGINNING, HISTORY, SETTLED_SAMPLES, History, SiteStory, Story, UserStory
from footloose.demo.user import Failed, Moved, Sample
from footloose.model.app import ServiceId
from footloose.model.decision import Decision
from footloose.testbed import Host, Link, Role, Router, Topology, demo

HOME, NEAR = SiteStory("home", NodeId("h"), "10.0.0.1"), SiteStory("near-site", NodeId("n"), "10.0.1.1")
SERVICE = ServiceId("pulse-x/web")


def a_story(users: int = 2) -> Story:
    """Some users who are all nearest to the one site there is."""
    near = SiteStory(NEAR.name, NEAR.node, NEAR.address)
    names = [f"user-{number}" for number in range(users)]
    people = [UserStory(name, "near-site", 5.0, 100.0) for name in names]
    return Story([HOME, near], people, {name: f"10.1.{number}.7" for number, name in enumerate(names)})


def settle(story: Story) -> Story:
    """All users start at the home, move, and stay."""
    for user in story.users:
        story.happened(Sample(user, 0.0, HOME.address, 100.0))
        story.happened(Moved(user, 1.5, NEAR.address, f"http://{NEAR.address}/", 20.0))
        for number in range(SETTLED_SAMPLES):
            story.happened(Sample(user, 2.0 + number, NEAR.address, 6.0))
    return story


def test_users_settle_once_they_have_been_at_their_nearest_site_for_a_while() -> None:
    story = a_story()
    assert (story.settled, story.good) == (0, False)
    settle(story)
    assert (story.settled, story.good) == (2, True)
    story.happened(Sample("user-0", 99.0, HOME.address, 100.0))
    assert (story.settled, story.good) == (1, False)


def test_one_error_spoils_it() -> None:
    story = settle(a_story())
    story.happened(Failed("user-1", 3.0, "WebSocket: it was closed"))
    assert not story.good
    assert story.errors == ["user-1: WebSocket: it was closed"]
    assert "error seen by a user: user-1: WebSocket: it was closed" in verdict(story)


def test_a_report_has_all_that_the_story_has() -> None:
    told = msgspec.json.decode(msgspec.json.encode(report(settle(a_story()), "two", ("nothing",))), type=Report)
    assert told.good and told.topology == "two" and told.not_real == ("nothing",)
    user = told.users[0]
    assert (user.site, user.nearest, user.first_rtt_ms, user.rtt_ms) == ("near-site", "near-site", 100.0, 6.0)
    assert (user.moved_after_s, user.moves) == (1.5, 1)
    assert told.sites[0].users == 2


def a_decision(step: str, subject: str, outcome: str, reason: str, **inputs: object) -> Decision:
    return Decision(0.0, HOME.node, SERVICE, step, subject, outcome, reason, inputs)


def test_the_story_knows_how_sites_were_found_and_what_people_call_things() -> None:
    story = a_story()
    story.decided(a_decision("discover", "10.1.0.0/24", "near-site", "found", site=NEAR.node, found_by="dns"))
    story.decided(a_decision("deploy", NEAR.node, "serving", "runs", kind="cold", took_ms=81.4))
    assert story.providers[0].found_by == "dns"
    assert story.providers[0].copy == "cold, 81 ms after it was asked"
    assert story.called("10.1.1.0/24") == "user-1"
    assert story.called(NEAR.node) == story.called(f"http://{NEAR.address}:80/x/") == "near-site"
    assert story.called("anything else") == "anything else"


@given(st.lists(st.floats(0.1, 500.0), max_size=3 * HISTORY), st.integers(2, 60))
def test_a_history_of_any_length_fits_and_keeps_its_beginning(rtts: list[float], parts: int) -> None:
    history = History()
    for rtt_ms in rtts:
        history.add(rtt_ms)
    shown = history.in_parts(parts)
    assert len(shown) <= parts
    assert bool(shown) is bool(rtts)
    if rtts:
        assert min(rtts) - 1e-9 <= min(shown) and max(shown) <= max(rtts) + 1e-9
    if 0 < len(rtts) <= min(BEGINNING, parts - parts // 2):
        assert shown == rtts


def drawn(story: Story, width: int, height: int, *, encoding: str = "utf-8") -> list[str]:
    """The live view as a terminal of that size shows it."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, width=width, height=height, force_terminal=True, color_system=None, highlight=False)
    screen = Screen(console)
    for number in range(6):
        screen.step(f"step {number}: what was done, in words that may be too many for one line of a small terminal")
    screen.news(story)
    console.print(screen.view())
    stream.seek(0)
    return [line.rstrip() for line in stream.read().splitlines()]


@given(st.integers(60, 200), st.integers(16, 70), st.integers(1, 40))
def test_the_live_view_fits_any_terminal(width: int, height: int, users: int) -> None:
    story = settle(a_story(users))
    for number in range(20):
        story.decided(a_decision("redirect", f"10.1.{number}.0/24", f"http://{NEAR.address}/", "it is nearer " * 9))
    lines = drawn(story, width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert any(line.startswith("user-0 ") for line in lines)
    assert any("redirect" in line for line in lines)


def test_a_terminal_without_unicode_gets_plain_bars_and_ticks() -> None:
    text = "\n".join(drawn(settle(a_story()), 100, 30, encoding="ascii"))
    assert text.isascii()
    assert "near-site *" in text


def test_errors_have_a_column_only_when_there_are_any() -> None:
    story = settle(a_story())
    headings = [str(column.header) for column in users_table(story, 80).columns]
    assert "ERRORS" not in headings
    story.happened(Failed("user-0", 1.0, "x"))
    assert "ERRORS" in [str(column.header) for column in users_table(story, 80).columns]


def test_what_is_chosen_for_a_user_is_not_told_twice() -> None:
    story = a_story()
    assert decision_line(story, a_decision("choose", "10.1.0.0/24", "near-site", "best"), 80) is None
    assert decision_line(story, a_decision("measure", "10.1.0.0/24", "5 ms", "itself"), 80) is None
    line = decision_line(
        story, a_decision("redirect", "10.1.0.0/24", f"http://{NEAR.address}/", "near-site serves"), 80
    )
    assert line is not None and line.plain.endswith("user-0: near-site — serves")


def test_the_demos_own_network_can_be_planned_with_a_site_that_only_the_dns_knows() -> None:
    plan = Plan(demo(), 90.0, dns_only=frozenset({"west-site"}))
    assert plan.home == "home"
    assert plan.dns_only <= set(plan.named(Role.SITE))


@pytest.mark.parametrize(
    "roles", [("home", "site"), ("home", "user"), ("site", "user"), ("home", "home", "site", "user")]
)
def test_a_network_without_one_home_and_sites_and_users_is_refused(roles: tuple[str, ...]) -> None:
    hosts = tuple(Host(f"host-{number}", Role(role)) for number, role in enumerate(roles))
    topology = Topology("t", (Router("r"),), hosts, tuple(Link(host.name, "r", 1) for host in hosts))
    with pytest.raises(LocalError, match="give it exactly one home"):
        Plan(topology, 90.0)
