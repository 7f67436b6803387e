"""Whom a site watches: a bounded few out of however many there are.

As long as all fit, everyone knows everyone, as in SWIM. Beyond that a site keeps those it deals with, those nearest
to it (by measured round trip, or by coordinates before there is one), and of the rest a random few. The random ones
hold the whole together, and see to it that every site is watched by somebody. They are those with the least value of a
hash with a secret salt, so nobody gets into many views by being mentioned often (Bortnikov et al., "Brahms", 2009).
"""

import hashlib
import math
import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from operator import attrgetter

from footloose.core.identity import NodeId
from footloose.core.limits import MEMBERS_GONE, MEMBERS_LOST, MEMBERS_WATCHED
from footloose.membership.card import NO_VERSION, Card, Version
from footloose.membership.config import Config
from footloose.membership.states import LIVE, MEMBER, MemberEvent, MemberState
from footloose.membership.suspicion import Suspicion

_SLACK = 8
"""So many more than fit are taken in before some are let go."""
_CLEARLY_NEARER = 0.9
_MIX = 0x9E3779B1
_MASK = 0xFFFFFFFF


class Member:
    """One other member and what goes on with it."""

    __slots__ = (
        "card",
        "former_run",
        "line",
        "near",
        "node",
        "place",
        "proven",
        "rank",
        "since",
        "state",
        "suspicion",
        "tag",
        "token",
        "told",
        "tries",
        "try_at",
        "watched",
    )

    def __init__(self, card: Card, tag: int, rank: int, now: float) -> None:
        self.node = card.node
        self.card = card
        self.tag = tag
        self.rank = rank
        """The less, the sooner it is kept though it is far."""
        self.line = line_of(tag, card.version)
        self.state = MemberState.ALIVE
        self.since = now
        self.near = True
        self.watched = False
        self.place = -1
        """Where it is among the live ones."""
        self.proven = False
        """It has answered a ping at its address."""
        self.told: Version = NO_VERSION
        """The newest of this site's own cards that it has for sure."""
        self.token = 0
        """What it gave this site to show that it is where it is."""
        self.former_run: int | None = None
        self.suspicion: Suspicion | None = None
        self.try_at = 0.0
        self.tries = 0


@lru_cache(maxsize=4096)
def tag_of(node: NodeId) -> int:
    """32 bits that stand for a node in an exchange, where a mix-up costs a few bytes at most."""
    return int.from_bytes(hashlib.blake2b(node.encode(), digest_size=4).digest(), "big")


def line_of(tag: int, version: Version) -> int:
    """A tag and a check of a card's incarnation and run, as exchanged. New facts alone are not worth an exchange."""
    incarnation, run, _ = version
    return tag << 32 | ((incarnation * _MIX + run) & _MASK)


class View:
    """All members a site knows, by what they are."""

    def __init__(self, config: Config, rng: random.Random) -> None:
        self._config = config
        self._salt = rng.getrandbits(32)
        self.members: dict[NodeId, Member] = {}
        self.live: list[Member] = []
        self.lines: dict[int, Member] = {}
        self.tags: dict[int, Member] = {}
        self.lost: dict[NodeId, Member] = {}
        self.gone: dict[NodeId, Member] = {}
        self.watched: set[NodeId] = set()
        # Until it is known who is near, and who of the rest is kept, anybody may be.
        self._near_ms = math.inf
        self._rank = _MASK + 1
        self.unsettled = False
        """Somebody came since it was last seen who is near."""

    def wants(self, card: Card, distance_ms: Callable[[Card], float]) -> bool:
        """Whether a member not known yet would find a place."""
        if card.node in self.watched or self.wants_tag(tag_of(card.node)):
            return True
        # A little nearer than the farthest of the near is not enough, or those at the edge would come and go.
        return distance_ms(card) < _CLEARLY_NEARER * self._near_ms

    def wants_tag(self, tag: int) -> bool:
        """Whether whoever has this tag would find a place, near or not."""
        return len(self.live) < self._config.live or self._rank_of(tag) < self._rank

    def add(self, card: Card, now: float) -> Member:
        """Take a member in, alive."""
        tag = tag_of(card.node)
        member = Member(card, tag, self._rank_of(tag), now)
        member.watched = card.node in self.watched
        member.near = len(self.live) < self._config.near
        self.members[card.node] = member
        self.tags[member.tag] = member
        self.unsettled = True
        self._enlist(member)
        return member

    def renew(self, member: Member, card: Card) -> None:
        """A newer card of a member came."""
        if card.address != member.card.address:
            member.proven = False
        member.card = card
        line = line_of(member.tag, card.version)
        if line == member.line:
            return
        if self.lines.get(member.line) is member:
            del self.lines[member.line]
        member.line = line
        if member.place >= 0:
            self.lines[line] = member

    def change(self, member: Member, event: MemberEvent, now: float) -> tuple[MemberState, MemberState]:
        """Let ``event`` happen to a member; returns what it was and what it is.

        Raises :class:`footloose.core.errors.IllegalTransition` if that cannot happen to it.
        """
        before, after = member.state, MEMBER.next(member.state, event)
        member.state, member.since = after, now
        if after is not MemberState.SUSPECT:
            member.suspicion = None
        if before in LIVE and after not in LIVE:
            self._delist(member)
        elif before not in LIVE and after in LIVE:
            self._enlist(member)
        self.lost.pop(member.node, None)
        self.gone.pop(member.node, None)
        if after is MemberState.UNREACHABLE:
            self.lost[member.node] = member
        elif after not in LIVE:
            self.gone[member.node] = member
        return before, after

    def forget(self, member: Member) -> None:
        """Keep nothing of a member."""
        del self.members[member.node]
        if self.tags.get(member.tag) is member:
            del self.tags[member.tag]
        if member.state in LIVE:
            self._delist(member)
        self.lost.pop(member.node, None)
        self.gone.pop(member.node, None)

    def watch(self, node: NodeId) -> bool:
        """Keep ``node`` whenever it is heard of. Returns False if too many are kept already."""
        if node not in self.watched and len(self.watched) >= MEMBERS_WATCHED:
            return False
        self.watched.add(node)
        if node in self.members:
            self.members[node].watched = True
        return True

    def unwatch(self, node: NodeId) -> None:
        """Keep ``node`` no longer for its own sake."""
        self.watched.discard(node)
        if node in self.members:
            self.members[node].watched = False

    @property
    def crowded(self) -> bool:
        """Whether some must go at once."""
        return len(self.live) > self._config.live + _SLACK

    def settle(self, distance_ms: Callable[[Card], float]) -> list[Member]:
        """See anew who is near, and let go whom there is no room for; returns those. O(n log n), for now and then."""
        self.unsettled = False
        # Members are compared by distance, then tag, then place: never themselves.
        by_distance = sorted([(distance_ms(member.card), member.tag, member.place, member) for member in self.live])
        near = self._config.near
        for place, (_, _, _, member) in enumerate(by_distance):
            member.near = place < near
        if len(by_distance) < self._config.live:
            return []
        self._near_ms = by_distance[near - 1][0]
        rest = [member for _, _, _, member in by_distance[near:] if not member.watched]
        rest.sort(key=attrgetter("rank"))
        room = max(0, self._config.live - (len(by_distance) - len(rest)))
        self._rank = rest[room - 1].rank if 0 < room <= len(rest) else 0
        for member in rest[room:]:
            self.forget(member)
        return rest[room:]

    def overflow(self) -> Iterator[Member]:
        """Drop and return members that are gone or unreachable beyond what is remembered, oldest first."""
        while len(self.lost) > MEMBERS_LOST:
            oldest = next((one for one in self.lost.values() if not one.watched), next(iter(self.lost.values())))
            self.forget(oldest)
            yield oldest
        while len(self.gone) > MEMBERS_GONE:
            oldest = next(iter(self.gone.values()))
            self.forget(oldest)
            yield oldest

    def sample(self, count: int, rng: random.Random, but: NodeId | None = None) -> Sequence[Member]:
        """Up to ``count`` live members drawn at random."""
        chosen = rng.sample(self.live, min(len(self.live), count + 1))
        return [member for member in chosen if member.node != but][:count]

    def _rank_of(self, tag: int) -> int:
        return ((tag ^ self._salt) * _MIX >> 7) & _MASK

    def _enlist(self, member: Member) -> None:
        member.place = len(self.live)
        self.live.append(member)
        self.lines[member.line] = member

    def _delist(self, member: Member) -> None:
        last = self.live.pop()
        if last is not member:
            self.live[member.place] = last
            last.place = member.place
        member.place = -1
        if self.lines.get(member.line) is member:
            del self.lines[member.line]
