"""``footloose bench wasm`` and ``bench footprint``: what a request costs, and what a site keeps in memory."""

import asyncio
from pathlib import Path

import click
import msgspec

from footloose.bench import footprint as footprint_bench
from footloose.bench import wasm as wasm_bench
from footloose.cli.bench_show import say, show
from footloose.cli.options import has_json
from footloose.cli.output import PlainConsole, plain_table


@click.command()
@click.option("--seconds", default=4, show_default=True, type=click.IntRange(1, 600), help="Length of one round.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 100), help="Rounds of each server.")
@click.option("--connections", default=32, show_default=True, type=click.IntRange(1, 10_000), help="Users at a time.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Worker processes of ours.")
@click.option("--workerd", type=click.Path(path_type=Path), help="The program. Default: workerd on the PATH, if there.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the result to this file, as JSON.")
@has_json
def wasm(
    *, seconds: int, rounds: int, connections: int, workers: int, workerd: Path | None, out: Path | None, as_json: bool
) -> None:
    """What a request costs: a fresh WebAssembly instance each, beside workerd, Node.js, and nothing at all."""
    program = str(workerd.absolute()) if workerd is not None else None
    plan = wasm_bench.Plan(seconds, rounds, connections, workers, program)
    result = asyncio.run(wasm_bench.run(plan, say))
    result = msgspec.structs.replace(result, plan=msgspec.structs.replace(plan, workerd=None))
    show(result, out, as_json, _print)


def _print(result: wasm_bench.Result) -> None:
    console = PlainConsole()
    starts = plain_table("IN PROCESS", "P50 us", "P99 us", right=("P50 us", "P99 us"))
    for start in result.starts:
        starts.add_row(f"fresh {start.guest}", f"{start.p50_us:.1f}", f"{start.p99_us:.1f}")
    numbers = ("CPU us", "A CORE/s", "x WORKERD", "WITH WRK/s", "P50 ms", "P99 ms", "MB")
    table = plain_table("SERVER", *numbers, right=numbers)
    for row in result.rows:
        table.add_row(
            row.name,
            f"{row.cpu_us:.1f}",
            f"{row.core_requests_s:,.0f}",
            "-" if row.times_workerd is None else f"{row.times_workerd:.2f}",
            f"{row.requests_s:,.0f}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            f"{row.memory_mb:.0f}",
        )
    console.print(starts, "", table, sep="\n")
    for reason in result.skipped:
        click.echo(f"left out: {reason}")
    times, cpu_us = wasm_bench.WANTED_TIMES_WORKERD, wasm_bench.WANTED_CPU_US
    p50_us, p99_us = wasm_bench.WANTED_START_US
    click.echo(f"Bars: {times} x workerd, {cpu_us:.0f} us a request; in process {p50_us:.0f} and {p99_us:.0f} us.")


@click.command()
@click.option(
    "--services",
    multiple=True,
    default=(1_000, 10_000),
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="How many services nobody uses. May be repeated.",
)
@click.option("--asked", default=1_000, show_default=True, type=click.IntRange(1), help="Services that get a request.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the result to this file, as JSON.")
@has_json
def footprint(*, services: tuple[int, ...], asked: int, out: Path | None, as_json: bool) -> None:
    """What a site keeps in memory: idle, and with thousands of services nobody uses."""
    plan = footprint_bench.Plan(services, asked)
    show(asyncio.run(footprint_bench.run(plan, say)), out, as_json, _print_footprint)


def _print_footprint(result: footprint_bench.Result) -> None:
    numbers = ("WORKER MB", "TABLE MB", "APPLIED ms", "FIRST P50 ms", "P99 ms", "THEN WORKER MB")
    table = plain_table("SERVICES", *numbers, right=("SERVICES", *numbers))
    for row in result.rows:
        table.add_row(
            f"{row.services:,}",
            f"{row.worker_mb:.1f}",
            f"{row.table_mb:.1f}",
            f"{row.applied_ms:.0f}",
            f"{row.first_p50_ms:.2f}",
            f"{row.first_p99_ms:.2f}",
            f"{row.used_worker_mb:.1f}",
        )
    click.echo(f"Idle: node {result.node_mb:.1f} MB, worker {result.worker_mb:.1f} MB. More with idle services:")
    PlainConsole().print(table)
    wanted = footprint_bench
    click.echo(
        f"Bars: node {wanted.WANTED_NODE_MB:.0f}, worker {wanted.WANTED_WORKER_MB:.0f} MB;"
        f" {wanted.WANTED_SERVICES:,} services {wanted.WANTED_SERVICES_MB:.0f} MB, first request"
        f" {wanted.WANTED_FIRST_MS:.0f} ms (p99)."
    )
