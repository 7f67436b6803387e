"""How the demo looks in a terminal: what was done, users and their sites, the last decisions with their reasons."""

from collections.abc import Callable, Sequence
from itertools import islice
from statistics import fmean

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from footloose.cli.output import count, rtt, said
from footloose.demo.story import SiteStory, Story, UserStory
from footloose.model.decision import Decision

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-=+*%#"
_BARS_LEAST = 8
_BARS_MOST = 40
_CTRL_C_COLUMNS = 3
"""Left free at the end of lines: the terminal writes ^C there, which must not begin a new line."""
_STEPS_LEAST = 2
_DECISIONS_LEAST = 4
_DECISIONS_MOST = 12
_FOUND = {
    "dht": "found in the DHT",
    "dns": "found in the DNS",
    "static": "known beforehand",
    "members": "found among members",
    None: "not found",
}
_TOLD = frozenset({"discover", "choose", "deploy", "redirect", "retire"})
"""The steps that are shown: the others are too many to follow."""


class _Column(msgspec.Struct, frozen=True):
    """One column of figures: its heading, and what it says of a user."""

    heading: str
    cell: Callable[[UserStory], str]
    width: int


_FIGURES = (
    _Column("AT FIRST", lambda user: rtt(user.first_rtt_ms), 8),
    _Column("NOW", lambda user: rtt(user.rtt_ms), 8),
    _Column("BEST", lambda user: rtt(user.nearest_rtt_ms), 8),
)
_MOVED = _Column("MOVED AFTER", lambda user: "" if user.moved_after_s is None else f"{user.moved_after_s:.1f} s", 11)
_ERRORS = _Column("ERRORS", lambda user: str(len(user.errors)), 6)


def users_table(story: Story, width: int, *, rows: int | None = None, plain: bool = False) -> Table:
    """Users and who serves them, in ``width`` columns and at most ``rows`` lines below the heading."""
    users = list(story.users.values())
    shown = users if rows is None or len(users) <= rows else users[: max(0, rows - 1)]
    named = max(len("USER"), *(len(user.name) for user in users))
    sites = [story.home, *story.providers]
    served = max(len("SERVED BY"), *(len(site.name) for site in sites)) + 2
    columns = [*_FIGURES, *([_ERRORS] if story.errors else [])]
    left = width - named - served - sum(column.width + 2 for column in columns) - 6
    if left >= _BARS_LEAST + _MOVED.width + 2:
        columns.append(_MOVED)
        left -= _MOVED.width + 2
    bars = min(_BARS_MOST, left) if left >= _BARS_LEAST else 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("USER", no_wrap=True)
    table.add_column("SERVED BY", no_wrap=True)
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    if bars:
        table.add_column("ROUND TRIPS", no_wrap=True)
    for user in shown:
        cells = [Text(column.cell(user)) for column in columns]
        trips = [Text(_spark(user, bars, plain), style="cyan")] if bars else []
        table.add_row(said(user.name), _served(user, plain), *cells, *trips)
    if len(shown) < len(users):
        table.add_row(Text(f"and {len(users) - len(shown)} more", style="dim"))
    return table


def _served(user: UserStory, plain: bool) -> Text:
    if not user.site:
        return Text("-", style="dim")
    nearest = user.site == user.nearest
    tick = " *" if plain else " ✓"
    return said(user.site + (tick if nearest else ""), "green" if nearest else "yellow")


def _spark(user: UserStory, parts: int, plain: bool) -> str:
    """All round trips so far as bars, from left to right. A full bar is what it had at first, and anything above."""
    figures = user.history.in_parts(parts)
    top = user.first_rtt_ms or 1.0
    bars = _PLAIN_BARS if plain else _BARS
    return "".join(bars[min(7, int(8 * rtt_ms / top))] for rtt_ms in figures)


def decision_line(story: Story, decision: Decision, width: int) -> Text | None:
    """One decision in one line, or None for steps that are not shown."""
    subject, outcome = story.called(decision.subject), story.called(decision.outcome)
    if decision.step not in _TOLD or (decision.step == "choose" and subject in story.users):
        return None  # what is chosen for a user shows in where it is sent
    about = outcome if subject in (outcome, "") else f"{subject}: {outcome}"
    reason = decision.reason.removeprefix(f"{outcome} ").removeprefix(f"{subject} ")
    at = max(0.0, decision.at - story.began_at)
    line = Text(f"{at:5.1f} s  {decision.step:8}  ", style="dim")
    line.append_text(said(about, "not dim"))
    line.append_text(said(f" — {reason}" if reason else ""))
    line.truncate(width - _CTRL_C_COLUMNS, overflow="ellipsis")
    return line


class Screen:
    """The live view: always a little smaller than the terminal, so that nothing scrolls away."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._plain = not console.encoding.startswith("utf")
        self._steps: list[str] = []
        self._story: Story | None = None

    def step(self, text: str) -> None:
        """Something was done."""
        self._steps.append(text)

    def news(self, story: Story) -> None:
        """Something happened to a user, or was decided."""
        self._story = story

    def view(self) -> RenderableType:
        """The screen as of now: users first, then as many steps and decisions as there is room for."""
        width, height = self._console.size
        story, room = self._story, height - 1
        if story is None:
            return Group(*self._done(width, room))
        table = users_table(story, width, rows=max(1, room - _STEPS_LEAST - _DECISIONS_LEAST - 3), plain=self._plain)
        room -= len(table.rows) + 3
        steps = self._done(width, max(_STEPS_LEAST, room - _DECISIONS_LEAST))
        taken = sum(_lines(step, width) for step in steps)
        return Group(*steps, Text(), table, Text(), *self._decided(story, width, room - taken))

    def _done(self, width: int, most: int) -> Sequence[Text]:
        """The last steps that fit into so many lines."""
        tick = "*" if self._plain else "✓"
        steps: list[Text] = []
        for text in reversed(self._steps):
            step = Text(f"{tick} {text}", style="dim", overflow="fold")
            most -= _lines(step, width)
            if most < 0:
                break
            steps.append(step)
        return steps[::-1]

    def _decided(self, story: Story, width: int, most: int) -> Sequence[Text]:
        told = (decision_line(story, decision, width) for decision in reversed(story.decisions))
        lines = list(islice((line for line in told if line is not None), max(0, min(most, _DECISIONS_MOST))))
        return lines[::-1]


def _lines(text: Text, width: int) -> int:
    return -(-text.cell_len // width)


def how_found(site: SiteStory) -> str:
    """How the home came upon a site."""
    return _FOUND.get(site.found_by, f"found by {site.found_by}")


def verdict(story: Story) -> list[str]:
    """How it went, in a few lines."""
    users = list(story.users.values())
    lines = [f"error seen by a user: {error}" for error in story.errors]
    first = [user.first_rtt_ms for user in users if user.first_rtt_ms is not None]
    now = [user.rtt_ms for user in users if user.rtt_ms is not None]
    lines += [f"{site.name} was {how_found(site)}" for site in story.providers]
    if first and now:
        lines.append(f"round trip of a user on average: {fmean(first):.1f} ms at first, {fmean(now):.1f} ms now")
    if story.first_redirect_s is not None:
        lines.append(f"first user moved {story.first_redirect_s:.1f} s after the app was deployed")
    errors = count(len(story.errors), "error")
    lines.append(f"{story.settled} of {len(users)} users are settled at their nearest site; {errors} seen by users")
    return lines
