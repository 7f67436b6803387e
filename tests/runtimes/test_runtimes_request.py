"""A request as guests get it: nothing is lost or made up, whatever is in it."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtimes_guests import LIMITS, Workshop

from footloose.core.errors import LocalError
from footloose.runtimes.wasm.request import environment_of, scgi_of
from footloose.runtimes.wasm.runtime import WasmRuntime

Variables = Sequence[tuple[str, str]]

NAMES = st.text(min_size=1, max_size=20).filter(lambda name: "=" not in name and "\0" not in name)
VALUES = st.text(max_size=60).filter(lambda value: "\0" not in value)
VARIABLES = st.lists(st.tuples(NAMES, VALUES), max_size=12)


def expected(variables: Variables, body: bytes) -> dict[bytes, bytes]:
    told = {name.encode(): value.encode() for name, value in variables}
    return told | {b"CONTENT_LENGTH": str(len(body)).encode()}


def test_scgi_is_as_its_specification_shows_it() -> None:
    variables = (("REQUEST_METHOD", "POST"), ("REQUEST_URI", "/deepthought"))
    body = b"What is the answer to life?"
    head = b"CONTENT_LENGTH\x0027\0REQUEST_METHOD\0POST\0REQUEST_URI\0/deepthought\0SCGI\x001\0"
    assert scgi_of(variables, body) == b"%d:" % len(head) + head + b"," + body


def test_the_content_length_is_always_that_of_the_body() -> None:
    assert environment_of([("CONTENT_LENGTH", "999"), ("A", "b")], 5) == [b"CONTENT_LENGTH=5", b"A=b"]
    assert environment_of([("CONTENT_LENGTH", "999"), ("A", "b")], None) == [b"A=b"]


def test_bytes_that_are_not_utf8_come_through() -> None:
    raw = b"/caf\xe9"
    assert environment_of([("PATH_INFO", raw.decode("utf-8", "surrogateescape"))], 0)[1] == b"PATH_INFO=" + raw


@pytest.mark.parametrize("variables", [[("A\0B", "c")], [("A", "b\0c")], [("", "b")], [("A", "\ud800")]])
def test_a_variable_no_guest_can_be_told_is_refused(variables: Variables) -> None:
    with pytest.raises(LocalError):
        environment_of(variables, 0)
    with pytest.raises(LocalError):
        scgi_of(variables, b"")


def test_a_name_with_an_equals_sign_is_refused_in_an_environment() -> None:
    with pytest.raises(LocalError, match="equals sign"):
        environment_of([("A=B", "c")], 0)


@given(VARIABLES, st.binary(max_size=2000))
@settings(max_examples=60)
def test_a_guest_of_either_kind_sees_the_whole_request(
    fast: WasmRuntime, portable: WasmRuntime, workshop: Workshop, variables: Variables, body: bytes
) -> None:
    for runtime in (fast, portable):
        for name, extra in (("echo_handler", {b"SCGI": b"1"}), ("echo_command", {})):
            answer = workshop.load(runtime, name, LIMITS).call(variables, body)
            head, _, rest = answer.output.partition(b"\r\n\r\n")
            assert head == b"Content-Type: application/octet-stream"
            seen = dict(pair.split(b"=", 1) for pair in rest[: len(rest) - len(body) - 1].split(b"\0")[:-1])
            assert seen == {**expected(variables, body), **extra}
            assert rest[len(rest) - len(body) - 1 :] == b"\0" + body
            assert answer.log == b"echoed\n"


@pytest.mark.parametrize("name", ["echo_handler", "echo_command"])
def test_a_large_body_comes_through(name: str, runtime: WasmRuntime, workshop: Workshop) -> None:
    body = bytes(range(256)) * 3000
    assert workshop.load(runtime, name, LIMITS).call((), body).output.endswith(b"\0" + body)
