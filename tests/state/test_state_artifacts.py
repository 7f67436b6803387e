"""Artifacts: whole, checked and on the disk, or not there at all."""

import asyncio
import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import state_facts as facts
from hypothesis import given, settings
from hypothesis import strategies as st

from footloose.core.digest import Digest, digest_of
from footloose.core.errors import LimitExceeded, LocalError, RemoteError
from footloose.state.artifacts import ArtifactStore


def store_in(directory: Path, **limits: int) -> ArtifactStore:
    return ArtifactStore(directory / "artifacts", facts.StandingClock(), **{"reserve_bytes": 0, **limits})


def files_in(directory: Path) -> list[str]:
    return sorted(file.name for file in (directory / "artifacts").iterdir())


@settings(max_examples=25)
@given(st.binary(max_size=5000), st.lists(st.integers(0, 5000), max_size=5))
def test_what_goes_in_comes_out_however_it_is_cut_in_pieces(content: bytes, cuts: list[int]) -> None:
    async def put_in_and_read(directory: Path) -> None:
        store, digest = store_in(directory), digest_of(content)
        edges = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
        async with store.begin(digest) as writer:
            for start, end in itertools.pairwise(edges):
                await writer.write(content[start:end])
            assert not store.has(digest)
            await writer.commit()
        with store.open(digest) as file:
            assert file.read() == content
        assert store.used_bytes == len(content)
        again = store_in(directory)
        assert (again.list(), again.path(digest).read_bytes()) == (store.list(), content)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(put_in_and_read(Path(directory)))


async def test_content_that_is_not_what_its_digest_says_is_not_kept(tmp_path: Path) -> None:
    store, digest = store_in(tmp_path), digest_of(b"content")
    async with store.begin(digest) as writer:
        await writer.write(b"other")
        with pytest.raises(RemoteError, match="another than its digest says"):
            await writer.commit()
    assert not store.has(digest)
    assert files_in(tmp_path) == []
    assert store.used_bytes == 0


async def test_an_upload_cut_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    store, digest = store_in(tmp_path), digest_of(b"content")
    with pytest.raises(ConnectionResetError):
        async with store.begin(digest, 7) as writer:
            await writer.write(b"cont")
            raise ConnectionResetError
    assert (store.has(digest), files_in(tmp_path), store.used_bytes) == (False, [], 0)


async def test_a_cancelled_upload_leaves_nothing(tmp_path: Path) -> None:
    store, begun = store_in(tmp_path, capacity_bytes=10_000_000), asyncio.Event()

    async def upload() -> None:
        async with store.begin(digest_of(b""), 8_000_000) as writer:
            while True:
                begun.set()
                await writer.write(bytes(1_000_000))

    task = asyncio.create_task(upload())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files_in(tmp_path) == []
    assert store.has(await store.add(bytes(9_000_000)))


async def test_what_a_killed_node_left_unfinished_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    hexadecimal = digest_of(b"x").removeprefix("sha256:")
    (tmp_path / "artifacts" / f"{hexadecimal}.0011.partial").write_bytes(b"half")
    (tmp_path / "artifacts" / "README").write_text("not ours")
    store = store_in(tmp_path)
    assert (store.list(), files_in(tmp_path)) == ((), ["README"])


async def test_the_same_artifact_may_come_twice_at_once(tmp_path: Path) -> None:
    store, content = store_in(tmp_path), b"module" * 1000
    digest = digest_of(content)

    async def upload() -> None:
        async with store.begin(digest, len(content)) as writer:
            for start in range(0, len(content), 500):
                await writer.write(content[start : start + 500])
            await writer.commit()

    await asyncio.gather(upload(), upload(), upload())
    assert (store.used_bytes, files_in(tmp_path)) == (len(content), [digest.removeprefix("sha256:")])


async def test_an_artifact_too_large_is_refused_as_soon_as_it_shows(tmp_path: Path) -> None:
    store = store_in(tmp_path, artifact_bytes=10)
    with pytest.raises(LimitExceeded, match="more than the 10 bytes"):
        async with store.begin(digest_of(b""), 11):
            pytest.fail("announced too large")
    async with store.begin(digest_of(b"")) as writer:
        await writer.write(bytes(10))
        with pytest.raises(LimitExceeded):
            await writer.write(b"x")
    assert files_in(tmp_path) == []


async def test_artifacts_together_stay_within_their_limit_while_they_come_in(tmp_path: Path) -> None:
    store = store_in(tmp_path, capacity_bytes=100)
    first = await store.add(bytes(60))
    async with store.begin(digest_of(b"a"), 30):
        with pytest.raises(LocalError, match=r"no room.*remove apps"):
            await store.add(bytes(11))
        await store.add(bytes(10))
    assert store.used_bytes == 70
    assert store.remove(first)
    assert await store.add(bytes(90))


async def test_artifacts_leave_free_disk_for_the_sites_own_records(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    store = store_in(tmp_path, reserve_bytes=disk.f_blocks * disk.f_frsize)
    with pytest.raises(LocalError, match=r"the disk is full.*free some disk space"):
        await store.add(b"x")


async def test_what_nothing_refers_to_is_collected_but_for_the_newest(tmp_path: Path) -> None:
    clock = facts.StandingClock()
    store = ArtifactStore(tmp_path / "artifacts", clock, reserve_bytes=0)
    kept, unused = await store.add(b"kept"), await store.add(b"unused")
    clock.time += 100
    new = await store.add(b"new")
    async with store.begin(digest_of(b"coming"), 6) as writer:
        assert store.collect({kept}, min_age_s=60) == (unused,)
        await writer.write(b"coming")
        await writer.commit()
    assert {one.digest for one in store.list()} == {kept, new, digest_of(b"coming")}
    assert set(store.collect(set())) == {kept, new, digest_of(b"coming")}
    assert (store.list(), store.used_bytes, files_in(tmp_path)) == ((), 0, [])


async def test_what_is_not_here_is_told(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    assert not store.has(digest_of(b"x"))
    assert not store.remove(digest_of(b"x"))
    with pytest.raises(LocalError, match="is not here"):
        store.open(digest_of(b"x"))
    with pytest.raises(RemoteError, match="not a digest"):
        store.begin(Digest("../../etc/passwd"))


async def test_a_finished_writer_takes_no_more(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    async with store.begin(digest_of(b"")) as writer:
        await writer.commit()
        with pytest.raises(LocalError, match="not being written"):
            await writer.write(b"x")
    assert store.has(digest_of(b""))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.root
async def test_a_disk_that_fills_up_on_the_way_loses_nothing_that_was_there(small_disk: Path) -> None:
    store = store_in(small_disk)
    before = await store.add(bytes(200_000))
    content = os.urandom(700_000)
    with pytest.raises(LocalError, match="no space left on device"):
        async with store.begin(digest_of(content)) as writer:
            await writer.write(content[:400_000])
            (small_disk / "filler").write_bytes(bytes(300_000))
            for start in range(400_000, 700_000, 50_000):
                # The disk is checked before each piece; another program may fill it right after.
                store._room._reserve_bytes = -(2**40)
                await writer.write(content[start : start + 50_000])
            await writer.commit()
    assert [one.digest for one in store.list()] == [before]
    assert len(files_in(small_disk)) == 1
    (small_disk / "filler").unlink()
    assert store.has(await store.add(content))
