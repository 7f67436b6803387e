"""Commands that put apps in place: validate, deploy, remove."""

from collections.abc import Mapping
from pathlib import Path

import click

from footloose.cli.admin import Admin
from footloose.cli.exits import Exit
from footloose.cli.names import find_app
from footloose.cli.options import asks_node, has_json
from footloose.cli.output import count, print_json
from footloose.core.identity import NodeId
from footloose.core.printable import printable
from footloose.model.app import App
from footloose.model.appfile import (
    AppFileError,
    Artifact,
    FileProblems,
    load_app_file,
    read_artifacts,
    schema_text,
    seal,
)
from footloose.placement.registry import placer_names
from footloose.runtimes.wasm.inspect import detect_kind

_app_file = click.argument("file", type=click.Path(path_type=Path))


def _print_schema(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(schema_text(), nl=False)
        context.exit()


@click.command()
@_app_file
@has_json
@click.option(
    "--schema", is_flag=True, is_eager=True, expose_value=False, callback=_print_schema, help="Print the JSON Schema."
)
def validate(file: Path, as_json: bool) -> None:
    """Check an app file and the modules it names."""
    try:
        app, _ = _read(file)
    except AppFileError as error:
        if not as_json:
            raise reported(error) from error
        print_json({"valid": False, "file": str(file), "problems": error.problems})
        raise click.exceptions.Exit(Exit.INVALID_FILE) from error
    if as_json:
        print_json({"valid": True, "file": str(file), "problems": []})
    else:
        click.echo(f"{printable(str(file))}: good, {count(len(app.services), 'service')}")


@click.command()
@_app_file
@asks_node
@has_json
def deploy(file: Path, admin: Admin, as_json: bool) -> None:
    """Deploy an app from its app file. Deploying it again replaces it."""
    try:
        app, artifacts = _read(file)
    except AppFileError as error:
        raise reported(error) from error
    for digest, content in {artifact.digest: artifact.content for artifact in artifacts.values()}.items():
        admin.put_artifact(digest, content)
    deployed = admin.deploy(app.name, app.services)
    if as_json:
        print_json(deployed)
        return
    click.echo(f"deployed {printable(deployed.app_id)}")
    for url in deployed.urls:
        click.echo(f"  {printable(url)}")


@click.command()
@click.argument("app")
@asks_node
@has_json
def remove(app: str, admin: Admin, as_json: bool) -> None:
    """Remove APP (its id or name), here and everywhere."""
    app_id = find_app(admin.view(), app)
    admin.remove(app_id)
    if as_json:
        print_json({"removed": app_id})
    else:
        click.echo(f"removed {printable(app_id)}")


def _read(file: Path) -> tuple[App, Mapping[str, Artifact]]:
    """The app in ``file``, its owner left to the node, and its modules by service."""
    draft = load_app_file(file, placements=placer_names())
    artifacts = read_artifacts(draft, detect_kind)
    return seal(draft, NodeId(""), artifacts), artifacts


def reported(error: FileProblems) -> click.exceptions.Exit:
    """Print what is wrong, one fault a line and its fix below; return how the command ends."""
    file = printable(error.file)
    for problem in error.problems:
        click.echo(printable(f"{problem.place(file)}: {problem.what}"), err=True)
        click.echo(printable(f"    fix: {problem.fix}"), err=True)
    click.echo(f"error: {count(len(error.problems), 'problem')} in {file}", err=True)
    return click.exceptions.Exit(Exit.INVALID_FILE)
