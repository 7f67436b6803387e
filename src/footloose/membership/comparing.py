"""Two members compare whom they hold for alive (anti-entropy).

In a system larger than a view they also tell each other of members that should be in the other's view: some near it,
some at random (as T-Man: Jelasity and Babaoglu, 2005).
"""

import random
from collections.abc import Sequence

import msgspec

from footloose.membership.card import Card
from footloose.membership.config import Config
from footloose.membership.messages import Delta, Exchange
from footloose.membership.states import MemberState
from footloose.membership.view import Member, View, line_of
from footloose.membership.wire import DELTA_NEWS_BYTES, LINES, WANTS, news_bytes
from footloose.topology.coordinates import Coordinate

CARDS_WHILE_GROWING, CARDS, CARDS_WEIGHED = 24, 8, 32
"""Cards told to a member whose view has room, to one whose view is full, and how many are weighed for that."""
_TAGS = 2**32


class Outcome(msgspec.Struct, frozen=True):
    """What follows from an exchange: messages to send back, and lost members that the other holds for alive."""

    deltas: tuple[Delta, ...]
    sighted: tuple[Member, ...]


def digest(view: View, coordinate: Coordinate, token: int, rng: random.Random) -> Exchange:
    """The live members of a view, or as many with successive tags as fit."""
    lines = sorted(view.lines)
    low, high = 0, _TAGS - 1
    if len(lines) > LINES:
        start = rng.randrange(len(lines) - LINES + 1)
        end = start + LINES
        low = lines[start] >> 32 if start else low
        high = lines[end - 1] >> 32 if end < len(lines) else high
        lines = lines[start:end]
    return Exchange(tuple(lines), low, high, coordinate, token)


def compare(exchange: Exchange, view: View, own: Card, own_tag: int, config: Config, rng: random.Random) -> Outcome:
    """What is to be said to an exchange, given this site's ``view`` and ``own`` card."""
    theirs = set(exchange.lines)
    wants: list[int] = []
    cards: list[Card] = []
    sighted: list[Member] = []
    known = view.tags
    for line in sorted(theirs - view.lines.keys()):
        tag = line >> 32
        member = known.get(tag)
        if tag == own_tag:
            if line != line_of(tag, own.version):
                cards.append(own)
        elif member is None:
            if view.wants_tag(tag):
                wants.append(tag)
        elif member.state is not MemberState.UNREACHABLE:
            # Live in another incarnation, or gone: one of the two cards is newer.
            cards.append(member.card)
            wants.append(tag)
        elif member.line == line:
            # They hold it for alive. That proves nothing, but is worth a ping.
            sighted.append(member)
        else:
            wants.append(tag)
    low, high = exchange.low << 32, exchange.high + 1 << 32
    lacking = [view.lines[line] for line in sorted(view.lines.keys() - theirs) if low <= line < high]
    most = CARDS_WHILE_GROWING if len(theirs) < config.live else CARDS
    cards += _worth_telling(lacking, exchange.coordinate, most, rng)
    return Outcome(deltas(cards, wants[:WANTS]), tuple(sighted))


def deltas(cards: Sequence[Card], wants: Sequence[int] = ()) -> tuple[Delta, ...]:
    """These cards and wants in as many messages as it takes."""
    messages: list[Delta] = []
    news: list[Card] = []
    room = DELTA_NEWS_BYTES
    for card in cards:
        size = news_bytes(card)
        if size > room:
            messages.append(Delta(tuple(news)))
            news, room = [], DELTA_NEWS_BYTES
        news.append(card)
        room -= size
    if news or wants:
        messages.append(Delta(tuple(news), tuple(wants)))
    return tuple(messages)


def _worth_telling(members: Sequence[Member], to: Coordinate, most: int, rng: random.Random) -> list[Card]:
    """Of members the other does not know, some near it and some at random."""
    if len(members) <= most:
        return [member.card for member in members]
    drawn = [member.card for member in rng.sample(members, min(len(members), CARDS_WEIGHED))]
    drawn.sort(key=lambda card: to.distance_ms(card.facts.coordinate))
    near, rest = drawn[: most // 2], drawn[most // 2 :]
    return near + rng.sample(rest, min(len(rest), most - len(near)))
