"""The commands of ``footloose bench`` that run in virtual time, and so need neither root nor a network."""

from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from rich.console import Console

from footloose.bench import convergence as convergence_bench
from footloose.bench import membership as membership_bench
from footloose.bench import simulator as simulator_bench
from footloose.cli.bench_show import say, show
from footloose.cli.options import has_json
from footloose.cli.output import plain_table


def has_plan(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all of these have."""
    command = has_json(command)
    command = click.option(
        "--out", type=click.Path(path_type=Path), help="Also write the result to this file, as JSON."
    )(command)
    return click.option("--quick", is_flag=True, help="A few seconds' worth, to see that it runs.")(command)


seeds_option = click.option("--seed", "seeds", multiple=True, type=int, help="Seed of the runs; may be repeated.")


@click.command()
@seeds_option
@click.option("--sites", "sizes", multiple=True, type=click.IntRange(2, 100_000), help="Size of a system; repeatable.")
@has_plan
def membership(*, seeds: tuple[int, ...], sizes: tuple[int, ...], quick: bool, out: Path | None, as_json: bool) -> None:
    """What membership costs, how soon it finds out, how often it is wrong; beside SWIM and parts of Lifeguard."""
    plan = membership_bench.QUICK if quick else membership_bench.Plan()
    plan = msgspec.structs.replace(plan, seeds=seeds or plan.seeds, sizes=sizes or plan.sizes)
    show(membership_bench.run(plan, say), out, as_json, _print_membership)


@click.command()
@seeds_option
@has_plan
def convergence(*, seeds: tuple[int, ...], quick: bool, out: Path | None, as_json: bool) -> None:
    """How long until all views agree again once a partition is healed."""
    plan = convergence_bench.QUICK if quick else convergence_bench.Plan()
    plan = msgspec.structs.replace(plan, seeds=seeds or plan.seeds)
    show(convergence_bench.run(plan, say), out, as_json, _print_convergence)


@click.command()
@click.option("--seed", type=int, help="Seed of the runs.")
@click.option("--sites", "sites", multiple=True, type=click.IntRange(2, 100_000), help="Sites in a run; repeatable.")
@click.option("--simulated-s", type=click.FloatRange(1.0), help="Simulated seconds of each run of sites.")
@has_plan
def simulator(
    *,
    seed: int | None,
    sites: tuple[int, ...],
    simulated_s: float | None,
    quick: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """How fast virtual time passes: bare events beside SimPy's, and whole sites."""
    plan = simulator_bench.QUICK if quick else simulator_bench.Plan()
    plan = msgspec.structs.replace(
        plan,
        seed=plan.seed if seed is None else seed,
        sites=sites or plan.sites,
        simulated_s=simulated_s or plan.simulated_s,
    )
    show(simulator_bench.run(plan, say), out, as_json, _print_simulator)


def _print_membership(result: membership_bench.Result) -> None:
    click.echo("Members that are well, while others are starved; and the time to give up one that is silent.")
    table = plain_table("", "given up", "of SWIM", "suspected", "first, s", "all, s")
    plain = result.variants[0].given_up
    for one in result.variants:
        part = f"{one.given_up / plain:.1%}" if plain else "-"
        table.add_row(one.name, str(one.given_up), part, str(one.suspected), f"{one.first_s:.1f}", f"{one.all_s:.1f}")
    Console().print(table)
    click.echo("What one site sends (WAN), in bytes a second with all headers.")
    table = plain_table("sites", "bytes/s", "most", "messages/s", "largest", "in view")
    for size in result.sizes:
        table.add_row(
            f"{size.sites:,}",
            f"{size.bytes_s:.0f}",
            f"{size.most_bytes_s:.0f}",
            f"{size.messages_s:.2f}",
            str(size.largest_bytes),
            f"{size.in_view:.0f}",
        )
    Console().print(table)


def _print_convergence(result: convergence_bench.Result) -> None:
    click.echo("Seconds from the end of a partition until all agree.")
    table = plain_table("preset", "sites", "cut off", "for, s", "lost", "median", "longest", "retry")
    for case in result.cases:
        table.add_row(
            case.preset,
            str(case.sites),
            str(case.cut_off),
            f"{case.cut_s:.0f}",
            f"{case.lost:.0%}",
            f"{case.median_s:.1f}",
            f"{max(case.agreed_after_s):.1f}",
            f"{case.retry_s:.0f}",
        )
    Console().print(table)
    click.echo("lost: the part of all views that was unreachable by then.")
    click.echo("retry: the longest pause between two tries.")


def _print_simulator(result: simulator_bench.Result) -> None:
    click.echo(f"Bare events a second, beside SimPy {result.simpy or '(not installed)'}.")
    table = plain_table("processes", "events/s", "SimPy processes", "SimPy callbacks")
    for one in result.events:
        others = (one.simpy_process_events_s, one.simpy_callback_events_s)
        table.add_row(
            f"{one.processes:,}",
            f"{one.events_s:,.0f}",
            *("-" if other is None else f"{other:,.0f}" for other in others),
        )
    Console().print(table)
    click.echo("Whole sites. An hour of 1,000 at the same rate is to take 120 s at most.")
    table = plain_table("sites", "simulated, s", "took, s", "site hours/min", "1,000 x 1 h, s", "copies")
    for run in result.sites:
        table.add_row(
            f"{run.sites:,}",
            f"{run.simulated_s:,.0f}",
            f"{run.took_s:.1f}",
            f"{run.site_hours_per_minute:,.0f}",
            f"{run.wanted_takes_s:,.0f}",
            str(run.copies),
        )
    Console().print(table)
