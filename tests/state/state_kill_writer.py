"""Carries out one script again and again, each time in a new process that kills itself at a later system call.

One line of JSON for each, ``killed`` or not, with how many changes were ``acknowledged``; what is left is in a
directory named after its number.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

from state_script import Run, changes

from footloose.state import record
from footloose.state.volume import DirectoryVolume


def killing_at(number: int) -> None:
    """Let this process die before, in the middle of, or after whatever changes the disk for the ``number``-th time."""
    left = number

    def step() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def stepped(call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            step()
            return call(*arguments, **options)

        return wrapped

    write = os.write

    def in_two(descriptor: int, content: memoryview) -> int:
        step()
        half = write(descriptor, content[: len(content) // 2])
        step()
        return half + write(descriptor, content[half:])

    for name in ("open", "fsync", "ftruncate", "replace", "link", "unlink", "close"):
        setattr(os, name, stepped(getattr(os, name)))
    os.write = in_two  # type: ignore[assignment]


def one(directory: Path, seed: int, number: int) -> tuple[bool, int]:
    """Whether the process was killed, and how many changes it had acknowledged."""
    directory.mkdir()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        acknowledge = os.write
        killing_at(number)
        for _ in Run(DirectoryVolume(directory)).carry_out(changes(Random(seed), 40)):
            acknowledge(writing, b".")
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as told:  # noqa: PTH123 - a pipe has no path
        acknowledged = len(told.read())
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"ended with {status} at {number}")
    return os.WIFSIGNALED(status), acknowledged


def main() -> None:
    """All of them, up to the one that is not killed."""
    record.RECORD_SMALL_BYTES, record.RECORD_GROWTH = 6_000, 2
    base, seed = Path(sys.argv[1]), int(sys.argv[2])
    killed, number = True, 0
    while killed:
        killed, acknowledged = one(base / str(number), seed, number)
        print(json.dumps({"killed": killed, "acknowledged": acknowledged}))
        number += 1


if __name__ == "__main__":
    main()
