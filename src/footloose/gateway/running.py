"""Whose guests run in a worker at this moment, on a page that outlives it.

A worker that the kernel or a fault in the engine ends cannot say any more what it was doing. The page is memory it
shares with its node: a number for each guest that runs, zero where none does.
"""

import mmap
import os
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar

from footloose.core.limits import GUEST_THREADS, STREAMS_PER_WORKER
from footloose.model.app import ServiceId

T = TypeVar("T")
_NUMBER_BYTES = 8
PAGE_BYTES = mmap.PAGESIZE


def number_of(service: ServiceId) -> int:
    """A service's number: never zero, and as good as never another's."""
    return int.from_bytes(sha256(service.encode()).digest()[:_NUMBER_BYTES]) | 1


def new_page() -> int:
    """The descriptor of a page of zeros. Raises :class:`OSError`."""
    descriptor = os.memfd_create("footloose-running")
    os.ftruncate(descriptor, PAGE_BYTES)
    return descriptor


def read_page(descriptor: int) -> frozenset[int]:
    """The numbers of the services whose guests ran when the page was last written."""
    content = os.pread(descriptor, PAGE_BYTES, 0)
    numbers = memoryview(content).cast("Q")
    return frozenset(number for number in numbers if number)


class Running:
    """The page as the worker writes it; without a ``descriptor`` nobody looks at it.

    Place 0 of ``page`` is the loop's: write a number there before a call, and zero after. The rest are for threads.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._memory = mmap.mmap(-1 if descriptor is None else descriptor, PAGE_BYTES)
        self.page = memoryview(self._memory).cast("Q")
        self._free = deque(range(1, 1 + GUEST_THREADS + STREAMS_PER_WORKER))

    def in_thread(self, number: int, work: Callable[[], T]) -> T:
        """Do ``work``, which runs a guest of that service, in this thread: one of those that lanes have."""
        place = self._free.pop()
        self.page[place] = number
        try:
            return work()
        finally:
            self.page[place] = 0
            self._free.append(place)
