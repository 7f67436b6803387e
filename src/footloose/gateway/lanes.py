"""Threads for slow guests, shared out fairly: each service has its own short lane, and lanes take turns.

The threads are daemons: a call that does not end does not keep the process from ending.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

from footloose.core.limits import (
    GUEST_CALLS_RUNNING,
    GUEST_CALLS_WAITING,
    GUEST_THREADS,
    STREAMS_PER_SERVICE,
    STREAMS_PER_WORKER,
)

Work = Callable[[], Any]
Done = Callable[[Any], None]


class Job:
    """One piece of work. ``aside`` once it waits on its own account and takes no place from others."""

    __slots__ = ("aside", "done", "key", "over", "work")

    def __init__(self, key: str, work: Work, done: Done) -> None:
        self.key = key
        self.work = work
        self.done = done
        self.aside = False
        self.over = False


class _Lane:
    __slots__ = ("aside", "queued", "running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.aside = 0
        self.waiting: deque[Job] = deque()
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
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._aside = 0
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, key: str, work: Work, done: Done, *, must: bool = False) -> Job | None:
        """Have ``work`` run in a thread and ``done`` called with its result on the loop; None if the lane is full.

        ``must`` is for work whose number is bounded by other means; it may always stand in line.
        ``work`` must not raise.
        """
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
        if self._closed or (len(lane.waiting) >= self._waiting_max and not must):
            return None
        job = Job(key, work, done)
        lane.waiting.append(job)
        self._queue(key, lane)
        self._dispatch()
        return job

    def set_aside(self, job: Job) -> None:
        """``job``, which runs, mostly waits: others may take its place, if not too many are set aside already."""
        lane = self._lanes.get(job.key)
        if job.aside or job.over or lane is None:
            return
        if self._aside >= STREAMS_PER_WORKER or lane.aside >= STREAMS_PER_SERVICE:
            return
        job.aside = True
        lane.running -= 1
        lane.aside += 1
        self._aside += 1
        self._queue(job.key, lane)
        self._dispatch()

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
        while self._turns and self._idle + self._threads_max + self._aside - self._threads > 0:
            key = self._turns.popleft()
            lane = self._lanes[key]
            lane.queued = False
            job = lane.waiting.popleft()
            lane.running += 1
            self._queue(key, lane)
            self._start(job)

    def _start(self, job: Job) -> None:
        if self._idle:
            self._idle -= 1
        else:
            self._threads += 1
            Thread(target=self._serve, name=f"guest-{self._threads}", daemon=True).start()
        self._jobs.put(job)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            result = job.work()
            try:
                self._loop.call_soon_threadsafe(self._finished, job, result)
            except RuntimeError:
                return  # the loop was closed under a call that outlived it

    def _finished(self, job: Job, result: Any) -> None:
        job.over = True
        lane = self._lanes[job.key]
        if job.aside:
            lane.aside -= 1
            self._aside -= 1
        else:
            lane.running -= 1
        self._idle += 1
        self._queue(job.key, lane)
        if not lane.running and not lane.waiting and not lane.aside:
            del self._lanes[job.key]
        self._dispatch()
        job.done(result)
