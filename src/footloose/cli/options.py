"""Options that many commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from footloose.cli.admin import Admin

Command = TypeVar("Command", bound=Callable[..., Any])


def default_socket() -> Path:
    """Where a node started by this user listens, unless it was told otherwise."""
    state = os.environ.get("FOOTLOOSE_STATE")
    return (Path(state) if state else Path.home() / ".local/state/footloose") / "run/admin.sock"


def asks_node(command: Command) -> Command:
    """Give ``command`` the option ``--socket`` and, as its argument ``admin``, the node found there."""
    return click.option(
        "--socket",
        "admin",
        envvar="FOOTLOOSE_SOCKET",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="The node's admin socket. Default: $FOOTLOOSE_STATE/run/admin.sock.",
        callback=lambda _context, _option, path: Admin(path or default_socket()),
    )(command)


def has_json(command: Command) -> Command:
    """Give ``command`` the option ``--json``, as its argument ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)
