"""The client of the admin API, when the other side is not as it should be."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cli_fake_node import STATUS, FakeNode, fake_node
from cli_ran import Cli
from hypothesis import given
from hypothesis import strategies as st

from footloose.cli import admin as admin_module
from footloose.cli.admin import Admin
from footloose.cli.exits import Exit, Unreachable
from footloose.cli.options import default_socket
from footloose.cli.sse import Event, read_events
from footloose.core.errors import LimitExceeded, RemoteError
from footloose.model.app import AppId
from footloose.transport.problems import Refused


@contextmanager
def answering(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """A server that hands its one connection to ``answer``."""
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with closing(connection):
                connection.recv(65536)
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join()


def test_where_no_node_runs_the_error_says_how_to_start_one(tmp_path: Path, cli: Cli) -> None:
    ran = cli("ps", "--socket", str(tmp_path / "none.sock"))
    assert ran.code == Exit.UNREACHABLE
    assert f"error: node at {tmp_path / 'none.sock'}: no node is running there" in ran.err
    assert "footloose node" in ran.err


def test_a_socket_nobody_listens_at_any_more_counts_as_no_node(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as left_behind:
        left_behind.bind(str(tmp_path / "admin.sock"))
    with pytest.raises(Unreachable, match="no node is running"):
        Admin(tmp_path / "admin.sock").view()


def test_a_path_too_long_for_a_socket_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="too long"):
        Admin(tmp_path / ("x" * 200)).view()


def test_the_socket_is_found_by_option_variable_state_or_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTLOOSE_STATE", str(tmp_path))
    assert default_socket() == tmp_path / "run/admin.sock"
    monkeypatch.delenv("FOOTLOOSE_STATE")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_socket() == Path("/home/me/.local/state/footloose/run/admin.sock")


def test_status_is_read(node: FakeNode) -> None:
    status = Admin(node.path).status()
    assert status.name == STATUS["name"]
    assert [worker.pid for worker in status.workers] == [4711, 4712]


def test_an_app_id_cannot_reach_another_resource(node: FakeNode) -> None:
    with pytest.raises(Refused, match="no such app"):
        Admin(node.path).remove(AppId("../move?x=/#"))
    assert node.calls[-1].target == "/v1/apps/..%2Fmove%3Fx%3D%2F%23"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'{"title":"Conflict","detail":"it is so","fix":"do this"}', "it is so"),
        (b'{"title":"Conflict"}', "Conflict"),
        (b"<html>", "answered 409 Conflict"),
        (b"\xff", "answered 409 Conflict"),
        (b"[" * 100_000, "answered 409 Conflict"),
        (b"", "answered 409 Conflict"),
    ],
)
def test_a_refusal_is_understood_whatever_it_says(node: FakeNode, content: bytes, what: str) -> None:
    node.answers["/v1/view"] = (409, content)
    with pytest.raises(Refused) as caught:
        Admin(node.path).view()
    assert caught.value.what == what
    assert caught.value.status == 409


@given(content=st.binary(max_size=60) | st.just(b'{"at": 1}'))
def test_an_answer_that_makes_no_sense_is_the_other_sides_error(content: bytes, shared_node: FakeNode) -> None:
    shared_node.answers["/v1/view"] = (200, content)
    with pytest.raises(RemoteError, match="answer of the node to GET /v1/view"):
        Admin(shared_node.path).view()


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeNode]:
    with fake_node(tmp_path_factory.mktemp("node") / "admin.sock") as running:
        yield running


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300,
    ],
)
def test_an_answer_that_is_not_whole_http_counts_as_unreachable(tmp_path: Path, answer: bytes) -> None:
    def send(connection: socket.socket) -> None:
        connection.sendall(answer)

    with answering(tmp_path / "admin.sock", send), pytest.raises(Unreachable):
        Admin(tmp_path / "admin.sock").view()


def test_a_node_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "ADMIN_TIMEOUT_S", 0.05)
    given_up = threading.Event()

    def wait(_: socket.socket) -> None:
        given_up.wait(30)

    with answering(tmp_path / "admin.sock", wait):
        with pytest.raises(Unreachable, match="no answer within"):
            Admin(tmp_path / "admin.sock").view()
        given_up.set()


def test_a_stream_may_be_quiet_for_longer_than_an_answer_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_module, "ADMIN_TIMEOUT_S", 0.2)
    read_end, write_end = os.pipe()

    def stream(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nevent: a\ndata: 1\n\n")
        os.read(read_end, 1)
        threading.Event().wait(0.4)
        connection.sendall(b"event: b\ndata: 2\n\n")

    with answering(tmp_path / "admin.sock", stream):
        events = Admin(tmp_path / "admin.sock").events()
        assert next(events) == Event("a", b"1")
        os.write(write_end, b"x")
        assert list(events) == [Event("b", b"2")]
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize("limit", [1, 100])
def test_an_answer_beyond_the_limit_is_refused(node: FakeNode, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(admin_module, "ADMIN_ANSWER_BYTES", limit)
    with pytest.raises(LimitExceeded):
        Admin(node.path).view()
    with pytest.raises(LimitExceeded):
        list(Admin(node.path).events())


def test_events_are_read_as_the_standard_has_it() -> None:
    stream = (
        b":comment\n\ndata\n\nevent:x\ndata:a\ndata: b\ndata:  c\nid: 7\nretry: 1\n\nevent: y\n\ndata: z\n\ndata: lost"
    )
    assert list(read_events(stream.split(b"\n"))) == [
        Event("message", b""),
        Event("x", b"a\nb\n c"),
        Event("message", b"z"),
    ]


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b""))))
def test_any_lines_are_read_as_events_or_nothing(lines: list[bytes]) -> None:
    assert all(isinstance(event, Event) for event in read_events(lines))
