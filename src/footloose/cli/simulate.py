"""``footloose simulate``: whole sites in virtual time, under faults, from seeds."""

import os
from pathlib import Path

import click

from footloose.cli.app import reported
from footloose.cli.exits import Exit
from footloose.cli.options import has_json
from footloose.cli.output import count, print_json
from footloose.cli.simulate_runs import Simulation
from footloose.core.printable import printable
from footloose.placement.registry import placer_names
from footloose.simulation.campaign import WORLD, Job
from footloose.simulation.places import check_places
from footloose.simulation.scenario import Scenario
from footloose.simulation.scenario_file import ScenarioError, load_scenario, scenario_names, scenario_schema
from footloose.simulation.schedule_file import load_schedule

MOST_RUNS = 1_000_000
"""Most runs at once; a soak makes more."""


def _seeds(_context: click.Context, _option: click.Parameter, text: str | None) -> range | None:
    """``1..100``: the seeds from one to another, both of them too."""
    if text is None:
        return None
    first, dots, last = text.partition("..")
    if not (dots and first.isascii() and last.isascii() and first.isdecimal() and last.isdecimal()):
        raise click.BadParameter(f"{text!r} is not of the form 1..100")
    if not int(first) <= int(last) < int(first) + MOST_RUNS:
        raise click.BadParameter(f"{text!r} is not from a lesser to a greater seed, {MOST_RUNS} of them at most")
    return range(int(first), int(last) + 1)


def _print_schema(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(scenario_schema(), nl=False)
        context.exit()


@click.command()
@click.argument("files", metavar="[FILE]", nargs=-1)
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Which run.  [default: 1]")
@click.option("--seeds", metavar="A..B", callback=_seeds, help="Many runs: these seeds.")
@click.option("--jobs", type=click.IntRange(1, 512), metavar="N", help="Processes.  [default: one for each processor]")
@click.option("--schedule", "faults", type=click.Path(path_type=Path), metavar="PATH", help="Faults, as saved before.")
@click.option("--record", type=click.Path(path_type=Path), metavar="PATH", help="Write what sites show, for --play.")
@click.option("--no-shrink", is_flag=True, help="Tell what went wrong without looking for the faults it needs.")
@click.option(
    "--save",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=".",
    metavar="FOLDER",
    help="Where the faults of a run that goes wrong are saved.  [default: here]",
)
@click.option("--check", is_flag=True, help="Only say whether the file is good.")
@click.option(
    "--schema", is_flag=True, is_eager=True, expose_value=False, callback=_print_schema, help="Print the JSON Schema."
)
@click.option("--soak", is_flag=True, help="Fresh seeds until Ctrl-C; without FILE, of all that come along.")
@click.option("--runs", type=click.IntRange(1), metavar="N", help="End a soak after so many runs.")
@click.option("--play", type=click.Path(path_type=Path), metavar="PATH", help="Show a recording on a page instead.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8700, show_default=True, help="With --play: where the page is."
)
@click.option(
    "--speed",
    type=click.FloatRange(0.01, 1000),
    default=10.0,
    show_default=True,
    help="With --play: seconds of the run in a second.",
)
@click.option("--world", default=WORLD, hidden=True, help="Where the function is that plays a run.")
@has_json
def simulate(
    *,
    files: tuple[str, ...],
    seed: int | None,
    seeds: range | None,
    jobs: int | None,
    faults: Path | None,
    record: Path | None,
    no_shrink: bool,
    save: Path,
    check: bool,
    soak: bool,
    runs: int | None,
    play: Path | None,
    port: int,
    speed: float,
    world: str,
    as_json: bool,
) -> int:
    """Run whole sites in virtual time, under faults, and check that they keep what they promise.

    FILE is a scenario file, or the name of a scenario that comes with Footloose: clocks, crowd, disks,
    healing, promise or storm. A run follows from its file and its seed alone. When one goes wrong, the faults it needs
    are looked for and saved, and what happened is told.
    """
    if play is not None:
        from footloose.cli.simulate_play import show  # noqa: PLC0415  the page is not needed for anything else

        return show(play, port, speed)
    _check_usage(files, seed=seed, seeds=seeds, faults=faults, record=record, soak=soak, runs=runs)
    names = files or scenario_names()
    scenarios = [_scenario(name, as_json) for name in names]
    if check:
        _say_good(names[0], scenarios[0], as_json)
        return Exit.OK
    simulation = Simulation(world, jobs or os.cpu_count() or 1, save, no_shrink or faults is not None, as_json)
    if soak:
        return simulation.soak(dict(zip(names, scenarios, strict=True)), runs)
    if faults is not None:
        known = load_schedule(faults, scenarios[0])
        job = Job(known.smaller.of(scenarios[0]), known.seed if seed is None else seed, known.faults)
        return simulation.play([job], names[0], record, known.checker)
    wanted = seeds if seeds is not None else (1 if seed is None else seed,)
    return simulation.play([Job(scenarios[0], each) for each in wanted], names[0], record)


def _check_usage(
    files: tuple[str, ...],
    *,
    seed: int | None,
    seeds: range | None,
    faults: Path | None,
    record: Path | None,
    soak: bool,
    runs: int | None,
) -> None:
    """Raises :class:`click.UsageError` for options that do not go together."""
    if not files and not soak:
        raise click.UsageError(f"give a scenario file, or one of {', '.join(scenario_names())}")
    if len(files) > 1 and not soak:
        raise click.UsageError("more than one file is for --soak")
    if runs is not None and not soak:
        raise click.UsageError("--runs is for --soak; --seeds says how many otherwise")
    if soak and any(each is not None for each in (seed, seeds, faults, record)):
        raise click.UsageError("a soak draws its own seeds: it goes with no --seed, --seeds, --schedule or --record")
    if seeds is not None and any(each is not None for each in (seed, faults, record)):
        raise click.UsageError("--seeds makes many runs; --seed, --schedule and --record are about one")


def _scenario(name: str, as_json: bool) -> Scenario:
    try:
        scenario = load_scenario(name, placements=placer_names())
    except ScenarioError as error:
        if not as_json:
            raise reported(error) from error
        print_json({"valid": False, "file": name, "problems": error.problems})
        raise click.exceptions.Exit(Exit.INVALID_FILE) from error
    check_places(scenario)
    return scenario


def _say_good(name: str, scenario: Scenario, as_json: bool) -> None:
    if as_json:
        print_json({"valid": True, "file": name, "problems": []})
        return
    users = sum(entry.count + (entry.crowd.count if entry.crowd else 0) for entry in scenario.users)
    what = ", ".join((count(len(scenario.sites), "site"), count(len(scenario.apps), "app"), count(users, "user")))
    click.echo(f"{printable(name)}: good, {what}, {scenario.duration_s:g} s")
