"""What a member says of itself, and what one member says of another. Each is signed by who says it."""

from typing import Protocol, TypeAlias

import msgspec

from footloose.core.identity import NodeId
from footloose.model.site import Endpoint
from footloose.topology.coordinates import NOWHERE, Coordinate

Version: TypeAlias = tuple[int, int, int]
"""Incarnation, run, serial: of two cards of one member the greater is the newer.

A member raises its incarnation to refute a suspicion, its serial to tell new facts. ``run`` is drawn once per process.
An incarnation begins at the time in seconds, so that a later run outbids an earlier one.
"""

NO_VERSION: Version = (0, 0, 0)


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What sites tell their neighbours of themselves.

    ``region`` is what sites are summed up by; ``domain`` the failure domain: sites in one tend to fail together.
    ``capacity`` counts instances the site can run at once, ``load_percent`` how much of that is in use. Other sites
    reach it at ``api_port`` of the card's address; 0 if they do not.
    """

    region: str = ""
    domain: str = ""
    capacity: int = 0
    load_percent: int = 0
    services: int = 0
    coordinate: Coordinate = NOWHERE
    api_port: int = 0


class Card(msgspec.Struct, frozen=True, gc=False):
    """A member's word on itself. ``left``: it goes, and this is its last."""

    node: NodeId
    address: Endpoint
    version: Version
    left: bool
    facts: Facts
    signature: bytes = b""


class Accusation(msgspec.Struct, frozen=True, gc=False):
    """``accuser`` had no answer from ``subject``, neither itself nor by way of others, in its present incarnation."""

    accuser: NodeId
    subject: NodeId
    incarnation: int
    signature: bytes = b""


News: TypeAlias = Card | Accusation


class Notary(Protocol):
    """Signs what one node says and checks what others say."""

    def sign_card(self, card: Card) -> Card:
        """The card with this node's signature."""
        ...

    def sign_accusation(self, accusation: Accusation) -> Accusation:
        """The accusation with this node's signature."""
        ...

    def genuine(self, news: News) -> bool:
        """Whether who is said to say this has signed it."""
        ...


class TrustingNotary:
    """Signs nothing and believes all: for simulations, where nobody forges."""

    def sign_card(self, card: Card) -> Card:
        """The card as it is."""
        return card

    def sign_accusation(self, accusation: Accusation) -> Accusation:
        """The accusation as it is."""
        return accusation

    def genuine(self, news: News) -> bool:  # noqa: ARG002  the interface
        """Always."""
        return True
