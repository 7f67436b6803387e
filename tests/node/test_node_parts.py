"""The small parts of a node, each alone: what keeps it going when the disk, a watcher or a fault would stop it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from footloose.core.clock import SystemClock
from footloose.core.digest import digest_of
from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import Identity, NodeId
from footloose.core.limits import (
    ARTIFACT_UNUSED_S,
    ARTIFACTS_AWAITED,
    NOTES_WAITING,
    PROBE_CALLERS,
    PROBES_AT_ONCE,
    PROBES_BURST,
    PROBES_PER_S,
    PROBES_WAITING,
    WATCHER_WAITING,
    WATCHERS,
)
from footloose.migration.switch import (
    ArtifactSent,
    Ask,
    LeaseAnswered,
    LeaseReleased,
    Poll,
    PollFailed,
    Release,
    Send,
    SwitchEvent,
)
from footloose.model.app import ServiceId
from footloose.model.decision import Decision
from footloose.model.network import Observation, Prefix, Route
from footloose.model.routing import GuestLog
from footloose.model.site import Endpoint, ProviderId, SiteRecord
from footloose.node.awaited import Awaited
from footloose.node.driver import Driver, Tasks, again_and_again
from footloose.node.errands import Errand, failure
from footloose.node.events import Feed
from footloose.node.journal import Journal
from footloose.node.meter import Meter
from footloose.node.probes import Probes
from footloose.orchestrator.messages import (
    CopyEvent,
    Discover,
    DiscoveryFinished,
    Event,
    Identify,
    Measure,
    RouteTraced,
    RttMeasured,
    SiteIdentified,
    Trace,
)
from footloose.state.directory import StateDirectory
from footloose.transport.problems import Refused

SITE = NodeId("site")
SERVICE = ServiceId("app-abc/web")
PREFIX = Prefix("192.0.2.0/24")


class Ticking:
    """A machine that wants to be woken every 10 ms; ``faults`` are what it raises first."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.woken = 0
        self.at = 0.0
        self.again = asyncio.Event()

    def wake(self, now: float) -> Sequence[str]:
        self.woken += 1
        self.again.set()
        self.at = now + 0.01
        if self.faults:
            raise self.faults.pop()
        return ["tick"]

    def next_deadline(self) -> float | None:
        return self.at


async def test_an_effect_that_cannot_be_carried_out_keeps_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    def carry_out(effect: str) -> None:
        if effect == "write":
            raise LocalError("the disk is full", where="site.db")
        if effect == "err":
            raise ZeroDivisionError("a fault of ours")
        done.append(effect)

    machine = Ticking()
    driver = Driver(machine, SystemClock(), carry_out)
    driver.carry_out(["write", "send", "err", "write", "stop"])
    assert done == ["send", "stop"]
    assert caplog.text.count("the disk is full") == 2
    assert "a fault of ours" in caplog.text
    async with asyncio.timeout(20):
        await machine.again.wait()  # it is still woken
    driver.close()


async def test_a_machine_that_fails_is_woken_again_and_the_fault_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("footloose.node.driver._AFTER_FAULT_S", 0.01)
    ticked = asyncio.Event()
    machine = Ticking(ZeroDivisionError("a fault"), ZeroDivisionError("another"))
    driver = Driver(machine, SystemClock(), lambda _: ticked.set())
    driver.carry_out([])
    async with asyncio.timeout(20):
        await ticked.wait()
    driver.close()
    assert machine.woken == 3
    assert "a fault" in caplog.text and "another" in caplog.text


async def test_a_closed_driver_does_nothing_more() -> None:
    machine, done = Ticking(), list[str]()
    driver = Driver(machine, SystemClock(), done.append)
    driver.carry_out([])
    driver.close()
    driver.carry_out(["late"])
    await asyncio.sleep(0.03)
    assert (machine.woken, done) == (0, [])


async def test_tasks_end_with_their_owner_and_none_begins_after(caplog: pytest.LogCaptureFixture) -> None:
    tasks, begun = Tasks(), list[str]()

    async def work(name: str) -> None:
        begun.append(name)
        if name == "bad":
            raise ZeroDivisionError("a fault")
        await asyncio.Event().wait()

    tasks.start(work("good"), "good work")
    tasks.start(work("bad"), "bad work")
    await asyncio.sleep(0)
    await tasks.close()
    tasks.start(work("late"), "late work")
    await asyncio.sleep(0)
    assert begun == ["good", "bad"]
    assert "bad work failed" in caplog.text and "good work" not in caplog.text


async def test_what_is_done_again_and_again_outlives_its_failures(caplog: pytest.LogCaptureFixture) -> None:
    times, often = 0, asyncio.Event()

    async def work() -> float:
        nonlocal times
        times += 1
        if times == 3:
            often.set()
        if times < 3:
            raise OSError("no luck")
        return 60.0

    running = asyncio.create_task(again_and_again(work, "trying", 0.0))
    async with asyncio.timeout(20):
        await often.wait()
    running.cancel()
    assert caplog.text.count("trying failed") == 2


def decision(number: int) -> Decision:
    return Decision(float(number), SITE, SERVICE, "choose", "x", str(number), "because")


async def test_a_journal_writes_soon_and_shows_at_once(tmp_path: Path) -> None:
    with StateDirectory.open(tmp_path / "state", SystemClock()) as state:
        journal = Journal(state.decisions, state.guest_logs)
        journal.decided(decision(1))
        journal.logged([GuestLog(1.0, SERVICE, "hello")])
        assert [one.outcome for one in journal.decisions(SERVICE, 10)] == ["1"]
        assert [one.text for one in journal.logs(SERVICE, 10)] == ["hello"]
        journal.decided(decision(2))
        async with asyncio.timeout(20):
            while len(state.decisions.recent(SERVICE)) < 2:  # noqa: ASYNC110 - a journal tells nobody that it wrote
                await asyncio.sleep(0.01)
        for number in range(NOTES_WAITING):
            journal.decided(decision(number))
        assert len(state.decisions.recent(SERVICE, 2 * NOTES_WAITING)) == NOTES_WAITING + 2


async def test_a_journal_that_cannot_write_says_so_once_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class Disk:
        def __init__(self) -> None:
            self.full = True
            self.written: list[Decision] = []

        def add(self, decisions: list[Decision]) -> None:
            if self.full:
                raise LocalError("database or disk is full", where="site.db")
            self.written += decisions

    disk = Disk()
    journal = Journal(disk, disk)  # type: ignore[arg-type]
    for number in range(5):
        journal.decided(decision(number))
        journal.write()
    assert caplog.text.count("are not kept") == 1
    disk.full = False
    journal.decided(decision(6))
    journal.write()
    assert [one.outcome for one in disk.written] == ["6"]
    disk.full = True
    journal.decided(decision(7))
    journal.write()
    assert caplog.text.count("are not kept") == 2


async def test_a_slow_watcher_loses_the_oldest_and_sees_only_how_things_are_now() -> None:
    feed: Feed[int] = Feed()
    with feed.watch() as watcher:
        assert feed.watched
        for number in range(WATCHER_WAITING + 5):
            feed.publish(number)
            feed.show(-number)
        feed.close()
        seen = [item async for item in watcher]
    assert seen == [*range(5, WATCHER_WAITING + 5), -(WATCHER_WAITING + 4)]
    assert not feed.watched


async def test_a_feed_has_room_for_so_many_watchers() -> None:
    feed: Feed[int] = Feed()
    watchers = [feed.watch() for _ in range(WATCHERS)]
    with pytest.raises(LocalError, match="too many are watching"):
        feed.watch()
    with watchers[0]:
        pass
    feed.watch()


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at


async def test_probes_of_one_caller_are_limited_by_rate_and_others_are_not_held_back() -> None:
    async def measure(_address: str) -> float:
        return 1.0

    clock = Clock()
    probes = Probes(measure, clock)
    for _ in range(PROBES_BURST):
        assert await probes.measure("192.0.2.1", SITE) == 1.0
    for _ in range(3):
        with pytest.raises(Refused, match="measurements a second"):
            await probes.measure("192.0.2.1", SITE)
    assert await probes.measure("192.0.2.1", NodeId("other")) == 1.0
    clock.at += 2.5 / PROBES_PER_S
    for _ in range(2):
        await probes.measure("192.0.2.1", SITE)
    with pytest.raises(Refused):
        await probes.measure("192.0.2.1", SITE)
    for number in range(PROBE_CALLERS):
        await probes.measure("192.0.2.1", NodeId(str(number)))
    assert len(probes._allowances) == PROBE_CALLERS


async def test_so_many_probes_run_at_once_so_many_wait_and_the_rest_are_turned_away() -> None:
    running, free = 0, asyncio.Event()

    async def measure(_address: str) -> float:
        nonlocal running
        running += 1
        await free.wait()
        return 1.0

    probes = Probes(measure, Clock())
    most = PROBES_AT_ONCE + PROBES_WAITING
    asked = [asyncio.create_task(probes.measure("192.0.2.1", NodeId(str(number)))) for number in range(most)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert running == PROBES_AT_ONCE
    with pytest.raises(Refused, match="too many measurements"):
        await probes.measure("192.0.2.1", NodeId("late"))
    free.set()
    assert await asyncio.gather(*asked) == [1.0] * most
    assert await probes.measure("192.0.2.1", NodeId("late")) == 1.0


@pytest.mark.parametrize("address", ["", "nowhere", "0.0.0.0", "224.0.0.1", "::", "127.0.0.1/8"])
async def test_what_is_not_one_hosts_address_is_not_probed(address: str) -> None:
    async def measure(_address: str) -> float:
        raise AssertionError("probed")

    with pytest.raises(RemoteError):
        await Probes(measure, Clock()).measure(address, SITE)


def test_only_what_was_asked_for_is_awaited_and_only_for_a_while() -> None:
    awaited, digest = Awaited(), digest_of(b"code")
    awaited.add(SITE, digest, 0.0)
    assert awaited.takes(SITE, digest, 1.0)
    assert not awaited.takes(NodeId("other"), digest, 1.0)
    assert not awaited.takes(SITE, digest_of(b"else"), 1.0)
    assert not awaited.takes(SITE, digest, ARTIFACT_UNUSED_S + 1)
    for number in range(ARTIFACTS_AWAITED):
        awaited.add(NodeId(str(number)), digest, 2.0)
    assert not awaited.takes(SITE, digest, 2.0)


def seen(requests: int, prefix: Prefix = PREFIX, service: str = SERVICE, **fields: object) -> Observation:
    return Observation(service, prefix, prefix.replace("0/24", "7"), requests=requests, **fields)  # type: ignore[arg-type]


def test_of_two_leases_that_saw_the_same_the_one_that_ends_is_metered_no_more_and_the_other_is() -> None:
    meter = Meter()
    meter.open("one", SERVICE, 0.0)
    meter.open("two", SERVICE, 0.0)
    meter.close("two")
    meter.add((seen(1),), SITE)
    reading = meter.read("one", 10, 1.0)
    assert [one.requests for one in reading.observations] == [1]
    assert not reading.shared


def test_a_meter_adds_up_for_each_lease_until_it_is_read() -> None:
    meter = Meter()
    meter.open("one", SERVICE, 0.0)
    meter.add((seen(1, rtt_ms=5.0),), SITE)
    meter.open("two", SERVICE, 5.0)
    meter.add((seen(2), seen(4, service="other/web")), SITE)
    (first,) = meter.read("one", 10, 10.0).observations
    (second,) = meter.read("two", 10, 10.0).observations
    assert (first.requests, first.rtt_ms, first.site) == (3, 5.0, SITE)
    assert second.requests == 2
    assert meter.read("one", 10, 11.0).observations == ()
    meter.close("one")
    meter.close("one")
    meter.add((seen(1),), SITE)
    assert [one.requests for one in meter.read("two", 10, 12.0).observations] == [1]


def test_what_a_copy_with_two_customers_served_is_passed_on_by_the_first_alone() -> None:
    meter = Meter()
    meter.open("one", SERVICE, 0.0)
    meter.open("two", SERVICE, 0.0)
    assert [meter.read(lease, 10, 1.0).shared for lease in ("one", "two")] == [False, True]
    meter.close("one")
    assert not meter.read("two", 10, 2.0).shared


def test_a_reading_that_is_too_long_is_continued_in_the_next() -> None:
    meter = Meter()
    meter.open("one", SERVICE, 0.0)
    prefixes = [Prefix(f"10.0.{number}.0/24") for number in range(25)]
    meter.add(tuple(seen(1, prefix) for prefix in prefixes), SITE)
    read = [one.prefix for _ in range(3) for one in meter.read("one", 10, 1.0).observations]
    assert read == prefixes


RECORD = SiteRecord(
    node=SITE,
    provider=ProviderId(SITE),
    name="site",
    api=Endpoint("192.0.2.1", 7443),
    gateway="http://192.0.2.1",
    issued_at=0.0,
    expires_at=1.0,
)


def of_copy(event: SwitchEvent) -> CopyEvent:
    return CopyEvent(SERVICE, SITE, "1", event)


@pytest.mark.parametrize(
    ("errand", "event"),
    [
        (Trace(PREFIX, "192.0.2.7"), RouteTraced(PREFIX, None, "why")),
        (Discover(PREFIX, Route("192.0.2.7", ())), DiscoveryFinished(PREFIX, ("why",))),
        (Identify(RECORD.api, SITE), SiteIdentified(RECORD.api, None, "why", SITE)),
        (Measure(SITE, RECORD, PREFIX, "192.0.2.7"), RttMeasured(SITE, PREFIX, None, "why", answered=False)),
        (Ask(SERVICE, SITE, "1"), of_copy(LeaseAnswered(refused="why"))),
        (Send(SERVICE, SITE, "1"), of_copy(ArtifactSent(failed="sending the code failed: why"))),
        (Poll(SERVICE, SITE, "1", "lease", False), of_copy(PollFailed("why"))),
        (Release(SERVICE, SITE, "1", "lease", "done"), of_copy(LeaseReleased())),
    ],
)
def test_the_loop_is_told_of_every_errand_that_fails(errand: Errand, event: Event) -> None:
    assert failure(errand, "why") == event


def test_orders_by_hand_are_remembered_and_taken_back(tmp_path: Path) -> None:
    other = Identity.generate().node_id
    with StateDirectory.open(tmp_path / "state", SystemClock()) as state:
        state.orders.move(SERVICE, other)
        state.orders.move(ServiceId("b/c"), other)
        state.orders.move(ServiceId("b/c"), None)
        state.orders.avoid(other, avoid=True)
        state.orders.drain("floor is being painted")
    with StateDirectory.open(tmp_path / "state", SystemClock()) as state:
        assert state.orders.moved_to(SERVICE) == other
        assert state.orders.moved_to(ServiceId("b/c")) is None
        assert state.orders.avoided() == (other,)
        assert state.orders.draining() == "floor is being painted"
        state.orders.avoid(other, avoid=False)
        state.orders.drain(None)
        assert (state.orders.avoided(), state.orders.draining()) == ((), None)
