"""Round trips by an echo over TCP, for networks where neither probes nor the kernel can tell how far a user is.

Such a network is the demo's without namespaces: a relay there delays what TCP connections carry, and nothing else. The
users offer the echo on a port agreed beforehand; ordinary users offer none.
"""

import asyncio
from collections import OrderedDict

import msgspec

from footloose.core.limits import PREFIXES_PER_SERVICE, PROBE_TIMEOUT_S
from footloose.model.network import Observation, Route
from footloose.topology.addresses import IpAddress

_WORD = b"footloose echo\n"
_TRIES = 3


class Echo:
    """Measures from the address ``source`` to the echo on ``port`` of others, and remembers the last round trips."""

    def __init__(self, port: int, source: str) -> None:
        self._port = port
        self._source = source
        self._last_ms: OrderedDict[str, float] = OrderedDict()

    async def measure(self, address: str) -> float | None:
        """The least of a few round trips in milliseconds, None if nobody answers there."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S * _TRIES):
                rtt_ms = await self._round_trips(address)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return None
        self._last_ms[address] = rtt_ms
        self._last_ms.move_to_end(address)
        if len(self._last_ms) > PREFIXES_PER_SERVICE:
            self._last_ms.popitem(last=False)
        return rtt_ms

    async def route(self, target: IpAddress) -> Route:
        """What stands in for a trace: a route that shows no router, only the round trip to its end."""
        return Route(str(target), (), await self.measure(str(target)))

    def corrected(self, seen: Observation) -> Observation:
        """``seen`` with the last round trip measured here in place of the kernel's figure, None if there is none."""
        return msgspec.structs.replace(seen, rtt_ms=self._last_ms.get(seen.address))

    async def _round_trips(self, address: str) -> float:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection(address, self._port, local_addr=(self._source, 0))
        try:
            took_s = []
            for _ in range(_TRIES):
                began = loop.time()
                writer.write(_WORD)
                await reader.readexactly(len(_WORD))
                took_s.append(loop.time() - began)
            return min(took_s) * 1000
        finally:
            writer.close()
