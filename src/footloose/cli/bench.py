"""``footloose bench``: measure, beside what others published."""

from pathlib import Path

import click
from rich.console import Console

from footloose.bench import recovery as recovery_bench
from footloose.bench.switch import Bench, Result
from footloose.cli.bench_found import coordinates, dht
from footloose.cli.bench_show import say, show
from footloose.cli.bench_simulated import convergence, membership, simulator
from footloose.cli.bench_wasm import footprint, wasm
from footloose.cli.options import has_json
from footloose.cli.output import plain_table
from footloose.core.errors import LocalError
from footloose.testbed import available


@click.group()
def bench() -> None:
    """Measure, beside what others published or what physics allows."""


for command in (dht, coordinates, membership, convergence, simulator, wasm, footprint):
    bench.add_command(command)


@bench.command()
@click.option("--samples", default=30, show_default=True, type=click.IntRange(2, 1000), help="Samples of each case.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the result to this file, as JSON.")
@has_json
def switch(*, samples: int, out: Path | None, as_json: bool) -> None:
    """How long a user waits to be switched to a nearer site: direct, hot and cold."""
    _check("bench switch")
    show(Bench(samples, say).run(), out, as_json, _print)


@bench.command()
@click.option("--samples", default=20, show_default=True, type=click.IntRange(1, 1000), help="Samples of each number.")
@click.option(
    "--services",
    "assignments",
    multiple=True,
    default=(1, 10, 50),
    show_default=True,
    type=click.IntRange(1, 100),
    help="How many services the site runs. May be repeated.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the result to this file, as JSON.")
@has_json
def recovery(*, samples: int, assignments: tuple[int, ...], out: Path | None, as_json: bool) -> None:
    """How soon a site that lost its power serves again all it ran, cut off from everybody."""
    _check("bench recovery")
    show(recovery_bench.Bench(samples, assignments, say).run(), out, as_json, _print_recovery)


def _check(where: str) -> None:
    able = available()
    if not able:
        raise LocalError(f"no internet in a box here: {able.why}", where=where, fix="run it as root")


def _print_recovery(result: recovery_bench.Result) -> None:
    click.echo("From the start of a site's node, cut off, until all its services serve again, in ms.")
    table = plain_table("services", "N", "first", "mean", "median", "p95", "stdev", "bar")
    for row in result.rows:
        table.add_row(
            str(row.assignments),
            str(len(row.samples_ms)),
            f"{row.first_ms:.0f}",
            f"{row.mean_ms:.0f}",
            f"{row.median_ms:.0f}",
            f"{row.p95_ms:.0f}",
            f"{row.stdev_ms:.0f}",
            f"{result.bar_ms:.0f}",
        )
    Console().print(table)
    click.echo(
        f"Beside it: python alone {result.python_ms:.0f} ms, python that imports a node {result.import_ms:.0f} ms,"
        f" a module found compiled {result.cache_hit_ms:.1f} ms. Load before: {result.load_before:g}."
    )


def _print(result: Result) -> None:
    rtts = ", ".join(f"{name} {ms:.0f} ms" for name, ms in result.rtts_ms.items())
    click.echo(f"Switch of a user to a nearer site, in ms. Round trips: {rtts}.")
    table = plain_table("case", "N", "mean", "median", "p95", "stdev", "bound", "published", "faster by")
    for row in result.rows:
        table.add_row(
            row.case,
            str(len(row.samples_ms)),
            f"{row.mean_ms:.0f}",
            f"{row.median_ms:.0f}",
            f"{row.p95_ms:.0f}",
            f"{row.stdev_ms:.0f}",
            f"{row.bound_ms:.0f}",
            f"{row.published_ms:.0f}",
            f"{row.published_ms / row.mean_ms:.1f} x",
        )
    Console().print(table)
    click.echo("bound: from the round trips alone. published: ICON Python Orchestrator, table 4.1, N=1000.")
