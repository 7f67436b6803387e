"""Runs a sans-IO machine on asyncio: hands out its effects, and wakes it when it wants to be woken."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from footloose.core.clock import Clock
from footloose.core.errors import FootlooseError
from footloose.core.machine import Timed

log = logging.getLogger(__name__)

EffectT = TypeVar("EffectT")

_AFTER_FAULT_S = 1.0
"""How soon a machine that failed is woken again: at once could be for ever."""


class Driver(Generic[EffectT]):
    """The thin shell around one machine. ``carry_out`` is called for each effect, in order, and must not block.

    An effect that fails, by a full disk or a fault of ours, is told in the log; the others are carried out still.
    """

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
            try:
                self._carry_out(effect)
            except FootlooseError as error:
                log.error("%s could not be carried out: %s", type(effect).__name__, error)
            except Exception:
                # As when waking: the machine has gone on as if it were done, and all else must be.
                log.exception("%s could not be carried out", type(effect).__name__)
        self._set_timer(0.0)

    def close(self) -> None:
        """Wake the machine no more, and drop what it still wants done."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, least_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._machine.next_deadline()
        if deadline is None:
            self._timer = None
            return
        wait_s = max(least_s, deadline - self._clock.now())
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._wake)

    def _wake(self) -> None:
        try:
            effects = self._machine.wake(self._clock.now())
        except Exception:
            # A fault in one step must not end the machine: it is the only one there is.
            log.exception("%s failed when it was woken", type(self._machine).__name__)
            self._set_timer(_AFTER_FAULT_S)
            return
        self.carry_out(effects)


class Tasks:
    """Background tasks of one owner: failures are logged with their name, and all end with the owner."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run ``work`` in the background, unless the owner has ended."""
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        """Cancel what still runs, wait until it has ended, and start no more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)


async def again_and_again(work: Callable[[], Awaitable[float]], name: str, after_failure_s: float) -> None:
    """Do ``work``, and again after as many seconds as it says; a time that it fails is logged and not the last."""
    while True:
        try:
            wait_s = await work()
        except Exception:
            # Whatever it was, the next time may be better, and nobody else would start it again.
            log.exception("%s failed, and is tried again in %.0f s", name, after_failure_s)
            wait_s = after_failure_s
        await asyncio.sleep(wait_s)
