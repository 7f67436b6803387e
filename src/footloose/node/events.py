"""Decisions and views as they happen, for whoever watches."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from footloose.model.decision import Decision
from footloose.model.view import View

WATCHERS = 32
"""Open event streams at a time."""
QUEUED_EVENTS = 1_000
"""Events kept for a watcher that reads slowly; the oldest go first."""

Happening = Decision | View


class Feed:
    """Hands every happening to every watcher; a slow watcher loses the oldest, never slows the node."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Happening]] = set()

    @property
    def watched(self) -> bool:
        """Whether anybody watches."""
        return bool(self._queues)

    @property
    def full(self) -> bool:
        """Whether there are as many watchers as allowed."""
        return len(self._queues) >= WATCHERS

    def publish(self, happening: Happening) -> None:
        """Tell all watchers."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(happening)

    async def watch(self) -> AsyncIterator[Happening]:
        """All happenings from now on."""
        queue: asyncio.Queue[Happening] = asyncio.Queue(QUEUED_EVENTS)
        self._queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)


def as_event(happening: Happening) -> bytes:
    """A happening as one server-sent event (HTML Living Standard §9.2)."""
    name = "decision" if isinstance(happening, Decision) else "view"
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(happening))
