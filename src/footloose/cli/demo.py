"""``footloose demo``: the main job, shown in a terminal and on a page."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.live import Live

from footloose.cli.demo_screen import Screen, how_found, users_table, verdict
from footloose.cli.exits import Exit
from footloose.cli.options import has_json
from footloose.cli.output import PlainConsole, print_json
from footloose.demo.ground import Box, Ground, Loopback
from footloose.demo.plan import Plan
from footloose.demo.report import report
from footloose.demo.run import Demo, Say
from footloose.demo.story import Story
from footloose.testbed import available, load
from footloose.testbed import demo as demo_network

PAGE_PORT = 8600
DNS_ONLY = frozenset({"west-site"})
"""Of the demo's own network: the site that only the DNS knows of."""
_DRAWN_PER_S = 5
_TABLE_COLUMNS = 100


@click.command()
@click.option(
    "--seconds", default=90.0, show_default=True, type=click.FloatRange(min=1), help="Give up after this long."
)
@click.option(
    "--page-port",
    type=click.IntRange(0, 65535),
    help=f"Port of this machine for the page; 0 for none.  [default: {PAGE_PORT}, none with --headless and --json]",
)
@click.option(
    "--topology",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another network: a topology file with one home, and sites and users.",
)
@click.option("--stay", is_flag=True, help="Go on after all users have settled, until Ctrl-C.")
@click.option("--headless", is_flag=True, help="Print lines instead of a live view, and serve no page.")
@click.option("--loopback", is_flag=True, help="Do without network namespaces, as where there are none.")
@has_json
def demo(
    *,
    seconds: float,
    page_port: int | None,
    topology: Path | None,
    stay: bool,
    headless: bool,
    loopback: bool,
    as_json: bool,
) -> int:
    """Build an internet in a box and watch an app follow its users.

    Without the right to make network namespaces it makes do with loopback addresses and a relay, and says what is then
    not real.
    """
    console = PlainConsole()
    lines = headless or as_json or not console.is_terminal
    plan = Plan(
        topology=load(topology) if topology is not None else demo_network(),
        seconds=seconds,
        page_port=page_port if page_port is not None else 0 if headless or as_json else PAGE_PORT,
        stay=stay,
        dns_only=DNS_ONLY if topology is None else frozenset(),
    )
    ground = _ground(plan, loopback=loopback, as_json=as_json)
    story, interrupted = asyncio.run(_in_lines(plan, ground, as_json) if lines else _live(plan, ground, console))
    if as_json:
        print_json(report(story, plan.topology.name, tuple(ground.not_real)))
    else:
        width = min(console.width, _TABLE_COLUMNS)
        plain = not console.encoding.startswith("utf")
        console.print("", users_table(story, width, plain=plain), "", *verdict(story), sep="\n")
    if interrupted and not stay:
        return Exit.INTERRUPTED
    return Exit.OK if story.good else Exit.FAILED


def _ground(plan: Plan, *, loopback: bool, as_json: bool) -> Ground:
    able = available()
    if able and not loopback:
        return Box(plan.topology)
    ground = Loopback(plan.topology)
    why = "as asked for" if loopback else able.why
    click.echo(f"without network namespaces ({why}); not real therefore:", err=as_json)
    for what in ground.not_real:
        click.echo(f"  - {what}", err=as_json)
    return ground


async def _in_lines(plan: Plan, ground: Ground, as_json: bool) -> tuple[Story, bool]:
    began = time.monotonic()
    served_by: dict[str, str] = {}
    told: set[str] = set()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - began:6.1f} s  {text}", err=as_json)

    def once(text: str) -> None:
        if text not in told:
            told.add(text)
            say(text)

    def changed(story: Story) -> None:
        for site in story.providers:
            if site.found_by is not None:
                once(f"{site.name} was {how_found(site)}")
            if site.copy is not None:
                once(f"{site.name} runs a copy ({site.copy})")
        for user in story.users.values():
            if user.site and served_by.get(user.name) != user.site:
                before = f", no longer by {served_by[user.name]}" if user.name in served_by else ""
                served_by[user.name] = user.site
                say(f"{user.name} is served by {user.site}{before}: {user.rtt_ms:.1f} ms")

    return await _until_over(plan, ground, say, changed)


async def _live(plan: Plan, ground: Ground, console: PlainConsole) -> tuple[Story, bool]:
    screen = Screen(console)
    with Live(console=console, get_renderable=screen.view, refresh_per_second=_DRAWN_PER_S, transient=True):
        return await _until_over(plan, ground, screen.step, screen.news)


async def _until_over(plan: Plan, ground: Ground, say: Say, changed: Callable[[Story], None]) -> tuple[Story, bool]:
    """Run it; the story, and whether it was ended by Ctrl-C or SIGTERM. Raises KeyboardInterrupt if there is none."""
    demo = Demo(plan, ground, say, changed)
    task = asyncio.ensure_future(demo.run())
    interrupted = asyncio.Event()

    def interrupt() -> None:
        interrupted.set()
        if not demo.end():
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    try:
        return await task, interrupted.is_set()
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
