"""Commands that ask a node to do what it would not have done by itself: move, drain, restart."""

import click

from footloose.cli.admin import Admin
from footloose.cli.names import find_service, find_site, site_names
from footloose.cli.options import asks_node, has_json
from footloose.cli.output import print_json
from footloose.core.printable import printable


@click.command()
@click.argument("service")
@click.option("--to", "site", metavar="SITE", help="The site to move to (its name or id).")
@asks_node
@has_json
def move(service: str, site: str | None, admin: Admin, as_json: bool) -> None:
    """Send all users of SERVICE (its id, app/service, or just its name) to one site.

    The site may refuse; `footloose explain` says what came of it. Without --to, users are followed again.
    """
    view = admin.view()
    service_id = find_service(view, service)
    node = find_site(view, site) if site is not None else None
    admin.move(service_id, node)
    if as_json:
        print_json({"service": service_id, "site": node})
    elif node is None:
        click.echo(printable(f"{service_id} follows its users again"))
    else:
        click.echo(printable(f"asked to move {service_id} to {site_names(view)[node]}"))


@click.command()
@click.argument("site", required=False)
@click.option("--resume", is_flag=True, help="Take it back: copies may go there again.")
@asks_node
@has_json
def drain(site: str | None, resume: bool, admin: Admin, as_json: bool) -> None:
    """Send the copies at SITE (its name or id) home and place no new ones there. Default: this node's own site."""
    view = admin.view()
    node = find_site(view, site) if site is not None else view.node
    admin.drain(node if node != view.node else None, resume=resume)
    name = site_names(view)[node]
    if as_json:
        print_json({"site": node, "resume": resume})
    else:
        click.echo(printable(f"{name} takes copies again" if resume else f"draining {name}"))


@click.command()
@asks_node
@has_json
def restart(admin: Admin, as_json: bool) -> None:
    """Replace this node's workers one after another while users are served: no request is lost.

    A worker is told to finish only when the one in its place serves. WebSockets are asked to connect again.
    """
    replaced = [worker.index for worker in admin.status().workers]
    for index in replaced:
        admin.replace_worker(index)
        if not as_json:
            click.echo(f"worker {index} is replaced")
    if as_json:
        print_json({"replaced": replaced})
