"""A simulated machine: what outlasts the processes on it."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from footloose.core.clock import SystemClock
from footloose.core.identity import Identity
from footloose.model.decision import Decision
from footloose.simulation.artifacts import Artifacts
from footloose.simulation.clock import MachineClock
from footloose.simulation.disk import Disk
from footloose.state.database import Database
from footloose.state.decisions import DecisionLog
from footloose.state.guest_logs import GuestLogs
from footloose.state.intent import Intent
from footloose.state.sites import SiteBook


class Machine:
    """A computer at ``place`` with ``address``, its clock and its disk. ``identity`` follows from its name."""

    def __init__(self, name: str, number: int, place: int, address: str, clock: MachineClock, random: Random) -> None:
        self.name = name
        self.number = number
        self.place = place
        self.address = address
        self.clock = clock
        self.disk = Disk(random)
        self.artifacts = Artifacts()
        self.identity = Identity.from_seed(hashlib.sha256(name.encode()).digest())
        self.notes = Database.open(Path(":memory:"))

    def remembers(self, decided: Callable[[Decision], None]) -> "Memory":
        """What a process that starts on this machine finds. ``decided`` is told of each decision it writes down."""
        return Memory(self, decided)

    def close(self) -> None:
        """Throw the machine away."""
        self.notes.close()


class Memory:
    """What one process remembers, on its machine's disk (:class:`footloose.state.directory.StateDirectory`)."""

    def __init__(self, machine: Machine, decided: Callable[[Decision], None]) -> None:
        self.identity = machine.identity
        self.clock = SystemClock(machine.clock.wall, machine.clock.monotonic)
        machine.artifacts.use(self.clock)
        self.artifacts = machine.artifacts
        self.compiled = Path("compiled")
        intent = Intent(machine.disk)
        self.loss = intent.loss
        self.apps = intent.apps
        self.leases = intent.leases
        self.orders = intent.orders
        self.decisions = _Decisions(machine.notes, decided)
        self.guest_logs = GuestLogs(machine.notes)
        self.sites = SiteBook(machine.notes)


class _Decisions(DecisionLog):
    """Tells of each decision, besides writing it down."""

    def __init__(self, notes: Database, decided: Callable[[Decision], None]) -> None:
        super().__init__(notes)
        self._decided = decided

    def add(self, decisions: Sequence[Decision]) -> None:
        """Note decisions."""
        super().add(decisions)
        for decision in decisions:
            self._decided(decision)
