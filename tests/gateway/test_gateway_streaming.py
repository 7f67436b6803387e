"""Bodies both ways as they come, and what stops them."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from gateway_support import (
    TEXT,
    WEB,
    Answer,
    Site,
    Sites,
    StreamingGuest,
    connected,
    eventually,
    fetch,
    get,
    hello,
    read_answer,
    talk,
)

from footloose.core.limits import (
    GUEST_CALLS_RUNNING,
    REQUEST_BODY_BYTES,
    STREAM_BODY_WAITING_BYTES,
    STREAMED_BODY_BYTES,
    WHOLE_BODY_BYTES,
)
from footloose.model.guest import Exchange, GuestAnswer, GuestError, GuestFault

PIECE = 64 * 1024
PATIENCE_S = 60.0


def counting(environment: dict[str, str], exchange: Exchange) -> None:
    """Says how much it was sent."""
    total = 0
    while piece := exchange.read(PIECE):
        total += len(piece)
    exchange.write(TEXT + f"{total} of {environment.get('CONTENT_LENGTH')}".encode())


def parrot(_environment: dict[str, str], exchange: Exchange) -> None:
    """Says what it is told, when it is told."""
    exchange.write(TEXT)
    while piece := exchange.read(PIECE):
        exchange.write(piece)


class Teller:
    """Sends one event at once and another once it may; notes how it ended."""

    def __init__(self, kind: str = "text/event-stream") -> None:
        self.head = f"Content-Type: {kind}\r\n\r\n".encode()
        self.go_on = threading.Event()
        self.ended = threading.Event()

    def __call__(self, _environment: dict[str, str], exchange: Exchange) -> None:
        try:
            exchange.write(self.head + b"data: 1\n\n")
            while not self.go_on.is_set():
                exchange.sleep(0.01)
            exchange.write(b"data: 2\n\n")
        finally:
            self.ended.set()


async def start(sites: Sites, handler: Callable[[dict[str, str], Exchange], None], **config: object) -> Site:
    return await sites.start({"streaming": StreamingGuest(handler)}, **config)


def post(length: int | None = None, *headers: str, close: bool = True, version: str = "1.1") -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = [f"POST /{WEB}/ HTTP/{version}", "Host: h", framing, *headers, *(["Connection: close"] if close else [])]
    return "\r\n".join([*lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readline(), 16)
    data = await reader.readexactly(size)
    assert await reader.readline() == b"\r\n"
    return data


def unchunked(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return body


async def test_a_guest_reads_a_body_larger_than_any_it_could_be_given_whole(sites: Sites) -> None:
    site = await start(sites, counting)
    total = 3 * REQUEST_BODY_BYTES
    answer = Answer(await talk(site.port, post(total) + bytes(total), timeout_s=PATIENCE_S))
    assert answer.body == f"{total} of {total}".encode()
    assert answer.headers["content-length"] == str(len(answer.body))


async def test_an_answer_goes_out_while_the_body_comes_in(sites: Sites) -> None:
    site = await start(sites, parrot)
    async with asyncio.timeout(PATIENCE_S), connected(site.port) as (reader, writer):
        writer.write(post(close=False) + chunk(b"one"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        assert b"Content-Length" not in head
        assert await read_chunk(reader) == b"one"
        writer.write(chunk(b"two"))
        assert await read_chunk(reader) == b"two"
        writer.write(chunk(b"three") + b"0\r\nX-Trailer: ignored\r\n\r\n" + get(f"/{WEB}/"))
        assert await read_chunk(reader) == b"three"
        assert await read_chunk(reader) == b""
        assert (await reader.read()).startswith(b"HTTP/1.1 200")


async def test_an_event_is_seen_at_once(sites: Sites) -> None:
    teller = Teller()
    site = await start(sites, teller)
    async with asyncio.timeout(PATIENCE_S), connected(site.port) as (reader, writer):
        writer.write(get())
        await reader.readuntil(b"\r\n\r\n")
        assert await read_chunk(reader) == b"data: 1\n\n"
        teller.go_on.set()
        assert unchunked(await reader.read()) == b"data: 2\n\n"


async def test_a_guest_that_is_soon_done_is_answered_with_a_length(sites: Sites) -> None:
    site = await start(sites, parrot)
    answer = Answer(await talk(site.port, post(4) + b"body", timeout_s=PATIENCE_S))
    assert (answer.body, answer.headers.get("content-length")) == (b"body", "4")
    assert "queue;dur=" in answer.headers["server-timing"]


async def test_an_http_1_0_user_gets_what_comes_until_the_connection_ends(sites: Sites) -> None:
    teller = Teller()
    site = await start(sites, teller)
    async with asyncio.timeout(PATIENCE_S), connected(site.port) as (reader, writer):
        writer.write(f"GET /{WEB}/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"chunked" not in head
        assert b"Connection: close" in head
        assert await reader.readuntil(b"\n\n") == b"data: 1\n\n"
        teller.go_on.set()
        assert await reader.read() == b"data: 2\n\n"


async def test_head_tells_how_it_would_begin_and_stops_the_guest(sites: Sites) -> None:
    teller = Teller()
    site = await start(sites, teller)
    async with asyncio.timeout(PATIENCE_S), connected(site.port) as (reader, writer):
        writer.write(get(method="HEAD", close=False))
        assert b"Content-Type: text/event-stream" in await reader.readuntil(b"\r\n\r\n")
        await asyncio.to_thread(teller.ended.wait, PATIENCE_S)
        teller.go_on.set()
        writer.write(get())
        assert b"data: 2\n\n" in await reader.read()


async def test_a_guest_is_stopped_when_its_user_has_left(sites: Sites) -> None:
    teller = Teller()
    site = await start(sites, teller)
    async with asyncio.timeout(PATIENCE_S), connected(site.port) as (reader, writer):
        writer.write(get())
        await reader.readuntil(b"data: 1\n\n")
    assert await asyncio.to_thread(teller.ended.wait, PATIENCE_S)


async def test_a_guest_waits_for_a_user_who_does_not_read_and_such_a_user_is_cut_off(sites: Sites) -> None:
    ended = threading.Event()

    def endless(_environment: dict[str, str], exchange: Exchange) -> None:
        try:
            exchange.write(TEXT)
            while True:
                exchange.write(bytes(PIECE))
        finally:
            ended.set()

    site = await start(sites, endless, write_stall_s=0.2, sweep_s=0.05)
    async with connected(site.port) as (reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(get())
        assert await asyncio.to_thread(ended.wait, PATIENCE_S)


async def test_no_more_is_taken_from_a_user_than_the_guest_reads(sites: Sites) -> None:
    read_on = threading.Event()

    def late(environment: dict[str, str], exchange: Exchange) -> None:
        assert read_on.wait(PATIENCE_S)
        counting(environment, exchange)

    site = await start(sites, late)
    total = 32 * 1024 * 1024
    async with asyncio.timeout(PATIENCE_S), connected(site.port) as (reader, writer):
        writer.write(post(total) + bytes(total))
        (connection,) = site.gateway._shared.connections
        await eventually(lambda: connection._paused_reading, PATIENCE_S)  # type: ignore[attr-defined]
        waiting = connection._streaming.exchange.body_bytes  # type: ignore[attr-defined]
        assert STREAM_BODY_WAITING_BYTES < waiting <= 2 * STREAM_BODY_WAITING_BYTES
        read_on.set()
        assert Answer(await reader.read()).body == f"{total} of {total}".encode()


async def test_a_body_that_comes_too_slowly_is_cut(sites: Sites) -> None:
    site = await start(sites, counting, body_window_s=0.1, sweep_s=0.02)
    async with asyncio.timeout(PATIENCE_S), connected(site.port) as (reader, writer):
        writer.write(post() + chunk(b"x"))
        assert Answer(await reader.read()).status == 408


async def test_a_body_that_breaks_off_ends_the_guest(sites: Sites) -> None:
    ended = threading.Event()

    def reading(environment: dict[str, str], exchange: Exchange) -> None:
        try:
            counting(environment, exchange)
        finally:
            ended.set()

    site = await start(sites, reading)
    assert await talk(site.port, post() + chunk(b"x"), eof=True, timeout_s=PATIENCE_S) == b""
    assert await asyncio.to_thread(ended.wait, PATIENCE_S)
    data = await talk(site.port, post() + chunk(b"x") + b"no size\r\n", timeout_s=PATIENCE_S)
    assert Answer(data).status == 400


@pytest.mark.parametrize("begun", [False, True])
async def test_a_guest_that_fails_late_does_not_pass_for_done(sites: Sites, begun: bool) -> None:
    go_on = threading.Event()

    def failing(_environment: dict[str, str], exchange: Exchange) -> None:
        exchange.write(TEXT + b"half an ans")
        if begun:
            while not go_on.is_set():
                exchange.sleep(0.01)
        raise GuestError(GuestFault.TRAP, "unreachable")

    site = await start(sites, failing)
    async with asyncio.timeout(PATIENCE_S), connected(site.port) as (reader, writer):
        writer.write(get())
        if not begun:
            assert Answer(await reader.read()).status == 502
            return
        await reader.readuntil(b"half an ans")
        go_on.set()
        with pytest.raises(ConnectionResetError):
            assert await reader.read() == b"\r\n"
            raise ConnectionResetError  # closed in order or reset, the last chunk is missing
        await site.until(lambda: any("unreachable" in log for log in site.logs), PATIENCE_S)


@pytest.mark.parametrize(("said", "given", "whole"), [(3, b"four", True), (5, b"four", False), (4, b"four", True)])
async def test_a_guest_is_held_to_the_length_it_gave(sites: Sites, said: int, given: bytes, whole: bool) -> None:
    def stating(_environment: dict[str, str], exchange: Exchange) -> None:
        exchange.write(b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % said + given[:1])
        while not seen.is_set():
            exchange.sleep(0.01)
        exchange.write(given[1:])

    seen = threading.Event()
    site = await start(sites, stating)
    async with asyncio.timeout(PATIENCE_S), connected(site.port) as (reader, writer):
        writer.write(get())
        head = await reader.readuntil(b"\r\n\r\n")
        assert f"Content-Length: {said}".encode() in head
        seen.set()
        try:
            body = await reader.read()
        except ConnectionResetError:
            body = b""
        assert (len(body) == said) == whole
        assert given.startswith(body)


async def test_an_answer_given_before_the_body_is_read_arrives(sites: Sites) -> None:
    def deaf(_environment: dict[str, str], exchange: Exchange) -> None:
        exchange.write(b"Status: 403 No\r\nContent-Type: text/plain\r\n\r\nI do not listen")

    site = await start(sites, deaf)
    total = 8 * REQUEST_BODY_BYTES
    async with asyncio.timeout(PATIENCE_S), connected(site.port) as (reader, writer):
        writer.write(post(total, close=False) + bytes(total // 2))
        answer = await read_answer(reader)
        assert (answer.status, answer.headers["connection"]) == (403, "close")


async def test_many_who_listen_keep_nobody_from_being_answered(sites: Sites) -> None:
    teller = Teller()

    def talkative(environment: dict[str, str], exchange: Exchange) -> None:
        if environment["PATH_INFO"] == "/plain":
            exchange.write(TEXT + b"plain")
        else:
            teller(environment, exchange)

    site = await start(sites, talkative)
    async with asyncio.timeout(PATIENCE_S):
        listening = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(3 * GUEST_CALLS_RUNNING)]
        for _, writer in listening:
            writer.write(get())
        for reader, _ in listening:
            await reader.readuntil(b"data: 1\n\n")
        assert (await fetch(site.port, get(f"/{WEB}/plain"))).body == b"plain"
        teller.go_on.set()
        for reader, writer in listening:
            await reader.readuntil(b"data: 2\n\n")
            writer.transport.abort()


async def test_a_guest_that_wants_to_sleep_is_given_a_thread(sites: Sites) -> None:
    class Sleepy(StreamingGuest):
        def call(self, _environment: object, _body: bytes) -> GuestAnswer:
            raise GuestError(GuestFault.WAITS, "")

    def sleeping(_environment: dict[str, str], exchange: Exchange) -> None:
        exchange.sleep(0.001)
        exchange.write(TEXT + b"rested")

    site = await sites.start({"sleepy": Sleepy(sleeping)})
    (served,) = site.gateway._services.by_id.values()
    served.pace.average_ms = 0.0
    assert (await fetch(site.port, get())).body == b"rested"
    assert not served.pace.fast(0.0)


# Guests that get their bodies whole.


async def test_a_guest_that_gets_bodies_whole_gets_large_ones_too_up_to_the_limit(sites: Sites) -> None:
    def size(_environment: dict[str, str], body: bytes) -> bytes:
        return TEXT + f"{len(body)} of {_environment['CONTENT_LENGTH']}".encode()

    site = await sites.start({"size": size})
    for length in (WHOLE_BODY_BYTES + 1, REQUEST_BODY_BYTES):
        answer = Answer(await talk(site.port, post(length) + bytes(length), timeout_s=PATIENCE_S))
        assert answer.body == f"{length} of {length}".encode()
    data = b"".join(chunk(bytes(PIECE)) for _ in range(4)) + b"0\r\n\r\n"
    async with asyncio.timeout(PATIENCE_S), connected(site.port) as (reader, writer):
        writer.write(post(None, "Expect: 100-continue"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(data)
        assert Answer(await reader.read()).body == f"{4 * PIECE} of {4 * PIECE}".encode()


async def test_what_is_too_large_is_refused_before_it_is_asked_for(sites: Sites) -> None:
    site = await sites.start({"hello": hello})
    data = await talk(site.port, post(REQUEST_BODY_BYTES + 1, "Expect: 100-continue"), eof=True, timeout_s=PATIENCE_S)
    assert Answer(data).status == 413
    streaming = await start(sites, counting)
    data = await talk(streaming.port, post(STREAMED_BODY_BYTES + 1), eof=True, timeout_s=PATIENCE_S)
    assert Answer(data).status == 413


async def test_a_body_nobody_wants_is_answered_without_being_read(sites: Sites) -> None:
    site = await sites.start({"hello": hello})
    head = post(STREAMED_BODY_BYTES).replace(f"/{WEB}/".encode(), b"/nowhere")
    async with asyncio.timeout(PATIENCE_S), connected(site.port) as (reader, writer):
        writer.write(head + bytes(PIECE))
        assert Answer(await reader.readuntil(b"\r\n\r\n")).status == 404
