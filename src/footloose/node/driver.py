"""Runs a sans-IO machine on asyncio: hands out its effects, and wakes it when it wants to be woken."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from footloose.core.clock import Clock
from footloose.core.machine import Timed

log = logging.getLogger(__name__)

EffectT = TypeVar("EffectT")


class Driver(Generic[EffectT]):
    """The thin shell around one machine. ``carry_out`` is called for each effect, in order, and must not block."""

    def __init__(self, machine: Timed[EffectT], clock: Clock, carry_out: Callable[[EffectT], None]) -> None:
        self._machine = machine
        self._clock = clock
        self._carry_out = carry_out
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def carry_out(self, effects: Sequence[EffectT]) -> None:
        """Carry out effects the machine returned, then see when it wants to be woken."""
        if self._closed:
            return
        for effect in effects:
            self._carry_out(effect)
        self._set_timer()

    def close(self) -> None:
        """Wake the machine no more, and drop what it still wants done."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._machine.next_deadline()
        if deadline is None:
            self._timer = None
            return
        wait_s = max(0.0, deadline - self._clock.now())
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._wake)

    def _wake(self) -> None:
        self.carry_out(self._machine.wake(self._clock.now()))


class Tasks:
    """Background tasks of one owner: failures are logged with their name, and all end with the owner."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run ``work`` in the background."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)
