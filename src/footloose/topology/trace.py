"""One trace as a machine without I/O: which probes to send, what the answers mean, when to stop.

After the ICON Python Orchestrator §3.1.1 (parallel UDP probing): probes of rising TTL leave together and are told
apart by their destination port, so a trace takes about one round trip. Ports are those of ``traceroute``.
"""

import ipaddress
import math
from collections.abc import Iterable, Sequence
from enum import Enum

import msgspec

from footloose.core.limits import ROUTE_HOPS, TRACE_TIMEOUT_S
from footloose.core.table import TransitionTable
from footloose.model.network import Hop, Route

FIRST_PORT = 33434
"""IANA's port for traceroute. A probe of TTL t goes to FIRST_PORT + t - 1, its repetition ROUTE_HOPS higher."""
FIRST_BURST = 16
"""TTLs probed at once at first; few routes are longer."""
GAP_LIMIT = 5
"""So many silent hops in a row are taken for the end of what can be seen (scamper's default gap limit)."""
MARGIN_S = 0.05
"""Waited beyond twice the slowest round trip, once the target has answered and only nearer hops are missing."""
UNKNOWN_MARGIN_S = 0.25
"""The same while the target has not answered: the next link may be an ocean's width."""


class Answer(Enum):
    """What an ICMP message says of the probe it answers."""

    EXPIRED = "expired"
    """Its TTL ran out at a router (time exceeded)."""
    ARRIVED = "arrived"
    """It came to the target (port unreachable, or a UDP answer)."""
    BLOCKED = "blocked"
    """A router has no way on for it (net, host or protocol unreachable, prohibited)."""


class Begin(msgspec.Struct, frozen=True):
    """Event: start."""


class Reply(msgspec.Struct, frozen=True):
    """Event: ``address`` answered the probe sent to ``port``, after ``rtt_ms``."""

    port: int
    address: str
    answer: Answer
    rtt_ms: float


class Probe(msgspec.Struct, frozen=True):
    """Effect: send a datagram to the target's ``port`` with this TTL."""

    ttl: int
    port: int


class Finished(msgspec.Struct, frozen=True):
    """Effect: this is the route."""

    route: Route


class TraceState(Enum):
    """Where a trace stands."""

    IDLE = "idle"
    FIRST = "first_round"
    SECOND = "second_round"
    DONE = "done"


class TraceStep(Enum):
    """What moves a trace on."""

    BEGIN = "begin"
    COMPLETE = "all hops known"
    TIMEOUT = "timeout"
    NOTHING_LEFT = "nothing to repeat"


TABLE = TransitionTable(
    "trace",
    {
        (TraceState.IDLE, TraceStep.BEGIN): TraceState.FIRST,
        (TraceState.FIRST, TraceStep.COMPLETE): TraceState.DONE,
        (TraceState.FIRST, TraceStep.TIMEOUT): TraceState.SECOND,
        (TraceState.FIRST, TraceStep.NOTHING_LEFT): TraceState.DONE,
        (TraceState.SECOND, TraceStep.COMPLETE): TraceState.DONE,
        (TraceState.SECOND, TraceStep.TIMEOUT): TraceState.DONE,
    },
)


class Trace:
    """The machine of one trace to ``target``. Starts with :class:`Begin`; its last effect is :class:`Finished`.

    A reply that fits no probe, comes twice or makes no sense is ignored: anyone can send a site ICMP messages.
    """

    def __init__(self, target: str) -> None:
        self._target = str(ipaddress.ip_address(target))
        self._state = TraceState.IDLE
        self._unanswered: dict[int, int] = {}
        self._hops: dict[int, Hop] = {}
        self._probed_to = 0
        self._end: int | None = None
        self._target_rtt_ms: float | None = None
        self._sent_at = 0.0

    def receive(self, event: Begin | Reply, now: float) -> Sequence[Probe | Finished]:
        """Take one event. Raises :class:`IllegalTransition` on a second :class:`Begin`."""
        if isinstance(event, Begin):
            self._state = TABLE.next(self._state, TraceStep.BEGIN)
            return self._send(range(1, FIRST_BURST + 1), now)
        if self._state in (TraceState.IDLE, TraceState.DONE) or not self._take(event):
            return ()
        if self._complete():
            return self._finish(TraceStep.COMPLETE)
        if self._end is None and self._probed_to in self._hops:
            return self._send(range(self._probed_to + 1, ROUTE_HOPS + 1), now)
        return ()

    def wake(self, now: float) -> Sequence[Probe | Finished]:
        """Repeat what was not answered in time; the second time, make do with what there is."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return ()
        if self._state is TraceState.SECOND:
            return self._finish(TraceStep.TIMEOUT)
        missing = self._missing()
        if not missing:
            return self._finish(TraceStep.NOTHING_LEFT)
        self._state = TABLE.next(self._state, TraceStep.TIMEOUT)
        return self._send(missing, now)

    def next_deadline(self) -> float | None:
        """When the hops still silent have had time enough, judged by the round trips of those that answered."""
        if self._state in (TraceState.IDLE, TraceState.DONE):
            return None
        return self._sent_at + self._patience_s()

    def _patience_s(self) -> float:
        known = [hop.rtt_ms for hop in self._hops.values() if hop.rtt_ms is not None]
        if self._target_rtt_ms is not None:
            known.append(self._target_rtt_ms)
        if not known:
            return TRACE_TIMEOUT_S
        margin_s = UNKNOWN_MARGIN_S if self._end is None else MARGIN_S
        return min(2 * max(known) / 1000 + margin_s, TRACE_TIMEOUT_S)

    def _send(self, ttls: Iterable[int], now: float) -> Sequence[Probe]:
        offset = ROUTE_HOPS if self._state is TraceState.SECOND else 0
        probes = [Probe(ttl, FIRST_PORT + offset + ttl - 1) for ttl in ttls]
        for probe in probes:
            self._unanswered[probe.port] = probe.ttl
            self._probed_to = max(self._probed_to, probe.ttl)
            self._sent_at = now
        return probes

    def _take(self, reply: Reply) -> bool:
        """Note what a reply says; False if it says nothing."""
        address = _host(reply.address)
        if address is None or not (math.isfinite(reply.rtt_ms) and reply.rtt_ms >= 0):
            return False
        ttl = self._unanswered.pop(reply.port, None)
        if ttl is None:
            return False
        if reply.answer is Answer.ARRIVED or address == self._target:
            self._ends_at(ttl)
            self._target_rtt_ms = _least(self._target_rtt_ms, reply.rtt_ms)
            return True
        if reply.answer is Answer.BLOCKED:
            self._ends_at(ttl + 1)
        before = self._hops.get(ttl)
        if before is None or before.address == address:
            self._hops[ttl] = Hop(ttl, address, _least(before.rtt_ms if before else None, reply.rtt_ms))
        return True

    def _ends_at(self, ttl: int) -> None:
        self._end = ttl if self._end is None else min(self._end, ttl)

    def _complete(self) -> bool:
        return self._end is not None and all(ttl in self._hops for ttl in range(1, self._end))

    def _missing(self) -> list[int]:
        """TTLs worth a second probe: before the end if it is known, else up to the gap limit past the last answer."""
        end = self._end
        if end is None:
            end = min(max(self._hops, default=0) + GAP_LIMIT, ROUTE_HOPS) + 1
        return [ttl for ttl in range(1, end) if ttl not in self._hops]

    def _finish(self, step: TraceStep) -> Sequence[Finished]:
        self._state = TABLE.next(self._state, step)
        return (Finished(Route(self._target, self._route_hops(), self._target_rtt_ms)),)

    def _route_hops(self) -> tuple[Hop, ...]:
        """The hops before the target, each address once: a later sight of it (a loop, a detour) counts as silence."""
        end = self._end if self._end is not None else max(self._hops, default=0) + 1
        hops: list[Hop] = []
        seen: set[str | None] = set()
        for ttl in range(1, end):
            hop = self._hops.get(ttl, Hop(ttl))
            hops.append(Hop(ttl) if hop.address in seen else hop)
            seen.add(hop.address)
        while hops and hops[-1].address is None and self._target_rtt_ms is None:
            hops.pop()
        return tuple(hops)


def _host(address: str) -> str | None:
    """The address in its plain form, None if it names no router (a link-local one names thousands)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return None if parsed.is_unspecified or parsed.is_multicast or parsed.is_link_local else str(parsed)


def _least(before: float | None, now: float) -> float:
    return now if before is None else min(before, now)
