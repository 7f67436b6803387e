"""``footloose bench``: measure, beside what others published."""

from pathlib import Path

import click
import msgspec
from rich.console import Console

from footloose.bench.switch import Bench, Result
from footloose.cli.bench_simulated import convergence, membership, simulator
from footloose.cli.options import has_json
from footloose.cli.output import plain_table, print_json
from footloose.core.errors import LocalError
from footloose.testbed import available


@click.group()
def bench() -> None:
    """Measure, beside what others published or what physics allows."""


for command in (simulator, membership, convergence):
    bench.add_command(command)


@bench.command()
@click.option("--samples", default=30, show_default=True, type=click.IntRange(2, 1000), help="Samples of each case.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the result to this file, as JSON.")
@has_json
def switch(*, samples: int, out: Path | None, as_json: bool) -> None:
    """How long a user waits to be switched to a nearer site: direct, hot and cold."""
    able = available()
    if not able:
        raise LocalError(f"no internet in a box here: {able.why}", where="bench switch", fix="run it as root")
    result = Bench(samples, lambda text: click.echo(text, err=True)).run()
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    if as_json:
        print_json(result)
    else:
        _print(result)


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
