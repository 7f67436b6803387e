"""Each command asks the node the right thing and prints what it is told."""

import io
import sys
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from cli_fake_node import (
    APP,
    AT,
    DECISIONS,
    HOME,
    LOGS,
    MEMBERS,
    MUNICH,
    OSLO,
    SITES,
    SOUTH,
    STATUS,
    VIEW,
    WEB,
    FakeNode,
    other_app,
)
from cli_ran import Cli

from footloose import __version__
from footloose.cli.exits import Exit
from footloose.cli.main import run
from footloose.core.digest import digest_of
from footloose.model.app import App, GuestKind, Service
from footloose.model.decision import Decision
from footloose.model.routing import GuestLog
from footloose.model.view import ViewNode, ViewService

HANDLER = Path(__file__).parents[2] / "src/footloose/samples/hello/hello_handler.wasm"


@pytest.fixture
def app_file(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/hello.wasm").write_bytes(HANDLER.read_bytes())
    path = tmp_path / "app/compose.yaml"
    path.write_text("name: hello\nservices:\n  one: {image: ./hello.wasm}\n  two: {image: ./hello.wasm}\n")
    return path


def test_deploying_hands_over_each_module_once_and_then_the_app(node: FakeNode, cli: Cli, app_file: Path) -> None:
    ran = cli("deploy", str(app_file))
    digest = digest_of(HANDLER.read_bytes())
    assert ran.code == 0, ran.err
    assert [(call.method, call.target) for call in node.calls] == [
        ("PUT", f"/v1/artifacts/{digest}"),
        ("POST", "/v1/apps"),
    ]
    sent = msgspec.json.decode(node.calls[1].body)
    services = tuple(Service(name=name, artifact=digest, guest=GuestKind.HANDLER) for name in ("one", "two"))
    assert sent["name"] == "hello"
    assert msgspec.convert(sent["services"], tuple[Service, ...]) == services
    app_id = App("hello", HOME, services).app_id
    urls = [f"http://10.1.0.1:8080/{app_id}/{name}/" for name in ("one", "two")]
    assert ran.out.split() == ["deployed", app_id, *urls]


def test_what_a_node_lost_of_its_state_is_shown_line_by_line(node: FakeNode, cli: Cli) -> None:
    assert "lost" not in cli("status").out
    node.answers["/v1/status"] = (200, msgspec.json.encode({**STATUS, "loss": "a record\na data\x1bbase"}))
    rows = [line.rstrip().split(maxsplit=1) for line in cli("status").out.splitlines() if line.startswith("lost")]
    assert rows == [["lost", "a record"], ["lost", "a data\\x1bbase"]]


def test_deploying_a_bad_file_asks_the_node_nothing(node: FakeNode, cli: Cli, app_file: Path) -> None:
    app_file.write_text(app_file.read_text().replace("one:", "o ne:").replace("two: {", "two: {ports: [], "))
    ran = cli("deploy", str(app_file))
    assert ran.code == Exit.INVALID_FILE
    assert node.calls == []
    assert ran.out == ""
    lines = ran.err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"{app_file}:3:3",
        "    fix",
        f"{app_file}:4:9",
        "    fix",
        "error",
    ]
    assert lines[-1] == f"error: 2 problems in {app_file}"


def test_validate_says_what_is_wrong_with_a_module(cli: Cli, app_file: Path) -> None:
    (app_file.parent / "hello.wasm").write_bytes(b"\0asm\1\0\0\0")
    ran = cli("validate", str(app_file))
    assert ran.code == Exit.INVALID_FILE
    assert f"{app_file}:3:16: services.one.image: " in ran.err
    assert "footloose_handle" in ran.err


def test_a_good_file_is_said_to_be_good_without_a_node(cli: Cli, app_file: Path) -> None:
    assert cli("validate", str(app_file)).out == f"{app_file}: good, 2 services\n"
    assert msgspec.json.decode(cli("validate", "--json", str(app_file)).out) == {
        "valid": True,
        "file": str(app_file),
        "problems": [],
    }


def test_validate_knows_the_placement_algorithms(cli: Cli, app_file: Path) -> None:
    app_file.write_text("name: a\nservices: {web: {image: ./hello.wasm, x-footloose: {placement: greddy}}}")
    ran = cli("validate", "--json", str(app_file))
    assert ran.code == Exit.INVALID_FILE
    (problem,) = msgspec.json.decode(ran.out)["problems"]
    assert problem["fix"] == "did you mean `greedy`?"


def test_the_schema_is_printed_without_a_file(cli: Cli) -> None:
    ran = cli("validate", "--schema")
    assert ran.code == 0
    assert msgspec.json.decode(ran.out)["title"] == "Footloose app file"


def test_an_app_is_removed_by_its_name(node: FakeNode, cli: Cli) -> None:
    assert cli("remove", "pulse").out == f"removed {APP}\n"
    assert (node.calls[-1].method, node.calls[-1].target) == ("DELETE", f"/v1/apps/{APP}")


def test_a_name_that_fits_two_apps_is_refused_with_the_choices(node: FakeNode, cli: Cli) -> None:
    other, entry = other_app()
    node.view = msgspec.structs.replace(VIEW, services=(*VIEW.services, entry))
    ran = cli("remove", "pulse")
    assert ran.code == Exit.FAILED
    assert "error: 'pulse' may be any of 2 apps" in ran.err
    assert APP in ran.err
    assert other in ran.err
    assert cli("remove", APP).code == 0


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (["remove", "puls"], "did you mean 'pulse'?"),
        (["move", "xyz"], "`footloose ps` lists them"),
        (["move", "web", "--to", "munchen"], "did you mean 'munich'?"),
        (["drain", "xyz"], "`footloose sites` lists them"),
    ],
)
def test_a_name_that_fits_nothing_is_refused_with_a_hint(
    node: FakeNode, cli: Cli, arguments: list[str], fix: str
) -> None:
    ran = cli(*arguments)
    assert ran.code == Exit.FAILED
    assert fix in ran.err
    assert {call.method for call in node.calls} == {"GET"}


@pytest.mark.parametrize("service", ["web", "pulse/web", WEB])
def test_a_service_is_moved_by_any_of_its_names(node: FakeNode, cli: Cli, service: str) -> None:
    assert cli("move", service, "--to", "munich").code == 0
    assert msgspec.json.decode(node.calls[-1].body) == {"service": WEB, "site": MUNICH}


def test_a_site_without_members_is_told_how_to_find_some(node: FakeNode, cli: Cli) -> None:
    node.members = msgspec.structs.replace(MEMBERS, members=())
    assert "no other member is known" in cli("members").out
    assert msgspec.json.decode(cli("members", "--json").out)["members"] == []


def test_a_member_that_calls_itself_what_confuses_a_terminal_is_shown_harmless(node: FakeNode, cli: Cli) -> None:
    evil = msgspec.structs.replace(MEMBERS.members[0], region="\x1b[31m", domain="a\nb")
    node.members = msgspec.structs.replace(MEMBERS, members=(evil,))
    out = cli("members").out
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2


def test_a_site_that_is_absent_is_shown_as_such_within_80_columns(node: FakeNode, cli: Cli) -> None:
    oslo = msgspec.structs.replace(SITES[2], state="unreachable", absent_since=AT - 60)
    node.view = msgspec.structs.replace(VIEW, sites=(*SITES[:2], oslo))
    out = cli("sites").out
    assert "unreachable" in out
    assert max(map(len, out.splitlines())) <= 80


def test_an_identity_in_use_twice_is_shown_with_what_to_do(node: FakeNode, cli: Cli) -> None:
    assert "conflict" not in cli("status").out
    node.answers["/v1/status"] = (200, msgspec.json.encode({**STATUS, "conflict": "in use twice: stop one of the two"}))
    assert "conflict  in use twice: stop one of the two" in cli("status").out


def test_moving_without_a_site_leaves_it_to_the_node(node: FakeNode, cli: Cli) -> None:
    assert "follows its users again" in cli("move", "web").out
    assert msgspec.json.decode(node.calls[-1].body) == {"service": WEB, "site": None}


@pytest.mark.parametrize(("site", "asked"), [([], None), (["berlin"], None), (["munich"], MUNICH), ([OSLO], OSLO)])
def test_draining_names_the_site_or_means_this_one(
    node: FakeNode, cli: Cli, site: list[str], asked: str | None
) -> None:
    assert cli("drain", *site).code == 0
    asked_for = {"site": asked, "resume": False}
    assert (node.calls[-1].target, msgspec.json.decode(node.calls[-1].body)) == ("/v1/drain", asked_for)


def test_a_drained_site_can_be_taken_back(node: FakeNode, cli: Cli) -> None:
    assert cli("drain", "munich", "--resume").out == "munich takes copies again\n"
    assert msgspec.json.decode(node.calls[-1].body) == {"site": MUNICH, "resume": True}


def test_every_worker_is_replaced_in_turn(node: FakeNode, cli: Cli) -> None:
    ran = cli("restart", "--json")
    replaced = msgspec.json.decode(ran.out)["replaced"]
    assert [call.target for call in node.calls[1:]] == [f"/v1/workers/{index}/replace" for index in replaced]
    assert replaced


def test_a_refusal_is_told_in_the_words_of_the_node(node: FakeNode, cli: Cli) -> None:
    ran = cli("move", "web", "--to", "oslo")
    assert ran.code == Exit.REFUSED
    assert ran.err == "error: refused by the node: oslo refuses: no capacity left\n    fix: choose another site\n"


def test_explain_for_programs_is_the_decisions_in_order_of_time(node: FakeNode, cli: Cli) -> None:
    ran = cli("explain", "pulse", "--json")
    assert msgspec.json.decode(ran.out, type=tuple[Decision, ...]) == DECISIONS


def test_explain_passes_on_what_is_asked(node: FakeNode, cli: Cli) -> None:
    cli("explain", "pulse", "--service", "web", "--limit", "3")
    assert node.calls[0].target == "/v1/explain/pulse?limit=3&service=web"


def test_explain_for_a_user_has_its_prefix_and_the_sites_considered_for_it(node: FakeNode, cli: Cli) -> None:
    ran = cli("explain", "pulse", "--user", "10.2.0.77", "--json")
    found = msgspec.json.decode(ran.out, type=tuple[Decision, ...])
    assert {decision.subject for decision in found} == {SOUTH, MUNICH}
    assert cli("explain", "pulse", "--user", "10.9.9.9").out == "nothing was decided about 10.9.9.0/24 yet\n"


def test_explain_limits_what_it_shows_of_a_user_and_not_what_it_looks_through(node: FakeNode, cli: Cli) -> None:
    ran = cli("explain", "pulse", "--user", "10.2.0.77", "--limit", "2", "--json")
    assert [decision["step"] for decision in msgspec.json.decode(ran.out)] == ["deploy", "redirect"]


def test_a_user_must_be_an_address(node: FakeNode, cli: Cli) -> None:
    ran = cli("explain", "pulse", "--user", "bob")
    assert ran.code == Exit.USAGE
    assert "'bob' is not an IP address" in ran.err


def test_logs_are_printed_line_by_line_or_as_json_lines(node: FakeNode, cli: Cli) -> None:
    when = datetime.fromtimestamp(AT - 10).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    ran = cli("logs", "pulse")
    assert ran.out.splitlines()[1:] == [f"{when}  web  counting: 100", f"{when}  web  counting: 120"]
    assert node.calls[-1].target == "/v1/logs/pulse?follow=0"
    ran = cli("logs", "pulse", "--follow", "--json")
    assert tuple(msgspec.json.decode(line, type=GuestLog) for line in ran.out.splitlines()) == LOGS
    assert node.calls[-1].target == "/v1/logs/pulse?follow=1"


def test_events_are_one_json_document_a_line_and_unknown_ones_are_skipped(node: FakeNode, cli: Cli) -> None:
    lines = [msgspec.json.decode(line) for line in cli("events", "--json").out.splitlines()]
    assert [line["event"] for line in lines] == ["view", "decision", "decision", "view"]
    assert msgspec.convert(lines[1]["data"], Decision) == DECISIONS[-2]


def test_a_view_without_news_is_not_printed_again(node: FakeNode, cli: Cli) -> None:
    assert cli("events").out.count("user prefixes") == 1


def test_a_stream_that_breaks_off_is_told_apart_from_one_that_ends(node: FakeNode, cli: Cli) -> None:
    node.break_streams = True
    ran = cli("logs", "pulse")
    assert ran.code == Exit.UNREACHABLE
    assert "counting: 120" in ran.out
    assert "the answer broke off" in ran.err


def test_text_from_elsewhere_cannot_steer_the_terminal(node: FakeNode, cli: Cli) -> None:
    evil = "\x1b[2J\u202eevil[bold]"
    entry = msgspec.structs.replace(VIEW.services[1], site_name=evil, state=evil, url=evil)
    site = msgspec.structs.replace(VIEW.sites[1], name=evil, gateway=evil, region=evil)
    node.view = msgspec.structs.replace(VIEW, name=evil, services=(entry,), sites=(site,))
    node.answers[f"/v1/logs/{APP}"] = (200, msgspec.json.encode(GuestLog(AT, WEB, evil)) + b"\n")
    for arguments in (["ps"], ["sites"], ["topology"], ["explain", "pulse"], ["logs", APP], ["events"]):
        ran = cli(*arguments)
        assert ran.code == 0, ran.err
        assert all(line.isprintable() for line in ran.out.splitlines()), arguments
    assert "[bold]" in cli("sites").out


def test_a_tree_of_nonsense_is_shown_once_each(node: FakeNode, cli: Cli) -> None:
    points = [("a", "b"), ("b", "a"), ("c", "nowhere"), ("d", "c"), ("d", "c"), ("e", "e")]
    nodes = tuple(ViewNode(name, "router", f"router-{name}", parent) for name, parent in points)
    node.view = msgspec.structs.replace(VIEW, nodes=nodes, users=())
    ran = cli("topology")
    assert sorted(word for word in ran.out.split() if word.startswith("router-")) == [
        f"router-{name}" for name in "abcde"
    ]


def test_an_empty_site_says_how_to_begin(node: FakeNode, cli: Cli) -> None:
    node.view = msgspec.structs.replace(VIEW, services=())
    assert "deploy one with" in cli("ps").out
    node.answers["/v1/explain/pulse"] = (200, b"[]")
    assert cli("explain", "pulse").out == "nothing was decided about pulse yet\n"


def test_what_goes_into_a_pipe_is_not_wrapped(node: FakeNode, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://10.1.0.1:8080/" + "x" * 100
    node.view = msgspec.structs.replace(VIEW, services=(ViewService(WEB, HOME, "berlin", "home", "running", url, AT),))
    assert url not in cli("ps").out
    monkeypatch.delenv("COLUMNS")
    ran = cli("ps")
    assert url in ran.out
    assert "\x1b" not in ran.out


def test_a_reader_that_goes_away_ends_the_command_quietly(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    class ClosedPipe(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return spare.fileno()

    with Path(__file__).open("rb") as spare:
        monkeypatch.setattr(sys, "stdout", ClosedPipe())
        assert run(["ps"]) == Exit.BROKEN_PIPE
        assert run(["ps", "--json"]) == Exit.BROKEN_PIPE


def test_the_version_is_told(cli: Cli) -> None:
    assert cli("--version").out == f"footloose, version {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["ps", "--nonsense"], ["remove"], ["explain", "a", "--limit", "0"]]
)
def test_a_wrong_command_line_is_refused_as_such(cli: Cli, arguments: list[str]) -> None:
    ran = cli(*arguments)
    assert ran.code == Exit.USAGE
    assert "Usage: footloose" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--price", "nan"],
        ["--price", "inf"],
        ["--max-leases", "-1"],
        ["--gateway-port", "0"],
        ["--api-port", "70000"],
        ["--deny", "someone"],
        ["--join", "192.0.2.1"],
    ],
)
def test_a_site_is_not_started_on_terms_nobody_could_mean(cli: Cli, arguments: list[str], tmp_path: Path) -> None:
    ran = cli("node", "--state", str(tmp_path / "site"), *arguments)
    assert ran.code == Exit.USAGE
    assert f"Invalid value for '{arguments[0]}'" in ran.err
    assert not (tmp_path / "site").exists()
