"""Threads for slow guests, shared out fairly: each service has its own short lane, and lanes take turns.

The threads are daemons: a call that does not end does not keep the process from ending.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

from footloose.core.limits import GUEST_CALLS_RUNNING, GUEST_CALLS_WAITING, GUEST_THREADS

Work = Callable[[], Any]
Done = Callable[[Any], None]


class _Lane:
    __slots__ = ("queued", "running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.waiting: deque[tuple[Work, Done]] = deque()
        self.queued = False


class Lanes:
    """At most ``threads`` calls at once, ``running`` of one key; ``waiting`` more of it may stand in line."""

    def __init__(
        self,
        threads: int = GUEST_THREADS,
        running: int = GUEST_CALLS_RUNNING,
        waiting: int = GUEST_CALLS_WAITING,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads_max = threads
        self._running_max = running
        self._waiting_max = waiting
        self._lanes: dict[str, _Lane] = {}
        self._turns: deque[str] = deque()
        self._jobs: SimpleQueue[tuple[str, Work, Done] | None] = SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, key: str, work: Work, done: Done, *, must: bool = False) -> bool:
        """Have ``work`` run in a thread and ``done`` called with its result on the loop; False if the lane is full.

        ``must`` is for work whose number is bounded by other means; it may always stand in line.
        ``work`` must not raise.
        """
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
        if self._closed or (len(lane.waiting) >= self._waiting_max and not must):
            return False
        lane.waiting.append((work, done))
        self._queue(key, lane)
        self._dispatch()
        return True

    def close(self) -> None:
        """Take no more, and let the threads end once their present call has."""
        self._closed = True
        for _ in range(self._threads):
            self._jobs.put(None)

    def _queue(self, key: str, lane: _Lane) -> None:
        if lane.waiting and not lane.queued and lane.running < self._running_max:
            lane.queued = True
            self._turns.append(key)

    def _dispatch(self) -> None:
        while self._turns and self._idle + self._threads_max - self._threads > 0:
            key = self._turns.popleft()
            lane = self._lanes[key]
            lane.queued = False
            work, done = lane.waiting.popleft()
            lane.running += 1
            self._queue(key, lane)
            self._start(key, work, done)

    def _start(self, key: str, work: Work, done: Done) -> None:
        if self._idle:
            self._idle -= 1
        else:
            self._threads += 1
            Thread(target=self._serve, name=f"guest-{self._threads}", daemon=True).start()
        self._jobs.put((key, work, done))

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            key, work, done = job
            result = work()
            try:
                self._loop.call_soon_threadsafe(self._finished, key, done, result)
            except RuntimeError:
                return  # the loop was closed under a call that outlived it

    def _finished(self, key: str, done: Done, result: Any) -> None:
        lane = self._lanes[key]
        lane.running -= 1
        self._idle += 1
        self._queue(key, lane)
        if not lane.running and not lane.waiting:
            del self._lanes[key]
        self._dispatch()
        done(result)
