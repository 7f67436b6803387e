"""Virtual time, and the faults it can bring."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.clock import SystemClock
from footloose.core.errors import LocalError
from footloose.simulation.arrivals import Arrivals
from footloose.simulation.clock import EPOCH_S, MachineClock
from footloose.simulation.disk import Disk
from footloose.simulation.engine import Engine, Wakeup
from footloose.simulation.network import Conditions, Network


@given(st.lists(st.floats(0, 100), max_size=50))
def test_actions_happen_in_order_of_time_and_then_of_planning(times: list[float]) -> None:
    engine, happened = Engine(1), []
    for number, time_s in enumerate(times):
        engine.at(time_s, lambda which: happened.append((engine.now, which)), number)
    engine.run()
    assert happened == sorted((time_s, number) for number, time_s in enumerate(times))


def test_a_run_stops_at_its_time_and_goes_on_from_there() -> None:
    engine, happened = Engine(1), []
    engine.at(1.0, happened.append, "first")
    engine.at(3.0, happened.append, "second")
    engine.run(2.0)
    assert (happened, engine.now, engine.pending) == (["first"], 2.0, 1)
    engine.run(3.0)
    assert happened == ["first", "second"]


@given(st.lists(st.one_of(st.none(), st.floats(0, 10)), min_size=1, max_size=20))
def test_a_wakeup_comes_once_at_the_last_deadline_set(deadlines: list[float | None]) -> None:
    engine, woken = Engine(1), []
    wakeup = Wakeup(engine, lambda: woken.append(engine.now))
    for due_s in deadlines:
        wakeup.set(due_s)
    engine.run()
    assert woken == ([] if deadlines[-1] is None else [deadlines[-1]])


def a_network(
    conditions: Conditions | None = None, nodes: int = 3
) -> tuple[Engine, Network, list[tuple[int, int, str]]]:
    engine = Engine(7)
    network = Network(engine, lambda a, b: 0.01 * (a + b), conditions)
    got: list[tuple[int, int, str]] = []
    for node in range(nodes):
        network.attach(node, lambda source, message, node=node: got.append((source, node, message)))
    return engine, network, got


def test_a_message_takes_the_delay_between_its_ends() -> None:
    engine, network, got = a_network()
    network.send(1, 2, "hello")
    engine.run(0.0299)
    assert got == []
    engine.run(0.0301)
    assert got == [(1, 2, "hello")]


def test_a_one_way_cut_loses_what_goes_that_way_only() -> None:
    engine, network, got = a_network()
    network.cut(1, 2)
    network.send(1, 2, "there")
    network.send(2, 1, "back")
    engine.run()
    assert got == [(2, 1, "back")]
    network.heal(1, 2)
    network.send(1, 2, "there")
    engine.run()
    assert got[-1] == (1, 2, "there")


def test_a_partition_takes_what_is_on_its_way_and_ends_when_healed() -> None:
    engine, network, got = a_network()
    network.send(0, 1, "early")
    network.partition([0], [1, 2])
    network.send(1, 2, "together")
    network.send(2, 0, "apart")
    engine.run()
    assert got == [(1, 2, "together")]
    network.heal_all()
    network.send(2, 0, "again")
    engine.run()
    assert got[-1] == (2, 0, "again")


def test_what_is_sent_to_a_node_that_is_gone_is_lost() -> None:
    engine, network, got = a_network()
    network.send(0, 1, "hello")
    network.detach(1)
    engine.run()
    assert (got, network.lost) == ([], 1)


def test_loss_duplication_and_reordering_come_as_often_as_asked_for() -> None:
    engine, network, got = a_network(Conditions(loss=0.1, duplicate=0.2, reorder=0.3, reorder_s=0.5, jitter=0.1))
    for number in range(5000):
        network.send(0, 1, f"{number:04}")
    engine.run()
    assert 350 < network.lost < 650
    different = {message for _, _, message in got}
    assert len(different) == 5000 - network.lost
    assert 0.15 < len(got) / len(different) - 1 < 0.25
    order = [message for _, _, message in got]
    assert order != sorted(order)


def test_a_sender_cannot_send_faster_than_its_rate() -> None:
    engine, network, _ = a_network(Conditions(rate_bytes_s=1000))
    arrived: list[float] = []
    network.attach(1, lambda _source, _message: arrived.append(engine.now))
    for _ in range(3):
        network.send(0, 1, "x", 500)
    engine.run()
    assert arrived == pytest.approx([0.51, 1.01, 1.51])


def test_the_same_seed_gives_the_same_run() -> None:
    def run() -> list[tuple[int, int, str]]:
        engine, network, got = a_network(Conditions(loss=0.3, duplicate=0.3, jitter=1.0))
        for number in range(200):
            network.send(number % 3, (number + 1) % 3, str(number))
        engine.run()
        return got

    assert run() == run()


def test_what_was_synced_survives_a_crash_whole() -> None:
    disk = Disk(Random(1))
    disk.append("log", b"promised")
    disk.sync("log")
    disk.append("log", b"not promised")
    disk.crash()
    assert disk.read("log").startswith(b"promised")
    assert len(disk.read("log")) <= len(b"promisednot promised")


@given(
    st.integers(),
    st.lists(st.tuples(st.sampled_from(["append", "sync", "crash", "replace"]), st.binary(max_size=2000))),
)
def test_a_disk_never_loses_what_was_synced_nor_invents_anything(seed: int, script: list[tuple[str, bytes]]) -> None:
    disk, promised, written = Disk(Random(seed)), b"", b""
    for what, content in script:
        match what:
            case "append":
                disk.append("f", content)
                written += content
            case "sync":
                disk.sync("f")
                promised = written
            case "replace":
                disk.replace("f", content)
                promised = written = content
            case "crash":
                disk.crash()
                promised = written = disk.read("f")
        assert disk.read("f").startswith(promised)
        assert len(disk.read("f")) <= max(len(written), len(promised))


def test_a_full_disk_says_so_and_keeps_what_it_has() -> None:
    disk = Disk(Random(1), capacity_bytes=10)
    disk.append("f", b"12345678")
    disk.sync("f")
    with pytest.raises(LocalError, match="no space left"):
        disk.append("f", b"90abc")
    with pytest.raises(LocalError, match="no space left"):
        disk.replace("g", b"1234567")
    assert disk.read("f") == b"1234567890"
    assert disk.read("g") == b""


def test_crashes_lose_tear_or_keep_what_was_not_synced() -> None:
    outcomes = set()
    for seed in range(200):
        disk = Disk(Random(seed))
        disk.append("f", b"abcd")
        disk.crash()
        outcomes.add(disk.read("f"))
    assert {b"", b"abcd"} < outcomes
    assert any(b"\0" in outcome for outcome in outcomes)


def test_a_clock_drifts_and_a_step_ahead_is_taken_over_while_one_back_shows_only_after_a_restart() -> None:
    engine = Engine(1)
    clock = MachineClock(engine, offset_s=5.0, drift=0.001)
    process = SystemClock(clock.wall, clock.monotonic)
    engine.run(1000.0)
    assert process.now() == pytest.approx(EPOCH_S + 1006.0)
    clock.jump(-3600.0)
    assert process.now() == pytest.approx(EPOCH_S + 1006.0)
    clock.jump(7200.0)
    assert process.now() == pytest.approx(EPOCH_S + 1006.0 + 3600.0)
    clock.jump(-1800.0)
    assert SystemClock(clock.wall, clock.monotonic).now() == pytest.approx(EPOCH_S + 1006.0 + 1800.0)


def test_arrivals_come_at_their_rate_on_average_until_they_are_stopped() -> None:
    engine, times = Engine(3), []
    arrivals = Arrivals(engine, 5.0, lambda: times.append(engine.now))
    engine.run(200.0)
    assert 900 < len(times) == arrivals.count < 1100
    assert times == sorted(set(times))
    arrivals.stop()
    engine.run(300.0)
    assert arrivals.count == len(times)
    assert engine.pending == 0


def test_arrivals_end_of_themselves_at_their_time_and_none_come_at_rate_zero() -> None:
    engine, times = Engine(3), []
    Arrivals(engine, 5.0, lambda: times.append(engine.now), until_s=10.0)
    Arrivals(engine, 0.0, lambda: times.append(-1.0))
    engine.run()
    assert 0.0 < times[0] <= times[-1] <= 10.0
