"""Commands that print what comes, as it comes: logs, events."""

import time
from collections.abc import Mapping

import click

from footloose.cli.admin import Admin
from footloose.cli.names import named, site_names
from footloose.cli.options import asks_node, has_json
from footloose.cli.output import PlainConsole, moment, print_json_line, said
from footloose.core.codec import decode
from footloose.core.limits import ADMIN_ANSWER_BYTES
from footloose.model.decision import Decision
from footloose.model.view import View


@click.command()
@click.argument("app")
@click.option("--follow", "-f", is_flag=True, help="Go on printing what comes; end with Ctrl-C.")
@asks_node
@has_json
def logs(app: str, follow: bool, admin: Admin, as_json: bool) -> None:
    """Print what the guests of APP (its id or name) logged, oldest first."""
    console = PlainConsole()
    for entry in admin.logs(app, follow=follow):
        if as_json:
            print_json_line(entry)
            continue
        for line in entry.text.splitlines() or [""]:
            console.print(
                said(f"{moment(entry.at, time.time())}  {entry.service.partition('/')[2]}  {line}"), soft_wrap=True
            )


@click.command()
@asks_node
@has_json
def events(admin: Admin, as_json: bool) -> None:
    """Print decisions as they are made, and how much is running when that changes; end with Ctrl-C."""
    printer = _JsonEvents() if as_json else _EventLines()
    for event in admin.events():
        if event.name == "decision":
            printer.decision(decode(event.data, Decision, where="event", limit=ADMIN_ANSWER_BYTES))
        elif event.name == "view":
            printer.view(decode(event.data, View, where="event", limit=ADMIN_ANSWER_BYTES))


class _JsonEvents:
    """Every event as one line of JSON."""

    def decision(self, decision: Decision) -> None:
        print_json_line({"event": "decision", "data": decision})

    def view(self, view: View) -> None:
        print_json_line({"event": "view", "data": view})


class _EventLines:
    """A line for each decision, and one for the view whenever its counts change."""

    def __init__(self) -> None:
        self._console = PlainConsole()
        self._names: Mapping[str, str] = {}
        self._counts = ""

    def decision(self, decision: Decision) -> None:
        when = moment(decision.at, time.time())
        text = f"{when}  {decision.service.partition('/')[2]}  {decision.step} {decision.subject}: {decision.outcome}"
        self._print(f"{text} ({decision.reason})")

    def view(self, view: View) -> None:
        self._names = site_names(view)
        services = len({entry.service for entry in view.services})
        copies = sum(entry.site != view.node for entry in view.services)
        counts = f"services: {services}, copies: {copies}, user prefixes: {len(view.users)}, sites: {len(view.sites)}"
        if counts != self._counts:
            self._print(f"{moment(view.at, time.time())}  {view.name}  {counts}")
        self._counts = counts

    def _print(self, text: str) -> None:
        self._console.print(said(named(text, self._names)), soft_wrap=True)
