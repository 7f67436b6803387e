"""Members that may be near the user, as far as round trips and network coordinates can tell."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from heapq import nsmallest

import msgspec

from footloose.core.identity import NodeId
from footloose.core.limits import MEMBERS_NOMINATED
from footloose.model.network import Route
from footloose.model.site import Endpoint, Sighting, Source
from footloose.topology.coordinates import Coordinate

WORTH_MS = 2.0
"""A member that could save no more than this is not worth a measurement: nobody moves for less."""
LANDMARKS = 8
"""Sites with a round trip to the user that are reckoned with, those nearest to it: they tell most."""
TRUSTED_ERROR = 0.5
"""Coordinates that are more wrong than this tell nothing about how far one is from another."""


class Nominee(msgspec.Struct, frozen=True, gc=False):
    """A member with room for copies. ``rtt_ms`` is from here: measured or, failing that, by coordinates."""

    node: NodeId
    api: Endpoint
    rtt_ms: float
    coordinate: Coordinate


class MembersFinder:
    """Nominates a few members; each is then asked who it is, and to measure.

    A user has no coordinate. But a member is at least as far from the user as some site's round trips to the two
    differ, and ``rtts`` has those to the user, this site's among them. Of several such bounds the greatest holds, so
    with each site that has measured the next look is sharper.
    """

    source: Source = Source.MEMBERS

    def __init__(
        self,
        here: NodeId,
        members: Callable[[], Iterable[Nominee]],
        rtts: Callable[[str], Mapping[NodeId, float]],
    ) -> None:
        self._here = here
        self._members = members
        self._rtts = rtts

    async def find(self, route: Route) -> AsyncGenerator[Sighting, None]:
        """Members that may be nearer to the user than this site is, those that may be nearest first."""
        rtts = dict(self._rtts(route.target))
        present_ms = rtts.pop(self._here, route.rtt_ms)
        if present_ms is None:
            return
        members = {one.node: one for one in self._members()}
        known = nsmallest(LANDMARKS, rtts.keys() & members.keys(), key=lambda node: (rtts[node], node))
        landmarks = [(members[node].coordinate, rtts[node]) for node in known]
        least_ms = {node: _least_ms(one, present_ms, landmarks) for node, one in members.items()} | rtts
        worth = [node for node in members if least_ms[node] + WORTH_MS < present_ms]
        for node in nsmallest(MEMBERS_NOMINATED, worth, key=lambda node: (least_ms[node], node)):
            yield Sighting(api=members[node].api, source=Source.MEMBERS, node=node)


def _least_ms(one: Nominee, present_ms: float, landmarks: Iterable[tuple[Coordinate, float]]) -> float:
    """The member cannot be nearer to the user than this, if the figures are right."""
    bounds = [abs(one.rtt_ms - present_ms)]
    for coordinate, rtt_ms in landmarks:
        if max(coordinate.error, one.coordinate.error) <= TRUSTED_ERROR:
            bounds.append(abs(coordinate.distance_ms(one.coordinate) - rtt_ms))
    return max(bounds)
