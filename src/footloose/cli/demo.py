"""``footloose demo``: the main job, shown in a terminal and on a page."""

import asyncio
import time
from pathlib import Path

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from footloose.cli.exits import Exit
from footloose.cli.options import has_json
from footloose.cli.output import print_json
from footloose.core.errors import LocalError
from footloose.demo.run import Demo, Plan
from footloose.demo.story import Story, UserStory
from footloose.testbed import available, load
from footloose.testbed import demo as demo_network

_BARS = "▁▂▃▄▅▆▇█"
_DECISIONS_SHOWN = 8
_REDRAW_S = 0.25


@click.command()
@click.option("--seconds", default=90.0, show_default=True, help="Give up after this long.")
@click.option("--page-port", default=8600, show_default=True, help="Port of this machine for the page; 0 for none.")
@click.option("--topology", type=click.Path(exists=True, path_type=Path), help="Another network (see `testbed`).")
@click.option("--stay", is_flag=True, help="Go on after all users have settled, until Ctrl-C.")
@click.option("--headless", is_flag=True, help="Print lines instead of a live view, and serve no page.")
@has_json
def demo(*, seconds: float, page_port: int, topology: Path | None, stay: bool, headless: bool, as_json: bool) -> int:
    """Build an internet in a box and watch an app follow its users."""
    able = available()
    if not able:
        raise LocalError(f"no internet in a box here: {able.why}", where="demo", fix="run it as root")
    plan = Plan(
        topology=load(topology) if topology is not None else demo_network(),
        seconds=seconds,
        page_port=0 if headless or as_json else page_port,
        stay=stay,
    )
    quiet = headless or as_json or not Console().is_terminal
    story = asyncio.run(_plainly(plan, as_json=as_json) if quiet else _live(plan))
    if as_json:
        print_json(_report(story))
    else:
        Console().print(_table(story))
        click.echo(_verdict(story))
    return Exit.OK if story.good else Exit.FAILED


async def _plainly(plan: Plan, *, as_json: bool) -> Story:
    began = time.monotonic()
    told: dict[str, str] = {}

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - began:6.1f} s  {text}", err=as_json)

    def changed(story: Story) -> None:
        for user in story.users.values():
            if user.site and told.get(user.name) != user.site and user.rtt_ms is not None:
                told[user.name] = user.site
                say(f"{user.name} is served by {user.site}: {user.rtt_ms:.1f} ms")

    return await Demo(plan, say, changed).run()


async def _live(plan: Plan) -> Story:
    steps: list[str] = []
    drawn_at = 0.0
    with Live(auto_refresh=False, vertical_overflow="visible") as live:

        def draw(story: Story | None) -> None:
            parts: list[Text | Table] = [Text(step, style="dim") for step in steps]
            if story is not None:
                parts += [_table(story), *_decisions(story)]
            live.update(Group(*parts), refresh=True)

        def say(text: str) -> None:
            steps.append(text)
            draw(None)

        def changed(story: Story) -> None:
            nonlocal drawn_at
            if time.monotonic() - drawn_at > _REDRAW_S:
                drawn_at = time.monotonic()
                draw(story)

        return await Demo(plan, say, changed).run()


def _table(story: Story) -> Table:
    table = Table(title="users and the sites that serve them")
    for name in ("user", "served by", "nearest site", "at first", "now", "nearest possible", "moved after", "errors"):
        table.add_column(name, justify="left" if name in ("user", "served by", "nearest site") else "right")
    table.add_column("round trips")
    for user in story.users.values():
        style = "green" if user.site == user.nearest else "yellow"
        table.add_row(
            user.name,
            Text(user.site, style=style),
            user.nearest,
            _ms(user.first_rtt_ms),
            Text(_ms(user.rtt_ms), style=style),
            _ms(user.nearest_rtt_ms),
            "" if user.moved_after_s is None else f"{user.moved_after_s:.1f} s",
            str(len(user.errors)),
            _spark(user),
        )
    return table


def _decisions(story: Story) -> list[Text]:
    return [
        Text(f"{one.step:>9}  {one.subject[:18]:18}  {one.outcome}: {one.reason}", style="dim", overflow="ellipsis")
        for one in list(story.decisions)[-_DECISIONS_SHOWN:]
    ]


def _spark(user: UserStory) -> str:
    top = max(user.recent_ms, default=1.0)
    return "".join(_BARS[min(7, int(8 * rtt_ms / top))] for rtt_ms in list(user.recent_ms)[-20:])


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} ms"


def _verdict(story: Story) -> str:
    lines = [f"error seen by a user: {error}" for error in story.errors]
    settled = sum(user.settled for user in story.users.values())
    lines.append(
        f"{settled} of {len(story.users)} users are at their nearest site; {len(story.errors)} errors seen by users"
    )
    if story.first_redirect_s is not None:
        lines.append(f"first user moved {story.first_redirect_s:.1f} s after users came")
    return "\n".join(lines)


def _report(story: Story) -> dict[str, object]:
    return {
        "good": story.good,
        "first_redirect_s": story.first_redirect_s,
        "errors": story.errors,
        "users": [
            {
                "user": user.name,
                "site": user.site,
                "nearest": user.nearest,
                "first_rtt_ms": user.first_rtt_ms,
                "rtt_ms": user.rtt_ms,
                "nearest_rtt_ms": user.nearest_rtt_ms,
                "moved_after_s": user.moved_after_s,
                "settled": user.settled,
            }
            for user in story.users.values()
        ],
    }
