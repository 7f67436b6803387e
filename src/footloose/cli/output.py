"""Printing for people and for programs."""

import os
import sys
from datetime import datetime

import click
import msgspec
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from footloose.core.codec import encode
from footloose.core.printable import printable

PIPED_COLUMNS = 200
"""How wide output to a file or a pipe may be, unless ``COLUMNS`` says otherwise: nothing should wrap there."""


class PlainConsole(Console):
    """A console that prints what it is given, no markup, and lets a closed pipe end the command."""

    def __init__(self) -> None:
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_COLUMNS
        super().__init__(highlight=False, markup=False, emoji=False, width=width)

    def on_broken_pipe(self) -> None:
        """Raise, so that the command ends as a closed pipe ends any."""
        raise BrokenPipeError


def print_json(value: object) -> None:
    """Print one JSON document, indented, keys sorted."""
    click.echo(msgspec.json.format(encode(value).decode(), indent=2))


def print_json_line(value: object) -> None:
    """Print one JSON document on one line, at once."""
    click.echo(encode(value).decode())


def said(text: str, style: str = "") -> Text:
    """Text from elsewhere as a cell or line."""
    return Text(printable(text), style=style)


def plain_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table without lines, its long cells folded, columns in ``right`` set to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in right else "left")
    return table


def indented(content: RenderableType, *, space_above: int = 0) -> Padding:
    """``content`` two columns to the right."""
    return Padding(content, (space_above, 0, 0, 2), expand=False)


def moment(at: float, now: float) -> str:
    """Local time of day of ``at``, with the date if it is another day than ``now``."""
    when = datetime.fromtimestamp(at).astimezone()
    today = datetime.fromtimestamp(now).astimezone().date()
    return when.strftime("%H:%M:%S" if when.date() == today else "%Y-%m-%d %H:%M:%S")


def span(seconds: float) -> str:
    """A length of time in its largest unit, as ``40s``, ``3m``, ``2h`` or ``4d``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"


def count(number: int, what: str) -> str:
    """``1 service``, ``2 services``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def rtt(ms: float | None) -> str:
    """A round trip, or a hyphen if unknown."""
    return "-" if ms is None else f"{ms:.1f} ms"
