"""A guest's answer is taken strictly."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.gateway.cgi import parse_answer, parse_event_answer
from footloose.model.guest import GuestError, GuestFault

TYPE = b"Content-Type: text/plain"


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_headers_and_body_are_told_apart_whatever_ends_the_lines(newline: bytes) -> None:
    head, body = parse_answer(TYPE + newline + b"X-A: 1" + newline * 2 + b"body\n\nmore\r\n\r\n")
    assert body == b"body\n\nmore\r\n\r\n"
    assert head.lines == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: 1\r\nAccess-Control-Allow-Origin: *\r\n"
    )


def test_the_first_empty_line_ends_the_head_even_where_the_two_kinds_are_mixed() -> None:
    assert parse_answer(TYPE + b"\r\n\nbody\r\n\r\n")[1] == b"body\r\n\r\n"
    assert parse_answer(TYPE + b"\n\r\nbody\n\n")[1] == b"body\n\n"


def test_the_status_is_the_guests_or_follows_from_location() -> None:
    assert parse_answer(b"Status: 404 Gone fishing\n\n")[0].lines.startswith(b"HTTP/1.1 404 Gone fishing\r\n")
    assert parse_answer(b"Status: 503\n\n")[0].lines.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert parse_answer(b"Location: http://x/\n\n")[0].status == 302
    assert parse_answer(b"Status: 201\nLocation: /x\n\n")[0].status == 201


def test_what_belongs_to_the_connection_or_the_gateway_is_dropped() -> None:
    head, _ = parse_answer(
        TYPE + b"\nConnection: close\nTransfer-Encoding: chunked\nContent-Length: 3\nKeep-Alive: 1\nDate: x\n"
        b"Footloose-Publish: t\nUpgrade: h2c\n\nabc"
    )
    assert head.lines == b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nAccess-Control-Allow-Origin: *\r\n"
    assert head.length == 3
    assert head.own == (("footloose-publish", "t"),)


def test_a_guest_may_say_itself_which_origins_are_allowed() -> None:
    lines = parse_answer(TYPE + b"\naccess-control-allow-origin: http://a\n\n")[0].lines
    assert lines.lower().count(b"access-control-allow-origin") == 1


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"hello",
        b"\n",
        b"\n\nbody",
        b"Content-Type: text/plain\nbody without an empty line",
        b"Content-Type text/plain\n\n",
        b"Bad Name: x\n\n",
        b": x\n\n",
        b"X: 1\n folded\n\n",
        b"X: a\rSet-Cookie: b\n\n",
        b"X: a\0b\n\n",
        b"X: \x7f\n\n",
        b"HTTP/1.1 200 OK\nContent-Type: text/plain\n\n",
        b"Status: OK\n\n",
        b"Status: 99\n\n",
        b"Status: 101 Switching\n\n",
        b"Status: 600\n\n",
        b"Status: 200OK\n\n",
        b"Status: 200\nStatus: 201\n\n",
        b"Content-Type: a/b\nContent-Type: c/d\n\n",
        b"Content-Type: a/b\nContent-Length: -1\n\n",
        b"X: no type\n\nbut a body",
        b"X: " + b"a" * 40_000 + b"\n\n",
    ],
)
def test_a_malformed_answer_is_the_guests_fault(output: bytes) -> None:
    for _ in range(2):  # also when asked again
        with pytest.raises(GuestError) as caught:
            parse_answer(output)
        assert caught.value.fault is GuestFault.ANSWER


def test_an_event_may_be_answered_by_nothing_or_without_a_type() -> None:
    assert parse_event_answer(b"")[1] == b""
    assert parse_event_answer(b"\nhi")[1] == b"hi"
    assert parse_event_answer(b"\r\nhi")[1] == b"hi"
    head, body = parse_event_answer(b"Footloose-Subscribe: a\nFootloose-Subscribe: b\n\nhi")
    assert body == b"hi"
    assert head.own == (("footloose-subscribe", "a"), ("footloose-subscribe", "b"))
    assert parse_event_answer(b"Content-Type: application/octet-stream\n\nx")[0].binary


PIECES = st.sampled_from(
    [b"Content-Type", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"Status", b"200", b"Location", b"X-A", b"v", b"\0"]
)
SENT = re.compile(rb"HTTP/1\.1 [2-5]\d\d [^\r\n]*\r\n(?:[!-9;-~]+: [^\r\n\0]*\r\n)*\Z")


@given(st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=30).map(b"".join))
def test_no_answer_can_put_anything_but_whole_headers_into_the_response(output: bytes) -> None:
    try:
        head, body = parse_answer(output)
    except GuestError as error:
        assert error.fault is GuestFault.ANSWER
    else:
        assert SENT.match(head.lines)
        assert output.endswith(body)


@given(st.binary(max_size=200))
def test_garbage_is_a_fault_or_an_answer(output: bytes) -> None:
    for parse in (parse_answer, parse_event_answer):
        try:
            parse(output)
        except GuestError as error:
            assert error.fault is GuestFault.ANSWER
