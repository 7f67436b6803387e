"""Round trips measured for other sites, within limits: anybody may ask, and every measurement sends packets."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from footloose.core.clock import Clock
from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import NodeId, short
from footloose.core.limits import PROBE_CALLERS, PROBES_AT_ONCE, PROBES_BURST, PROBES_PER_S, PROBES_WAITING
from footloose.topology.addresses import unicast
from footloose.transport.problems import Refused


@dataclass
class _Allowance:
    """What one caller may still ask for (a token bucket), as of ``at`` seconds."""

    left: float
    at: float


class Probes:
    """Measures with ``measure``: so many at once, and for each caller so many a second."""

    def __init__(self, measure: Callable[[str], Awaitable[float | None]], clock: Clock) -> None:
        self._measure = measure
        self._clock = clock
        self._turns = asyncio.Semaphore(PROBES_AT_ONCE)
        self._asked = 0
        self._allowances: OrderedDict[NodeId, _Allowance] = OrderedDict()

    async def measure(self, address: str, caller: NodeId) -> float | None:
        """The round trip to ``address`` in milliseconds, None if nothing answered.

        Raises :class:`RemoteError` if it is not one host's, :class:`Refused` if ``caller`` asks too often (429), or too
        many measurements wait already (503).
        """
        try:
            unicast(address)
        except LocalError as error:
            raise RemoteError(error.what, fix=error.fix) from error
        self._spend(caller)
        if self._asked >= PROBES_AT_ONCE + PROBES_WAITING:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many measurements are under way", fix="ask later")
        self._asked += 1
        try:
            async with self._turns:
                return await self._measure(address)
        finally:
            self._asked -= 1

    def _spend(self, caller: NodeId) -> None:
        now = self._clock.now()
        allowance = self._allowances.pop(caller, None) or _Allowance(PROBES_BURST, now)
        left = min(PROBES_BURST, allowance.left + (now - allowance.at) * PROBES_PER_S)
        enough = left >= 1
        self._allowances[caller] = _Allowance(left - enough, now)
        if len(self._allowances) > PROBE_CALLERS:
            self._allowances.popitem(last=False)
        if not enough:
            what = f"more than {PROBES_PER_S:g} measurements a second"
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, what, where=f"site {short(caller)}", fix="slow down")
