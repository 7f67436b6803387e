"""How long it takes until all views agree again once a partition is healed, by its length and by whom it cut off.

All agree when everybody holds all others for alive. So there are at most as many sites as fit into a view.
"""

from collections.abc import Callable
from statistics import median

import msgspec

from footloose.bench.membership import over_a_plane
from footloose.membership.config import LAN, WAN, Config
from footloose.membership.states import MemberState
from footloose.simulation.members import Members

Say = Callable[[str], None]

PRESETS: dict[str, Config] = {"LAN": LAN, "WAN": WAN}
STEP_S = 0.5
MOST_S = 3600.0


class Plan(msgspec.Struct, frozen=True):
    """What is run: each preset, number of sites, share that is cut off, length of the cut, and seed."""

    presets: tuple[str, ...] = ("LAN", "WAN")
    sites: tuple[int, ...] = (20, 100)
    shares: tuple[float, ...] = (0.5, 0.1)
    cut_s: tuple[float, ...] = (30.0, 300.0, 1800.0)
    seeds: tuple[int, ...] = (1, 2)


QUICK = Plan(presets=("LAN",), sites=(10,), shares=(0.5,), cut_s=(20.0, 60.0), seeds=(1,))
"""A few seconds' worth, to see that it runs."""


class Case(msgspec.Struct, frozen=True):
    """One kind of partition: seconds from healing to agreement, for each seed.

    ``retry_s`` is the longest pause between two tries of an unreachable member.
    ``lost`` is how many of all views' entries were unreachable when it was healed, at most, from 0 to 1.
    """

    preset: str
    sites: int
    cut_off: int
    cut_s: float
    agreed_after_s: tuple[float, ...]
    median_s: float
    retry_s: float
    lost: float


class Result(msgspec.Struct, frozen=True):
    """All cases, and what they were found with."""

    plan: Plan
    cases: tuple[Case, ...]


def run(plan: Plan, say: Say) -> Result:
    """All of it. ``say`` tells of progress."""
    cases = []
    for preset in plan.presets:
        for sites in plan.sites:
            for share in plan.shares:
                for cut_s in plan.cut_s:
                    cases.append(_case(preset, sites, max(1, round(share * sites)), cut_s, plan.seeds))
                    say(f"{preset}: {cases[-1].cut_off} of {sites} cut off for {cut_s:g} s")
    return Result(plan, tuple(cases))


def _case(preset: str, sites: int, cut_off: int, cut_s: float, seeds: tuple[int, ...]) -> Case:
    config = PRESETS[preset]
    found = [heal(config, sites, cut_off, cut_s, seed) for seed in seeds]
    times = tuple(round(took_s, 1) for took_s, _ in found)
    return Case(
        preset=preset,
        sites=sites,
        cut_off=cut_off,
        cut_s=cut_s,
        agreed_after_s=times,
        median_s=median(times),
        retry_s=config.reconnect_most_s,
        lost=round(max(lost for _, lost in found), 3),
    )


def heal(config: Config, sites: int, cut_off: int, cut_s: float, seed: int) -> tuple[float, float]:
    """Seconds from the end of a cut to agreement, and the part of all entries that was unreachable at that end."""
    members = Members(seed, config=config, delay_s=over_a_plane)
    members.grow(sites, over_s=sites / 10)
    members.run_until(members.agree, most_s=MOST_S, step_s=STEP_S)
    members.partition(members.sites[cut_off:], members.sites[:cut_off])
    members.run(cut_s)
    lost = sum(
        member.state is MemberState.UNREACHABLE
        for site in members.sites
        for member in site.machine.view.members.values()
    )
    members.heal()
    took_s = members.run_until(members.agree, most_s=MOST_S, step_s=STEP_S)
    return took_s, lost / (sites * (sites - 1))
