"""Both ends of the asking for connections, on a real socket pair, to real servers."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from footloose.core import limits
from footloose.node.dialing import Dialer, NodeDial, dialing_pair


class Ends:
    """A worker's end and a node's that allows all but port 9, with a server that greets."""

    def __init__(self, port: int, ours: socket.socket, theirs: socket.socket) -> None:
        self.port = port
        self.theirs = theirs
        self.node = Dialer(ours, lambda _, port: port != 9, None)
        self.worker = NodeDial(theirs)


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    both = Ends(server.sockets[0].getsockname()[1], *dialing_pair())
    yield both
    both.worker.close()
    await both.node.close()
    server.close()


async def test_a_worker_is_handed_a_connection_it_asked_for(ends: Ends) -> None:
    made = await asyncio.gather(*(ends.worker("127.0.0.1", ends.port) for _ in range(20)))
    assert len({one.getsockname() for one in made}) == 20
    for one in made:
        reader, writer = await asyncio.open_connection(sock=one)
        assert await reader.read() == b"welcome"
        writer.close()
        await writer.wait_closed()


async def test_a_worker_reaches_nothing_its_table_does_not_name(ends: Ends) -> None:
    with pytest.raises(OSError, match="no service that runs here has its parent there"):
        await ends.worker("127.0.0.1", 9)


async def test_why_there_is_no_connection_is_told(ends: Ends) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match=r"Connect call failed|refused"):
            await ends.worker("127.0.0.1", closed.getsockname()[1])


async def test_a_connection_nobody_waits_for_any_more_is_closed(ends: Ends) -> None:
    asked = asyncio.create_task(ends.worker("127.0.0.1", ends.port))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    made = await ends.worker("127.0.0.1", ends.port)  # the answer to the first has come before this one
    made.close()


async def test_no_more_than_the_limit_are_made_at_once(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.DIALS_AT_ONCE == 64
    monkeypatch.setattr("footloose.node.dialing.DIALS_AT_ONCE", 1)
    answers = await asyncio.gather(*(ends.worker("127.0.0.1", ends.port) for _ in range(2)), return_exceptions=True)
    (refused,) = [one for one in answers if isinstance(one, OSError)]
    assert "more than 1" in str(refused)
    for one in answers:
        if isinstance(one, socket.socket):
            one.close()


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"x",
        b"{}",
        b'{"number":1,"host":"h","port":1,"more":1}',
        b"\xff" * 5000,
        b'{"number":1,"host":"\xff","port":1}',
    ],
)
async def test_garbage_from_a_worker_ends_the_asking_and_nothing_else(ends: Ends, packet: bytes) -> None:
    if packet:
        ends.theirs.send(packet)
    else:
        ends.theirs.shutdown(socket.SHUT_RDWR)
    with pytest.raises(OSError):
        await ends.worker("127.0.0.1", ends.port)


async def test_a_worker_is_told_when_its_node_answers_no_more(ends: Ends) -> None:
    asked = asyncio.create_task(ends.worker("127.0.0.1", 9))
    await ends.node.close()
    with pytest.raises(OSError):
        await asked
