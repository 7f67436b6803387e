"""What every runtime has to hold to, whatever it runs. Run on both paths of ``wasm``; run it on yours.

A runtime is tested through a :class:`Stand`: it says which guest of this runtime does what the suite asks for. Nothing
else is assumed of the guests, and nothing of the runtime but what ``model/guest.py`` says.
"""

import resource
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Protocol

import pytest

from footloose.core.errors import LocalError
from footloose.model.app import GuestKind, Instances, Limits
from footloose.model.guest import Gone, Guest, GuestError, GuestFault, Runtime

CALLS = 10_000
THREADS = 4
LEAK_BYTES = 64 * 1024 * 1024
"""A tenth of what so many of the smallest memories would take if they stayed."""
ENOUGH = Limits(time_ms=20_000.0)
"""Long enough for a busy machine."""
SHORT = Limits(time_ms=50.0)
VARIABLES = (("REQUEST_METHOD", "POST"), ("PATH_INFO", "/a/path"), ("QUERY_STRING", "x=1&y=%20"), ("EMPTY", ""))


class Does(Enum):
    """What a guest of the suite does."""

    ECHO = "answers with NAME=VALUE NUL for each variable, NUL and the body; logs 'echoed'"
    COUNT = "answers with what it has counted since it was started"
    TRAP = "breaks"
    LOOP = "never ends"
    RECURSE = "calls itself for ever"
    HOARD = "takes all memory it gets, and more"
    FLOOD = "answers with more than it may"
    MISLEAD = "answers with what cannot be read"


FAULTS = {
    Does.TRAP: (GuestFault.TRAP, ENOUGH),
    Does.LOOP: (GuestFault.TIME, SHORT),
    Does.RECURSE: (GuestFault.TRAP, ENOUGH),
    Does.HOARD: (GuestFault.MEMORY, ENOUGH),
    Does.FLOOD: (GuestFault.OUTPUT, ENOUGH),
    Does.MISLEAD: (GuestFault.ANSWER, ENOUGH),
}
"""What each bad guest is to fail with, and under which limits."""


class Stand(Protocol):
    """A runtime and guests for it."""

    @property
    def runtime(self) -> Runtime:
        """The one tested."""
        ...

    def guest(self, does: Does, limits: Limits, instances: Instances) -> Guest:
        """A guest that does this, loaded anew."""
        ...

    def streaming(self) -> Guest | None:
        """One that does :attr:`Does.ECHO` and streams, None if this runtime has no such guests."""
        ...


class Pieces:
    """An exchange whose body comes in pieces; whoever is at its other end may leave at the first word."""

    def __init__(self, pieces: Iterable[bytes], *, leaves: bool = False) -> None:
        self._pieces = list(pieces)
        self._leaves = leaves
        self.length: int | None = sum(map(len, self._pieces))
        self.written = b""

    def read(self, most: int) -> bytes:
        """The next piece, or as much of it as is asked for."""
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > most:
            self._pieces.insert(0, piece[most:])
        return piece[:most]

    def write(self, data: bytes) -> None:
        """Keep it, or be gone."""
        if self._leaves:
            raise Gone
        self.written += data

    def sleep(self, seconds: float) -> None:
        """Wait indeed."""
        threading.Event().wait(seconds)


def check_it_is_told_all_and_only_what_was_asked(stand: Stand) -> None:
    guest = stand.guest(Does.ECHO, ENOUGH, Instances.FRESH)
    for body in (b"", b"body", bytes(range(256)) * 256):
        check_echo(guest, body)


def check_echo(guest: Guest, body: bytes) -> None:
    answer = guest.call(VARIABLES, body)
    _, _, echoed = answer.output.partition(b"\r\n\r\n")
    variables, ended, returned = echoed.partition(b"\0\0")
    told = {*(variables + ended[:1]).decode("latin-1").split("\0")}
    assert {f"{name}={value}" for name, value in VARIABLES if value} <= told, "a variable did not arrive"
    assert not {one.partition("=")[0] for one in told} & {"PATH", "HOME", "USER"}, "it sees the host's environment"
    assert returned.endswith(body), "the body did not arrive whole"
    assert answer.log.strip() == b"echoed", "its log is not what it logged"


def check_fresh_instances_remember_nothing(stand: Stand) -> None:
    guest = stand.guest(Does.COUNT, ENOUGH, Instances.FRESH)
    assert len({guest.call(VARIABLES, b"").output for _ in range(20)}) == 1


def check_warm_instances_remember_and_share_nothing(stand: Stand) -> None:
    one, other = (stand.guest(Does.COUNT, ENOUGH, Instances.WARM) for _ in range(2))
    seen = [one.call(VARIABLES, b"").output for _ in range(5)]
    assert len(set(seen)) == 5, "it was started anew though it may stay"
    stand.runtime.tidy()
    assert other.call(VARIABLES, b"").output == seen[0], "two services share an instance"


def check_each_fault_is_named_and_harms_nobody(stand: Stand, instances: Instances) -> None:
    bystander = stand.guest(Does.COUNT, ENOUGH, Instances.FRESH)
    expected = bystander.call(VARIABLES, b"").output
    for does, (fault, limits) in FAULTS.items():
        guest = stand.guest(does, limits, instances)
        for _ in range(3):
            with pytest.raises(GuestError) as failure:
                guest.call(VARIABLES, b"")
            assert failure.value.fault is fault, does
            assert bystander.call(VARIABLES, b"").output == expected, f"a neighbour suffered: {does}"


def check_a_storm_of_faults_harms_nobody(stand: Stand) -> None:
    """Many threads, some with guests that break at once and some with good ones."""
    bad = stand.guest(Does.TRAP, ENOUGH, Instances.FRESH)
    good = stand.guest(Does.ECHO, ENOUGH, Instances.FRESH)

    def storm() -> None:
        for _ in range(200):
            with pytest.raises(GuestError):
                bad.call(VARIABLES, b"")

    def work(own: bytes) -> None:
        for turn in range(100):
            check_echo(good, own * (turn + 1))

    def tidy() -> None:
        for _ in range(100):
            stand.runtime.tidy()

    tasks: list[Callable[[], None]] = [storm, storm, tidy, *(lambda own=own: work(own) for own in (b"a", b"b"))]
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()


def check_instances_leave_no_memory_behind(stand: Stand) -> None:
    guest = stand.guest(Does.COUNT, ENOUGH, Instances.FRESH)
    expected = guest.call(VARIABLES, b"").output
    before = peak_bytes()
    for _ in range(CALLS):
        assert guest.call(VARIABLES, b"").output == expected
    assert peak_bytes() - before < LEAK_BYTES


def peak_bytes() -> int:
    """The most memory this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def check_what_cannot_be_loaded_is_refused(stand: Stand, folder: Path) -> None:
    with pytest.raises(LocalError):
        stand.runtime.load(folder / "missing", GuestKind.HANDLER, ENOUGH, Instances.FRESH)
    for limits in (Limits(memory_bytes=0), Limits(time_ms=0.0), Limits(output_bytes=-1)):
        with pytest.raises(LocalError):
            stand.guest(Does.ECHO, limits, Instances.FRESH)


def check_streams(stand: Stand) -> None:
    guest = stand.streaming()
    if guest is None:
        return
    assert guest.streams
    talk = Pieces([b"one", b" two", bytes(100_000)])
    assert guest.stream(VARIABLES, talk).strip() == b"echoed"
    assert talk.written.endswith(b"one two" + bytes(100_000))
    guest.stream(VARIABLES, Pieces([b"one"], leaves=True))  # nobody listens: it is stopped, and that is no fault
