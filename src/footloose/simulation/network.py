"""A network of numbered nodes in virtual time: delay, jitter, loss, duplication, reordering, rate, one-way cuts."""

from collections.abc import Callable, Collection
from typing import Any

import msgspec

from footloose.simulation.engine import Engine

Delay = Callable[[int, int], float]
"""One-way delay in seconds from one node to another."""
Deliver = Callable[[int, Any], object]
"""Takes a message: from which node, and what."""


class Conditions(msgspec.Struct, frozen=True):
    """How messages fare. Probabilities are per message; ``jitter`` is a part of the delay, drawn evenly.

    A message drawn for ``reorder`` takes up to ``reorder_s`` longer. ``rate_bytes_s`` limits each sender (0: not).
    """

    jitter: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_s: float = 0.05
    rate_bytes_s: float = 0.0


class Network:
    """Carries messages between nodes that are :meth:`attached <attach>`; to others they are lost."""

    def __init__(self, engine: Engine, delay_s: Delay, conditions: Conditions | None = None) -> None:
        self._engine = engine
        self._delay_s = delay_s
        self.conditions = conditions or Conditions()
        self._deliver: dict[int, Deliver] = {}
        self._cut: set[tuple[int, int]] = set()
        self._side: dict[int, int] = {}
        self._free_at: dict[int, float] = {}
        self.sent = 0
        self.sent_bytes = 0
        self.lost = 0

    def attach(self, node: int, deliver: Deliver) -> None:
        """Messages to ``node`` go to ``deliver`` from now on."""
        self._deliver[node] = deliver

    def detach(self, node: int) -> None:
        """``node`` is gone: what is on its way to it is lost."""
        self._deliver.pop(node, None)

    def cut(self, source: int, target: int) -> None:
        """Lose all that ``source`` sends to ``target`` (not what comes back)."""
        self._cut.add((source, target))

    def heal(self, source: int, target: int) -> None:
        """Undo :meth:`cut`."""
        self._cut.discard((source, target))

    def partition(self, *groups: Collection[int]) -> None:
        """Keep the groups apart; nodes in none are with the first."""
        self._side = {node: side for side, group in enumerate(groups) for node in group if side}

    def heal_all(self) -> None:
        """No cuts, no partition."""
        self._cut.clear()
        self._side = {}

    @property
    def cuts(self) -> bool:
        """Whether any node is cut off from any other."""
        return bool(self._cut or self._side)

    def reaches(self, source: int, target: int) -> bool:
        """Whether a message would not meet a cut now."""
        side = self._side
        if side and side.get(source, 0) != side.get(target, 0):
            return False
        return not self._cut or (source, target) not in self._cut

    def send(self, source: int, target: int, message: Any, size_bytes: int = 0) -> None:
        """Send ``message``; it comes later, more than once, or never."""
        self.sent += 1
        self.sent_bytes += size_bytes
        conditions, draw = self.conditions, self._engine.random.random
        if not self.reaches(source, target) or (conditions.loss and draw() < conditions.loss):
            self.lost += 1
            return
        delay_s = self._delay_s(source, target)
        if conditions.jitter:
            delay_s *= 1.0 + conditions.jitter * draw()
        if conditions.reorder and draw() < conditions.reorder:
            delay_s += conditions.reorder_s * draw()
        if conditions.rate_bytes_s:
            delay_s += self._queued_s(source, size_bytes)
        self._engine.after(delay_s, self._arrive, (source, target, message))
        if conditions.duplicate and draw() < conditions.duplicate:
            self._engine.after(delay_s * (1.0 + draw()), self._arrive, (source, target, message))

    def _queued_s(self, source: int, size_bytes: int) -> float:
        now = self._engine.now
        free_at = max(now, self._free_at.get(source, 0.0)) + size_bytes / self.conditions.rate_bytes_s
        self._free_at[source] = free_at
        return free_at - now

    def _arrive(self, arrival: tuple[int, int, Any]) -> None:
        source, target, message = arrival
        deliver = self._deliver.get(target)
        if deliver is None or not self.reaches(source, target):
            self.lost += 1  # what is on its way when a link is cut is lost with it
            return
        deliver(source, message)
