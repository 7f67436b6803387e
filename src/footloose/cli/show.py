"""Commands that show how things are: status, ps, sites, members, topology."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

import click
from rich.console import RenderableType
from rich.tree import Tree

from footloose.cli.admin import Admin
from footloose.cli.names import site_names
from footloose.cli.options import asks_node, has_json
from footloose.cli.output import PlainConsole, count, indented, plain_table, print_json, rtt, said, span
from footloose.core.identity import short
from footloose.model.view import View, ViewMembers, ViewNode, ViewRegion, ViewService, ViewUser


@click.command()
@asks_node
@has_json
def status(admin: Admin, as_json: bool) -> None:
    """Show the node and its workers."""
    found = admin.status()
    if as_json:
        print_json(found)
        return
    facts = plain_table("", "")
    facts.show_header = False
    for name, value in (
        *(("site", found.name), ("node", found.node), ("version", found.version), ("up", span(found.uptime_s))),
        *(("gateway", found.gateway), ("api", found.api), ("draining", found.draining or "no")),
        *([("conflict", found.conflict)] if found.conflict else []),
    ):
        facts.add_row(name, said(value))
    for loss in (found.loss or "").splitlines():
        facts.add_row("lost", said(loss))
    workers = plain_table("WORKER", "PID", "RESTARTS", "SANDBOX", right=("PID", "RESTARTS"))
    for worker in found.workers:
        pid = "-" if worker.pid is None else str(worker.pid)
        lacks = "; ".join(f"without {lack}" for lack in worker.lacks)
        sandbox = said(lacks) if lacks else "whole" if worker.sandbox else "none"
        workers.add_row(str(worker.index), pid, str(worker.restarts), sandbox)
    PlainConsole().print(facts, "", workers, sep="\n")


@click.command()
@asks_node
@has_json
def ps(admin: Admin, as_json: bool) -> None:
    """List services and where they run."""
    view = admin.view()
    if as_json:
        print_json({"at": view.at, "node": view.node, "name": view.name, "services": view.services})
        return
    console = PlainConsole()
    if not view.services:
        console.print("no services run here; deploy one with `footloose deploy FILE`")
    entries = sorted(
        view.services, key=lambda entry: (entry.service, entry.role != "home", entry.site_name, entry.site)
    )
    for number, (service, places) in enumerate(groupby(entries, key=lambda entry: entry.service)):
        running = list(places)
        console.print(*([""] if number else []), said(service, "bold"), sep="\n")
        console.print(indented(said(running[0].url, "dim")))
        console.print(indented(_places(running, view.at)))


def _places(running: list[ViewService], now: float) -> RenderableType:
    right = ("USERS", "REQUESTS", "AGE", "LEASE")
    table = plain_table("SITE", "ROLE", "STATE", *right, right=right)
    for entry in running:
        lease = "-" if entry.lease_ends_at is None else span(entry.lease_ends_at - now)
        table.add_row(
            *(said(entry.site_name or short(entry.site)), said(entry.role), said(entry.state)),
            *(str(entry.users), str(entry.requests), span(now - entry.since), lease),
        )
    return table


@click.command()
@asks_node
@has_json
def sites(admin: Admin, as_json: bool) -> None:
    """List the sites this one knows, nearest first."""
    view = admin.view()
    if as_json:
        print_json({"at": view.at, "node": view.node, "name": view.name, "sites": view.sites})
        return
    table = plain_table(
        "SITE", "STATE", "RTT", "PRICE/H", "REGION", "RUNS", "FOUND BY", "GATEWAY", right=("RTT", "RUNS")
    )
    names = site_names(view)
    for site in sorted(view.sites, key=lambda site: (site.state != "self", _or_last(site.rtt_ms), site.node)):
        found_by = said(" ".join(site.sources) or "-")
        table.add_row(
            *(said(names[site.node]), said(site.state), rtt(site.rtt_ms), f"{site.price_per_hour:g}"),
            *(said(site.region or "-"), str(len(site.services)), found_by, said(site.gateway)),
        )
    PlainConsole().print(table)


@click.command()
@click.option("--regions", is_flag=True, help="Whole regions in sums instead, far ones too.")
@asks_node
@has_json
def members(admin: Admin, as_json: bool, regions: bool) -> None:
    """List who is alive as this site sees it, nearest first."""
    seen = admin.members()
    if as_json:
        about = {"regions": seen.regions} if regions else {"members": seen.members}
        print_json({"at": seen.at, "node": seen.node, "name": seen.name, **about})
        return
    console = PlainConsole()
    if regions:
        console.print(_regions(seen.regions))
    elif seen.members:
        console.print(_members(seen))
    else:
        console.print("no other member is known; see `footloose node --join` and `--site`")


def _members(seen: ViewMembers) -> RenderableType:
    right = ("SINCE", "RTT", "DISTANCE", "LOAD")
    table = plain_table("SITE", "STATE", "SINCE", "RTT", "DISTANCE", "REGION", "DOMAIN", "LOAD", right=right)
    for member in sorted(seen.members, key=lambda one: (_or_last(one.rtt_ms), _or_last(one.distance_ms), one.node)):
        table.add_row(
            *(said(member.name or short(member.node)), said(member.state), span(seen.at - member.since)),
            *(rtt(member.rtt_ms), rtt(member.distance_ms), said(member.region or "-"), said(member.domain or "-")),
            f"{member.load_percent} %" if member.capacity else "-",
        )
    return table


def _regions(regions: Iterable[ViewRegion]) -> RenderableType:
    right = ("SITES", "DOMAINS", "CAPACITY", "FREE")
    table = plain_table("REGION", *right, "COUNTED", right=right)
    for region in sorted(regions, key=lambda one: one.region):
        sums = (region.sites, region.domains, region.capacity, region.free)
        counted = "all" if region.complete else "so far"
        table.add_row(said(region.region or "-"), *(f"{amount:.0f}" for amount in sums), counted)
    return table


def _or_last(ms: float | None) -> float:
    return float("inf") if ms is None else ms


@click.command()
@asks_node
@has_json
def topology(admin: Admin, as_json: bool) -> None:
    """Show the routes from this site to its users as a tree."""
    view = admin.view()
    if as_json:
        print_json({"at": view.at, "node": view.node, "name": view.name, "nodes": view.nodes, "users": view.users})
        return
    PlainConsole().print(_tree(view))


def _tree(view: View) -> Tree:
    """The traced tree. What hangs from nothing known hangs from the root, and nothing is shown twice."""
    known = {point.id for point in view.nodes}
    children: dict[str | None, list[ViewNode]] = {}
    for point in sorted(view.nodes, key=lambda point: _or_last(point.rtt_ms)):
        children.setdefault(point.parent if point.parent in known else None, []).append(point)
    names, users = site_names(view), _users_by_prefix(view)
    top = Tree(said(view.name, "bold"))
    shown: set[str] = set()
    waiting = [(top, point) for point in [*children.get(None, []), *view.nodes]]
    while waiting:
        branch, point = waiting.pop(0)
        if point.id in shown:
            continue
        shown.add(point.id)
        twig = top if point.kind == "site" else branch.add(said("  ".join(_described(point, names))))
        for user in users.get(point.id, []):
            twig.add(said(_served(user, names)))
        waiting[:0] = [(twig, child) for child in children.get(point.id, [])]
    return top


def _described(point: ViewNode, names: Mapping[str, str]) -> Iterator[str]:
    yield point.label or point.id
    if point.rtt_ms is not None:
        yield rtt(point.rtt_ms)
    if point.sites:
        yield "sites: " + ", ".join(names.get(site, short(site)) for site in point.sites)


def _users_by_prefix(view: View) -> Mapping[str, list[ViewUser]]:
    users: dict[str, list[ViewUser]] = {}
    for user in view.users:
        users.setdefault(user.prefix, []).append(user)
    return users


def _served(user: ViewUser, names: Mapping[str, str]) -> str:
    before = f", {rtt(user.first_rtt_ms)} at first" if user.first_rtt_ms is not None else ""
    where = names.get(user.site, short(user.site))
    return f"{user.service}: {count(user.requests, 'request')}, served at {where}, {rtt(user.rtt_ms)}{before}"
