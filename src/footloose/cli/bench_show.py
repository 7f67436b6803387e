"""What all benchmarks say and show in the same way."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from footloose.cli.output import print_json

Result = TypeVar("Result", bound=msgspec.Struct)


def say(text: str) -> None:
    """Tell of progress, beside the result."""
    click.echo(text, err=True)


def show(result: Result, out: Path | None, as_json: bool, table: Callable[[Result], None]) -> None:
    """Print a result as JSON or by ``table``, and write it to ``out`` if that is given."""
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    if as_json:
        print_json(result)
    else:
        table(result)
