"""The state directory: its key, its lock, damage, full disks, and what is left after kill -9."""

import asyncio
import logging
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import state_facts as facts
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from footloose.core.digest import Digest, digest_of
from footloose.core.errors import LocalError
from footloose.core.identity import Identity
from footloose.state.database import Database
from footloose.state.directory import StateDirectory
from footloose.state.frames import first_line
from footloose.state.leases import Side

HERE = Path(__file__).parent


def opened(path: Path) -> StateDirectory:
    return StateDirectory.open(path, facts.StandingClock())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state"


# The key


def test_the_first_start_makes_a_key_and_later_starts_find_it(path: Path) -> None:
    with opened(path) as state:
        node = state.identity.node_id
        assert state.loss is None
    assert (path.stat().st_mode & 0o777, (path / "identity.pem").stat().st_mode & 0o777) == (0o700, 0o600)
    with opened(path) as state:
        assert state.identity.node_id == node
    with opened(path.with_name("other")) as state:
        assert state.identity.node_id != node


def test_a_key_other_users_can_read_is_not_used(path: Path) -> None:
    opened(path).close()
    (path / "identity.pem").chmod(0o640)
    with pytest.raises(LocalError, match=r"other users can read the node key \(chmod 600"):
        opened(path)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_key_is_told_and_left_as_it_is(path: Path, content: bytes) -> None:
    opened(path).close()
    (path / "identity.pem").write_bytes(content)
    with pytest.raises(LocalError, match=r"identity\.pem: holds no Ed25519 private key"):
        opened(path)
    assert (path / "identity.pem").read_bytes() == content


def test_a_key_of_another_kind_is_refused(path: Path) -> None:
    opened(path).close()
    other = ec.generate_private_key(ec.SECP256R1())
    (path / "identity.pem").write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(LocalError, match="Ed25519"):
        opened(path)


def test_a_directory_in_place_of_the_key_is_told(path: Path) -> None:
    (path / "identity.pem").mkdir(parents=True)
    with pytest.raises(LocalError, match=r"identity\.pem: is a directory"):
        opened(path)


def test_a_lost_key_is_not_replaced_in_silence(path: Path) -> None:
    opened(path).close()
    (path / "identity.pem").unlink()
    with pytest.raises(LocalError, match="the node key is missing"):
        opened(path)
    assert not (path / "identity.pem").exists()


def test_a_first_start_that_was_cut_short_begins_again(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "identity.pem.new").write_bytes(b"half a k")
    with opened(path) as state:
        assert state.identity.node_id
    assert not (path / "identity.pem.new").exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_directory_of_another_user_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    held = tmp_path / "state"
    opened(held).close()
    script = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "import state_facts as facts; from footloose.state.directory import StateDirectory\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "StateDirectory.open(Path(sys.argv[1]), facts.StandingClock())"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(held), str(HERE)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "permission denied (give the user this node runs as the right to use it" in result.stderr


# The lock


def test_a_second_node_on_one_directory_is_told_who_holds_it(path: Path) -> None:
    with opened(path), pytest.raises(LocalError, match=f"in use by another node \\(process {os.getpid()}\\)"):
        opened(path)
    opened(path).close()


def test_the_lock_of_a_killed_node_is_free(path: Path) -> None:
    with started(path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(LocalError, match=f"process {process.pid}"):
            opened(path)
        process.kill()
        process.wait()
        opened(path).close()


# Places that cannot be used


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(LocalError, match="there is a file in the way"):
            opened(path)


@pytest.mark.parametrize("name", ["artifacts", "compiled", "site.db", "intent.log"])
def test_something_else_where_our_files_should_be_is_told(path: Path, name: str) -> None:
    opened(path).close()
    there = path / name
    shutil.rmtree(there) if there.is_dir() else there.unlink()
    there.mkdir() if "." in name else there.write_text("")
    with pytest.raises(LocalError, match=name):
        opened(path)


# Damage


def filled(path: Path) -> None:
    with opened(path) as state:
        for number in range(40):
            state.decisions.add([facts.decision(number)])
            state.apps.put(facts.app(f"app{number:02}"), facts.NOW)
            state.leases.put(Side.PROVIDER, facts.lease(number), facts.request(number), state="active")


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"this is no database at all" * 100,
        lambda data: data[: len(data) // 2],
        lambda data: data[:4096] + bytes(len(data) - 4096),
        lambda _: b"",
    ],
    ids=["overwritten", "cut", "zeroed", "emptied"],
)
def test_a_damaged_database_is_moved_aside_and_told(
    path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    filled(path)
    database = path / "site.db"
    damaged = damage(database.read_bytes())
    database.write_bytes(damaged)
    with caplog.at_level(logging.ERROR), opened(path) as state:
        assert state.loss is not None
        assert "decisions, logs and known sites in it are lost" in state.loss
        assert state.loss in caplog.text
        assert state.decisions.recent() == ()
        assert (len(state.apps.list()), len(state.leases.open(Side.PROVIDER))) == (40, 40)
        state.decisions.add([facts.decision(1)])
    (aside,) = (file for file in path.glob("site.db.damaged-*") if not file.name.endswith(("-wal", "-shm")))
    assert aside.read_bytes() == damaged
    assert aside.name in state.loss
    with opened(path) as state:
        assert state.loss is None
        assert len(state.decisions.recent()) == 1


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda _: b"this is no record at all" * 100, 0),
        (lambda data: data[:4096] + bytes(4096) + data[8192:], 36),
        (lambda data: b"X" + data[1:], 40),
        (lambda _: b"", 0),
    ],
    ids=["overwritten", "a hole", "its first byte", "emptied"],
)
def test_of_a_damaged_record_the_rest_is_recovered_and_the_loss_is_named(
    path: Path, damage: Callable[[bytes], bytes], kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    filled(path)
    record = path / "intent.log"
    damaged = damage(record.read_bytes())
    record.write_bytes(damaged)
    with caplog.at_level(logging.ERROR), opened(path) as state:
        assert state.loss is not None
        assert "the record of what this site agreed to run was damaged" in state.loss
        assert state.loss in caplog.text
        apps, leases = len(state.apps.list()), len(state.leases.open(Side.PROVIDER))
        assert apps >= kept and leases >= kept
        assert len(state.decisions.recent()) == 40
        state.orders.drain("after the damage")
    (aside,) = path.glob("intent.log.damaged-*")
    assert aside.read_bytes() == damaged
    assert aside.name in state.loss
    with opened(path) as state:
        assert state.loss is None
        assert (len(state.apps.list()), len(state.leases.open(Side.PROVIDER))) == (apps, leases)
        assert state.orders.draining() == "after the damage"


def test_a_record_that_is_missing_from_a_used_directory_is_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(path)
    (path / "intent.log").unlink()
    with caplog.at_level(logging.ERROR), opened(path) as state:
        assert state.loss is not None and "is missing, though this directory has been used" in state.loss
        assert state.loss in caplog.text
    with opened(path) as state:
        assert state.loss is None


def test_all_losses_are_told_when_both_files_are_damaged(path: Path) -> None:
    filled(path)
    for name in ("intent.log", "site.db"):
        (path / name).write_bytes(b"garbage")
    with opened(path) as state:
        assert state.loss is not None
        assert [line.split(": ")[0] for line in state.loss.splitlines()] == [
            str(path / "intent.log"),
            str(path / "site.db"),
        ]


def test_a_lost_key_is_not_replaced_where_only_the_record_is_left(path: Path) -> None:
    filled(path)
    for name in ("identity.pem", "site.db", "site.db-wal", "site.db-shm"):
        (path / name).unlink(missing_ok=True)
    with pytest.raises(LocalError, match="the node key is missing"):
        opened(path)


def test_an_entry_that_cannot_be_read_back_does_not_hide_the_others(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(path)
    with sqlite3.connect(path / "site.db") as raw:
        raw.execute("UPDATE decisions SET decision = '{' WHERE rowid = 3")
    raw.close()
    with opened(path) as state:
        assert len(state.decisions.recent()) == 39
    assert "decision 3" in caplog.text


def test_a_database_of_a_newer_version_is_left_alone(path: Path) -> None:
    opened(path).close()
    with sqlite3.connect(path / "site.db") as raw:
        raw.execute("PRAGMA user_version=99")
    raw.close()
    with pytest.raises(LocalError, match="newer version"):
        opened(path)
    assert not list(path.glob("*damaged*"))


def test_a_record_of_a_newer_version_is_left_alone(path: Path) -> None:
    filled(path)
    newer = first_line(1, 0, version=2) + b"what this version cannot know"
    (path / "intent.log").write_bytes(newer)
    with pytest.raises(LocalError, match=r"intent\.log: written by a newer version .*upgrade"):
        opened(path)
    assert (path / "intent.log").read_bytes() == newer
    assert not list(path.glob("*damaged*"))


# Transactions


def test_what_is_noted_together_is_kept_together(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "site.db")
    with pytest.raises(ZeroDivisionError), database.note() as connection:
        connection.execute("INSERT INTO guest_logs (service, at, text) VALUES ('a/b', 1, 'x')")
        raise ZeroDivisionError
    assert database.rows("SELECT * FROM guest_logs") == []
    assert database.rows("PRAGMA journal_mode") == [("wal",)]
    assert database.rows("PRAGMA synchronous") == [(1,)]
    database.close()


# kill -9


def started(path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(HERE / "state_crash_writer.py"), str(path)], stdout=subprocess.PIPE, text=True
    )


def acknowledged_until_killed(path: Path, lines: int) -> list[list[str]]:
    """Let the writer acknowledge some things, kill it without warning, return all it acknowledged."""
    with started(path) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline().split() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
    complete = rest[: rest.rfind("\n") + 1]
    return seen + [line.split() for line in complete.splitlines()]


def test_all_that_was_acknowledged_is_there_after_kill_9(path: Path) -> None:
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    told: list[list[str]] = []
    for _ in range(24):
        told += acknowledged_until_killed(path, draw.randrange(1, 40))
        with opened(path) as state:
            check_acknowledged(state, told)
            assert not list((path / "artifacts").glob("*.partial")), seed


def check_acknowledged(state: StateDirectory, told: list[list[str]]) -> None:
    def numbers(kind: str) -> set[int]:
        return {int(words[1]) for words in told if words[0] == kind}

    assert {words[1] for words in told if words[0] == "node"} == {state.identity.node_id}
    assert not [words for words in told if words[0] == "loss"]
    assert {f"app{number}" for number in numbers("app")} <= {one.app.name for one in state.apps.list()}
    kept = {
        one.lease.lease_id: one for one in (*state.leases.open(Side.PROVIDER), *state.leases.ended(Side.PROVIDER, 9999))
    }
    assert {f"lease-{number}" for number in numbers("lease")} <= set(kept)
    for number in numbers("end"):
        assert (kept[f"lease-{number}"].state, kept[f"lease-{number}"].ending) == ("ended", f"reason {number}")
    assert numbers("decision") <= {one.inputs["number"] for one in state.decisions.recent(limit=9999)}
    for digest, size in ((Digest(words[1]), int(words[2])) for words in told if words[0] == "artifact"):
        with state.artifacts.open(digest) as file:
            content = file.read()
        assert (digest_of(content), len(content)) == (digest, size)


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill_up(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(bytes(4096))


@pytest.mark.root
async def test_a_full_disk_is_told_and_nothing_is_lost(small_disk: Path) -> None:
    path = small_disk / "state"
    with opened(path) as state:
        state.apps.put(facts.app("kept"), facts.NOW)
        with pytest.raises(LocalError, match="the disk is full"):
            await state.artifacts.add(b"x" * 1000)
        fill_up(small_disk)
        with pytest.raises(LocalError, match="free some disk space"):
            for number in range(1000):
                state.apps.put(facts.app(f"app{number}"), facts.NOW)
        written = {one.app.name for one in state.apps.list()}
        assert "kept" in written
        (small_disk / "filler").unlink()
        state.apps.put(facts.app("after"), facts.NOW)
    with opened(path) as state:
        assert state.loss is None
        assert {one.app.name for one in state.apps.list()} == written | {"after"}


@pytest.mark.root
def test_a_directory_on_a_full_disk_is_told(small_disk: Path) -> None:
    fill_up(small_disk)
    with pytest.raises(LocalError, match="free some disk space"):
        opened(small_disk / "state")
    (small_disk / "filler").unlink()
    with opened(small_disk / "state") as state:
        assert state.loss is None


async def test_artifacts_survive_as_files_of_their_own(path: Path) -> None:
    with opened(path) as state:
        digest = await state.artifacts.add(b"module")
    shutil.copytree(path / "artifacts", path.with_name("copied") / "artifacts")
    with opened(path.with_name("copied")) as copied:
        assert await asyncio.to_thread(copied.artifacts.path(digest).read_bytes) == b"module"
        assert copied.identity.node_id != Identity.generate().node_id
