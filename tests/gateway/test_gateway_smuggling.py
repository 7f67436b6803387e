"""Request smuggling: what two parsers may read differently is refused, so no request hides in another's body.

The cases are those of the literature: Linhart et al., *HTTP Request Smuggling* (2005); Kettle, *HTTP Desync Attacks*
(2019) and *Browser-Powered Desync Attacks* (2022); Jabiyev et al., *T-Reqs* (CCS 2021); RFC 9112 §11.2.
"""

import pytest
from gateway_support import WEB, Answer, Sites, echo, talk
from hypothesis import given
from hypothesis import strategies as st

from footloose.gateway.http1 import RequestParser

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
START = b"POST / HTTP/1.1\r\nHost: h\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"


def outcome(data: bytes) -> tuple[list[str], int | None]:
    """The targets of the requests in ``data``, and the status it is refused with, if it is."""
    parser = RequestParser()
    parser.feed(data)
    return [request.target for request in parser.ready], parser.refusal.status if parser.refusal is not None else None


REFUSED = {
    # Two ways to tell the length.
    "CL.TE": START + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "TE.CL": START + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + HIDDEN + b"0\r\n\r\n",
    "CL.0 with chunked": START + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "CL.CL": START + b"Content-Length: 0\r\nContent-Length: 34\r\n\r\n" + HIDDEN,
    "CL.CL the same": START + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "CL list": START + b"Content-Length: 0, 34\r\n\r\n" + HIDDEN,
    "CL plus": START + b"Content-Length: +3\r\n\r\nabc",
    "CL minus": START + b"Content-Length: -1\r\n\r\nabc",
    "CL hexadecimal": START + b"Content-Length: 0x3\r\n\r\nabc",
    "CL blank inside": START + b"Content-Length: 3 4\r\n\r\nabc",
    "CL empty": START + b"Content-Length: \r\n\r\nabc",
    "CL not ASCII": START + "Content-Length: ٣\r\n\r\nabc".encode(),
    "CL overflow": START + b"Content-Length: 18446744073709551619\r\n\r\nabc",
    "CL underscore": START + b"Content-Length: 1_0\r\n\r\n0123456789",
    # Transfer-Encoding that one side does not see (TE.TE).
    "TE space before colon": START + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE tab before colon": START + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE xchunked": START + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE chunkedx": START + b"Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE twice": START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE twice chunked": START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE identity first": START + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE list": START + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE quoted": START + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + HIDDEN,
    "TE parameter": START + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE vertical tab": START + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE form feed": START + b"Transfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE NUL": START + b"Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE folded": START + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE on a folded line": START + b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE after a bare CR": START + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE after a bare LF": START + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE empty": START + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE on HTTP/1.0": b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "TE with blanks behind": START + b"Transfer-Encoding: \t chunked \t \r\n\r\n0\r\n\r\n" + HIDDEN,
    "framing in trailers": CHUNKED + b"0\r\nContent-Length: 34\r\nTransfer-Encoding: chunked\r\n\r\n" + HIDDEN,
    # Names and lines.
    "name with a blank": START + b"Content Length: 3\r\n\r\nabc",
    "name with a control": START + b"Content\x01Length: 3\r\n\r\nabc",
    "line without a colon": START + b"Content-Length\r\n\r\nabc",
    "line that begins with a blank": b"POST / HTTP/1.1\r\n Host: h\r\n\r\n",
    "empty name": START + b": 3\r\n\r\nabc",
    "bare LF ends the head": b"GET / HTTP/1.1\r\nHost: h\n\n" + HIDDEN,
    "bare CR ends the head": b"GET / HTTP/1.1\r\nHost: h\r\r" + HIDDEN,
    "bare CR in the request line": b"GET /\r HTTP/1.1\r\nHost: h\r\n\r\n",
    "tab in the request line": b"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "two blanks in the request line": b"GET  /hidden HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n",
    "version in small letters": b"GET / http/1.1\r\nHost: h\r\n\r\n",
    "version with more digits": b"GET / HTTP/1.10\r\nHost: h\r\n\r\n",
    # Chunks.
    "size with 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "size with plus": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "size with minus": CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "size with a blank before": CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n",
    "size empty": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "size overflow": CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "size of 32 bits and more": CHUNKED + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "size ended by a bare LF": CHUNKED + b"3\nabc\r\n0\r\n\r\n",
    "size ended by a bare CR": CHUNKED + b"3\rabc\r\n0\r\n\r\n",
    "extension ended by a bare LF": CHUNKED + b"3;a\nabc\r\n0\r\n\r\n",
    "extension with a bare CR": CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "chunk longer than its size": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "chunk ended by a bare LF": CHUNKED + b"3\r\nabc\n0\r\n\r\n",
    "last chunk ended by a bare LF": CHUNKED + b"0\n\n" + HIDDEN,
    "trailer with a bare LF": CHUNKED + b"0\r\nX: y\n\r\n" + HIDDEN,
    # Whose host.
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "host on a folded line": b"GET / HTTP/1.1\r\nX: y\r\n Host: b\r\n\r\n",
    "user in the target": b"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n",
    "another scheme": b"GET file://b/ HTTP/1.1\r\nHost: b\r\n\r\n",
    # Taken for another protocol.
    "upgrade with a body": START + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 34\r\n\r\n" + HIDDEN,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "HTTP/0.9": b"GET /\r\n" + HIDDEN,
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_may_be_read_in_two_ways_is_refused(case: str) -> None:
    requests, status = outcome(REFUSED[case])
    assert "/hidden" not in requests
    assert status is not None
    assert status >= 400


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_it_is_refused_however_it_is_cut(case: str) -> None:
    parser = RequestParser()
    for byte in REFUSED[case]:
        parser.feed(bytes([byte]))
    assert parser.refusal is not None
    assert "/hidden" not in [request.target for request in parser.ready]


TAKEN = {
    "body that looks like a request": (START + b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN, ["/"]),
    "chunk that looks like a request": (CHUNKED + b"%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n", ["/"]),
    "GET with a body": (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN, ["/"]),
    "CL with leading zeros": (START + b"Content-Length: 0003\r\n\r\nabc", ["/"]),
    "TE in any case": (START + b"tRANSFER-eNCODING: cHUNKED\r\n\r\n0\r\n\r\n", ["/"]),
    "size with leading zeros": (CHUNKED + b"0003\r\nabc\r\n0\r\n\r\n", ["/"]),
    "extensions": (CHUNKED + b'3;a=b;c="d"\r\nabc\r\n0;e\r\n\r\n', ["/"]),
    "trailers": (CHUNKED + b"0\r\nX-Checksum: 34\r\n\r\n" + HIDDEN, ["/", "/hidden"]),
    "CL in another name": (START + b"Content_Length: 34\r\n\r\n" + HIDDEN, ["/", "/hidden"]),
    "TE in another name": (START + b"Transfer_Encoding: chunked\r\n\r\n" + HIDDEN, ["/", "/hidden"]),
    "an empty line before": (b"\r\n" + HIDDEN, ["/hidden"]),
}


@pytest.mark.parametrize("case", TAKEN, ids=str)
def test_what_can_be_read_in_one_way_only_is_taken(case: str) -> None:
    data, targets = TAKEN[case]
    assert outcome(data) == (targets, None)


def test_the_absolute_form_decides_over_the_host_header() -> None:
    parser = RequestParser()
    parser.feed(b"GET http://real.example/x HTTP/1.1\r\nHost: other.example\r\n\r\n")
    assert [(request.host, request.path) for request in parser.ready] == [("real.example", "/x")]


@given(
    st.lists(
        st.sampled_from(
            [
                b"Content-Length: 3\r\n",
                b"Content-Length: 5\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"Transfer-Encoding: identity\r\n",
                b"Content-Length : 3\r\n",
                b"Transfer-Encoding:chunked\r\n",
                b"X: y\r\n",
                b"content-length: 3\r\n",
            ]
        ),
        max_size=4,
    ),
    st.sampled_from([b"abc", b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", HIDDEN]),
)
def test_no_mixture_of_framings_is_taken_for_more_than_one_length(fields: list[bytes], body: bytes) -> None:
    data = START + b"".join(fields) + b"\r\n" + body
    lengths = [field for field in fields if field.lower().startswith(b"content-length")]
    codings = [field for field in fields if field.lower().startswith(b"transfer-encoding")]
    requests, status = outcome(data)
    if len(lengths) + len(codings) > 1:
        assert status is not None
        assert requests == []


async def test_nothing_behind_what_was_refused_is_answered(sites: Sites) -> None:
    site = await sites.start({"echo": echo})
    for case in ("CL.TE", "TE.CL", "TE space before colon", "size ended by a bare LF"):
        hidden = f"GET /{WEB}/hidden HTTP/1.1\r\nHost: h\r\n\r\n".encode()
        data = REFUSED[case].replace(b"POST / ", f"POST /{WEB}/ ".encode()).replace(HIDDEN, hidden) + hidden
        answered = await talk(site.port, data, timeout_s=30)
        assert answered.count(b"Connection:") == 1
        assert Answer(answered).status == 400
        assert Answer(answered).headers["connection"] == "close"
