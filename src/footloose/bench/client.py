"""The client of ``footloose bench switch``: time-stamps what it does, as the ICON Python Orchestrator's did (§4.2).

Run as a process on a client host; prints one JSON line.
"""

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

import aiohttp
import msgspec

PATIENCE_S = 30.0


class Stamps(msgspec.Struct, frozen=True):
    """Milliseconds since the start at which each step was done."""

    connected_to_origin: float
    handshake_sent_to_origin: float
    handshake_reply_from_origin: float
    migrate_from_origin: float
    connected_to_edge: float
    handshake_sent_to_edge: float
    handshake_reply_from_edge: float
    edge: str


class Client:
    """One run: to the origin, a handshake, a migrate message, to the edge, a handshake."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._began = time.perf_counter()

    def _ms(self) -> float:
        return (time.perf_counter() - self._began) * 1000

    async def run(self, url: str) -> Stamps:
        """The time-stamps. Raises :class:`TimeoutError` if no migrate message comes."""
        async with self._session.ws_connect(url) as origin:
            connected = self._ms()
            await origin.send_str('{"ping":1}')
            sent = self._ms()
            reply_at, migrate_at, target = await self._origin(origin)
            async with self._session.ws_connect(target) as edge:
                edge_connected = self._ms()
                await edge.send_str('{"ping":2}')
                edge_sent = self._ms()
                while json.loads(await edge.receive_str()).get("pong") != 2:
                    pass
                done = self._ms()
        host = str(urlsplit(target).hostname)
        return Stamps(connected, sent, reply_at, migrate_at, edge_connected, edge_sent, done, host)

    async def _origin(self, origin: aiohttp.ClientWebSocketResponse) -> tuple[float, float, str]:
        """When the handshake was answered, when the migrate message came (whichever was first), and where to."""
        reply_at = migrate_at = 0.0
        target = ""
        while not target:
            said = json.loads(await origin.receive_str())
            if said.get("pong") == 1:
                reply_at = self._ms()
            if said.get("footloose") == "migrate":
                migrate_at, target = self._ms(), said["url"]
        return reply_at, migrate_at, target


async def _main(url: str) -> None:
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
        stamps = await Client(session).run(url)
    sys.stdout.buffer.write(msgspec.json.encode(stamps) + b"\n")


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
