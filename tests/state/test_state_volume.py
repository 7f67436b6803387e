"""What a record asks of the files it is in, asked of real ones and of the simulated disk."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from footloose.core.errors import LocalError
from footloose.simulation.disk import Disk
from footloose.state.volume import DirectoryVolume, Volume


@pytest.fixture(params=["files", "simulated"])
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Volume]:
    if request.param == "simulated":
        yield Disk(Random(1))
        return
    files = DirectoryVolume(tmp_path)
    yield files
    files.close()


def test_a_file_nobody_wrote_is_not_there_and_empty(volume: Volume) -> None:
    assert not volume.exists("a")
    assert volume.read("a") == b""
    assert not volume.exists("a")


def test_what_is_appended_is_read_in_its_order(volume: Volume) -> None:
    volume.append("a", b"one ")
    volume.append("b", b"other")
    volume.append("a", b"two")
    volume.append("a", b"")
    volume.sync("a")
    assert (volume.read("a"), volume.read("b")) == (b"one two", b"other")
    assert volume.exists("a")


def test_a_sync_of_a_file_nobody_wrote_makes_an_empty_one(volume: Volume) -> None:
    volume.sync("a")
    assert (volume.exists("a"), volume.read("a")) == (True, b"")


def test_a_file_is_cut_and_goes_on_from_there(volume: Volume) -> None:
    volume.append("a", b"0123456789")
    volume.truncate("a", 4)
    volume.append("a", b"x")
    volume.sync("a")
    assert volume.read("a") == b"0123x"
    volume.truncate("a", 0)
    assert volume.read("a") == b""


def test_a_file_is_replaced_whole_and_goes_on_from_there(volume: Volume) -> None:
    volume.replace("a", b"new")
    assert volume.read("a") == b"new"
    volume.append("a", b"er")
    volume.replace("a", b"another")
    volume.append("a", b"!")
    volume.sync("a")
    assert volume.read("a") == b"another!"


def test_what_is_kept_aside_stays_whatever_becomes_of_the_file(volume: Volume) -> None:
    volume.append("a", b"damaged")
    volume.keep_aside("a", "a.damaged")
    volume.replace("a", b"good")
    volume.append("a", b"!")
    assert (volume.read("a"), volume.read("a.damaged")) == (b"good!", b"damaged")
    volume.keep_aside("a", "a.damaged")
    assert volume.read("a.damaged") == b"damaged"


def test_a_file_is_named_where_it_is(volume: Volume, tmp_path: Path) -> None:
    assert volume.where("a") in ("a", str(tmp_path / "a"))


# Real files


def test_files_are_there_for_the_next_process_and_for_no_other_user(tmp_path: Path) -> None:
    volume = DirectoryVolume(tmp_path)
    volume.append("a", b"one")
    volume.replace("b", b"two")
    volume.close()
    again = DirectoryVolume(tmp_path)
    again.append("a", b"!")
    assert (again.read("a"), again.read("b")) == (b"one!", b"two")
    again.close()
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "b")} == {0o600}


def test_what_a_killed_process_left_unfinished_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a.unfinished").write_bytes(b"half")
    DirectoryVolume(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_an_error_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    volume = DirectoryVolume(tmp_path)
    for fails in (
        lambda: volume.read("a"),
        lambda: volume.append("a", b"x"),
        lambda: volume.sync("a"),
        lambda: volume.truncate("a", 0),
        lambda: volume.replace("a", b"x"),
    ):
        with pytest.raises(LocalError, match=f"{tmp_path}/a: is a directory"):
            fails()
    with pytest.raises(LocalError):
        volume.keep_aside("none", "aside")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_where_there_are_no_links_a_file_is_copied_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    volume = DirectoryVolume(tmp_path)
    volume.append("a", b"damaged")
    volume.keep_aside("a", "aside")
    assert volume.read("aside") == b"damaged"
    volume.close()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_told_and_a_file_that_cannot_be_replaced_is_as_it_was(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        volume = DirectoryVolume(tmp_path)
        volume.replace("a", b"kept")
        with pytest.raises(LocalError, match=r"no space left on device \(free some disk space\)"):
            volume.append("b", bytes(100_000))
        assert 0 < len(volume.read("b")) < 100_000
        with pytest.raises(LocalError, match="free some disk space"):
            volume.replace("a", bytes(100_000))
        assert (volume.read("a"), sorted(file.name for file in tmp_path.iterdir())) == (b"kept", ["a", "b"])
        volume.truncate("b", 0)
        volume.replace("a", b"another")
        volume.append("b", b"again")
        volume.sync("b")
        assert (volume.read("a"), volume.read("b")) == (b"another", b"again")
        volume.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


# The simulated disk


def test_a_crash_brings_a_cut_file_to_one_of_its_states() -> None:
    left = set()
    for seed in range(100):
        disk = Disk(Random(seed))
        disk.append("a", b"0123456789")
        disk.sync("a")
        disk.truncate("a", 4)
        disk.append("a", b"xyz")
        disk.crash()
        left.add(disk.read("a"))
    assert {b"0123456789", b"0123", b"0123x", b"0123xy", b"0123xyz"} >= {one for one in left if b"\0" not in one}
    assert b"0123456789" in left and any(one.startswith(b"0123x") for one in left)


def test_a_file_that_was_never_synced_may_be_gone_after_a_crash() -> None:
    there = set()
    for seed in range(50):
        disk = Disk(Random(seed))
        disk.append("a", b"x")
        disk.crash()
        there.add(disk.exists("a"))
    assert there == {True, False}


def test_what_was_replaced_or_kept_aside_survives_a_crash() -> None:
    disk = Disk(Random(1))
    disk.append("a", b"old")
    disk.keep_aside("a", "b")
    disk.replace("a", b"new")
    disk.crash()
    assert (disk.read("a"), disk.read("b")) == (b"new", b"old")
