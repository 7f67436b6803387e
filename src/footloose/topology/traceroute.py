"""Tracing routes: the shell that carries a :class:`footloose.topology.trace.Trace` out."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from footloose.core.errors import LocalError
from footloose.core.limits import TRACES_AT_ONCE, TRACES_WAITING
from footloose.model.network import Route
from footloose.topology.addresses import IpAddress, unicast
from footloose.topology.probe_socket import ProbeSocket
from footloose.topology.trace import Begin, Finished, Probe, Trace


class _Running:
    """A trace under way and how many callers wait for it."""

    def __init__(self, task: "asyncio.Task[Route]") -> None:
        self.task = task
        self.callers = 0


class Tracer:
    """Traces routes for everyone at a site, so many at once. Callers who want the same target share one trace.

    ``trace_one`` carries one trace out.
    """

    def __init__(
        self,
        *,
        at_once: int = TRACES_AT_ONCE,
        waiting: int = TRACES_WAITING,
        trace_one: Callable[[IpAddress], Awaitable[Route]] | None = None,
    ) -> None:
        self._trace_one = trace_one or trace_route
        self._turns = asyncio.Semaphore(at_once)
        self._most = at_once + waiting
        self._running: dict[IpAddress, _Running] = {}

    async def trace(self, address: str) -> Route:
        """The route to ``address``, with the round trip to it if it answers.

        Takes about one round trip if all answer, some 0.5 s if the target keeps silent, and never more than 6 s.
        Raises :class:`LocalError` if the address is not one host's, this machine cannot send there, or too many wait.
        """
        target = unicast(address)
        running = self._running.get(target)
        if running is None:
            if len(self._running) >= self._most:
                raise LocalError(
                    f"{len(self._running)} traces are under way or waiting", where=address, fix="ask later"
                )
            running = self._running[target] = _Running(asyncio.create_task(self._trace(target), name=f"trace {target}"))
        running.callers += 1
        try:
            return await asyncio.shield(running.task)
        finally:
            running.callers -= 1
            if not running.callers:
                running.task.cancel()
                self._forget(target, running)

    def _forget(self, target: IpAddress, running: _Running) -> None:
        if self._running.get(target) is running:
            del self._running[target]

    async def _trace(self, target: IpAddress) -> Route:
        async with self._turns:
            return await self._trace_one(target)


async def trace_route(target: IpAddress) -> Route:
    """One trace, by unprivileged UDP probes. Raises :class:`LocalError` if this machine cannot send there."""
    with ProbeSocket(target) as probes:
        return await _run(Trace(str(target)), probes)


async def _run(trace: Trace, probes: ProbeSocket) -> Route:
    """Do what the machine says until it has finished."""
    loop = asyncio.get_running_loop()
    effects: deque[Probe | Finished] = deque(trace.receive(Begin(), loop.time()))
    while True:
        while effects:
            effect = effects.popleft()
            if isinstance(effect, Finished):
                return effect.route
            probes.send(effect.port, effect.ttl)
        for reply in await probes.replies(trace.next_deadline() or loop.time()):
            effects.extend(trace.receive(reply, loop.time()))
        effects.extend(trace.wake(loop.time()))
