"""A toy in place of the world: sites that count, with a fault of their own planted in them.

A site that dies and comes back while it is cut off from the home of the app forgets, once the network is whole, what it
had counted. Everything else it survives.
"""

import os
from hashlib import sha256
from itertools import count

from footloose.core.identity import NodeId
from footloose.model.app import ServiceId
from footloose.model.decision import Decision
from footloose.model.view import View
from footloose.simulation.engine import Engine
from footloose.simulation.faults import Crash, Fault, Heal, Partition, Pause, PowerLoss, Start
from footloose.simulation.outcome import Happening, Outcome, Violation
from footloose.simulation.recording import Record
from footloose.simulation.scenario import Scenario

KEPT = 100
CHECKER = "nothing-forgotten"


class Toy:
    """One run."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.engine = Engine(seed)
        self.scenario = scenario
        self.counted = dict.fromkeys(scenario.site_names, 0)
        self.down: set[str] = set()
        self.cut_off: frozenset[str] = frozenset()
        self.doomed: set[str] = set()
        self.happenings: list[Happening] = []
        self.violations: list[Violation] = []
        self.digest = sha256()

    def tell(self, site: str, kind: str, text: str) -> None:
        self.happenings.append(Happening(self.engine.now, site, kind, text))
        self.digest.update(f"{self.engine.now} {site} {kind} {text}\n".encode())

    def request(self, every_s: float) -> None:
        site = self.engine.random.choice(sorted(self.counted))
        if site not in self.down:
            self.counted[site] += 1
            self.tell(site, "count", str(self.counted[site]))
        self.engine.after(every_s, self.request, every_s)

    def befall(self, fault: Fault) -> None:
        home = self.scenario.apps[0].home
        match fault:
            case Crash(site=site) | PowerLoss(site=site):
                self.down.add(site)
                self.tell(site, "down", "")
                if site in self.cut_off:
                    self.doomed.add(site)
            case Start(site=site):
                self.down.discard(site)
                self.tell(site, "up", str(self.counted[site]))
            case Partition(groups=groups):
                self.cut_off = frozenset(name for group in groups if home not in group for name in group)
                self.tell("", "parted", " | ".join(" ".join(group) for group in groups))
            case Heal():
                self.cut_off = frozenset()
                self.tell("", "whole", "")
                for site in sorted(self.doomed - self.down):
                    self.forget(site)
                self.doomed.clear()

    def forget(self, site: str) -> None:
        before, self.counted[site] = self.counted[site], 0
        self.tell(site, "count", "0")
        what, reason = "it forgot what it had counted", f"0 after {before}"
        self.violations.append(Violation(self.engine.now, CHECKER, site, what, reason))


def run(scenario: Scenario, seed: int, schedule: tuple[Fault, ...]) -> Outcome:
    """Play it."""
    toy = Toy(scenario, seed)
    for entry in scenario.users:
        for _ in range(entry.count):
            toy.engine.after(toy.engine.random.random(), toy.request, entry.every_s)
    for fault in schedule:
        toy.engine.at(fault.at_s, toy.befall, fault)
    toy.engine.run(scenario.duration_s)
    return Outcome(
        seed=seed,
        digest=toy.digest.hexdigest(),
        events=toy.engine.events,
        violations=tuple(toy.violations),
        happenings=tuple(toy.happenings[-KEPT:]) if not toy.violations else tuple(toy.happenings),
        simulated_s=scenario.duration_s,
        figures={"requests": float(sum(toy.counted.values()))},
    )


def raises(scenario: Scenario, seed: int, schedule: tuple[Fault, ...]) -> Outcome:
    """A world with a bug: it cannot stand pauses."""
    return Outcome(seed, "", 1 // (not any(isinstance(fault, Pause) for fault in schedule)))


_moods = count()


def moody(scenario: Scenario, seed: int, schedule: tuple[Fault, ...]) -> Outcome:
    """A world that is not the same twice."""
    return Outcome(seed, "", 1, (Violation(1.0, "mood", "", "bad", ""),) if next(_moods) == 0 else ())


def dies(scenario: Scenario, seed: int, schedule: tuple[Fault, ...]) -> Outcome:
    """A world that takes its process with it."""
    os._exit(3)


def shows(scenario: Scenario, seed: int, schedule: tuple[Fault, ...], *, record: Record | None = None) -> Outcome:
    """A world of which one site has something to show."""
    if record is not None:
        for at_s in range(3):
            view = View(1e9 + at_s, NodeId("a"), "a", (), (), (), ())
            record(float(at_s), "a", view)
            record(at_s + 0.5, "a", Decision(1e9 + at_s, NodeId("a"), ServiceId("pulse-a/web"), "choose", "", "", ""))
    return Outcome(seed, "", 3)
