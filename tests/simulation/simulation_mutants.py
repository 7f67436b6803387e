"""Sites broken on purpose, each in one way: the checkers must notice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

from footloose.market.desk import Desk
from footloose.migration import switch
from footloose.migration.switch import State as CopyState
from footloose.migration.switch import Switch
from footloose.node.host import Host
from footloose.node.leases import GivenLeases, HeldLeases
from footloose.node.meter import Meter
from footloose.node.services import Services
from footloose.orchestrator.loop import Loop
from footloose.simulation.checkers import Answered, Healthy, Leased, Recovers, Settled

RUNS, STOPPED, LEASED = Recovers.name, Healthy.name, Leased.name
ANSWERED, BEST = Answered.name, Settled.name


class Mutant(msgspec.Struct, frozen=True):
    """``attribute`` of ``owner`` is something else. ``noticed_by`` are checkers, one of which must notice.

    It must do so within ``seeds`` random runs, besides the one that is scripted.
    """

    name: str
    owner: Any
    attribute: str
    instead: Any
    noticed_by: tuple[str, ...]
    seeds: int = 10

    @contextmanager
    def alive(self) -> Iterator[None]:
        """While this lasts, sites are broken so."""
        with patch.object(self.owner, self.attribute, self.instead):
            yield


async def _nothing(*_: object, **__: object) -> None:
    pass


def _ignore(*_: object, **__: object) -> Any:
    return None


def _strict(self: Desk, held: Any, now: float) -> str | None:
    """A site that knows no grace: what happens to work at the edge when a controller is cut off."""
    return "the lease ran out" if now > held.lease.ends_at else None


def _forgetting(original: Callable[..., Any]) -> Callable[..., Any]:
    """A customer that gives all back when it starts: what a controller does whose state was lost."""

    def begin(self: GivenLeases, *arguments: Any) -> None:
        original(self, *arguments)
        for lease_id in list(self._leases):
            self.give_back(lease_id, "not known after a restart")

    return begin


def _wrong_lease(original: Callable[..., Any]) -> Callable[..., Any]:
    """Counts what was seen for the newest lease only."""

    def add(self: Meter, observations: Any, site: Any) -> None:
        for service, counts in self._of_service.items():
            self._of_service[service] = counts[-1:]
        original(self, observations, site)

    return add


def _collect_all(self: Host) -> None:
    """Takes nothing that runs for a reason to keep its code."""
    self._artifacts.collect(set())


def _hasty(self: Switch, event: Any, now: float) -> Any:
    """Gives a copy up when it does not answer, and says so once it can be reached."""
    if self.state in (CopyState.SERVING, CopyState.SUSPECT):
        return self._retire(f"not heard of: {event.reason}", now)
    return []


MUTANTS = (
    Mutant(
        "copies are not run again after a restart",
        Host,
        "_recover_copies",
        _nothing,
        (RUNS,),
    ),
    Mutant("a lease is not written down", HeldLeases, "keep", _ignore, (RUNS,)),
    Mutant(
        "a lease that runs out ends the copy, without grace",
        Desk,
        "_why_over",
        _strict,
        (STOPPED,),
    ),
    Mutant("a copy whose customer is silent ends at once", Desk, "users_seen", _ignore, (STOPPED,)),
    Mutant(
        "a customer gives all back when it starts",
        GivenLeases,
        "__init__",
        _forgetting(GivenLeases.__init__),
        (STOPPED,),
    ),
    Mutant("a copy that is not heard of is given up", Switch, "_poll_failed", _hasty, (STOPPED,)),
    Mutant("meters count nothing", Meter, "add", _ignore, (STOPPED,)),
    Mutant("copies that retired are not told where their users are", Services, "stop", _ignore, (LEASED,)),
    Mutant("users are never sent on", Loop, "_redirect", _ignore, (BEST,)),
    Mutant("an ended lease leaves its copy running", Host, "_stop", _ignore, (LEASED,)),
    Mutant(
        "silent copies go on being sent users",
        switch,
        "SILENT_AFTER_S",
        1e9,
        (
            STOPPED,
            ANSWERED,
        ),
    ),
    Mutant(
        "artifacts of what runs are collected",
        Host,
        "collect_garbage",
        _collect_all,
        (
            STOPPED,
            RUNS,
            BEST,
        ),
    ),
)
