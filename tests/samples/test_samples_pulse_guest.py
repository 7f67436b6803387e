"""The pulse module itself, called on the engine: what it answers, and what it does with what hostile users send."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples_guest import PULSE, Handler

from footloose.model.app import GuestKind
from footloose.model.appfile import load_app_file

PLACE = {"id": "ab12", "n": 3, "name": "anna", "x": 0.25, "y": 0.5, "colour": "#12a089", "rtt_ms": 7.25, "site": "lyon"}
KNOWN = {*PLACE, "ping"}


@pytest.fixture(scope="module")
def pulse() -> Handler:
    return Handler(PULSE / "pulse_handler.wasm")


MODULE = Handler(PULSE / "pulse_handler.wasm")


def test_the_module_is_small() -> None:
    assert (PULSE / "pulse_handler.wasm").stat().st_size < 30_000


def clang_version() -> str:
    if shutil.which("clang") is None or shutil.which("wasm-ld") is None:
        return "none"
    return subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def test_the_module_is_what_its_source_builds_to(tmp_path: Path) -> None:
    if "clang version 14." not in clang_version():
        pytest.skip(f"the module was built with clang 14 and wasm-ld; here is {clang_version()}")
    samples = tmp_path / "samples"
    shutil.copytree(PULSE.parent, samples)
    built = samples / "pulse" / "pulse_handler.wasm"
    built.unlink()
    subprocess.run(["sh", str(samples / "build.sh"), str(built.parent)], check=True, capture_output=True, timeout=60)
    assert built.read_bytes() == (PULSE / "pulse_handler.wasm").read_bytes()


def test_the_app_file_can_be_used() -> None:
    draft = load_app_file(PULSE / "compose.yaml", placements=["greedy"])
    [service] = draft.services
    assert (draft.name, service.name) == ("pulse", "web")
    assert service.image.resolve() == PULSE / "pulse_handler.wasm"
    assert service.guest in (None, GuestKind.HANDLER)
    assert service.route is not None
    assert service.route.path == "/"
    assert service.slo.latency_ms == 30
    assert service.budget.copies == 8


def test_the_page_is_served_whole(pulse: Handler) -> None:
    answer = pulse.get("/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.body == (PULSE / "pulse.html").read_bytes()
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_page_reaches_nothing_but_its_own_service() -> None:
    page = (PULSE / "pulse.html").read_text()
    assert "innerHTML" not in page
    assert "https://" not in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert 'src="' not in page


def test_without_its_slash_the_page_is_sent_to_where_its_links_work(pulse: Handler) -> None:
    answer = pulse.get("")
    assert answer.status == 308
    assert answer.headers["location"] == "/pulse-x/web/"


def test_hello_says_who_serves(pulse: Handler) -> None:
    answer = pulse.get("/api/hello", "x=1&name=anna%20b&name=other", FOOTLOOSE_SITE="lyon", SERVER_NAME="192.0.2.1")
    assert json.loads(answer.body) == {"served_by": "lyon", "server": "192.0.2.1", "hello": "anna b"}
    assert answer.headers["access-control-allow-origin"] == "*"
    assert json.loads(pulse.get("/api/hello").body) == {"served_by": None, "server": None, "hello": ""}


@given(st.text(alphabet=st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=300))
def test_hello_answers_json_without_markup_whatever_the_query(query: str) -> None:
    answer = MODULE.get("/api/hello", f"name={query}")
    said = json.loads(answer.body)
    assert set(said) == {"served_by", "server", "hello"}
    assert len(said["hello"]) <= 96
    assert not set(b"<>&") & set(answer.body)


def test_a_name_in_the_query_is_decoded_and_escaped(pulse: Handler) -> None:
    answer = pulse.get("/api/hello", "name=%3Cscript%3E%22%5C%0a%")
    assert b"<" not in answer.body
    assert json.loads(answer.body)["hello"] == '<script>"\\\n%'


def test_a_ping_over_http_is_not_stored(pulse: Handler) -> None:
    answer = pulse.get("/api/ping")
    assert (answer.status, answer.body) == (200, b"pong\n")
    assert answer.headers["cache-control"] == "no-store"


def test_what_is_not_there_is_not_found_and_only_reading_is_allowed(pulse: Handler) -> None:
    assert pulse.get("/api/other").status == 404
    refused = pulse.get("/", method="POST")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


def test_who_opens_the_line_hears_the_topic(pulse: Handler) -> None:
    answer = pulse.event("open")
    assert answer.headers == {"footloose-subscribe": "pulse"}
    assert answer.body == b""
    assert pulse.event("close").body == b""


def test_a_line_is_opened_at_its_own_path_only(pulse: Handler) -> None:
    assert pulse.event("open", path="/other").status == 404


@pytest.mark.parametrize("number", ["1", "0", "-7", "12.5", "1e3", "1.5E-3"])
def test_a_ping_is_answered_to_its_sender_alone(pulse: Handler, number: str) -> None:
    answer = pulse.event("message", f' {{ "ping" : {number} }} '.encode())
    assert answer.body == f'{{"pong":{number}}}'.encode()
    assert "footloose-publish" not in answer.headers


def test_where_a_user_is_goes_to_all_as_it_was_said(pulse: Handler) -> None:
    message = json.dumps(PLACE | {"name": 'Zoë "<b>" \\ \n'}).encode()
    answer = pulse.event("message", message)
    assert answer.headers == {"footloose-publish": "pulse"}
    assert answer.body == message


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"text"',
        b'{"ping":"1"}',
        b'{"ping":1,"ping":2}',
        b'{"ping":01}',
        b'{"ping":1}x',
        b'{"ping":1,}',
        b'{"ping":' + b"1" * 25 + b"}",
        b'{"footloose":"migrate","url":"ws://evil.test/"}',
        b'{"id":"a","name":"b","x":1,"y":1,"footloose":"migrate"}',
        b'{"id":"a","name":"b","x":1,"y":1,"ping":1}',
        b'{"id":"a","name":"b","x":1}',
        b'{"id":"a","name":"b","x":"1","y":1}',
        b'{"id":"a","name":"b","x":1,"y":NaN}',
        b'{"id":"a","name":"b\x01","x":1,"y":1}',
        b'{"id":"a","name":"b\\q","x":1,"y":1}',
        b'{"id":"a","name":"b\\u12g4","x":1,"y":1}',
        b'{"id":"a","name":"b","x":1,"y":1,"x":2}',
        b'{"id":"a","name":"b","x":1,"y":1,"deep":{"a":1}}',
        b'{"id":"' + b"a" * 97 + b'","name":"b","x":1,"y":1}',
        b'{"id":"a","name":"b","x":1,"y":1}' + b" " * 512,
        b'{"id":"a","name":"b","x":1,"y":1',
        b'{"id":"a","name":"b","x":1,"y":',
        b'{"id":"a","name":"\\u12',
        b"{" * 500,
    ],
)
def test_anything_else_goes_to_nobody(pulse: Handler, message: bytes) -> None:
    answer = pulse.event("message", message)
    assert "footloose-publish" not in answer.headers
    assert set(json.loads(answer.body)) == {"error"}


def test_a_binary_message_goes_to_nobody(pulse: Handler) -> None:
    answer = pulse.event("message", json.dumps(PLACE).encode(), kind="application/octet-stream")
    assert "footloose-publish" not in answer.headers
    assert set(json.loads(answer.body)) == {"error"}


scalars = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=40)
members = st.dictionaries(
    st.sampled_from(sorted(KNOWN)) | st.text(max_size=12), scalars | st.lists(scalars, max_size=3)
)


@given(st.binary(max_size=600) | members.map(lambda value: json.dumps(value).encode()))
def test_what_is_passed_on_is_always_an_object_of_known_fields(message: bytes) -> None:
    answer = MODULE.event("message", message)
    if "footloose-publish" in answer.headers:
        assert answer.body == message
        said = json.loads(message)
        assert {"id", "name", "x", "y"} <= set(said) <= KNOWN - {"ping"}
        assert all(isinstance(said[name], str) for name in {"id", "name", "colour", "site"} & set(said))
        assert all(type(said[name]) in (int, float) for name in {"n", "x", "y", "rtt_ms"} & set(said))
    else:
        assert set(json.loads(answer.body)) < {"pong", "error"}


@given(
    st.fixed_dictionaries(
        {"id": st.text(max_size=12), "name": st.text(max_size=12), "x": st.floats(0, 1), "y": st.floats(0, 1)},
        optional={"rtt_ms": st.floats(0, 1e6), "n": st.integers(0, 2**53), "site": st.text(max_size=12)},
    ),
    st.sampled_from([None, 1]),
)
def test_every_well_formed_place_is_passed_on(place: dict[str, object], indent: int | None) -> None:
    message = json.dumps(place, ensure_ascii=False, indent=indent).encode("utf-8", "surrogatepass")
    assert MODULE.event("message", message).headers.get("footloose-publish") == "pulse"
