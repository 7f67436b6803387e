"""The fallback without namespaces: loopback addresses and a TCP relay."""

import asyncio
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from footloose.core.errors import LocalError
from footloose.testbed import icon
from footloose.testbed.relay import CHUNK_BYTES, CHUNKS_IN_FLIGHT, LoopbackNet


@contextmanager
def echo(address: str, seen: list[str]) -> Iterator[int]:
    """A server on a free port that notes who comes and gives back all it is sent."""
    with socket.create_server((address, 0)) as listener:
        served: list[threading.Thread] = []

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                while data := connection.recv(65536):
                    connection.sendall(data)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, (who, _) = listener.accept()
                    seen.append(who)
                    served.append(threading.Thread(target=answer, args=(connection,)))
                    served[-1].start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in served:
                each.join()


def dial(net: LoopbackNet, user: str, place: tuple[str, int]) -> socket.socket:
    return socket.create_connection(place, timeout=20, source_address=(net.host(user).address, 0))


def round_trip_ms(connection: socket.socket) -> float:
    began = time.monotonic()
    connection.sendall(b"ping")
    assert connection.recv(100) == b"ping"
    return (time.monotonic() - began) * 1e3


def test_each_user_has_its_own_delay_to_a_site_and_the_site_sees_who_it_is() -> None:
    seen: list[str] = []
    with LoopbackNet(icon()) as net, echo(net.host("root").address, seen) as port:
        place = net.expose("root", port)
        assert place[0] != net.host("root").address
        for user in ("client", "edge"):
            with dial(net, user, place) as connection:
                nominal = net.rtt_ms(user, "root")
                times = [round_trip_ms(connection) for _ in range(3)]
                while min(times) > nominal * 1.2 and len(times) < 50:  # a busy machine makes all of them slow
                    times.append(round_trip_ms(connection))
                assert all(each >= nominal * 0.98 for each in times)
                assert min(times) < nominal * 1.5
        assert seen == [net.host("client").face, net.host("edge").face]


def test_a_strangers_connection_is_refused() -> None:
    with LoopbackNet(icon()) as net, echo(net.host("root").address, []) as port:
        place = net.expose("root", port)
        with closing(socket.create_connection(place, timeout=20)) as stranger, suppress(ConnectionError):
            stranger.sendall(b"ping")
            assert stranger.recv(100) == b""


def test_more_than_the_relay_holds_comes_through_whole_with_its_end() -> None:
    sent = bytes(range(256)) * (CHUNK_BYTES * CHUNKS_IN_FLIGHT // 256 + 3)

    def give(connection: socket.socket) -> None:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)

    with (
        LoopbackNet(icon()) as net,
        echo(net.host("edge").address, []) as port,
        dial(net, "client", net.expose("edge", port)) as connection,
        connection.makefile("rb") as stream,
    ):
        giver = threading.Thread(target=give, args=(connection,))
        giver.start()
        assert stream.read() == sent
        giver.join()


def test_a_cut_ends_connections_and_refuses_new_ones_until_it_heals() -> None:
    with LoopbackNet(icon()) as net, echo(net.host("edge").address, []) as port:
        place = net.expose("edge", port)
        with dial(net, "client", place) as connection:
            round_trip_ms(connection)
            net.cut("dc-border", "dc-gw")
            with suppress(ConnectionError):
                assert connection.recv(100) == b""
        with pytest.raises(LocalError, match="no way is left"):
            net.rtt_ms("client", "edge")
        with pytest.raises((ConnectionError, AssertionError)), dial(net, "client", place) as connection:
            round_trip_ms(connection)
        net.heal("dc-border", "dc-gw")
        with dial(net, "client", place) as connection:
            assert round_trip_ms(connection) >= 13


def test_a_site_that_is_not_there_closes_the_connection() -> None:
    with LoopbackNet(icon()) as net:
        place = net.expose("edge", 1)
        with dial(net, "client", place) as connection, suppress(ConnectionError):
            assert connection.recv(100) == b""


def test_exposing_twice_gives_the_same_place() -> None:
    with LoopbackNet(icon()) as net:
        assert net.expose("edge", 18080) == net.expose("edge", 18080)
        with pytest.raises(LocalError):
            net.expose("nobody", 80)


def test_a_second_testbed_at_the_same_addresses_is_told_what_is_in_its_way() -> None:
    with LoopbackNet(icon()) as first, LoopbackNet(icon()) as second:
        place, port = first.expose("edge", 18080)
        with pytest.raises(LocalError, match="already in use") as refused:
            second.expose("edge", 18080)
        assert refused.value.where == f"{place}:{port}"
        assert refused.value.fix is not None


def test_processes_end_with_it() -> None:
    with LoopbackNet(icon()) as net:
        assert net.host("edge").run(["echo", "x"], stdout=subprocess.PIPE).stdout == b"x\n"
        process = net.host("edge").popen(["sleep", "1000"])
    assert process.returncode is not None


def test_what_is_not_real_is_said() -> None:
    assert any("router hops" in each for each in LoopbackNet.not_real)
    assert any("packet loss" in each for each in LoopbackNet.not_real)


async def test_it_works_beside_a_running_event_loop() -> None:
    with LoopbackNet(icon()) as net, echo(net.host("edge").address, []) as port:
        place = net.expose("edge", port)
        reader, writer = await asyncio.open_connection(*place, local_addr=(net.host("client").address, 0))
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()
