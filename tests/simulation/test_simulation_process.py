"""Processes in virtual time, and what goes between them."""

import asyncio
from typing import Any

import pytest

from footloose.simulation.engine import Engine
from footloose.simulation.internet import Internet, Listener, Reply
from footloose.simulation.network import Conditions, Network
from footloose.simulation.process import Address, ProcessLoop


def a_process(seed: int = 1) -> tuple[Engine, ProcessLoop]:
    engine = Engine(seed)
    return engine, ProcessLoop.begin(engine, "a process")


def test_coroutines_run_unchanged_and_take_no_real_time() -> None:
    engine, process = a_process()
    said: list[tuple[float, str]] = []

    async def wait(name: str, for_s: float) -> str:
        await asyncio.sleep(for_s)
        said.append((asyncio.get_running_loop().time(), name))
        return name

    async def main() -> list[str]:
        async with asyncio.timeout(5000.0):
            return await asyncio.gather(wait("late", 3600.0), wait("soon", 1.0))

    task = process.run(main())
    engine.run()
    assert task.result() == ["late", "soon"]
    assert said == [(1.0, "soon"), (3600.0, "late")]
    assert (process.unfinished, process.faults) == ([], [])


def test_what_takes_too_long_is_cancelled_and_locks_and_queues_work() -> None:
    engine, process = a_process()

    async def main() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue()
        turns = asyncio.Semaphore(1)

        async def put(number: int) -> None:
            async with turns:
                await asyncio.sleep(1.0)
                queue.put_nowait(number)

        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(put(number))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.0):
                await asyncio.Event().wait()
        return [await queue.get() for _ in range(3)]

    task = process.run(main())
    engine.run()
    assert task.result() == [0, 1, 2]
    assert engine.now == 5.0


def test_a_paused_process_does_all_of_it_late_and_in_order() -> None:
    engine, process = a_process()
    done: list[tuple[float, int]] = []
    for second in range(5):
        process.call_later(float(second), lambda which: done.append((engine.now, which)), second)
    engine.at(0.5, lambda _: process.pause(2.0))
    engine.run()
    assert done == [(0.0, 0), (2.5, 1), (2.5, 2), (3.0, 3), (4.0, 4)]


def test_of_a_killed_process_nothing_ever_runs_again_not_even_what_cleans_up() -> None:
    engine, process = a_process()
    cleaned: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(10.0)
        finally:
            cleaned.append("cleaned")

    process.run(work())
    process.call_later(5.0, cleaned.append, "timer")
    engine.at(1.0, lambda _: process.kill())
    engine.run()
    assert cleaned == []
    process.dispose()
    assert cleaned == ["cleaned"]
    assert process.faults == []


def test_an_error_that_nobody_catches_is_noted() -> None:
    engine, process = a_process()
    process.call_soon(lambda: 1 / 0)
    engine.run()
    (fault,) = process.faults
    assert "ZeroDivisionError" in fault


class Town:
    """Two hosts 10 ms apart, a process on each."""

    def __init__(self, conditions: Conditions | None = None, seed: int = 1) -> None:
        self.engine = Engine(seed)
        self.network = Network(self.engine, lambda *_: 0.005, conditions)
        self.internet = Internet(self.engine, self.network, lambda *_: 0.010)
        self.here, self.there = self.internet.add("10.0.0.1"), self.internet.add("10.0.0.2")
        self.process = ProcessLoop.begin(self.engine, "here", self.internet)
        self.other = ProcessLoop.begin(self.engine, "there", self.internet)
        self.asked: list[Any] = []
        self.replies: list[tuple[float, Reply]] = []

    def listen(self) -> None:
        def handle(message: Any, answer: Any) -> None:
            self.asked.append(message)
            answer(f"{message}!", 10)

        self.internet.listen(("10.0.0.2", 80), Listener(self.other, handle))

    def ask(self, message: str, timeout_s: float = 5.0) -> None:
        self.internet.ask(
            self.here,
            ("10.0.0.2", 80),
            message,
            size_bytes=10,
            timeout_s=timeout_s,
            done=lambda reply: self.replies.append((self.engine.now, reply)),
        )


def test_a_request_is_answered_after_a_round_trip() -> None:
    town = Town()
    town.listen()
    town.ask("hello")
    town.engine.run()
    ((at_s, reply),) = town.replies
    assert (at_s, reply.answer, reply.failure) == (pytest.approx(0.010), "hello!", "")
    assert town.internet.unanswered == 0


def test_what_is_lost_is_sent_again_and_handled_once() -> None:
    town = Town(Conditions(loss=0.5), seed=7)
    town.listen()
    for number in range(40):
        town.ask(f"message {number}", timeout_s=6000.0)
    town.engine.run()
    assert sorted(town.asked) == sorted(f"message {number}" for number in range(40))
    assert sum(not reply.failure for _, reply in town.replies) == 40
    assert town.network.lost > 20


def test_where_no_process_listens_it_is_refused_and_where_no_host_is_nothing_comes() -> None:
    town = Town()
    town.ask("is anybody there?")
    town.engine.run()
    assert town.replies[0][1].failure == "connection refused"
    town.listen()
    town.other.kill()
    town.ask("and now?")
    town.engine.run()
    assert town.replies[1][1].failure == "connection refused"
    town.internet.down.add(town.there)
    town.ask("and now?")
    town.engine.run()
    assert town.replies[2][1].failure == "no answer within 5 s"


def test_a_paused_process_answers_when_it_goes_on() -> None:
    town = Town()
    town.listen()
    town.other.pause(2.0)
    town.ask("hello")
    town.engine.run()
    assert town.asked == ["hello"]
    assert town.replies[0][0] == pytest.approx(2.005)


class Heard(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.datagrams: list[tuple[bytes, Address]] = []

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.datagrams.append((data, addr))


def test_datagrams_go_between_sockets_and_not_to_or_from_what_has_ended() -> None:
    town, heard = Town(), Heard()
    sent: list[Any] = []

    async def open_here() -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("10.0.0.1", 7000)
        )
        sent.append(transport)
        transport.sendto(b"one", ("10.0.0.2", 7000))

    async def open_there() -> None:
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: heard, local_addr=("10.0.0.2", 7000))

    town.other.run(open_there())
    town.process.run(open_here())
    town.engine.run()
    assert heard.datagrams == [(b"one", ("10.0.0.1", 7000))]
    taken = town.process.run(open_here())
    town.engine.run()
    assert isinstance(taken.exception(), OSError)
    town.process.kill()
    sent[0].sendto(b"two", ("10.0.0.2", 7000))
    town.engine.run()
    assert len(heard.datagrams) == 1
