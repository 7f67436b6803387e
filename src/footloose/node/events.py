"""What happens, as it happens, for whoever watches."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

import msgspec

from footloose.core.errors import LocalError
from footloose.core.limits import WATCHER_WAITING, WATCHERS
from footloose.model.decision import Decision
from footloose.model.view import View

T = TypeVar("T")


class Feed(Generic[T]):
    """Hands all that is published to every watcher. A slow watcher loses the oldest, and never slows the node."""

    def __init__(self) -> None:
        self._watchers: set[Watcher[T]] = set()

    @property
    def watched(self) -> bool:
        """Whether anybody watches."""
        return bool(self._watchers)

    def publish(self, item: T) -> None:
        """Tell all watchers."""
        for watcher in self._watchers:
            watcher.add(item)

    def show(self, item: T) -> None:
        """Tell all watchers how things are now: who has not yet seen how they were before need not."""
        for watcher in self._watchers:
            watcher.show(item)

    def watch(self) -> "Watcher[T]":
        """All that is published from now on: ``with feed.watch() as items``. Raises :class:`LocalError` if full."""
        if len(self._watchers) >= WATCHERS:
            raise LocalError("too many are watching", fix="close another page or stream")
        watcher = Watcher(self._watchers)
        self._watchers.add(watcher)
        return watcher

    def close(self) -> None:
        """Nothing will happen any more: all watchers come to an end."""
        for watcher in self._watchers:
            watcher.end()


class Watcher(Generic[T]):
    """One watcher's items, in order; ``async for`` gets them until the feed is closed."""

    def __init__(self, watchers: "set[Watcher[T]]") -> None:
        self._watchers = watchers
        self._items: deque[T] = deque(maxlen=WATCHER_WAITING)
        self._shown: list[T] = []
        self._something = asyncio.Event()
        self._ended = False

    def __enter__(self) -> "Watcher[T]":
        return self

    def __exit__(self, *_exc: object) -> None:
        self._watchers.discard(self)

    def add(self, item: T) -> None:
        """Something was published."""
        self._items.append(item)
        self._something.set()

    def show(self, item: T) -> None:
        """This is how things are."""
        self._shown = [item]
        self._something.set()

    def end(self) -> None:
        """There will be no more."""
        self._ended = True
        self._something.set()

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            while self._items or self._shown:
                yield self._items.popleft() if self._items else self._shown.pop()
            if self._ended:
                return
            self._something.clear()
            await self._something.wait()


Happening = Decision | View


def as_event(happening: Happening) -> bytes:
    """A happening as one server-sent event (HTML Living Standard §9.2)."""
    name = "decision" if isinstance(happening, Decision) else "view"
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(happening))
