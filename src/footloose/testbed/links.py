"""One direction of a link: when a packet that enters it comes out, if it does."""

import random

from footloose.testbed.topology import Link


class Direction:
    """A link from one end to the other. Times are logical: seconds on the same clock packets are received by."""

    def __init__(self, link: Link, start: str, end: str, seed: int) -> None:
        self.start = start
        self.end = end
        self.up = True
        self._random = random.Random(f"{seed} {start} {end}")  # noqa: S311 - loss must be repeatable
        self._free_at = 0.0
        self.change(link)

    def change(self, link: Link) -> None:
        """Take the figures of ``link`` from now on."""
        self.delay_s = link.delay_ms / 1e3
        self.jitter_s = link.jitter_ms / 1e3
        self.loss = link.loss
        self.bytes_per_s = None if link.rate_mbit is None else link.rate_mbit * 1e6 / 8
        self.queue_s = link.queue_ms / 1e3

    @property
    def plain(self) -> bool:
        """Whether every packet that enters comes out after exactly the delay."""
        return self.up and self.jitter_s == 0.0 and self.loss == 0.0 and self.bytes_per_s is None

    def cross(self, at: float, size: int) -> float | None:
        """When a packet of ``size`` bytes that enters ``at`` comes out; None if it is lost."""
        if not self.up or (self.loss and self._random.random() < self.loss):
            return None
        if self.bytes_per_s is not None:
            begins = max(at, self._free_at)
            if begins - at > self.queue_s:
                return None
            at = self._free_at = begins + size / self.bytes_per_s
        if self.jitter_s:
            at += self._random.uniform(-self.jitter_s, self.jitter_s)
        return at + self.delay_s
