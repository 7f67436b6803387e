"""The entry point: finds the command, and turns errors into one line and an exit code."""

import importlib
import importlib.util
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click
import msgspec

from footloose import __version__
from footloose.cli.exits import Exit, exit_code_of
from footloose.core.errors import FootlooseError
from footloose.core.printable import printable


class CommandPlace(msgspec.Struct, frozen=True):
    """Where a command is defined, and its help in one line; so that listing commands imports none of them."""

    module: str
    attribute: str
    help: str


COMMANDS: Mapping[str, CommandPlace] = {
    "validate": CommandPlace("footloose.cli.app", "validate", "Check an app file and the modules it names."),
    "deploy": CommandPlace("footloose.cli.app", "deploy", "Deploy an app from its app file."),
    "remove": CommandPlace("footloose.cli.app", "remove", "Remove an app, here and everywhere."),
    "status": CommandPlace("footloose.cli.show", "status", "Show the node and its workers."),
    "ps": CommandPlace("footloose.cli.show", "ps", "List services and where they run."),
    "sites": CommandPlace("footloose.cli.show", "sites", "List the sites this one knows."),
    "members": CommandPlace("footloose.cli.show", "members", "List who is alive as this site sees it."),
    "topology": CommandPlace("footloose.cli.show", "topology", "Show the routes to users as a tree."),
    "explain": CommandPlace("footloose.cli.explain", "explain", "Say why users were sent where they are."),
    "logs": CommandPlace("footloose.cli.stream", "logs", "Print what an app's guests logged."),
    "events": CommandPlace("footloose.cli.stream", "events", "Print decisions as they are made."),
    "move": CommandPlace("footloose.cli.steer", "move", "Send all users of a service to one site."),
    "drain": CommandPlace("footloose.cli.steer", "drain", "Send a site's copies home; take no new ones."),
    "restart": CommandPlace("footloose.cli.steer", "restart", "Replace the workers; no request is lost."),
    "node": CommandPlace("footloose.cli.node", "node", "Run a site."),
    "demo": CommandPlace("footloose.cli.demo", "demo", "Show it all in an internet in a box."),
    "simulate": CommandPlace("footloose.cli.simulate", "simulate", "Run sites in virtual time, under faults."),
    "testbed": CommandPlace("footloose.cli.testbed", "testbed", "Build an internet in a box."),
    "bench": CommandPlace("footloose.cli.bench", "bench", "Measure."),
}


class LazyGroup(click.Group):
    """A group that imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click calls it so)
        """The commands whose modules are installed, in the order of the table."""
        return [name for name, place in COMMANDS.items() if importlib.util.find_spec(place.module) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  (the same)
        """The command called ``cmd_name``, imported now."""
        place = COMMANDS.get(cmd_name)
        if place is None or importlib.util.find_spec(place.module) is None:
            return None
        command: click.Command = getattr(importlib.import_module(place.module), place.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="footloose")
def footloose() -> None:
    """Applications that follow their users."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (this process's own by default); return the exit code."""
    try:
        answer: Any = footloose.main(arguments, prog_name="footloose", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # What is left in the buffer must not fail once more when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.BROKEN_PIPE
    except FootlooseError as error:
        _report(error)
        return exit_code_of(error)
    return answer if isinstance(answer, int) else Exit.OK


def _report(error: FootlooseError) -> None:
    """What was wrong and where on one line, what to do about it on the next."""
    where = f"{error.where}: " if error.where else ""
    what = "\n".join(printable(line) for line in (where + error.what).splitlines())
    click.echo(f"error: {what}", err=True)
    if error.fix:
        click.echo(f"    fix: {printable(error.fix)}", err=True)


def main() -> NoReturn:
    """Run this process's command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode still shows the rest
    sys.exit(run())
