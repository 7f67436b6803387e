"""``footloose bench dht`` and ``bench coordinates``: how sites find each other, in virtual time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from footloose.bench import coordinates as coordinates_bench
from footloose.bench import dht as dht_bench
from footloose.bench.rtt_data import data_directory
from footloose.cli.bench_show import say, show
from footloose.cli.options import has_json
from footloose.cli.output import PlainConsole, plain_table

Command = TypeVar("Command", bound=Callable[..., Any])

SIZES = (10, 100, 1_000, 10_000)
QUICK_SIZES = (10, 40)


def measures_in_virtual_time(command: Command) -> Command:
    """Give ``command`` the options that these benchmarks share."""
    options = [
        click.option(
            "--data",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Folder with the measured round trips. Default: ../shared/data beside the repository.",
        ),
        click.option("--seed", default=1, show_default=True, type=int, help="The run follows from it."),
        click.option("--quick", is_flag=True, help="Small and short: to see that it runs, not for figures."),
        click.option("--out", type=click.Path(path_type=Path), help="Also write the result to this file, as JSON."),
        has_json,
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.option(
    "--nodes",
    multiple=True,
    type=click.IntRange(2, 50_000),
    metavar="N",
    help=f"Nodes of a network; may be given again. Default: {', '.join(map(str, SIZES))}.",
)
@click.option(
    "--churn", default=0.2, show_default=True, type=click.FloatRange(0, 10), help="Part that crashes an hour."
)
@click.option("--loss", default=0.05, show_default=True, type=click.FloatRange(0, 0.9), help="Part of datagrams lost.")
@measures_in_virtual_time
def dht(
    *,
    nodes: tuple[int, ...],
    churn: float,
    loss: float,
    data: Path | None,
    seed: int,
    quick: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """How far, how long and how surely the DHT finds a site."""
    sizes = nodes or (QUICK_SIZES if quick else SIZES)
    plans = dht_bench.plans(sizes, quick=quick, churn_per_hour=churn, loss=loss)
    on = dht_bench.delays(data_directory(data), say)
    show(dht_bench.run(plans, on, seed, say), out, as_json, _print_dht)


@click.command()
@click.option("--rounds", default=720, show_default=True, type=click.IntRange(4, 100_000), help="Probes of each host.")
@measures_in_virtual_time
def coordinates(*, rounds: int, data: Path | None, seed: int, quick: bool, out: Path | None, as_json: bool) -> None:
    """How far network coordinates help to find the nearest site."""
    hosts, rounds = (40, min(rounds, 80)) if quick else (0, rounds)
    result = coordinates_bench.run(data_directory(data), rounds, seed, say, hosts=hosts)
    show(result, out, as_json, _print_coordinates)


def _print_dht(result: dht_bench.Result) -> None:
    click.echo(
        f"Look-ups in the DHT. Delays: {result.delays}. Churn {result.churn_per_hour:.0%} an hour, "
        f"loss {result.loss:.0%}, seed {result.seed}."
    )
    table = plain_table("nodes", "N", "found", "trips", "p95", "ms", "p95", "end", "p95", "ms", "asked", "sent/s")
    for row in result.rows:
        table.add_row(
            str(row.nodes),
            str(row.lookups),
            f"{row.success:.2%}",
            f"{row.found_round_trips_p50:.0f}",
            f"{row.found_round_trips_p95:.0f}",
            f"{row.found_ms_p50:.0f}",
            f"{row.found_ms_p95:.0f}",
            f"{row.ended_round_trips_p50:.0f}",
            f"{row.ended_round_trips_p95:.0f}",
            f"{row.ended_ms_p50:.0f}",
            f"{row.requests_mean:.1f}",
            f"{row.sent_per_node_s:.1f}",
        )
    PlainConsole().print(table)
    click.echo("trips, ms: until the site is found, median. end: until the look-up is over. sent/s: by one node.")


def _print_coordinates(result: coordinates_bench.Result) -> None:
    click.echo("Error of predicted round trips; ms over the truly nearest with so many probes. p50 / p90.")
    probes = [str(each) for each in coordinates_bench.PROBES]
    table = plain_table("data", "rounds", "error", *probes)
    for row in result.rows:
        extra = [f"{row.extra_p50_ms[each]:.1f} / {row.extra_p90_ms[each]:.1f}" for each in probes]
        table.add_row(row.data, str(row.rounds), f"{row.error_p50:.0%} / {row.error_p90:.0%}", *extra)
    PlainConsole().print(table)
    click.echo("0 probes: the nearest by coordinates alone.")
