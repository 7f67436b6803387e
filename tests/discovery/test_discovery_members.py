"""Members as candidates: those that may be nearer to the user than this site, whatever direction they lie in."""

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from footloose.core.identity import NodeId
from footloose.core.limits import MEMBERS_NOMINATED
from footloose.discovery.interface import Discovery
from footloose.discovery.members import WORTH_MS, MembersFinder, Nominee
from footloose.model.network import Hop, Route
from footloose.model.site import Endpoint, Sighting, Source
from footloose.topology.coordinates import NOWHERE, Coordinate

HERE = NodeId("here")
USER = "192.0.2.7"


def at(x: float, y: float = 0.0, error: float = 0.1) -> Coordinate:
    return Coordinate((x, y, 0.0, 0.0, 0.0), 0.1, error)


def member(name: str, rtt_ms: float, place: Coordinate = NOWHERE) -> Nominee:
    return Nominee(NodeId(name), Endpoint("10.0.0.1", 7443), rtt_ms, place)


async def nominated(
    members: Sequence[Nominee], user_ms: float | None = 80.0, rtts: Mapping[NodeId, float] | None = None
) -> list[str]:
    finder = MembersFinder(HERE, lambda: members, lambda target: rtts or {} if target == USER else {})
    route = Route(USER, (Hop(1, "10.9.0.1", 5.0),), user_ms)
    found = [one async for one in Discovery([finder], HERE).find(route)]
    assert all(isinstance(one, Sighting) and one.source is Source.MEMBERS for one in found)
    assert all(one.rtt_ms is None and one.router is None for one in found if isinstance(one, Sighting))
    return [str(one.node) for one in found if isinstance(one, Sighting)]


async def test_those_as_far_from_here_as_the_user_may_be_nearest_to_it_and_go_first() -> None:
    members = [member("beside us", 1.0), member("half way", 40.0), member("as far", 79.0), member("beyond", 170.0)]
    assert await nominated(members) == ["as far", "half way"]


async def test_sites_that_have_measured_tell_members_in_the_right_direction_from_others() -> None:
    # The user is at (80, 0). Both candidates are as far from here as it is, one of them on the other side.
    members = [
        member("landmark", 60.0, at(60.0)),
        member("right way", 78.0, at(78.0, 3.0)),
        member("wrong way", 80.0, at(-80.0)),
    ]
    assert await nominated(members) == ["wrong way", "right way", "landmark"]
    assert await nominated(members, rtts={NodeId("landmark"): 20.0}) == ["right way", "landmark"]


async def test_coordinates_that_are_not_settled_exclude_nobody() -> None:
    members = [member("landmark", 60.0, at(60.0)), member("new", 80.0, at(-80.0, error=1.2))]
    assert await nominated(members, rtts={NodeId("landmark"): 20.0}) == ["new", "landmark"]


async def test_what_this_site_measured_itself_goes_before_the_trace() -> None:
    assert await nominated([member("one", 40.0)], 80.0, {HERE: 20.0}) == []
    assert await nominated([member("one", 40.0)], None, {HERE: 50.0}) == ["one"]


async def test_nobody_is_nominated_for_users_that_are_near_or_of_whom_nothing_is_known() -> None:
    assert await nominated([member("one", 0.2)], 0.5) == []
    assert await nominated([member("one", 0.2)], None) == []


async def test_only_a_few_are_nominated() -> None:
    members = [member(f"site {number}", 40.0 + number) for number in range(40)]
    assert len(await nominated(members)) == MEMBERS_NOMINATED


@given(
    st.lists(st.tuples(st.floats(0.1, 500.0), st.floats(-400, 400), st.floats(-400, 400)), max_size=30),
    st.floats(0.5, 300.0),
)
async def test_who_is_nominated_is_no_farther_than_the_user_twice_and_each_but_once(
    places: list[tuple[float, float, float]], user_ms: float
) -> None:
    members = [member(str(number), rtt_ms, at(x, y)) for number, (rtt_ms, x, y) in enumerate(places)]
    found = await nominated(members, user_ms)
    assert len(set(found)) == len(found)
    assert all(members[int(name)].rtt_ms < 2 * user_ms - WORTH_MS for name in found)
