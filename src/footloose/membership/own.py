"""What this site says of itself, and when it says it anew."""

import math

import msgspec

from footloose.core.identity import NodeId
from footloose.membership.card import Card, Facts, Notary
from footloose.model.site import Endpoint
from footloose.topology.coordinates import Coordinate

LOAD_STEP_PERCENT = 10
MOVED_MS = 10.0
"""Smaller changes of load and of the coordinate are not made known by themselves."""


class OwnCard:
    """The newest card of this site, and the facts the next will have."""

    def __init__(self, node: NodeId, address: Endpoint, facts: Facts, notary: Notary, run: int, now: float) -> None:
        self.facts = facts
        self._notary = notary
        # As every run begins at the time, a later one outbids an earlier one that did not refute once per second.
        self.card = notary.sign_card(Card(node, address, (max(1, int(now)), run, 1), False, facts))

    def update(self, capacity: int, load_percent: int, services: int) -> None:
        """The site's facts are these now."""
        self.facts = msgspec.structs.replace(
            self.facts, capacity=capacity, load_percent=load_percent, services=services
        )

    def raise_above(self, incarnation: int, coordinate: Coordinate, *, left: bool = False) -> Card:
        """Say it again, so that whatever was said of ``incarnation`` is void."""
        return self._say(max(incarnation, self.card.version[0]) + 1, coordinate, left)

    def renew(self, coordinate: Coordinate) -> Card:
        """Say what the facts are now."""
        return self._say(self.card.version[0], coordinate, self.card.left)

    def differs(self, coordinate: Coordinate) -> bool:
        """Whether the facts are so different from those made known that it is worth a message to every neighbour."""
        told, now = self.card.facts, self.facts
        moved_ms = math.dist(coordinate.vec, told.coordinate.vec) + abs(
            coordinate.height_ms - told.coordinate.height_ms
        )
        return (
            told.capacity != now.capacity
            or told.services != now.services
            or abs(told.load_percent - now.load_percent) >= LOAD_STEP_PERCENT
            or moved_ms > MOVED_MS
            or coordinate.error < told.coordinate.error / 2
        )

    def _say(self, incarnation: int, coordinate: Coordinate, left: bool) -> Card:
        _, run, serial = self.card.version
        facts = msgspec.structs.replace(self.facts, coordinate=coordinate)
        said = Card(self.card.node, self.card.address, (incarnation, run, serial + 1), left, facts)
        self.card = self._notary.sign_card(said)
        return self.card
