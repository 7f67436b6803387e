"""Durable intent: power cuts at every write, kills at every system call, full disks, damage, from random histories."""

import errno
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import state_facts as facts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from state_faults import Faulty, PowerCut
from state_script import WHAT, Change, Run, changes, kept

from footloose.core.errors import LocalError
from footloose.core.limits import LOSSES_NAMED
from footloose.simulation.disk import Disk
from footloose.state.frames import frame, whole
from footloose.state.intent import INTENT, Intent
from footloose.state.leases import Side
from footloose.state.orders import Ordered
from footloose.state.volume import DirectoryVolume

HERE = Path(__file__).parent
UNKNOWN = "entry 6: none that this version knows"


@pytest.fixture(autouse=True)
def often_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of a few entries is written anew as one of many would be."""
    monkeypatch.setattr("footloose.state.record.RECORD_SMALL_BYTES", 7_500)
    monkeypatch.setattr("footloose.state.record.RECORD_GROWTH", 2)


class Fuse:
    """Cuts the power at the ``at``-th step."""

    def __init__(self, at: int) -> None:
        self._left = at
        self.steps = 0

    def __call__(self) -> None:
        self.steps += 1
        if self.steps > self._left:
            raise PowerCut


def until_the_cut(disk: Disk, run: Run, script: list[Change], at: int) -> bool:
    """Whether the power was cut before the script had been carried out."""
    run_on = Run(Faulty(disk, Fuse(at)))
    run_on.states = run.states
    try:
        for _ in run_on.carry_out(script):
            pass
    except PowerCut:
        return True
    finally:
        run.states, run.promised, run.begun = run_on.states, run_on.promised, run_on.begun
    return False


@pytest.mark.parametrize("seed", range(40))
def test_at_whatever_write_the_power_is_cut_nothing_acknowledged_is_lost(seed: int) -> None:
    script = changes(Random(seed), 40)
    for at in range(10_000):
        disk, run = Disk(Random(at)), Run(Disk(Random(0)))
        cut = until_the_cut(disk, run, script, at)
        disk.crash()
        state = run.check(disk)
        disk.crash()
        assert kept(Intent(disk)) == state  # what a start has read is not lost by the next cut
        if not cut:
            assert at > 60
            return
    raise AssertionError("it never ends")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 2)), max_size=40),
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 30)), max_size=6),
)
def test_any_history_with_any_cuts_also_while_starting_comes_back_as_it_was_acknowledged(
    seed: int, what: list[tuple[str, int]], cuts: list[tuple[int, int]]
) -> None:
    script = [Change(kind, number, time) for time, (kind, number) in enumerate(what, start=1)]
    disk, run = Disk(Random(seed)), Run(Disk(Random(0)))
    for at, at_start in cuts:
        if until_the_cut(disk, run, script, at):
            disk.crash()
        try:
            Intent(Faulty(disk, Fuse(at_start % 5)))
        except PowerCut:
            disk.crash()
        run.check(disk)
    before = disk.read(INTENT)
    assert kept(Intent(disk)) == kept(Intent(disk))
    assert disk.read(INTENT) == (before or disk.read(INTENT))


@pytest.mark.parametrize("seed", range(60))
def test_on_a_full_disk_what_is_refused_is_not_there_and_what_is_not_refused_is(seed: int) -> None:
    random = Random(seed)
    disk = Disk(random)
    run = Run(disk)
    for _ in run.carry_out(changes(random, 30)):
        disk.capacity_bytes = random.choice((0, disk.used_bytes + random.randrange(1, 400)))
    disk.capacity_bytes = 0
    disk.crash()
    run.check(disk)
    assert Intent(disk).loss is None
    for _ in run.carry_out(changes(random, 10)):
        pass


def test_a_full_disk_refuses_something_in_these_histories() -> None:
    disk = Disk(Random(1))
    run = Run(disk)
    for _ in run.carry_out(changes(Random(1), 30)):
        disk.capacity_bytes = disk.used_bytes + 10
    assert run.refusals > 5


@pytest.mark.parametrize("seed", range(40))
def test_syncs_that_fail_now_and_then_lose_nothing_acknowledged(seed: int) -> None:
    random = Random(seed)
    disk = Disk(random)
    volume = Faulty(disk)
    run = Run(volume)
    for _ in run.carry_out(changes(random, 40)):
        wrong = random.choice(("", "", "sync", "append", "replace", "last step of replace", "truncate"))
        volume.fails = lambda operation, wrong=wrong: operation == wrong  # type: ignore[misc]
    disk.crash()
    run.check(disk)


# Real files


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_system_call_nothing_acknowledged_is_lost(seed: int, tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, str(HERE / "state_kill_writer.py"), str(tmp_path), str(seed)],
        capture_output=True,
        text=True,
        check=True,
    )
    told = [json.loads(line) for line in killed.stdout.splitlines()]
    assert len(told) > 60
    assert [one["killed"] for one in told] == [True] * (len(told) - 1) + [False]
    script = changes(Random(seed), 40)
    assert b"from 1," not in (tmp_path / str(len(told) - 1) / INTENT).read_bytes()[:50]  # it was written anew
    for number, one in enumerate(told):
        run = Run(Disk(Random(0)))
        for _ in run.carry_out(script[: one["acknowledged"] + 1]):
            pass
        run.promised = one["acknowledged"]  # kill -9 does not undo what was written, so that notes count as well
        volume = DirectoryVolume(tmp_path / str(number))
        state = run.check(volume)
        assert kept(Intent(volume)) == state
        assert {file.name for file in (tmp_path / str(number)).iterdir()} == {INTENT}
        volume.close()


class StrictDisk:
    """Follows a directory and knows the least that a power cut may leave of it by POSIX.

    That is each file as at its last ``fsync``, under the names the directory had at its own.
    """

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, step: Callable[[], None]) -> None:
        self._directory = directory
        self._names: dict[str, int] = {}
        self._contents: dict[int, bytes] = {}
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._synced)
        for name in ("write", "ftruncate", "replace", "link", "unlink"):
            monkeypatch.setattr(os, name, self._stepped(getattr(os, name), step))
        self._step = step

    def _stepped(self, call: Callable[..., object], step: Callable[[], None]) -> Callable[..., object]:
        def stepped(*arguments: object, **options: object) -> object:
            step()
            done = call(*arguments, **options)
            step()
            return done

        return stepped

    def _synced(self, descriptor: int) -> None:
        self._step()
        self._fsync(descriptor)
        there = Path(f"/proc/self/fd/{descriptor}")
        if there.is_dir():
            self._names = {file.name: file.stat().st_ino for file in self._directory.iterdir()}
        else:
            self._contents[os.fstat(descriptor).st_ino] = there.read_bytes()
        self._step()

    def left_in(self, other: Path) -> None:
        """Write what is left to another directory."""
        for name, inode in self._names.items():
            (other / name).write_bytes(self._contents.get(inode, b""))


def test_real_files_lose_nothing_acknowledged_even_if_a_disk_keeps_no_more_than_it_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = changes(Random(7), 40)
    for at in range(0, 10_000, 3):
        files, left = tmp_path / f"files{at}", tmp_path / f"left{at}"
        files.mkdir()
        left.mkdir()
        volume = DirectoryVolume(files)
        run = Run(volume)
        cut = False
        with monkeypatch.context() as patched:
            disk = StrictDisk(files, patched, Fuse(at))
            try:
                for _ in run.carry_out(script):
                    pass
            except PowerCut:
                cut = True
        volume.close()
        disk.left_in(left)
        again = DirectoryVolume(left)
        run.check(again)
        again.close()
        if not cut:
            assert at > 60
            return
    raise AssertionError("it never ends")


def test_an_error_of_the_real_disk_refuses_the_promise_and_the_next_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = DirectoryVolume(tmp_path)
    intent = Intent(volume)
    intent.orders.drain("before")
    for call, number, says in (
        ("fsync", errno.EIO, "check the disk"),
        ("write", errno.ENOSPC, "free some disk space"),
        ("write", errno.EDQUOT, "free some disk space"),
    ):

        def fails(*_: object, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patched:
            patched.setattr(os, call, fails)
            with pytest.raises(LocalError, match=says):
                intent.orders.drain("refused")
        assert intent.orders.draining() == "before"
        intent.orders.drain(f"after {says}")
        assert Intent(volume).orders.draining() == f"after {says}"
        intent.orders.drain("before")
    volume.close()


# Damage


def filled() -> Disk:
    disk = Disk(Random(1))
    intent = Intent(disk)
    intent.apps.put(facts.app("shop"), facts.NOW)
    intent.leases.put(Side.PROVIDER, facts.lease(1), facts.request(1), state="active")
    intent.leases.put(Side.PROVIDER, facts.lease(2), facts.request(2), state="active")
    intent.leases.put(Side.PROVIDER, facts.lease(1, starts_at=facts.NOW + 30), facts.request(1), state="active")
    intent.orders.drain("painting")
    return disk


def damaged(disk: Disk, old: bytes, new: bytes) -> None:
    content = disk.read(INTENT)
    assert content.count(old) >= 1
    disk.replace(INTENT, content.replace(old, new, 1))


def test_a_loss_names_what_it_spoke_of_and_what_depends_on_it(caplog: pytest.LogCaptureFixture) -> None:
    disk = filled()
    damaged(disk, b"request-1", b"request-x")
    with caplog.at_level(logging.ERROR):
        intent = Intent(disk)
    assert intent.loss is not None and intent.loss in caplog.text
    assert "entry 2 does not have its checksum; entry 2 is missing (it spoke of lease lease-1)" in intent.loss
    assert "provider's lease lease-1: it was renewed or given notice of, and what was agreed is lost" in intent.loss
    assert [one.lease.lease_id for one in intent.leases.open(Side.PROVIDER)] == ["lease-2"]
    assert (len(intent.apps.list()), intent.orders.draining()) == (1, "painting")
    assert Intent(disk).loss is None


def test_a_lost_renewal_costs_only_itself() -> None:
    disk = filled()
    damaged(disk, b"lease stands", b"lease stares")
    intent = Intent(disk)
    assert intent.loss is not None
    assert [one.lease.starts_at for one in intent.leases.open(Side.PROVIDER)] == [facts.NOW, facts.NOW]


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"{}", UNKNOWN),
        (b"nonsense", UNKNOWN),
        (b'[{"entry":"of another kind"}]', UNKNOWN),
        (
            b'[{"entry":"order","kind":"drain","about":"","wanted":"x","more":1}]',
            UNKNOWN,
        ),
        (b'[{"entry":"app removed","app_id":"a"},{"entry":"order"}]', UNKNOWN),
        (
            b'[{"entry":"app","app_id":"odd","deployed_at":1,'
            b'"signed":{"kind":"App","payload":"e30=","signer":"x","signature":""}}]',
            "app odd: not a valid App",
        ),
    ],
)
def test_an_intact_entry_that_cannot_be_made_out_is_named_and_kept_aside(payload: bytes, says: str) -> None:
    disk = filled()
    disk.append(INTENT, frame(6, payload))
    content = disk.read(INTENT)
    intent = Intent(disk)
    assert intent.loss is not None and says in intent.loss
    assert intent.loss.count("damaged-") == 1
    assert content in [disk.read(name) for name in disk.names()]
    assert (len(intent.apps.list()), len(intent.leases.open(Side.PROVIDER))) == (1, 2)
    assert Intent(disk).loss is None


def test_only_so_many_losses_are_told_one_by_one() -> None:
    disk = Disk(Random(1))
    content, _ = whole(1, [b"odd %d" % number for number in range(LOSSES_NAMED + 5)])
    disk.replace(INTENT, content)
    loss = Intent(disk).loss
    assert loss is not None
    assert loss.count("none that this version knows") == LOSSES_NAMED
    assert "; and 5 more" in loss


def test_an_entry_cut_short_is_told_in_the_log_and_is_no_loss(caplog: pytest.LogCaptureFixture) -> None:
    disk = filled()
    disk.truncate(INTENT, len(disk.read(INTENT)) - 3)
    with caplog.at_level(logging.WARNING):
        intent = Intent(disk)
    assert "entry 5 was cut short, as when the power goes while it is written: it was not acknowledged" in caplog.text
    assert (intent.loss, intent.orders.draining()) == (None, None)
    assert disk.names() == [INTENT]


def test_what_is_damaged_while_the_disk_is_full_stays_as_it_is() -> None:
    disk = filled()
    damaged(disk, b"request-1", b"request-x")
    content = disk.read(INTENT)
    disk.capacity_bytes = disk.used_bytes
    for _ in range(2):
        with pytest.raises(LocalError, match="no space left"):
            Intent(disk)
    assert disk.read(INTENT) == content
    disk.capacity_bytes = 0
    assert len(Intent(disk).leases.open(Side.PROVIDER)) == 1


def test_entries_promised_together_are_all_kept_or_none() -> None:
    disk = Disk(Random(1))
    intent = Intent(disk)
    disk.capacity_bytes = disk.used_bytes + 150
    with pytest.raises(LocalError):
        intent.promise(Ordered("drain", "", "x"), Ordered("move", "a/b", "c" * 100))
    assert (intent.orders.draining(), Intent(disk).orders.draining()) == (None, None)
    intent.promise(Ordered("drain", "", "x"))
    assert Intent(disk).orders.draining() == "x"
