"""Writes into a state directory for ever and says line by line what was acknowledged. Meant to be killed."""

import asyncio
import itertools
import sys
from pathlib import Path

import state_facts as facts

from footloose.core.clock import SystemClock
from footloose.state.directory import StateDirectory
from footloose.state.leases import Side


def acknowledge(*words: object) -> None:
    print(*words, flush=True)


async def write_for_ever(path: Path) -> None:
    state = StateDirectory.open(path, SystemClock())
    if state.loss is not None:
        acknowledge("loss", state.loss)
    acknowledge("node", state.identity.node_id)
    first = max((int(one.app.name.removeprefix("app")) for one in state.apps.list()), default=-1) + 1
    for number in itertools.count(first):
        state.apps.put(facts.app(f"app{number}"), facts.NOW)
        acknowledge("app", number)
        state.leases.put(Side.PROVIDER, facts.lease(number), facts.request(number), state="active")
        acknowledge("lease", number)
        if number % 2:
            state.leases.end(Side.PROVIDER, f"lease-{number}", f"reason {number}", facts.NOW)
            acknowledge("end", number)
        state.decisions.add([facts.decision(number)])
        acknowledge("decision", number)
        content = str(number).encode() * 50_000
        acknowledge("artifact", await state.artifacts.add(content), len(content))


if __name__ == "__main__":
    asyncio.run(write_for_ever(Path(sys.argv[1])))
