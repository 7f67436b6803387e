"""``footloose testbed``: an internet in a box, kept up by one process and steered by others."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from footloose.cli.options import has_json
from footloose.cli.output import PlainConsole as Console
from footloose.cli.output import plain_table, print_json, print_json_line, said
from footloose.core.errors import LocalError
from footloose.testbed import Testbed, Topology, available, demo, icon, load, random, tree
from footloose.testbed.control import Order, TestbedView, ask, end, run_directory, running, serve

Command = TypeVar("Command", bound=Callable[..., object])

_READY_MADE: dict[str, Callable[[], Topology]] = {"icon": icon, "demo": demo, "tree": tree, "random": random}
_RUN = "import sys; from footloose.cli.main import run; sys.exit(run())"


def _has_name(command: Command) -> Command:
    """Give ``command`` the option ``--name``."""
    return click.option(
        "--name",
        default="default",
        envvar="FOOTLOOSE_TESTBED",
        show_default=True,
        metavar="NAME",
        help="Which testbed, where several are up.",
    )(command)


@click.group()
def testbed() -> None:
    """Build an internet in a box: hosts, routers, delays, losses and cuts on this machine."""


@testbed.command()
@has_json
def check(as_json: bool) -> int:
    """Say whether this machine can run one, and how."""
    found = available()
    if as_json:
        print_json({"available": bool(found), "namespaces": found.namespaces, "link": found.link, "why": found.why})
    else:
        click.echo(f"available {found.why}" if found else f"not available: {found.why}")
    return 0 if found else 1


@testbed.command()
@click.argument("topology", metavar="FILE|icon|demo|tree|random")
@_has_name
@click.option("--detach", is_flag=True, help="Leave it up in the background; end it with `down`.")
@click.option("--ready-to", type=int, hidden=True, help="Descriptor that is told once it is up.")
@has_json
def up(topology: str, name: str, detach: bool, ready_to: int | None, as_json: bool) -> int:
    """Bring a testbed up, from a file or ready-made, until Ctrl-C or `down`."""
    built = _READY_MADE[topology]() if topology in _READY_MADE else load(Path(topology))
    if detach:
        return _detached(topology, name, as_json)

    def ready(view: TestbedView) -> None:
        if ready_to is not None:
            with os.fdopen(ready_to, "wb") as told:
                told.write(msgspec.json.encode(view))
        elif as_json:
            print_json_line(view)
        else:
            _print(view)
            click.echo("Ctrl-C ends it.")

    with Testbed(built) as net:
        asyncio.run(serve(net, name, ready))
    return 0


@testbed.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_has_name
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(name: str, host: str, command: tuple[str, ...]) -> None:
    """Run a command inside a host: `footloose testbed exec HOST -- CMD...`."""
    view = ask(name, Order("show"))
    found = next((each for each in view.hosts if each.name == host), None)
    if found is None:
        known = ", ".join(each.name for each in view.hosts)
        raise LocalError(f"there is no host {host!r}", where=f"testbed {name}", fix=f"hosts are {known}")
    sys.stdout.flush()
    arguments = [*found.enter, *(command[1:] if command[0] == "--" else command)]
    os.execv(arguments[0], arguments)  # noqa: S606 - no shell is wanted


@testbed.command()
@click.argument("a")
@click.argument("b")
@_has_name
@has_json
def cut(a: str, b: str, name: str, as_json: bool) -> None:
    """Cut the link between two neighbours."""
    _report(ask(name, Order("cut", a, b)), as_json, f"cut {a} - {b}")


@testbed.command()
@click.argument("a")
@click.argument("b")
@_has_name
@has_json
def heal(a: str, b: str, name: str, as_json: bool) -> None:
    """Heal a link that was cut."""
    _report(ask(name, Order("heal", a, b)), as_json, f"healed {a} - {b}")


@testbed.command()
@_has_name
@has_json
def down(name: str, as_json: bool) -> None:
    """End a testbed, and all that runs in it."""
    _report(end(name), as_json, f"ended {name}")


@testbed.command("ls")
@has_json
def listing(as_json: bool) -> None:
    """List the testbeds that are up, and their hosts."""
    views = [ask(name, Order("show")) for name in running()]
    if as_json:
        print_json(views)
        return
    if not views:
        click.echo("no testbed is up: start one with `footloose testbed up demo`")
    for view in views:
        _print(view)


def _report(view: TestbedView, as_json: bool, done: str) -> None:
    if as_json:
        print_json(view)
    else:
        click.echo(done)


def _detached(topology: str, name: str, as_json: bool) -> int:
    """Start ``up`` as a process of its own session, and wait until it is up or has failed."""
    read, write = os.pipe()
    log = run_directory() / f"{name}.log"
    given = topology if topology in _READY_MADE else str(Path(topology).resolve())
    arguments = [sys.executable, "-c", _RUN, "testbed", "up", given, "--name", name, "--ready-to", str(write)]
    os.set_inheritable(write, True)
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    process = os.posix_spawn(sys.executable, arguments, os.environ, file_actions=streams, setsid=True)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        line = told.read()
    if not line:
        _, status = os.waitpid(process, 0)
        click.echo(log.read_text(errors="replace").strip(), err=True)
        return os.waitstatus_to_exitcode(status)
    view = msgspec.json.decode(line, type=TestbedView)
    if as_json:
        print_json_line(view)
    else:
        _print(view)
    return 0


def _print(view: TestbedView) -> None:
    console = Console()
    console.print(
        f"{view.name}: {view.topology}, {view.routers} routers, {len(view.hosts)} hosts, {len(view.links)} links"
    )
    table = plain_table("HOST", "ADDRESS", "ROLE", "REGION")
    for host in view.hosts:
        table.add_row(said(host.name), host.address, host.role, said(host.region))
    console.print(table)
    for a, b in view.cut:
        console.print(f"cut: {a} - {b}")
