"""What membership costs, how soon it finds out, and how often it is wrong: beside SWIM, and each part of Lifeguard.

In virtual time, with the machines that sites run, so all of it repeats from its seeds on any computer.

* Starved: Lifeguard's experiment (§V.D). Some members' messages come and go only after a while, over and over; their
  timers run. Counted is how often a member that is well is given up, and how often suspected.
* Silent: members fall silent in turn. How long until the first, and until the last of all others has given them up.
* Sizes: what one site sends, in systems of ever more sites, once all have come to know their neighbourhood.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from statistics import median

import msgspec

from footloose.bench.garbage import no_garbage_collection
from footloose.membership.config import LAN, WAN, Config, only, plain_swim
from footloose.membership.states import MemberState
from footloose.simulation.members import Member, Members

Say = Callable[[str], None]

UDP_BYTES = 28
"""Of IPv4 and UDP headers, around each datagram."""
SETTLE_S = 20.0
PROBES_LAST_S = 45.0
"""Longer than it takes to give up a member that is silent, in groups of this size."""

VARIANTS: tuple[tuple[str, Config], ...] = (
    ("plain SWIM", plain_swim(LAN)),
    ("local health", only(LAN, health=True)),
    ("dynamic suspicion", only(LAN, suspicion=True)),
    ("buddy system", only(LAN, buddy=True)),
    ("Lifeguard", only(LAN, health=True, suspicion=True, buddy=True)),
    ("footloose", LAN),
)


class Plan(msgspec.Struct, frozen=True):
    """What is run. ``starved`` of ``members`` are starved at a time, for so long each time, with so long in between."""

    members: int = 48
    starved: tuple[int, ...] = (4, 8, 16)
    starved_for_s: tuple[float, ...] = (16.0, 32.0)
    between_s: float = 1.0
    during_s: float = 120.0
    silent: int = 5
    seeds: tuple[int, ...] = (1,)
    sizes: tuple[int, ...] = (10, 100, 1_000, 10_000)
    warm_up_s: float = 300.0
    window_s: float = 60.0


QUICK = Plan(
    members=24,
    starved=(6,),
    starved_for_s=(16.0,),
    during_s=60.0,
    silent=1,
    seeds=(1,),
    sizes=(5, 40),
    warm_up_s=60.0,
    window_s=60.0,
)
"""A few seconds' worth, to see that it runs."""


class Variant(msgspec.Struct, frozen=True):
    """One configuration: wrong verdicts while some are starved, and seconds until right ones on who is silent.

    ``given_up`` and ``suspected`` count verdicts on members that are well, in all runs together.
    """

    name: str
    given_up: int
    suspected: int
    first_s: float
    all_s: float


class Size(msgspec.Struct, frozen=True):
    """A system of ``sites``: what one sends on average, UDP and IP headers included, and the most that one sends."""

    sites: int
    bytes_s: float
    most_bytes_s: float
    messages_s: float
    largest_bytes: int
    in_view: float


class Result(msgspec.Struct, frozen=True):
    """All figures, and what they were found with."""

    plan: Plan
    variants: tuple[Variant, ...]
    sizes: tuple[Size, ...]


def run(plan: Plan, say: Say) -> Result:
    """All of it. ``say`` tells of progress."""
    variants = []
    for name, config in VARIANTS:
        say(name)
        variants.append(_variant(name, config, plan))
    sizes = []
    for sites in plan.sizes:
        say(f"{sites} sites")
        with no_garbage_collection():
            sizes.append(measure_size(sites, plan))
    return Result(plan, tuple(variants), tuple(sizes))


def _variant(name: str, config: Config, plan: Plan) -> Variant:
    given_up = suspected = 0
    first_s: list[float] = []
    all_s: list[float] = []
    for seed in plan.seeds:
        for count in plan.starved:
            for for_s in plan.starved_for_s:
                wrong = wrongs_while_starved(config, seed, plan, count, for_s)
                given_up += wrong[0]
                suspected += wrong[1]
        for first, last in silences(config, seed, plan):
            first_s.append(first)
            all_s.append(last)
    return Variant(name, given_up, suspected, round(median(first_s), 2), round(median(all_s), 2))


def _settled(config: Config, seed: int, count: int) -> Members:
    members = Members(seed, config=config)
    members.grow(count)
    members.run(SETTLE_S)
    for site in members.sites:
        site.changes.clear()
    return members


def wrongs_while_starved(config: Config, seed: int, plan: Plan, count: int, for_s: float) -> tuple[int, int]:
    """How often members that are well were given up, and suspected, while ``count`` others were starved."""
    members = _settled(config, seed, plan.members)
    starved = members.sites[1 : 1 + count]
    end = members.now + plan.during_s
    random = Random(seed)  # noqa: S311  a simulation must be replayable

    def starve(site: Member) -> None:
        if members.now < end:
            members.starve(site, for_s)
            members.engine.after(for_s + plan.between_s, starve, site)

    for site in starved:
        members.engine.after(random.random() * for_s, starve, site)
    members.run(plan.during_s + for_s)
    unwell = {site.node for site in starved}
    verdicts = [change.after for site in members.sites for _, change in site.changes if change.node not in unwell]
    return verdicts.count(MemberState.UNREACHABLE), verdicts.count(MemberState.SUSPECT)


def silences(config: Config, seed: int, plan: Plan) -> Iterator[tuple[float, float]]:
    """Seconds until the first, and until the last, of the others gave up each of a few that fell silent in turn."""
    members = _settled(config, seed, plan.members)
    for number in range(plan.silent):
        silent = members.sites[plan.members // 2 + number]
        began = members.now
        members.kill(silent)
        others = members.running()
        members.run_until(lambda: _all_gave_up(others, silent), most_s=10 * PROBES_LAST_S)  # noqa: B023
        times = [_gave_up_at(site, silent) - began for site in others]
        yield min(times), max(times)


def _all_gave_up(others: Sequence[Member], silent: Member) -> bool:
    return all(site.machine.view.members[silent.node].state is MemberState.UNREACHABLE for site in others)


def _gave_up_at(site: Member, silent: Member) -> float:
    return next(
        at
        for at, change in reversed(site.changes)
        if change.node == silent.node and change.after is MemberState.UNREACHABLE
    )


def measure_size(sites: int, plan: Plan) -> Size:
    """What one of ``sites`` sends, on a wide area."""
    members = Members(plan.seeds[0], config=WAN, delay_s=over_a_plane)
    members.grow(sites, over_s=plan.warm_up_s / 5)
    members.run(plan.warm_up_s)
    members.measured = True
    before = [site.sent for site in members.sites]
    members.run(plan.window_s)
    sent = [site.sent - earlier for site, earlier in zip(members.sites, before, strict=True)]
    rates = [
        (site.sent_bytes + UDP_BYTES * count) / plan.window_s for site, count in zip(members.sites, sent, strict=True)
    ]
    return Size(
        sites=sites,
        bytes_s=round(sum(rates) / sites, 1),
        most_bytes_s=round(max(rates), 1),
        messages_s=round(sum(sent) / sites / plan.window_s, 3),
        largest_bytes=members.largest,
        in_view=round(sum(len(site.machine.view.live) for site in members.sites) / sites, 1),
    )


def over_a_plane(one: int, other: int) -> float:
    """One-way delay between two sites strewn over a plane of 80 ms by 80 ms of round trip, in seconds."""
    x, y = one * 37 % 80 - other * 37 % 80, one * 53 % 79 - other * 53 % 79
    return float(((x * x + y * y) ** 0.5 / 2 + 1.5) / 1000)
