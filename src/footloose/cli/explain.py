"""The command explain: why users were sent where they are."""

import ipaddress
from collections.abc import Iterable, Mapping
from itertools import groupby

import click
from rich.console import Group, RenderableType

from footloose.cli.admin import Admin
from footloose.cli.names import named, site_names
from footloose.cli.options import asks_node, has_json
from footloose.cli.output import PlainConsole, indented, moment, plain_table, print_json, said
from footloose.core.errors import RemoteError
from footloose.core.limits import DECISIONS_KEPT
from footloose.model.decision import Decision
from footloose.model.network import Prefix, prefix_of

_LEAST_TIME = 1e9
"""Floats from here on are points of time (2001 and later): no delay, price or share is as large."""


def _prefix(_: click.Context, __: click.Parameter, address: str | None) -> Prefix | None:
    try:
        return prefix_of(address) if address is not None else None
    except RemoteError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.argument("app")
@click.option("--service", help="Only this service of the app.")
@click.option(
    "--user", "prefix", metavar="ADDRESS", callback=_prefix, help="Only what led the user at this address where it is."
)
@click.option(
    "--limit", type=click.IntRange(1, DECISIONS_KEPT), default=200, show_default=True, help="How many decisions."
)
@asks_node
@has_json
def explain(app: str, service: str | None, prefix: Prefix | None, limit: int, admin: Admin, as_json: bool) -> None:
    """Say why users of APP (its id or name) were sent where they are.

    Decisions are grouped by what they are about, a user prefix or a site; what was decided last stands last. With
    --user they are those of one prefix and of the sites considered for it, in order of time.
    """
    asked = limit if prefix is None else DECISIONS_KEPT
    decisions = sorted(admin.explain(app, service=service, limit=asked), key=lambda decision: decision.at)
    view = admin.view()
    names = site_names(view)
    if prefix is not None:
        decisions = _about_users(decisions, prefix, names)[-limit:]
    if as_json:
        print_json(decisions)
        return
    console = PlainConsole()
    if not decisions:
        console.print(said(f"nothing was decided about {prefix or app} yet"))
    known = {**names, **{entry.url: names.get(entry.site, entry.site_name) for entry in view.services if entry.url}}
    for number, (name, of_service) in enumerate(groupby(sorted(decisions, key=_service_of), key=_service_of)):
        console.print(*([""] if number else []), said(name, "bold"), sep="\n")
        groups = _by_subject(of_service) if prefix is None else [(prefix, list(of_service))]
        for subject, about in groups:
            console.print(indented(_group(subject, about, known, view.at), space_above=1))


def _service_of(decision: Decision) -> str:
    return decision.service


def _about_users(decisions: list[Decision], prefix: Prefix, names: Mapping[str, str]) -> list[Decision]:
    """Decisions about users of ``prefix``, and about sites that were measured or chosen for them."""
    own = [decision for decision in decisions if decision.subject == prefix]
    considered = {decision.outcome for decision in own} | {str(decision.inputs.get("site")) for decision in own}
    considered |= {node for node, name in names.items() if name in considered}
    return [decision for decision in decisions if decision.subject == prefix or decision.subject in considered]


def _by_subject(decisions: Iterable[Decision]) -> Iterable[tuple[str, list[Decision]]]:
    groups: dict[str, list[Decision]] = {}
    for decision in decisions:
        groups.setdefault(decision.subject, []).append(decision)
    return sorted(groups.items(), key=lambda group: group[1][-1].at)


def _group(subject: str, about: list[Decision], names: Mapping[str, str], now: float) -> RenderableType:
    """A heading with how it stands, and the decisions; those about something else say what."""
    last = [decision for decision in about if decision.subject == subject][-1:] or about[-1:]
    standing = f" — now: {last[0].step}: {named(last[0].outcome, names)}"
    table = plain_table("TIME", "STEP", "OUTCOME")
    for decision in about:
        text = said(f"{_kind_of(decision.subject, names)}: " if decision.subject != subject else "")
        text.append(said(named(decision.outcome, names), "bold")).append(said(f" — {named(decision.reason, names)}"))
        if decision.inputs:
            text.append("\n").append(said(_inputs(decision.inputs, names, now), "dim"))
        table.add_row(moment(decision.at, now), said(decision.step), text)
    return Group(said(_kind_of(subject, names), "bold").append(said(standing)), indented(table))


def _kind_of(subject: str, names: Mapping[str, str]) -> str:
    try:
        ipaddress.ip_network(subject)
    except ValueError:
        site = names.get(subject)
        return f"site {site}" if site is not None else subject
    return f"users in {subject}"


def _inputs(inputs: Mapping[str, object], names: Mapping[str, str], now: float) -> str:
    return ", ".join(f"{name}={named(_figure(value, now), names)}" for name, value in inputs.items())


def _figure(value: object, now: float) -> str:
    """An input in few characters: figures to what matters, points of time as such."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_figure(item, now)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_figure(item, now) for item in value) + "]"
    if isinstance(value, float):
        return moment(value, now) if value >= _LEAST_TIME else f"{value:.4g}"
    return "-" if value is None else str(value)
