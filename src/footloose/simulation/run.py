"""Plays one scenario from one seed, under watch."""

from footloose.simulation.checkers import all_checkers
from footloose.simulation.faults import Fault
from footloose.simulation.ground import ground_of
from footloose.simulation.logs import told_to
from footloose.simulation.outcome import Outcome, Violation
from footloose.simulation.recording import Record
from footloose.simulation.scenario import Scenario
from footloose.simulation.world import World

LOOK_EVERY_S = 1.0
"""How often the checkers look."""
UP_S = 2.0
"""When all sites are up, and apps are deployed."""
USERS_S = 5.0
"""When users come."""


def run(scenario: Scenario, seed: int, schedule: tuple[Fault, ...], *, record: Record | None = None) -> Outcome:
    """Play ``scenario`` under the faults of ``schedule``; ``record`` is told what sites show and decide.

    Raises :class:`LocalError` if its map cannot be had, or has no such place.
    """
    world = World(scenario, seed, ground_of(scenario.map), record)
    with told_to(world.logged):
        try:
            return _played(world, seed, schedule)
        finally:
            world.close()


def _played(world: World, seed: int, schedule: tuple[Fault, ...]) -> Outcome:
    scenario, engine = world.scenario, world.engine
    world.run(UP_S)
    for app in scenario.apps:
        world.deploy(app)
    for group in scenario.users:
        engine.at(USERS_S, world.add_users, group)
    for fault in schedule:
        engine.at(fault.at_s, world.apply, fault)
    checkers = all_checkers()
    violations: list[Violation] = []
    while engine.now < scenario.duration_s and not violations:
        world.run(min(scenario.duration_s, engine.now + LOOK_EVERY_S))
        world.show()
        violations += [wrong for checker in checkers for wrong in checker.look(world)]
    if not violations:
        violations += [wrong for checker in checkers for wrong in checker.finish(world)]
    return Outcome(
        seed=seed,
        digest=world.digest(),
        events=engine.events,
        violations=tuple(violations),
        happenings=tuple(world.happenings),
        simulated_s=engine.now,
        figures={
            "users": len(world.users),
            "user requests": sum(user.requests for user in world.users),
            "user errors": sum(user.errors for user in world.users),
            "messages": world.network.sent,
            "messages lost": world.network.lost,
        },
    )
