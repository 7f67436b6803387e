"""A network path in virtual time, to run the trace machine against."""

import heapq
from dataclasses import dataclass, field

from footloose.model.network import Route
from footloose.topology.trace import Answer, Begin, Finished, Probe, Reply, Trace


@dataclass
class Path:
    """Routers as (address, RTT in ms), None where silent; the target's RTT, None where silent.

    ``lost`` are ports whose probe gets no answer; ``blocked_by`` an address that refuses all probes past the routers.
    """

    routers: list[tuple[str, float] | None]
    target: str = "203.0.113.9"
    target_rtt_ms: float | None = 40.0
    lost: set[int] = field(default_factory=set)
    blocked_by: tuple[str, float] | None = None

    def answer(self, probe: Probe) -> Reply | None:
        if probe.port in self.lost:
            return None
        if probe.ttl <= len(self.routers):
            router = self.routers[probe.ttl - 1]
            return Reply(probe.port, router[0], Answer.EXPIRED, router[1]) if router is not None else None
        if self.blocked_by is not None:
            return Reply(probe.port, self.blocked_by[0], Answer.BLOCKED, self.blocked_by[1])
        if self.target_rtt_ms is None:
            return None
        return Reply(probe.port, self.target, Answer.ARRIVED, self.target_rtt_ms)


@dataclass
class Outcome:
    route: Route
    took_s: float
    probes: list[Probe]


def run(path: Path) -> Outcome:
    """Trace ``path`` to the end."""
    trace, now = Trace(path.target), 0.0
    probes: list[Probe] = []
    coming: list[tuple[float, int, Reply]] = []
    effects = list(trace.receive(Begin(), now))
    while True:
        for effect in effects:
            if isinstance(effect, Finished):
                return Outcome(effect.route, now, probes)
            probes.append(effect)
            reply = path.answer(effect)
            if reply is not None:
                heapq.heappush(coming, (now + reply.rtt_ms / 1000, len(probes), reply))
        deadline = trace.next_deadline()
        assert deadline is not None
        if coming and coming[0][0] <= deadline:
            now, _, reply = heapq.heappop(coming)
            effects = list(trace.receive(reply, now))
        else:
            now = deadline
            effects = list(trace.wake(now))
