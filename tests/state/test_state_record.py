"""The record: what of it is read back after every kind of damage, and what it does when it cannot be written."""

import itertools
import logging
from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from state_faults import Faulty

from footloose.core.errors import LocalError
from footloose.core.limits import RECORD_FRAME_BYTES, RECORD_GROWTH, RECORD_SMALL_BYTES
from footloose.simulation.disk import Disk
from footloose.state.frames import MARKER, VERSION, Scan, first_line, frame, scan, whole
from footloose.state.record import Record

PAYLOADS = [f'[{{"app_id":"app-{number}","n":"{"x" * number}"}}]'.encode() for number in range(12)]
CONTENT, AFTER = whole(1, PAYLOADS)
LINE = len(first_line(1, len(CONTENT)))
STARTS = [LINE, *itertools.accumulate((32 + len(payload) for payload in PAYLOADS), initial=LINE)][1:]
"""Where each frame begins, and where the last ends."""


def read(content: bytes) -> Scan:
    return scan(content, "intent.log")


def payloads(found: Scan) -> list[bytes]:
    return [entry.payload for entry in found.entries]


# Reading


def test_a_whole_record_is_read_whole() -> None:
    found = read(CONTENT)
    assert payloads(found) == PAYLOADS
    assert [entry.sequence for entry in found.entries] == list(range(1, 13))
    assert (found.losses, found.cut_short, found.next_sequence) == ((), None, AFTER)
    assert found.intact_bytes == len(CONTENT) == STARTS[-1]


def test_a_record_goes_on_counting_when_it_is_written_anew() -> None:
    content, after = whole(57, PAYLOADS[:3])
    assert after == 60
    assert read(content).losses == ()
    without_first = content[: len(first_line(57, 300))] + content[-(32 + len(PAYLOADS[2])) :]
    assert read(without_first).losses[0].what == "entries 57 to 58 are missing"


def test_cut_at_any_byte_all_before_it_is_recovered() -> None:
    for size_bytes in range(len(CONTENT)):
        check_cut(size_bytes)


def check_cut(size_bytes: int) -> None:
    found = read(CONTENT[:size_bytes])
    whole_ones = sum(end <= size_bytes for end in STARTS[1:])
    assert payloads(found) == PAYLOADS[:whole_ones]
    if size_bytes < LINE:
        assert found.losses and found.cut_short is None
    elif size_bytes in STARTS:
        assert (found.losses, found.cut_short) == ((), None)
    else:
        assert found.losses == () and found.cut_short is not None
        assert found.cut_short.offset == found.intact_bytes == STARTS[whole_ones]
        assert found.cut_short.what == f"entry {whole_ones + 1} was cut short"


def test_a_length_that_was_written_without_its_content_is_an_entry_cut_short() -> None:
    for size_bytes in range(LINE, len(CONTENT)):
        found = read(CONTENT[:size_bytes] + bytes(600))
        assert payloads(found) == PAYLOADS[: sum(end <= size_bytes for end in STARTS[1:])]
        assert (found.losses, found.cut_short is not None) == ((), True)


def test_a_few_zeros_at_the_end_are_damage_and_not_content_that_was_never_written() -> None:
    for zeros in range(1, 20):
        found = read(CONTENT[:-zeros] + bytes(zeros))
        assert payloads(found) == PAYLOADS[:-1]
        assert (found.cut_short is None, bool(found.losses)) == (zeros < 8, zeros < 8)


def test_a_flipped_bit_anywhere_costs_at_most_its_own_entry_and_is_named() -> None:
    for at in range(len(CONTENT)):
        for bit in range(8):
            check_flipped(at, bit)


def check_flipped(at: int, bit: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[at] ^= 1 << bit
    found = read(bytes(damaged))
    assert found.cut_short is None
    (loss,) = found.losses
    assert loss.offset <= at < loss.offset + loss.size_bytes
    if at < LINE:
        assert payloads(found) == PAYLOADS
    else:
        hit = sum(start <= at for start in STARTS) - 1
        assert payloads(found) == PAYLOADS[:hit] + PAYLOADS[hit + 1 :]
        assert str(hit + 1) in loss.what or hit == len(PAYLOADS) - 1


@settings(max_examples=300)
@given(st.integers(0, len(CONTENT)), st.binary(max_size=300), st.integers(0, 300))
def test_whatever_is_written_over_a_piece_the_rest_is_recovered(at: int, junk: bytes, instead_of: int) -> None:
    found = read(CONTENT[:at] + junk + CONTENT[at + instead_of :])
    intact = [
        payload
        for payload, start, end in zip(PAYLOADS, STARTS, STARTS[1:], strict=False)
        if end <= at or start >= at + instead_of
    ]
    assert set(intact) <= set(payloads(found)) <= set(PAYLOADS)
    assert payloads(found) == sorted(payloads(found), key=PAYLOADS.index)
    if len(payloads(found)) < len(PAYLOADS) and at + instead_of < len(CONTENT):
        assert found.losses or found.cut_short


@given(st.binary(max_size=2000))
def test_garbage_is_no_entry_and_is_named(garbage: bytes) -> None:
    found = read(garbage)
    assert (found.entries, found.cut_short, found.next_sequence) == ((), None, 1)
    (loss,) = found.losses
    assert (loss.offset, loss.size_bytes) == (0, len(garbage))


def test_a_hole_is_named_with_the_entries_that_were_in_it() -> None:
    found = read(CONTENT[: STARTS[3]] + bytes(STARTS[6] - STARTS[3]) + CONTENT[STARTS[6] :])
    assert payloads(found) == PAYLOADS[:3] + PAYLOADS[6:]
    (loss,) = found.losses
    assert (loss.offset, loss.size_bytes) == (STARTS[3], STARTS[6] - STARTS[3])
    assert loss.what == "no entry begins here; entries 4 to 6 are missing"


def test_a_piece_that_is_gone_without_a_trace_is_named_too() -> None:
    found = read(CONTENT[: STARTS[3]] + CONTENT[STARTS[4] :])
    assert payloads(found) == PAYLOADS[:3] + PAYLOADS[4:]
    assert [(loss.offset, loss.size_bytes, loss.what) for loss in found.losses] == [
        (STARTS[3], 0, "entry 4 is missing")
    ]


def test_a_block_that_is_there_twice_is_read_once() -> None:
    found = read(CONTENT[: STARTS[6]] + CONTENT[STARTS[2] : STARTS[4]] + CONTENT[STARTS[6] :])
    assert payloads(found) == PAYLOADS
    assert [loss.what for loss in found.losses] == [
        "entry 3 once more, where entry 7 was expected",
        "entry 4 once more, where entry 7 was expected",
    ]


def test_a_stale_block_of_an_earlier_record_is_passed_over_and_what_it_hides_is_named() -> None:
    newer, _ = whole(AFTER, PAYLOADS)
    shift = len(first_line(AFTER, len(CONTENT))) - LINE
    stale = newer[: STARTS[4] + shift] + CONTENT[STARTS[4] : STARTS[6]] + newer[STARTS[6] + shift :]
    found = read(stale)
    assert payloads(found) == PAYLOADS[:4] + PAYLOADS[6:]
    assert [loss.what for loss in found.losses] == [
        "entry 5 once more, where entry 17 was expected",
        "entry 6 once more, where entry 17 was expected",
        "entries 17 to 18 are missing",
    ]


def test_a_huge_length_leads_nowhere() -> None:
    damaged = bytearray(CONTENT)
    damaged[STARTS[2] + 4 : STARTS[2] + 8] = b"\xff\xff\xff\xff"
    found = read(bytes(damaged))
    assert payloads(found) == PAYLOADS[:2] + PAYLOADS[3:]
    damaged = bytearray(CONTENT)
    damaged[STARTS[-2] + 4 : STARTS[-2] + 8] = b"\xff\xff\xff\xff"
    found = read(bytes(damaged))  # at the end too it is damage, and not an entry still being written
    assert (payloads(found), found.cut_short) == (PAYLOADS[:-1], None)
    assert found.losses[0].what == "the head of an entry is damaged; no entry after that is intact"


def test_a_newer_version_is_refused_but_a_damaged_version_is_damage() -> None:
    newer = first_line(1, 0, version=VERSION + 1)
    with pytest.raises(LocalError, match=r"intent\.log: written by a newer version of this program \(record 2"):
        read(newer + CONTENT[LINE:])
    damaged = CONTENT.replace(b"record 1", b"record 2", 1)
    assert payloads(read(damaged)) == PAYLOADS


@pytest.mark.parametrize(("size_bytes", "fits"), [(-1, True), (0, True), (1, False)])
def test_an_entry_has_a_largest_size(size_bytes: int, fits: bool) -> None:
    payload = b"x" * (RECORD_FRAME_BYTES + size_bytes)
    if fits:
        assert payloads(read(first_line(1, 0) + frame(1, payload))) == [payload]
    else:
        with pytest.raises(LocalError, match="more than the 4194304 allowed"):
            frame(1, payload)


def test_no_payload_can_be_taken_for_a_frame() -> None:
    with pytest.raises(LocalError, match="no text"):
        frame(1, b"a" + frame(7, b"forged"))
    with pytest.raises(UnicodeDecodeError):
        MARKER[:3].decode()


# Writing


class Lines:
    """A record of lines, and how they stand in memory."""

    def __init__(self, volume: Disk | Faulty) -> None:
        self.lines: list[bytes] = []
        self.record = Record(volume, "r", self.live)
        found, content = self.record.replay()
        self.lines = payloads(found)
        self.found = found
        self.aside = self.record.settle(found, content, damaged=bool(found.losses))

    def live(self) -> Iterator[bytes]:
        yield from self.lines

    def add(self, line: bytes, *, durable: bool = True) -> None:
        self.record.append(line, durable=durable)
        self.lines.append(line)
        self.record.shrink()


def test_a_record_is_made_at_the_first_start_and_read_at_the_next() -> None:
    disk = Disk(Random(1))
    lines = Lines(disk)
    assert (lines.found.losses, lines.aside, disk.read("r")) == ((), None, first_line(1, 0))
    lines.add(b"one")
    lines.add(b"two")
    disk.crash()
    assert Lines(disk).lines == [b"one", b"two"]


def test_a_note_is_not_synced_and_the_next_promise_takes_it_along() -> None:
    disk = Disk(Random(1))
    lines = Lines(disk)
    before = disk.syncs
    lines.add(b"note", durable=False)
    assert disk.syncs == before
    lines.add(b"promise")
    assert disk.syncs == before + 1
    disk.crash()
    assert Lines(disk).lines == [b"note", b"promise"]


def test_what_is_read_at_the_start_is_on_the_disk_before_anything_is_done_about_it() -> None:
    for seed in range(20):
        disk = Disk(Random(seed))
        Lines(disk).add(b"note", durable=False)
        assert Lines(disk).lines == [b"note"]  # the process was killed; then the power goes
        disk.crash()
        assert Lines(disk).lines == [b"note"]


def test_an_entry_cut_short_is_cut_off_and_others_follow() -> None:
    disk = Disk(Random(1))
    Lines(disk).add(b"one")
    disk.append("r", frame(2, b"two")[:-1])
    lines = Lines(disk)
    assert lines.found.cut_short is not None and lines.aside is None
    lines.add(b"other")
    assert Lines(disk).lines == [b"one", b"other"]
    assert Lines(disk).found.losses == ()


def test_a_damaged_record_is_kept_aside_and_written_anew_once() -> None:
    disk = Disk(Random(1))
    lines = Lines(disk)
    for number in range(5):
        lines.add(b"line %d" % number)
    damaged = disk.read("r").replace(b"line 2", b"lime 2")
    disk.replace("r", damaged)
    lines = Lines(disk)
    assert lines.lines == [b"line 0", b"line 1", b"line 3", b"line 4"]
    assert lines.aside is not None and disk.read(lines.aside) == damaged
    again = Lines(disk)
    assert (again.lines, again.found.losses, again.aside) == (lines.lines, (), None)
    disk.replace("r", damaged)
    assert Lines(disk).aside == lines.aside


def test_a_record_is_written_anew_when_most_of_it_is_of_no_use() -> None:
    disk = Disk(Random(1))
    lines = Lines(disk)
    sizes = []
    for number in range(60):
        lines.add(b"%d" % number * (RECORD_SMALL_BYTES // 20))
        del lines.lines[:-2]
        sizes.append(len(disk.read("r")))
    assert max(sizes) < 2 * RECORD_GROWTH * RECORD_SMALL_BYTES
    assert sum(after < before for before, after in itertools.pairwise(sizes)) >= 2
    found = Lines(disk)
    assert found.lines[-2:] == lines.lines
    assert found.found.entries[-1].sequence >= 60


def test_a_record_that_cannot_be_made_smaller_goes_on_growing(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk(Random(1), capacity_bytes=RECORD_SMALL_BYTES + 200_000)
    lines = Lines(disk)
    big = b"x" * (RECORD_SMALL_BYTES // 2)
    with caplog.at_level(logging.ERROR):
        for line in (big, big, b"small", b"more"):
            lines.add(line)
    assert caplog.text.count("the record is not made smaller") == 1
    assert Lines(disk).lines == [big, big, b"small", b"more"]


@pytest.mark.parametrize("room", range(0, 120, 3))
def test_what_does_not_fit_a_full_disk_is_refused_whole_and_later_entries_are_kept(room: int) -> None:
    disk = Disk(Random(room))
    lines = Lines(disk)
    lines.add(b"before")
    disk.capacity_bytes = disk.used_bytes + room
    added = [b"before"]
    for line in (b"a" * 40, b"b" * 10, b"c"):
        try:
            lines.add(line)
            added.append(line)
        except LocalError as error:
            assert "no space left" in str(error)
    disk.capacity_bytes = 0
    lines.add(b"after")
    disk.crash()
    again = Lines(disk)
    assert (again.lines, again.found.losses, again.found.cut_short) == ([*added, b"after"], (), None)


def fails(what: str) -> Callable[[str], bool]:
    return lambda operation: operation == what


@pytest.mark.parametrize("seed", range(20))
def test_after_a_failed_sync_nothing_is_believed_and_all_is_written_anew(seed: int) -> None:
    disk = Disk(Random(seed))
    volume = Faulty(disk)
    lines = Lines(volume)
    lines.add(b"promise")
    lines.add(b"note", durable=False)
    volume.fails = fails("sync")
    with pytest.raises(LocalError, match="does not work"):
        lines.add(b"refused")
    volume.fails = fails("replace")
    with pytest.raises(LocalError, match="does not work"):
        lines.add(b"refused as well")
    volume.fails = fails("nothing")
    lines.add(b"kept")
    disk.crash()
    assert Lines(disk).lines == [b"promise", b"note", b"kept"]


@pytest.mark.parametrize("seed", range(20))
def test_a_part_that_cannot_be_cut_off_again_is_written_over(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk(Random(seed))
    volume = Faulty(disk)
    lines = Lines(volume)
    lines.add(b"before")
    disk.capacity_bytes = disk.used_bytes + 20
    volume.fails = fails("truncate")
    with pytest.raises(LocalError, match="no space left"):
        lines.add(b"too much")
    assert "stays in the record until it is written anew" in caplog.text
    disk.capacity_bytes = 0
    lines.add(b"after")
    disk.crash()
    assert Lines(disk).lines == [b"before", b"after"]


def test_a_replacement_that_may_be_undone_by_the_next_power_cut_is_made_again() -> None:
    disk = Disk(Random(1))
    volume = Faulty(disk)
    lines = Lines(volume)
    big = b"x" * RECORD_SMALL_BYTES
    volume.fails = fails("last step of replace")
    lines.add(big)  # is kept; only writing the record anew failed
    replaced = disk.syncs
    volume.fails = fails("nothing")
    lines.add(b"next")
    assert disk.syncs == replaced + 2  # written anew once more, and then the line
    disk.crash()
    assert Lines(disk).lines == [big, b"next"]
