"""What the gateway decides about a request, before any socket is involved."""

from pathlib import Path

import pytest
from gateway_support import HERE, WEB, FakeRuntime, digest_for, echo, hello, route

from footloose.core.limits import REDIRECT_LIFETIME_S
from footloose.gateway.front import Call, Farewell, Front, User
from footloose.gateway.http1 import Request, RequestParser
from footloose.gateway.meta import PathError, path_info
from footloose.gateway.responses import Response, encode
from footloose.gateway.routes import Authority
from footloose.gateway.services import Services
from footloose.model.app import HttpRoute, Limits, ServiceId
from footloose.model.routing import Moved, Redirect, RoutingTable, ServiceRoute

NOW = 1000.0
USER = User("127.0.0.1", HERE, Authority("127.0.0.1", 8080))
COPY = f"http://copy.example:8080/{WEB}/"


class StoppedClock:
    def now(self) -> float:
        return NOW


class Table:
    """Services with complaints kept."""

    def __init__(self, *routes: ServiceRoute, moved: tuple[Moved, ...] = ()) -> None:
        self.complaints: list[str] = []
        self.runtime = FakeRuntime({"echo": echo, "hello": hello})
        self.services = Services(self.runtime, lambda service, text: self.complaints.append(f"{service}: {text}"))
        self.install(1, *routes, moved=moved)
        self.front = Front(self.services, StoppedClock())

    def install(self, version: int, *routes: ServiceRoute, moved: tuple[Moved, ...] = ()) -> bool:
        compiled = {digest_for(name): Path(name) for name in ("echo", "hello")}
        return self.services.install(RoutingTable(version, routes, moved), compiled)

    def admit(self, data: str) -> Response | Call | Farewell:
        return self.front.admit(request(data), USER)


def request(head: str) -> Request:
    parser = RequestParser()
    line, _, headers = head.partition("\n")
    lines = [f"{line} HTTP/1.1", "Host: site.example:8080", *headers.splitlines(), "", ""]
    parser.feed("\r\n".join(lines).encode())
    assert parser.refusal is None
    return parser.ready[0]


def response(decided: Response | Call | Farewell) -> tuple[int, dict[str, str]]:
    assert isinstance(decided, Response)
    lines = decided.lines.decode().split("\r\n")[1:-1]
    return decided.status, dict(line.split(": ", 1) for line in lines)


def environment(decided: Response | Call | Farewell) -> dict[str, str]:
    assert isinstance(decided, Call)
    return decided.environment


def test_the_meta_variables_are_those_of_rfc_3875() -> None:
    seen = environment(Table(route()).admit(f"GET /{WEB}/a%20b/c?x=%41&y\nX-A: 1\nContent-Type: t/x"))
    assert seen == {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "footloose/0.1.0",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "site.example",
        "SERVER_PORT": "8080",
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": f"/{WEB}/a%20b/c?x=%41&y",
        "SCRIPT_NAME": f"/{WEB}",
        "PATH_INFO": "/a b/c",
        "QUERY_STRING": "x=%41&y",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "t/x",
        "HTTP_HOST": "site.example:8080",
        "HTTP_X_A": "1",
    }


def test_a_service_may_add_to_the_environment_but_not_forge_it() -> None:
    own = (
        ("GREETING", "hi"),
        ("REMOTE_ADDR", "6.6.6.6"),
        ("HTTP_COOKIE", "x"),
        ("CONTENT_LENGTH", "9"),
        ("FOOTLOOSE_SITE", "s"),
    )
    seen = environment(Table(route(environment=own)).admit(f"GET /{WEB}/"))
    assert seen["GREETING"] == "hi"
    assert seen["FOOTLOOSE_SITE"] == "s"
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert "HTTP_COOKIE" not in seen
    assert "CONTENT_LENGTH" not in seen


@pytest.mark.parametrize("path", ["a%00b", "%FF", "%C3%28"])
def test_a_path_that_decodes_to_no_text_is_refused(path: str) -> None:
    assert response(Table(route()).admit(f"GET /{WEB}/{path}"))[0] == 400
    with pytest.raises(PathError):
        path_info("/" + path)


def test_a_malformed_host_is_refused() -> None:
    parser = RequestParser()
    parser.feed(f"GET /{WEB}/ HTTP/1.1\r\nHost: a b\r\n\r\n".encode())
    assert response(Table(route()).front.admit(parser.ready[0], USER))[0] == 400


def test_what_no_service_answers_is_not_found() -> None:
    table = Table(route())
    assert response(table.admit("GET /"))[0] == 404
    assert response(table.admit(f"GET /{WEB}x/"))[0] == 404
    assert response(table.admit("OPTIONS *"))[0] == 204


def test_users_with_a_redirect_are_sent_on_with_path_and_query() -> None:
    table = Table(route(redirects=(Redirect(HERE, COPY, NOW + 5.5),)))
    status, headers = response(table.admit(f"GET /{WEB}/a%20b?q=1"))
    assert status == 302
    assert headers["Location"] == COPY + "a%20b?q=1"
    assert headers["Cache-Control"] == "private, max-age=5"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert response(table.admit(f"HEAD /{WEB}/"))[0] == 302
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert response(table.admit(f"{method} /{WEB}/"))[0] == 307


def test_a_user_sent_back_again_and_again_is_served_here() -> None:
    table = Table(route(redirects=(Redirect(HERE, COPY, NOW + 5.5),)))
    answers = [table.admit(f"GET /{WEB}/page") for _ in range(3)]
    assert [isinstance(one, Call) for one in answers] == [False, False, True]


def test_a_redirect_is_not_remembered_for_longer_than_the_limit() -> None:
    table = Table(route(redirects=(Redirect(HERE, COPY, NOW + 1e6),)))
    assert response(table.admit(f"GET /{WEB}/"))[1]["Cache-Control"] == f"private, max-age={int(REDIRECT_LIFETIME_S)}"


def test_a_redirect_relative_to_a_route_keeps_what_is_behind_the_route() -> None:
    table = Table(route(route=HttpRoute("*", "/shop"), redirects=(Redirect(HERE, COPY, NOW + 5),)))
    assert response(table.admit("GET /shop/cart"))[1]["Location"] == COPY + "cart"


@pytest.mark.parametrize(
    "redirect",
    [
        Redirect(HERE, COPY, NOW),
        Redirect(HERE, f"http://site.example:8080/{WEB}/", NOW + 9),
        Redirect(HERE, f"http://127.0.0.1:8080/{WEB}/", NOW + 9),
        Redirect(HERE, "nonsense", NOW + 9),
        Redirect(HERE.replace("127", "128"), COPY, NOW + 9),  # type: ignore[arg-type]
    ],
    ids=["over", "the name asked", "the address here", "no URL", "another prefix"],
)
def test_nobody_is_sent_to_where_they_are_or_for_no_reason(redirect: Redirect) -> None:
    assert isinstance(Table(route(redirects=(redirect,))).admit(f"GET /{WEB}/"), Call)


def test_users_of_a_service_that_moved_are_sent_after_it() -> None:
    table = Table(moved=(Moved(WEB, COPY, NOW + 60),))
    status, headers = response(table.admit(f"GET /{WEB}/x?y"))
    assert (status, headers["Location"]) == (302, COPY + "x?y")
    assert response(table.admit(f"POST /{WEB}"))[0] == 307
    upgrade = "Upgrade: websocket\nConnection: Upgrade"
    assert table.admit(f"GET /{WEB}/x\n{upgrade}") == Farewell(f"ws://copy.example:8080/{WEB}/x")
    assert response(Table(moved=(Moved(WEB, COPY, NOW),)).admit(f"GET /{WEB}/"))[0] == 404
    assert (
        response(Table(moved=(Moved(WEB, f"http://site.example:8080/{WEB}", NOW + 9),)).admit(f"GET /{WEB}/"))[0] == 404
    )


def test_a_preflight_is_answered_by_the_gateway_even_where_users_are_sent_on() -> None:
    preflight = (
        f"OPTIONS /{WEB}/\nOrigin: http://a\nAccess-Control-Request-Method: PUT\n"
        "Access-Control-Request-Headers: X-A, b\n"
        "Access-Control-Request-Private-Network: true"
    )
    for table in (
        Table(route()),
        Table(route(redirects=(Redirect(HERE, COPY, NOW + 5),))),
        Table(moved=(Moved(WEB, COPY, NOW + 5),)),
    ):
        status, headers = response(table.admit(preflight))
        assert status == 204
        assert headers == {
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": "PUT",
            "Access-Control-Allow-Headers": "X-A, b",
            "Access-Control-Max-Age": "600",
            "Access-Control-Allow-Private-Network": "true",
        }
    assert isinstance(Table(route()).admit(f"OPTIONS /{WEB}/\nOrigin: http://a"), Call)


def test_a_table_no_newer_than_the_one_in_force_is_ignored() -> None:
    table = Table(route())
    assert not table.install(1)
    assert not table.install(0)
    assert table.install(3)
    assert not table.services.by_id


def test_a_guest_is_loaded_again_only_when_it_changed() -> None:
    table = Table(route())
    table.install(2, route(environment=(("A", "1"),)))
    assert table.runtime.loaded == ["echo"]
    assert environment(table.admit(f"GET /{WEB}/"))["A"] == "1"
    table.install(3, route(limits=Limits(time_ms=5)))
    table.install(4, route("hello", limits=Limits(time_ms=5)))
    assert table.runtime.loaded == ["echo", "echo", "hello"]


def test_a_service_that_cannot_be_loaded_is_unavailable_and_the_reason_is_reported() -> None:
    other = ServiceId("demo-abcdefgh/other")
    table = Table(route("nowhere"), route("hello", other))
    assert response(table.admit(f"GET /{WEB}/"))[0] == 503
    assert isinstance(table.admit(f"GET /{other}/"), Call)
    assert "not compiled here" in table.complaints[0]
    del table.runtime.handlers["hello"]
    table.install(2, route("hello"))
    assert "no such guest" in table.complaints[1]


def test_an_answer_says_as_much_about_its_body_as_it_may() -> None:
    lines = b"HTTP/1.1 200 OK\r\n"
    assert encode(Response(200, lines, b"abc"), b"") == lines + b"Content-Length: 3\r\n\r\nabc"
    assert encode(Response(200, lines, b"abc"), b"", head=True) == lines + b"Content-Length: 3\r\n\r\n"
    assert encode(Response(200, lines, b"", 7), b"", head=True) == lines + b"Content-Length: 7\r\n\r\n"
    assert encode(Response(200, lines), b"", head=True) == lines + b"\r\n"
    assert encode(Response(204, lines, b"abc"), b"") == lines + b"\r\n"
    assert b"Connection: close" in encode(Response(200, lines), b"", keep_alive=False)
    assert b"Connection: keep-alive" in encode(Response(200, lines), b"", version="1.0")
