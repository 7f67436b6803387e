"""The request parser: what it takes, what it refuses, and that it never depends on how bytes are cut."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.limits import REQUEST_HEAD_BYTES, STREAMED_BODY_BYTES, WHOLE_BODY_BYTES
from footloose.gateway.http1 import Request, RequestParser


def parsed(data: bytes) -> RequestParser:
    parser = RequestParser()
    parser.feed(data)
    return parser


def only(data: bytes) -> Request:
    parser = parsed(data)
    assert parser.refusal is None
    (request,) = parser.ready
    return request


def refused(data: bytes) -> int:
    parser = parsed(data)
    assert parser.refusal is not None, list(parser.ready)
    return parser.refusal.status


def flat(request: Request) -> Request:
    """``request`` as if its body had been there as a whole."""
    incoming = request.incoming
    if incoming is None:
        return request
    assert incoming.complete
    return msgspec.structs.replace(request, body=b"".join(incoming.pieces), incoming=None)


HEAD = b"GET /a/b?c=d HTTP/1.1\r\nHost: here\r\n"


def test_headers_get_their_cgi_names() -> None:
    request = only(HEAD + b"X-Some-Thing: one\r\nContent-Type: text/plain\r\n\r\n")
    assert request.fields == {"HTTP_HOST": "here", "HTTP_X_SOME_THING": "one", "CONTENT_TYPE": "text/plain"}
    assert (request.method, request.path, request.query, request.host) == ("GET", "/a/b", "c=d", "here")


def test_a_proxy_header_never_becomes_http_proxy() -> None:
    assert "HTTP_PROXY" not in only(HEAD + b"Proxy: http://evil\r\n\r\n").fields
    assert "HTTP_PROXY" not in only(HEAD + b"pRoXy: http://evil\r\n\r\n").fields


def test_a_header_with_an_underscore_cannot_pass_for_another() -> None:
    assert only(HEAD + b"X_Real: 1\r\n\r\n").fields == {"HTTP_HOST": "here"}


def test_hop_by_hop_headers_are_not_shown_to_guests() -> None:
    request = only(HEAD + b"Connection: keep-alive\r\nKeep-Alive: 5\r\nTE: trailers\r\nExpect: 100-continue\r\n\r\n")
    assert request.fields == {"HTTP_HOST": "here"}


def test_repeated_headers_are_joined_as_their_kind_wants() -> None:
    fields = only(HEAD + b"A: 1\r\nA: 2\r\nCookie: x=1\r\nCookie: y=2\r\n\r\n").fields
    assert fields["HTTP_A"] == "1, 2"
    assert fields["HTTP_COOKIE"] == "x=1; y=2"


def test_header_values_lose_trailing_blanks_and_keep_what_is_not_utf8() -> None:
    fields = only(HEAD + b"A: x \t \r\nB: caf\xc3\xa9\r\nC: caf\xe9\r\n\r\n").fields
    assert fields["HTTP_A"] == "x"
    assert fields["HTTP_B"] == fields["HTTP_C"] == "café"


def test_a_chunked_body_is_put_together_and_its_trailers_are_ignored() -> None:
    request = only(
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: no\r\n\r\n"
    )
    assert request.body == b"abcde"
    assert request.fields == {"HTTP_HOST": "h"}


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n",
        b"Content-Length: 3\r\nContent-Length: 3\r\n",
        b"Content-Length: 3, 3\r\n",
        b"Content-Length: +3\r\n",
        b"Content-Length: -3\r\n",
        b"Content-Length: 0x3\r\n",
        b"Content-Length: 3 4\r\n",
        b"Content-Length: \r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: a\r\n Transfer-Encoding: chunked\r\n",
        b"X: a\x00b\r\n",
        b"X: a\rb\r\n",
        b"Host: other\r\n",
    ],
)
def test_ambiguous_framing_and_headers_are_refused(framing: bytes) -> None:
    assert refused(b"POST / HTTP/1.1\r\nHost: h\r\n" + framing + b"\r\nabc0\r\n\r\n") == 400


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /#a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET http://h:80x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET http://user@h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 505),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 405),
        (b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\nx", 417),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (STREAMED_BODY_BYTES + 1), 413),
        (b"POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc", 501),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_status(data: bytes, status: int) -> None:
    assert refused(data) == status


def test_a_head_that_is_too_large_is_refused_whole_or_in_pieces() -> None:
    long = HEAD + b"X: " + b"a" * REQUEST_HEAD_BYTES + b"\r\n\r\n"
    assert refused(long) == 431
    assert refused(b"GET /" + b"a" * REQUEST_HEAD_BYTES + b" HTTP/1.1\r\nHost: h\r\n\r\n") == 431
    parser = parsed(HEAD + b"X: ")
    fed = 0
    while parser.refusal is None:
        parser.feed(b"a" * 1000)
        fed += 1000
        assert fed <= REQUEST_HEAD_BYTES + 1000
    assert parser.refusal.status == 431


def test_a_body_that_is_not_there_yet_is_handed_on_as_it_comes() -> None:
    parser = parsed(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    (request,) = parser.ready
    assert request.incoming is not None
    assert (list(request.incoming.pieces), request.incoming.length, request.incoming.complete) == (
        [b"abc"],
        None,
        False,
    )
    parser.feed(b"2\r\nde\r\n0\r\nTrailer: ignored\r\n\r\n" + HEAD + b"\r\n")
    assert (b"".join(request.incoming.pieces), request.incoming.complete) == (b"abcde", True)
    assert (len(parser.ready), parser.in_progress) == (2, False)


@pytest.mark.parametrize(("length", "streamed"), [(WHOLE_BODY_BYTES, False), (WHOLE_BODY_BYTES + 1, True)])
def test_a_body_announced_as_large_is_not_waited_for(length: int, streamed: bool) -> None:
    parser = parsed(f"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n".encode())
    assert len(parser.ready) == streamed
    parser.feed(b"x" * length)
    (request,) = parser.ready
    assert (request.incoming is not None) == streamed
    if request.incoming is not None:
        assert (request.incoming.complete, request.incoming.length, request.incoming.total_bytes) == (
            True,
            length,
            length,
        )


def test_a_body_that_grows_too_large_in_chunks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footloose.gateway.http1.STREAMED_BODY_BYTES", 0x20000)
    parser = parsed(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(4):
        parser.feed(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
        assert parser.refusal is None
    parser.feed(b"1\r\nx\r\n")
    assert parser.refusal is not None
    assert parser.refusal.status == 413


def test_chunk_extensions_without_end_are_refused() -> None:
    parser = parsed(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;")
    for _ in range(100):
        parser.feed(b"a" * 60_000)
        if parser.refusal is not None:
            break
    assert parser.refusal is not None
    assert parser.refusal.status == 413


def test_many_pipelined_requests_do_not_add_up_to_a_large_head() -> None:
    parser = RequestParser()
    for _ in range(3):
        parser.feed((HEAD + b"\r\n") * 3000 + HEAD)
        parser.feed(b"\r\n")
    assert parser.refusal is None
    assert len(parser.ready) == 9003


def test_nothing_is_read_behind_the_last_request_of_a_connection() -> None:
    parser = parsed(HEAD + b"Connection: close\r\n\r\n" + HEAD + b"\r\n")
    assert len(parser.ready) == 1
    assert parser.refusal is None
    parser.feed(b"garbage")
    assert parser.refusal is None


def test_the_absolute_form_names_the_host() -> None:
    request = only(b"GET http://Other:81/p?q HTTP/1.1\r\nHost: here\r\n\r\n")
    assert (request.host, request.path, request.query) == ("Other:81", "/p", "q")
    assert only(b"GET http://other HTTP/1.1\r\nHost: here\r\n\r\n").path == "/"


def test_expect_is_noted_until_the_body_comes() -> None:
    parser = parsed(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert parser.wants_continue
    parser.feed(b"a")
    assert not parser.wants_continue
    old = parsed(b"POST / HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert not old.wants_continue


def test_what_follows_a_websocket_upgrade_is_kept_aside() -> None:
    parser = parsed(HEAD + b"Upgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n\x81\x80abcd")
    assert parser.ready[0].upgrade
    assert parser.trailing == b"\x81\x80abcd"


def test_another_upgrade_is_declined_by_an_ordinary_answer() -> None:
    parser = parsed(HEAD + b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + HEAD + b"\r\n")
    assert [request.upgrade for request in parser.ready] == [False, False]
    assert parser.refusal is None


PIPELINE = (
    HEAD
    + b"\r\n"
    + b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nCookie: a\r\n\r\nhello"
    + b"PUT /y HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n"
    + HEAD
    + b"Connection: close\r\n\r\n"
)


@given(st.lists(st.integers(1, len(PIPELINE) - 1), max_size=12, unique=True))
def test_how_bytes_are_cut_makes_no_difference(cuts: list[int]) -> None:
    whole = parsed(PIPELINE)
    pieces = RequestParser()
    edges = [0, *sorted(cuts), len(PIPELINE)]
    for start, end in pairwise(edges):
        pieces.feed(PIPELINE[start:end])
    assert pieces.refusal is None
    assert list(map(flat, pieces.ready)) == list(map(flat, whole.ready))


TOKENS = st.sampled_from(
    b"GET|POST| |/|HTTP/1.1|\r\n|\n|\r|Host: h|Content-Length: |5|chunked|Transfer-Encoding: |0|abc|\0|*|"
    b"Upgrade: websocket|Connection: upgrade|Expect: ".split(b"|")
)


@given(st.lists(st.one_of(st.binary(max_size=20), TOKENS), max_size=40))
def test_garbage_never_raises(pieces: list[bytes]) -> None:
    parser = RequestParser()
    for piece in pieces:
        parser.feed(piece)
    for request in parser.ready:
        assert "\0" not in request.path
