"""The membership machine: SWIM (Das et al., DSN 2002) with Lifeguard (Dadgar et al., DSN 2018), of bounded cost.

It differs from both in what silence means (:mod:`footloose.membership.states`), in that members sign what they say of
themselves and of others, in that no member is given up on the word of others alone, and in that a site watches only a
bounded few (:mod:`footloose.membership.view`) and hears of the rest as sums (:mod:`footloose.membership.regions`).
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from footloose.core.errors import LocalError
from footloose.core.identity import NodeId, short
from footloose.membership.card import NO_VERSION, Accusation, Card, Facts, News, Notary, Version
from footloose.membership.comparing import compare, deltas, digest
from footloose.membership.config import WAN, Config
from footloose.membership.events import (
    Changed,
    Conflict,
    Departed,
    Drop,
    Effect,
    Event,
    Join,
    Joined,
    Leave,
    MemberView,
    Met,
    Received,
    Released,
    Send,
    Unwatch,
    UpdateFacts,
    Watch,
)
from footloose.membership.health import LocalHealth
from footloose.membership.messages import (
    Ack,
    Delta,
    Exchange,
    Gossip,
    Message,
    Nack,
    Ping,
    PingRequest,
    RegionSketch,
    Relayed,
)
from footloose.membership.news import NewsQueue
from footloose.membership.own import OwnCard
from footloose.membership.pings import Pending, Pings, Probe, Requester
from footloose.membership.reconnects import Reconnects
from footloose.membership.regions import Regions, RegionSummary
from footloose.membership.seeds import Seeds
from footloose.membership.states import LIVE, MemberEvent, MemberState
from footloose.membership.suspects import Suspects
from footloose.membership.suspicion import Suspicion
from footloose.membership.tokens import Tokens
from footloose.membership.view import Member, View, tag_of
from footloose.membership.wire import HEAD_BYTES, SKETCH_BYTES, news_bytes
from footloose.model.site import Endpoint
from footloose.topology.coordinates import NOWHERE, Coordinate, Sample, Vivaldi
from footloose.transport.datagrams import PAYLOAD_BYTES

NACK_SHARE = 0.8
"""A relay says that it has no answer after so much of the probe timeout, in time to be heard (as memberlist)."""
HEALED_SHARE = 0.2
"""A lost member that returns means a partition has healed if so many of all members were lost."""
CONFLICT_S = 30.0
"""Shortest time between two reports of one identity in use twice, and between two attempts to take ours back."""
SETTLE_S = 300.0
"""Coordinates move, so who is near is seen anew so often even if nobody comes."""
LEAVE_ROUNDS = 6
"""Rounds of gossip in which a goodbye is said…"""
LEAVE_PAUSE_S = 0.1
"""…one so long after the other: who stops does not want to wait."""
_BUSY_SHARE = 8
"""Comparisons that told something new, though the view was full, are repeated so many times as often."""
_ROOM_BYTES = PAYLOAD_BYTES - HEAD_BYTES
_NEVER = math.inf


class Membership:
    """One member. ``facts`` are what it says of itself at first; its coordinate it finds out.

    ``rng`` must not be predictable by others outside of tests (``random.SystemRandom``): it draws the numbers of pings.
    ``now`` is in seconds since 1970, or since the beginning of a simulation.
    """

    def __init__(
        self,
        node: NodeId,
        address: Endpoint,
        facts: Facts,
        notary: Notary,
        rng: random.Random,
        now: float,
        config: Config = WAN,
    ) -> None:
        self.node = node
        self.config = config
        self.view = View(config, rng)
        self.health = LocalHealth(config.health_most)
        self.dropped: Counter[Drop] = Counter()
        self._buddies = config.lifeguard and config.buddy
        self._tag = tag_of(node)
        self._notary = notary
        self._rng = rng
        self._own = OwnCard(node, address, facts, notary, rng.getrandbits(32), now)
        self._vivaldi = Vivaldi(rng)
        self._regions = Regions(facts.region, config.region_epoch_s)
        self._tokens = Tokens(rng)
        self._urgent: NewsQueue[object, News] = NewsQueue()
        self._quiet: NewsQueue[object, News] = NewsQueue()
        self._probe: Probe | None = None
        self._order: list[Member] = []
        self._place = 0
        self._pings = Pings(rng)
        self._suspects = Suspects()
        self._reconnects = Reconnects(config, rng, now)
        self._seeds = Seeds(rng)
        self._partner: NodeId | None = None
        self._exchanges = 0
        self._exchange_pause_s = config.exchange_interval_s
        self._usurped = 0
        self._joined = False
        self._stopped = False

        self._refuted_at = self._conflict_at = -_NEVER
        self._settle_at = self._ran_at = now
        self._probe_at = now + config.probe_interval_s * rng.random()
        self._exchange_at = now + config.exchange_interval_s * (0.5 + rng.random())
        self._chores_at = now + config.facts_interval_s * rng.random()
        self._indirect_at = self._gossip_at = self._leave_at = _NEVER
        self._effects: list[Effect] = []
        self._handlers: dict[type, Callable[[Received, float], None]] = {
            Ping: self._on_ping,
            Ack: self._on_ack,
            PingRequest: self._on_ping_request,
            Relayed: self._on_relayed,
            Nack: self._on_nack,
            Gossip: self._on_gossip,
            Exchange: self._on_exchange,
            Delta: self._on_delta,
        }
        self._due = self._earliest()

    # What others may ask

    @property
    def card(self) -> Card:
        """What this site says of itself."""
        return self._own.card

    @property
    def coordinate(self) -> Coordinate:
        """Where this site is."""
        return self._vivaldi.coordinate

    def members(self) -> list[MemberView]:
        """All members in view, whatever their state, in the order they came into it."""
        return [self._show(member) for member in self.view.members.values()]

    def member(self, node: NodeId) -> MemberView | None:
        """One member, if it is in view."""
        member = self.view.members.get(node)
        return self._show(member) if member is not None else None

    def regions(self, now: float) -> list[RegionSummary]:
        """What is known of regions as a whole, this site's own included."""
        return list(self._regions.summaries(now))

    def _show(self, member: Member) -> MemberView:
        return MemberView(
            node=member.node,
            address=member.card.address,
            state=member.state,
            since=member.since,
            facts=member.card.facts,
            rtt_ms=self._vivaldi.rtt_ms(member.node),
            near=member.near and member.state in LIVE,
            watched=member.watched,
        )

    # Events in, effects out

    def receive(self, event: Event, now: float) -> Sequence[Effect]:
        """Take one event. Raises :class:`LocalError` if more is to be watched or joined than can be."""
        if self._stopped:
            return ()
        self._check_for_pause(now)
        if type(event) is Received:
            if event.addressed or type(event.message) is Ping:
                self._handlers[type(event.message)](event, now)
            else:
                self.dropped[Drop.UNEXPECTED] += 1
        else:
            self._instructed(event, now)
        return self._end(now)

    def wake(self, now: float) -> Sequence[Effect]:
        """Do what has fallen due."""
        if self._stopped:
            return ()
        self._check_for_pause(now)
        if now >= self._indirect_at:
            self._ask_others()
        if now >= self._pings.deadline:
            self._send_nacks(now)
        if now >= self._probe_at:
            self._probe_next(now)
        if now >= self._suspects.deadline:
            self._give_up_silent(now)
        if now >= self._gossip_at:
            self._gossip(now)
        if now >= self._reconnects.deadline:
            self._reconnect(now)
        if now >= self._exchange_at:
            self._exchange(now)
        if now >= self._seeds.deadline:
            self._try_seeds(now)
        if now >= self._chores_at:
            self._do_chores(now)
        if now >= self._leave_at:
            self._stopped = True
            self._effects.append(Departed())
        return self._end(now)

    def next_deadline(self) -> float | None:
        """When to wake it next; None once it has left."""
        return None if self._stopped else self._due

    def _end(self, now: float) -> list[Effect]:
        self._ran_at = now
        self._due = self._earliest()
        effects, self._effects = self._effects, []
        return effects

    def _earliest(self) -> float:
        return min(
            self._probe_at,
            self._indirect_at,
            self._gossip_at,
            self._exchange_at,
            self._chores_at,
            self._leave_at,
            self._seeds.deadline,
            self._pings.deadline,
            self._suspects.deadline,
            self._reconnects.deadline,
        )

    def _instructed(self, event: Event, now: float) -> None:
        match event:
            case Join():
                self._seeds.add((seed for seed in event.seeds if seed != self.card.address), now)
                self._try_seeds(now)
            case Met():
                if event.address != self.card.address and all(
                    one.card.address != event.address for one in self.view.live
                ):
                    self._seeds.meet(event.address, now)
                    self._try_seeds(now)
            case UpdateFacts():
                self._own.update(event.capacity, event.load_percent, event.services)
            case Watch():
                if not self.view.watch(event.node):
                    raise LocalError("too many members watched", where="membership", fix="unwatch some")
                if event.address is not None and event.node not in self.view.members:
                    self._ping(event.node, event.address, NO_VERSION, NO_VERSION, now)
            case Unwatch():
                self.view.unwatch(event.node)
            case Leave():
                self._tell(self._own.raise_above(0, self.coordinate, left=True), now)
                self._gossip_at = now
                self._leave_at = now + LEAVE_ROUNDS * LEAVE_PAUSE_S if self.view.live else now

    def _check_for_pause(self, now: float) -> None:
        """If this site was not running when it should have been, the others' silence proves nothing."""
        if now <= self._due or not self.config.pause_aware:
            return
        late_s = now - max(self._due, self._ran_at)
        if late_s < self.config.probe_timeout_s:
            return
        self.health.worse()
        for member in self.view.live:
            if member.suspicion is not None:
                member.suspicion.put_off(late_s)
        if self._probe is not None:
            self._probe.unspoilt = False
            wait_s = self.config.probe_timeout_s * self._scale
            self._indirect_at = now + wait_s if self._indirect_at != _NEVER else _NEVER
            self._probe_at = max(self._probe_at, now + 2 * wait_s)

    @property
    def _scale(self) -> int:
        """How many times as long as usual to wait."""
        return self.health.scale if self.config.lifeguard else 1

    def _send(self, message: Message, to: NodeId, address: Endpoint) -> None:
        self._effects.append(Send(message, to, address))

    # Probing

    def _probe_next(self, now: float) -> None:
        if self._probe is not None:
            self._probe_failed(self._probe, now)
        scale = self._scale
        self._probe_at = now + self.config.probe_interval_s * scale
        member = self._next_in_order()
        if member is None:
            return
        probe = self._probe = Probe(member, self._rng.getrandbits(32), self.card.version, now)
        self._indirect_at = now + self.config.probe_timeout_s * scale
        own = (self.card,) if member.told != self.card.version else ()
        sketch = self._regions.next_sketch()
        news = self._fill(own, sketch, member.node)
        ping = Ping(probe.seq, member.card.version, self._doubts(member), news, sketch)
        self._send(ping, member.node, probe.address)

    def _next_in_order(self) -> Member | None:
        """Every live member once, then again in another order (SWIM §4.3): no silence goes unseen for long."""
        for _ in range(2):
            while self._place < len(self._order):
                member = self._order[self._place]
                self._place += 1
                if member.place >= 0:
                    return member
            self._order = list(self.view.live)
            self._rng.shuffle(self._order)
            self._place = 0
        return None

    def _doubts(self, member: Member) -> bool:
        """Whether to say in a ping that its receiver is held for silent (Lifeguard §IV.C, "Buddy System").

        SWIM itself leaves that to gossip. An unreachable member hears no gossip.
        """
        return member.state is MemberState.UNREACHABLE or (self._buddies and member.suspicion is not None)

    def _ask_others(self) -> None:
        self._indirect_at = _NEVER
        probe = self._probe
        if probe is None:
            return
        member = probe.member
        helpers = self.view.sample(self.config.indirect_probes, self._rng, but=member.node)
        probe.helpers = tuple(helper.node for helper in helpers)
        known, doubted = member.card.version, self._doubts(member)
        for helper in helpers:
            request = PingRequest(probe.seq, member.node, probe.address, known, doubted, helper.token)
            self._send(request, helper.node, helper.card.address)

    def _probe_failed(self, probe: Probe, now: float) -> None:
        self._probe, self._indirect_at = None, _NEVER
        # Helpers that say nothing at all are a sign that it is this site which hears nothing.
        self.health.worse(len(probe.helpers) - len(probe.nacks) if probe.helpers else 1)
        if probe.member.place >= 0:
            accusation = Accusation(self.node, probe.member.node, probe.member.card.version[0])
            self._suspect(probe.member, self._notary.sign_accusation(accusation), now)

    def _probe_passed(self) -> None:
        self._probe, self._indirect_at = None, _NEVER
        self.health.better()

    def _ping(
        self,
        node: NodeId | None,
        address: Endpoint,
        known: Version,
        told: Version,
        now: float,
        *,
        doubted: bool = False,
    ) -> None:
        """A ping that is not a probe: nothing follows if it stays unanswered."""
        seq = self._pings.open(Pending(node, address, self.card.version, None, now))
        own = (self.card,) if told != self.card.version else ()
        self._effects.append(Send(Ping(seq, known, doubted, own), node, address))

    def _ping_member(self, member: Member, now: float) -> None:
        doubted = self._doubts(member)
        self._ping(member.node, member.card.address, member.card.version, member.told, now, doubted=doubted)

    # Pings and their answers

    def _on_ping(self, received: Received, now: float) -> None:
        ping: Ping = received.message  # type: ignore[assignment]
        outdated = self._hear(ping.news, received.sender, now) if ping.news else False
        if ping.sketch is not None:
            self._merge(ping.sketch, now)
        member = self.view.members.get(received.sender)
        if ping.doubted and ping.known[0] == self.card.version[0]:
            self._refute(now, blame=member is not None)
        version = self.card.version
        first: tuple[News, ...] = (self.card,) if ping.known < version else ()
        sketch = None
        if member is None or not member.proven or not received.addressed:
            # Its address may be made up: it is sent hardly more than came from it.
            news = first
            if member is not None:
                self._make_sure(member, now)
        else:
            if ping.known == version:
                member.told = version
            if member.suspicion is not None and self._buddies:
                first = (*first, member.suspicion.first)
            if outdated:
                first = (*first, member.card)
            sketch = self._regions.next_sketch()
            news = self._fill(first, sketch, received.sender)
        ack = Ack(ping.seq, self.coordinate, self._tokens.make(received, now), news, sketch)
        self._send(ack, received.sender, received.source)

    def _make_sure(self, member: Member, now: float) -> None:
        """Somebody says it is at its address: ask there."""
        if self._is_silent(member):
            self._reconnects.soon(member, now)
        elif member.place >= 0 and now >= member.try_at:
            member.try_at = now + self.config.probe_interval_s
            self._ping_member(member, now)

    def _on_ack(self, received: Received, now: float) -> None:
        ack: Ack = received.message  # type: ignore[assignment]
        probe, sender = self._probe, received.sender
        if probe is not None and probe.seq == ack.seq and probe.member.node == sender:
            if probe.address != received.source:
                self.dropped[Drop.UNEXPECTED] += 1
                return
            self._probe_passed()
            if probe.unspoilt:
                self._measured(sender, ack.coordinate, now - probe.sent_at, now)
            told = probe.told
        else:
            pending = self._pings.answered(ack.seq, sender, received.source)
            if pending is None:
                self.dropped[Drop.UNEXPECTED] += 1
                return
            if pending.requester is not None:
                self._pass_on(pending.requester, sender, ack)
            elif now <= self._due:
                self._measured(sender, ack.coordinate, now - pending.sent_at, now)
            told = pending.told
        if ack.news:
            self._hear(ack.news, sender, now)
        if ack.sketch is not None:
            self._merge(ack.sketch, now)
        member = self.view.members.get(sender)
        if member is not None:
            self._proven(member, received.source, told, ack.token, now)

    def _proven(self, member: Member, source: Endpoint, told: Version, token: int, now: float) -> None:
        if member.card.address == source:
            member.proven = True
            member.token = token
        member.told = max(member.told, told)
        if not self._joined and member.place >= 0:
            self._joined = True
            self._effects.append(Joined())
            self._compare_with(member, now)

    def _measured(self, node: NodeId, coordinate: Coordinate, rtt_s: float, now: float) -> None:
        # Two messages at one moment of virtual time still are not at one place.
        sample = self._vivaldi.observe(node, coordinate, max(rtt_s * 1000.0, 0.001), now)
        if sample is Sample.REFUSED:
            self.dropped[Drop.IMPOSSIBLE] += 1

    def _on_ping_request(self, received: Received, now: float) -> None:
        request: PingRequest = received.message  # type: ignore[assignment]
        if not self._is_there(received, request.token, now) or not self._pings.can_relay:
            return
        requester = Requester(received.sender, received.source, request.seq)
        pending = Pending(request.target, request.address, NO_VERSION, requester, now)
        seq = self._pings.open(pending, now + NACK_SHARE * self.config.probe_timeout_s)
        self._send(Ping(seq, request.known, request.doubted), request.target, request.address)

    def _pass_on(self, requester: Requester, target: NodeId, ack: Ack) -> None:
        card = tuple(one for one in ack.news if isinstance(one, Card) and one.node == target)
        self._send(Relayed(requester.seq, card[:1]), requester.node, requester.address)

    def _send_nacks(self, now: float) -> None:
        for requester in self._pings.take_unanswered(now):
            if self.config.lifeguard:
                self._send(Nack(requester.seq), requester.node, requester.address)

    def _helped(self, received: Received, seq: int) -> Probe | None:
        """The probe under way, if the sender was asked to help with it."""
        probe = self._probe
        if probe is not None and probe.seq == seq and received.sender in probe.helpers:
            return probe
        self.dropped[Drop.UNEXPECTED] += 1
        return None

    def _on_relayed(self, received: Received, now: float) -> None:
        relayed: Relayed = received.message  # type: ignore[assignment]
        if self._helped(received, relayed.seq) is not None:
            self._probe_passed()
            self._hear(relayed.news, received.sender, now)

    def _on_nack(self, received: Received, now: float) -> None:  # noqa: ARG002  one form for all handlers
        nack: Nack = received.message  # type: ignore[assignment]
        probe = self._helped(received, nack.seq)
        if probe is not None:
            probe.nacks.add(received.sender)

    def _is_there(self, received: Received, token: int, now: float) -> bool:
        """Whether the sender is known to be at its address, so that more may be sent there than came from there."""
        member = self.view.members.get(received.sender)
        proven = member is not None and member.proven and member.card.address == received.source
        if proven or self._tokens.genuine(token, received, now):
            return True
        self.dropped[Drop.UNPROVEN] += 1
        return False

    # News

    def _fill(self, first: tuple[News, ...], sketch: RegionSketch | None, to: NodeId) -> tuple[News, ...]:
        """``first``, and of the news that waits as much as fits into one message."""
        if not self._urgent and not self._quiet:
            return first
        room = _ROOM_BYTES - (SKETCH_BYTES if sketch is not None else 0) - sum(news_bytes(one) for one in first)
        news = list(first)
        if self._urgent:
            taken, room = self._urgent.take(room, self._retransmits, to)
            news += taken
        if self._quiet:
            taken, room = self._quiet.take(room, self.config.facts_retransmits, to)
            news += taken
        return tuple(news)

    @property
    def _retransmits(self) -> int:
        return self.config.retransmit_mult * math.ceil(math.log10(len(self.view.live) + 2))

    def _gossip(self, now: float) -> None:
        for member in self.view.sample(self.config.gossip_fanout, self._rng):
            taken, _ = self._urgent.take(_ROOM_BYTES, self._retransmits, member.node)
            if taken:
                self._send(Gossip(tuple(taken)), member.node, member.card.address)
        pause_s = LEAVE_PAUSE_S if self.card.left else self.config.gossip_interval_s
        self._gossip_at = now + pause_s if self._urgent else _NEVER

    def _tell(self, news: News, now: float) -> None:
        """Pass on soon what all who know the member should know."""
        key: object = news.node if isinstance(news, Card) else (news.subject, news.accuser)
        self._quiet.drop(key)
        self._urgent.put(key, news, news_bytes(news))
        if self._gossip_at == _NEVER:
            self._gossip_at = now + self.config.gossip_interval_s * self._rng.random()

    def _on_gossip(self, received: Received, now: float) -> None:
        gossip: Gossip = received.message  # type: ignore[assignment]
        self._hear(gossip.news, received.sender, now)

    def _hear(self, news: Iterable[News], sender: NodeId, now: float) -> bool:
        """Take in what ``sender`` tells. Returns whether it showed a card of its own that is not its newest."""
        outdated = False
        for one in news:
            if isinstance(one, Accusation):
                self._hear_accusation(one, now)
            elif self._hear_card(one, now) and one.node == sender:
                outdated = True
        return outdated

    def _hear_card(self, card: Card, now: float, *, compared: bool = False) -> bool:
        """Returns whether a newer one is known here. ``compared``: it was told in a comparison, not passed on."""
        member = self.view.members.get(card.node)
        if member is not None:
            if card.version > member.card.version and self._genuine(card):
                self._renew(member, card, now)
            return card.version < member.card.version
        if card.node == self.node:
            self._hear_of_self(card, now)
        elif not card.left and self.view.wants(card, self._distance_ms) and self._genuine(card):
            self._meet(card, now, tell=not compared)
        return False

    def _genuine(self, news: News) -> bool:
        if self._notary.genuine(news):
            return True
        self.dropped[Drop.UNSIGNED] += 1
        return False

    def _meet(self, card: Card, now: float, *, tell: bool) -> None:
        member = self.view.add(card, now)
        self._order.insert(self._rng.randint(self._place, len(self._order)), member)
        self._effects.append(Changed(card.node, None, MemberState.ALIVE, "came into view"))
        if tell and len(self.view.live) <= self.config.live:
            # In a larger system few have a place for it. They find out when comparing.
            self._tell(card, now)
        if self.view.crowded:
            self._settle()

    def _renew(self, member: Member, card: Card, now: float) -> None:
        """A member says something new of itself."""
        (incarnation, run, _), (before, run_before, _) = card.version, member.card.version
        was_silent, was_lost = self._is_silent(member), member.state is MemberState.UNREACHABLE
        self.view.renew(member, card)
        if run != run_before:
            if member.former_run == run:
                self._report_conflict(card, now)
            member.former_run = run_before
            if member.state not in (MemberState.LEFT, MemberState.DEAD):
                self._change(member, MemberEvent.REPLACED, "a later run of the site took its place", now)
        if card.left:
            if member.state is not MemberState.LEFT:
                self._change(member, MemberEvent.SAID_GOODBYE, "said so", now)
        elif member.state in (MemberState.LEFT, MemberState.DEAD):
            self._change(member, MemberEvent.RETURNED, "said so", now)
        elif incarnation > before and member.state is not MemberState.ALIVE:
            self._change(member, MemberEvent.REFUTED, "said so", now)
        if incarnation > before or card.left:
            self._tell(card, now)
        elif member.near or member.watched:
            self._quiet.put(card.node, card, news_bytes(card))
        if was_silent and member.state is MemberState.ALIVE:
            if was_lost:
                self._compare_with(member, now)
            self._found_again(now)

    def _hear_of_self(self, card: Card, now: float) -> None:
        """A card of this identity that this run did not make: an earlier run's, or of another that runs now."""
        if card.version <= self.card.version or card.version[1] == self.card.version[1]:
            return
        if now - self._conflict_at < CONFLICT_S or not self._genuine(card):
            return
        self._usurped += 1
        if self._usurped > 1:
            self._report_conflict(card, now)
        self._tell(self._own.raise_above(card.version[0], self.coordinate, left=self.card.left), now)

    def _report_conflict(self, card: Card, now: float) -> None:
        if now - self._conflict_at >= CONFLICT_S:
            self._conflict_at = now
            self._effects.append(Conflict(card.node, card.address))

    def _refute(self, now: float, *, blame: bool) -> None:
        """Somebody takes this site to be silent: say that it is not. ``blame``: it may well have been slow."""
        if now - self._refuted_at < self.config.gossip_interval_s or self.card.left:
            return
        self._refuted_at = now
        if blame:
            self.health.worse()
        self._tell(self._own.raise_above(0, self.coordinate), now)

    # Suspicion

    def _hear_accusation(self, accusation: Accusation, now: float) -> None:
        if accusation.subject == self.node:
            if accusation.incarnation == self.card.version[0] and self._genuine(accusation):
                self._refute(now, blame=accusation.accuser in self.view.members)
            return
        member = self.view.members.get(accusation.subject)
        if member is None or member.place < 0 or accusation.accuser == self.node:
            return
        if accusation.incarnation != member.card.version[0]:
            return
        if member.suspicion is not None:
            # Keys are free: only who is itself in view, and alive, counts beyond the first.
            accuser = self.view.members.get(accusation.accuser)
            if accuser is None or accuser.place < 0 or accusation.accuser in member.suspicion.accusers:
                return
        if self._genuine(accusation):
            self._suspect(member, accusation, now)

    def _suspect(self, member: Member, accusation: Accusation, now: float) -> None:
        suspicion = member.suspicion
        if suspicion is None:
            suspicion = member.suspicion = Suspicion(accusation, self.config, len(self.view.live) + 1, now)
            self._change(member, MemberEvent.ACCUSED, f"no answer to {short(accusation.accuser)}", now)
        elif not suspicion.confirm(accusation.accuser):
            return
        self._suspects.file(suspicion)
        self._tell(accusation, now)
        if accusation.accuser == self.node:
            member.tries = 0
            self._reconnects.plan(member, now)

    def _give_up_silent(self, now: float) -> None:
        for member in self._suspects.take_silent(self.view.members, now):
            suspicion = member.suspicion
            if suspicion is None:
                continue
            accusers = len(suspicion.accusers)
            reason = f"no answer for {now - suspicion.started:.1f} s to {accusers} member{'s' * (accusers > 1)}"
            self._change(member, MemberEvent.SILENT, reason, now)
            member.tries = 0
            member.proven = False
            self._reconnects.plan(member, now)
            self._release(self.view.overflow())
        lost = len(self.view.lost)
        if lost >= HEALED_SHARE * (lost + len(self.view.live)):
            self._seeds.hurry(now)

    def _change(self, member: Member, event: MemberEvent, reason: str, now: float) -> None:
        if member.suspicion is not None and event is not MemberEvent.ACCUSED:
            for accuser in sorted(member.suspicion.accusers):
                self._urgent.drop((member.node, accuser))
        before, after = self.view.change(member, event, now)
        self._effects.append(Changed(member.node, before, after, reason))

    def _reconnect(self, now: float) -> None:
        member = self._reconnects.take_due(self.view.members, self._is_silent, now)
        if member is not None:
            self._ping_member(member, now)

    def _is_silent(self, member: Member) -> bool:
        """Whether this site itself waits to hear from it: it is unreachable, or suspected by this site."""
        if member.state is MemberState.UNREACHABLE:
            return True
        return self._buddies and member.suspicion is not None and self.node in member.suspicion.accusers

    def _found_again(self, now: float) -> None:
        """A silent member is back. If many were silent, the network may be whole again: try them all."""
        silent = [member for member in self.view.members.values() if self._is_silent(member)]
        if len(silent) + 1 < HEALED_SHARE * (len(self.view.lost) + len(self.view.live)):
            return
        for other in silent:
            other.tries = 0
            self._reconnects.soon(other, now)

    # Comparing

    def _exchange(self, now: float) -> None:
        self._exchange_pause_s = min(2 * self._exchange_pause_s, self.config.exchange_interval_s)
        self._exchange_at = now + self._exchange_pause_s * (0.75 + self._rng.random() / 2)
        partner = self._exchange_partner()
        if partner is not None:
            exchange = digest(self.view, self.coordinate, partner.token, self._rng)
            self._send(exchange, partner.node, partner.card.address)

    def _exchange_partner(self) -> Member | None:
        """In turn somebody near, who knows others near, and anybody."""
        planned = self.view.members.get(self._partner) if self._partner is not None else None
        self._partner = None
        if planned is not None and planned.place >= 0:
            return planned
        drawn = self.view.sample(4, self._rng)
        self._exchanges += 1
        if self._exchanges % 2:
            return next((member for member in drawn if member.near), drawn[0] if drawn else None)
        return drawn[0] if drawn else None

    def _compare_with(self, member: Member, now: float) -> None:
        self._partner = member.node
        self._exchange_soon(now)

    def _exchange_soon(self, now: float) -> None:
        self._exchange_pause_s = 2 * self.config.gossip_interval_s
        self._exchange_at = min(self._exchange_at, now + self.config.gossip_interval_s)

    def _on_exchange(self, received: Received, now: float) -> None:
        exchange: Exchange = received.message  # type: ignore[assignment]
        if not self._is_there(received, exchange.token, now):
            return
        outcome = compare(exchange, self.view, self.card, self._tag, self.config, self._rng)
        for member in outcome.sighted:
            self._reconnects.soon(member, now)
        for delta in outcome.deltas:
            self._send(delta, received.sender, received.source)

    def _on_delta(self, received: Received, now: float) -> None:
        delta: Delta = received.message  # type: ignore[assignment]
        known = len(self.view.members)
        for one in delta.news:
            if isinstance(one, Card):
                self._hear_card(one, now, compared=True)
        if len(self.view.members) > known:
            if len(self.view.live) < self.config.live:
                self._exchange_soon(now)
            else:
                self._exchange_pause_s = self.config.exchange_interval_s / _BUSY_SHARE
        if delta.wants and self._is_there(received, 0, now):
            wanted = [self.view.tags[tag].card for tag in delta.wants if tag in self.view.tags]
            for answer in deltas(wanted):
                self._send(answer, received.sender, received.source)

    # Now and then

    def _try_seeds(self, now: float) -> None:
        live = self.view.live
        size = self._size(now)
        for seed in self._seeds.take_due(lambda seed: any(one.card.address == seed for one in live), size, now):
            self._ping(None, seed, NO_VERSION, NO_VERSION, now)

    def _size(self, now: float) -> float:
        """How many members there may be: those live in view, or, if that is full, what the regions add up to."""
        live = len(self.view.live)
        return live if live < self.config.live else sum(region.sites for region in self._regions.summaries(now))

    def _do_chores(self, now: float) -> None:
        self._chores_at = now + self.config.facts_interval_s
        if self.view.unsettled or now >= self._settle_at:
            self._settle_at = now + SETTLE_S
            self._settle()
        if not self.card.left and self._own.differs(self.coordinate):
            card = self._own.renew(self.coordinate)
            self._quiet.put(self.node, card, news_bytes(card))
        self._regions.contribute(self._own.facts, now, self._rng)
        self._forget_old(now)
        if not self.view.live:
            self._joined = False

    def _settle(self) -> None:
        self._release(self.view.settle(self._distance_ms))

    def _release(self, members: Iterable[Member]) -> None:
        for member in members:
            self._vivaldi.forget(member.node)
            self._urgent.drop(member.node)
            self._quiet.drop(member.node)
            self._effects.append(Released(member.node))

    def _distance_ms(self, card: Card) -> float:
        """The measured round trip, or what the coordinates say, or farther than anything."""
        rtt_ms = self._vivaldi.rtt_ms(card.node)
        if rtt_ms is not None:
            return rtt_ms
        there = card.facts.coordinate
        return _NEVER if there == NOWHERE else self.coordinate.distance_ms(there)

    def _forget_old(self, now: float) -> None:
        config, view = self.config, self.view
        while view.lost:
            oldest = next(iter(view.lost.values()))
            if now - oldest.since < config.forget_after_s:
                break
            self._change(oldest, MemberEvent.FORGOTTEN, "unreachable for too long", now)
        while view.gone:
            oldest = next(iter(view.gone.values()))
            if now - oldest.since < config.remember_gone_s:
                break
            view.forget(oldest)
            self._release([oldest])
        self._release(view.overflow())

    def _merge(self, sketch: RegionSketch, now: float) -> None:
        if not self._regions.merge(sketch, now):
            self.dropped[Drop.IMPOSSIBLE] += 1
