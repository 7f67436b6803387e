"""What a protocol looks like: a machine without input or output (sans-IO, as in h11).

A machine is given events and the time, and returns effects for its shell to carry out. It opens no socket,
reads no clock, starts no thread and draws no global randomness, so the same object runs in a site's process
and, by the thousand, in a simulator.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

EventT_contra = TypeVar("EventT_contra", contravariant=True)
EffectT_co = TypeVar("EffectT_co", covariant=True)


class Timed(Protocol[EffectT_co]):
    """Something with deadlines. ``now`` is in seconds and never goes backwards."""

    def wake(self, now: float) -> Sequence[EffectT_co]:
        """Do what has fallen due by ``now``; return the effects to carry out, in order."""
        ...

    def next_deadline(self) -> float | None:
        """When :meth:`wake` wants to be called next, or None if nothing is pending."""
        ...


class Machine(Timed[EffectT_co], Protocol[EventT_contra, EffectT_co]):
    """A sans-IO protocol machine."""

    def receive(self, event: EventT_contra, now: float) -> Sequence[EffectT_co]:
        """Take one event; return the effects to carry out, in order."""
        ...
