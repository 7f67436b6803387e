"""Round trips by an echo, where nothing else tells how far a user is."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from footloose.core.limits import PREFIXES_PER_SERVICE
from footloose.model.network import Observation, Prefix
from footloose.topology.addresses import unicast
from footloose.topology.echo import Echo

HERE, USER, DELAY_S = "127.0.0.1", "127.0.77.7", 0.02


class Far:
    """An echo that takes its time, and notes who comes."""

    def __init__(self) -> None:
        self.callers: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.callers.append(writer.get_extra_info("peername")[0])
        while data := await reader.read(100):
            await asyncio.sleep(DELAY_S)  # the distance
            writer.write(data)
        writer.close()


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    made = Far()
    async with await asyncio.start_server(made.serve, USER, 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


async def test_the_round_trip_over_a_connection_is_measured_and_remembered(far: Far) -> None:
    echo = Echo(far.port, "127.0.0.9")
    rtt_ms = await echo.measure(USER)
    assert rtt_ms is not None and rtt_ms >= DELAY_S * 1000
    assert far.callers == ["127.0.0.9"]
    kernels = Observation("s", Prefix("127.0.77.0/24"), USER, requests=3, rtt_ms=0.05)
    assert echo.corrected(kernels).rtt_ms == rtt_ms
    assert echo.corrected(kernels).requests == 3


async def test_a_route_has_no_hops_and_ends_after_the_round_trip(far: Far) -> None:
    route = await Echo(far.port, HERE).route(unicast(USER))
    assert (route.target, route.hops) == (USER, ())
    assert route.rtt_ms is not None and route.rtt_ms >= DELAY_S * 1000


async def test_who_offers_no_echo_is_not_measured_and_the_kernels_figure_is_not_believed(far: Far) -> None:
    echo = Echo(far.port, HERE)
    assert await echo.measure("127.0.77.8") is None
    assert echo.corrected(Observation("s", Prefix("127.0.77.0/24"), "127.0.77.8", rtt_ms=0.05)).rtt_ms is None


async def test_one_who_hangs_up_is_not_measured() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, USER, 0) as server:
        assert await Echo(server.sockets[0].getsockname()[1], HERE).measure(USER) is None


async def test_only_so_many_round_trips_are_remembered(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PREFIXES_PER_SERVICE > 1
    monkeypatch.setattr("footloose.topology.echo.PREFIXES_PER_SERVICE", 1)
    async with await asyncio.start_server(far.serve, "127.0.77.8", far.port):
        echo = Echo(far.port, HERE)
        await echo.measure(USER)
        await echo.measure("127.0.77.8")
    seen = [Observation("s", Prefix("127.0.77.0/24"), address) for address in (USER, "127.0.77.8")]
    assert [echo.corrected(one).rtt_ms is None for one in seen] == [True, False]
