"""Commands that read and write as they go on, on both paths: what counts as their own time, and what stops them."""

import threading

import pytest
from runtimes_guests import REQUEST, Workshop

from footloose.model.app import Limits
from footloose.model.guest import Gone, GuestError, GuestFault
from footloose.runtimes.wasm.runtime import WasmRuntime


class Talk:
    """The other end of an exchange: gives the pieces of a body, keeps what is written."""

    def __init__(self, *pieces: bytes, length: int | None = None) -> None:
        self.length = length
        self.pieces = list(pieces)
        self.written: list[bytes] = []
        self.slept_s = 0.0

    def read(self, most: int) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if len(piece) > most:
            self.pieces.insert(0, piece[most:])
        return piece[:most]

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        threading.Event().wait(seconds)


class Leaver(Talk):
    """Leaves at the first word."""

    def write(self, _data: bytes) -> None:
        raise Gone


def test_a_command_reads_piece_by_piece_and_is_heard_as_it_writes(workshop: Workshop, runtime: WasmRuntime) -> None:
    guest = workshop.load(runtime, "echo_command")
    whole = guest.call(REQUEST, b"one two three").output
    talk = Talk(b"one", b" two", b" three", length=13)
    assert guest.streams
    assert guest.stream(REQUEST, talk) == b"echoed\n"
    assert b"".join(talk.written) == whole


def test_what_a_command_waits_for_does_not_count_as_its_own_time(workshop: Workshop, runtime: WasmRuntime) -> None:
    guest = workshop.load(runtime, "sleeping_command", Limits(time_ms=100.0))
    talk = Talk()
    guest.stream(REQUEST, talk)
    assert (b"".join(talk.written), round(talk.slept_s, 6)) == (b"\n\n" + b"." * 20, 0.2)


def test_what_it_runs_itself_does_however_often_it_has_waited(workshop: Workshop, runtime: WasmRuntime) -> None:
    guest = workshop.load(runtime, "sleeping_command", Limits(time_ms=100.0))
    with pytest.raises(GuestError) as raised:
        guest.stream(REQUEST, Talk(b"!"))
    assert raised.value.fault is GuestFault.TIME


def test_a_command_that_would_sleep_where_nobody_may_says_so(workshop: Workshop, runtime: WasmRuntime) -> None:
    with pytest.raises(GuestError) as raised:
        workshop.load(runtime, "sleeping_command").call(REQUEST, b"")
    assert raised.value.fault is GuestFault.WAITS


def test_a_command_nobody_listens_to_is_stopped(workshop: Workshop, runtime: WasmRuntime) -> None:
    assert workshop.load(runtime, "sleeping_command").stream(REQUEST, Leaver()) == b""


def test_output_is_limited_however_it_is_taken(workshop: Workshop, runtime: WasmRuntime) -> None:
    talk = Talk()
    with pytest.raises(GuestError) as raised:
        workshop.load(runtime, "flood_command", Limits(time_ms=20_000.0, output_bytes=100_000)).stream(REQUEST, talk)
    assert raised.value.fault is GuestFault.OUTPUT
    assert sum(map(len, talk.written)) <= 100_000
