"""Users who are sent in a circle."""

from hypothesis import given
from hypothesis import strategies as st

from footloose.gateway.circles import SENT_ON_AT_MOST, WITHIN_S, Circles

USER, PAGE = "192.0.2.7", "GET /app/web/"


def test_a_user_who_keeps_coming_back_for_the_same_is_served_instead() -> None:
    circles = Circles()
    assert [circles.sent_too_often(USER, PAGE, 1.0) for _ in range(4)] == [False, False, True, True]


def test_other_users_and_other_pages_are_sent_on_as_before() -> None:
    circles = Circles()
    for _ in range(SENT_ON_AT_MOST + 1):
        circles.sent_too_often(USER, PAGE, 1.0)
    assert not circles.sent_too_often("192.0.2.8", PAGE, 1.0)
    assert not circles.sent_too_often(USER, "GET /app/web/else", 1.0)


def test_a_user_who_comes_again_later_is_sent_on_again() -> None:
    circles = Circles()
    for _ in range(SENT_ON_AT_MOST + 1):
        circles.sent_too_often(USER, PAGE, 1.0)
    assert not circles.sent_too_often(USER, PAGE, 1.0 + WITHIN_S + 0.1)


@given(st.integers(2, 4), st.integers(1, 20))
def test_in_any_circle_of_sites_a_user_is_served_before_a_client_gives_up(sites: int, starts: int) -> None:
    gateways = [Circles() for _ in range(sites)]
    at, redirects, now = starts % sites, 0, 5.0
    while not gateways[at].sent_too_often(USER, PAGE, now):
        at, redirects, now = (at + 1) % sites, redirects + 1, now + 0.1
    assert redirects <= 2 * sites


def test_only_so_many_users_are_remembered() -> None:
    circles = Circles(remembered=3)
    for number in range(10):
        circles.sent_too_often(f"192.0.2.{number}", PAGE, 1.0)
    assert [circles.sent_too_often("192.0.2.9", PAGE, 1.0) for _ in range(2)] == [False, True]
    assert [circles.sent_too_often("192.0.2.0", PAGE, 1.0) for _ in range(2)] == [False, False]
