"""The gateway on real sockets: raw bytes, curl, and users who do not behave."""

import asyncio
import json
import threading
import time

import pytest
from gateway_support import (
    HERE,
    TEXT,
    WEB,
    Answer,
    Endless,
    Sites,
    connected,
    echo,
    eventually,
    fetch,
    get,
    hello,
    read_answer,
    route,
    sent_to,
    talk,
    trap,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from footloose.core.limits import GUEST_CALLS_RUNNING, GUEST_CALLS_WAITING, GUEST_LOG_BYTES, REQUEST_BODY_BYTES
from footloose.model.app import ServiceId
from footloose.model.guest import GuestAnswer

OTHER = ServiceId("demo-abcdefgh/other")


async def test_a_guest_gets_the_request_and_the_user_its_answer(sites: Sites) -> None:
    site = await sites.start()
    answer = await fetch(site.port, get(f"/{WEB}/a?b=c", "X-A: 1", method="POST", body=b"the body"))
    assert answer.status == 200
    assert answer.json["body"] == "the body"
    seen = answer.json["env"]
    assert isinstance(seen, dict)
    assert seen["REQUEST_METHOD"] == "POST"
    assert seen["CONTENT_LENGTH"] == "8"
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert seen["SERVER_PORT"] == str(site.port)
    assert "guest;dur=" in answer.headers["server-timing"]
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "date" in answer.headers


async def test_pipelined_requests_are_answered_in_order(sites: Sites) -> None:
    site = await sites.start()
    requests = [get(f"/{WEB}/{number}", close=number == 99) for number in range(100)]
    data = await talk(site.port, b"".join(requests))
    bodies = [json.loads(part.partition(b"\r\n\r\n")[2]) for part in data.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert [body["env"]["PATH_INFO"] for body in bodies] == [f"/{number}" for number in range(100)]


async def test_a_connection_serves_one_request_after_another(sites: Sites) -> None:
    site = await sites.start({"hello": hello})
    async with connected(site.port) as (reader, writer):
        for _ in range(5):
            writer.write(get(close=False))
            assert (await read_answer(reader)).body == b"hello"


async def test_http_1_0_users_are_told_whether_the_connection_stays(sites: Sites) -> None:
    site = await sites.start({"hello": hello})
    old = f"GET /{WEB}/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode()
    async with connected(site.port) as (reader, writer):
        for _ in range(2):
            writer.write(old)
            assert (await read_answer(reader)).headers["connection"] == "keep-alive"
    answer = await fetch(site.port, f"GET /{WEB}/ HTTP/1.0\r\n\r\n".encode())
    assert (answer.headers["connection"], answer.body) == ("close", b"hello")


async def test_head_has_the_headers_and_no_body(sites: Sites) -> None:
    site = await sites.start({"hello": hello})
    async with connected(site.port) as (reader, writer):
        writer.write(get(method="HEAD", close=False) + get())
        data = await reader.read()
    first, _, rest = data.partition(b"\r\n\r\n")
    assert b"Content-Length: 5" in first
    assert rest.startswith(b"HTTP/1.1 200 OK")


async def test_a_user_who_half_closes_still_gets_the_answer(sites: Sites) -> None:
    site = await sites.start({"hello": hello})
    assert b"hello" in await talk(site.port, get(close=False), eof=True)
    assert await talk(site.port, b"GET /half", eof=True) == b""


async def test_the_body_is_asked_for_when_the_user_waits_to_be(sites: Sites) -> None:
    site = await sites.start()
    async with connected(site.port) as (reader, writer):
        head = f"POST /{WEB}/ HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        writer.write(get(f"/{WEB}/first", close=False) + head.encode())
        assert (await read_answer(reader)).status == 200
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await read_answer(reader)).json["body"] == "abc"
        writer.write(head.replace("Content-Length: 3", f"Content-Length: {REQUEST_BODY_BYTES + 1}").encode())
        assert (await read_answer(reader)).status == 413


async def test_a_body_that_is_too_large_is_refused_while_it_is_being_sent(sites: Sites) -> None:
    site = await sites.start()
    async with connected(site.port) as (reader, writer):
        writer.write(f"POST /{WEB}/ HTTP/1.1\r\nHost: h\r\nContent-Length: {REQUEST_BODY_BYTES + 1}\r\n\r\n".encode())
        writer.write(b"x" * REQUEST_BODY_BYTES)
        answer = await read_answer(reader)
        assert answer.status == 413
        assert str(REQUEST_BODY_BYTES).encode() in answer.body


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01\x00", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (get("/nowhere"), 404),
        (get(f"/{WEB}/%00"), 400),
    ],
)
async def test_what_is_refused_is_refused_with_a_reason_and_the_connection_closed(
    sites: Sites, data: bytes, status: int
) -> None:
    site = await sites.start()
    answer = await fetch(site.port, data)
    assert answer.status == status
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["connection"] == "close"
    assert len(answer.body) > 20
    assert (await fetch(site.port, get())).status == 200


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(st.binary(max_size=30), st.sampled_from([get(), b"\r\n\r\n", b"GET / HTTP/1.1\r\n"])), max_size=6
    )
)
async def test_garbage_bytes_harm_nobody(sites: Sites, pieces: list[bytes]) -> None:
    site = await sites.start(run="one")
    try:
        await talk(site.port, b"".join(pieces), eof=True)
        assert (await fetch(site.port, get())).status == 200
    finally:
        await sites.close()


async def test_a_guests_fault_is_the_gateways_bad_answer_and_is_reported(sites: Sites) -> None:
    site = await sites.start({"trap": trap})
    answer = await fetch(site.port, get())
    assert answer.status == 502
    assert answer.body == b"502 Bad Gateway: the guest failed: trap\n"
    await site.until(lambda: any("unreachable at secret address" in text for text in site.logs))
    assert "about to trap" in site.logs
    await site.until(lambda: sum(one.errors for report in site.reports for one in report.observations) == 1)


async def test_a_guests_log_is_reported_in_bounds(sites: Sites) -> None:
    def chatty(environment: dict[str, str], body: bytes) -> GuestAnswer:
        return GuestAnswer(TEXT, b"\xff" + b"log" * 10_000)

    site = await sites.start({"chatty": chatty})
    await fetch(site.port, get())
    await site.until(lambda: bool(site.logs))
    assert len(site.logs[0]) == GUEST_LOG_BYTES


async def test_a_user_is_reported_at_first_sight_with_the_round_trip(sites: Sites) -> None:
    site = await sites.start({"hello": hello})
    async with connected(site.port) as (reader, writer):
        writer.write(get(close=False))
        await read_answer(reader)
        await site.until(lambda: bool(site.reports))
        (first,) = site.reports[0].observations
        assert (first.service, first.prefix, first.address, first.requests) == (WEB, HERE, "127.0.0.1", 1)
        assert first.rtt_ms is not None
        assert site.reports[0].table_version == 1
        for _ in range(10):
            writer.write(get(close=False))
            await read_answer(reader)
        await site.until(lambda: sum(one.requests for report in site.reports for one in report.observations) == 11)
    assert len(site.reports) < 11


async def test_users_are_told_apart_by_ipv4_address_on_a_socket_for_both(sites: Sites) -> None:
    site = await sites.start({"echo": echo}, host="::")
    answer = await fetch(site.port, get())
    seen = answer.json["env"]
    assert isinstance(seen, dict)
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    await site.until(lambda: bool(site.reports))
    assert site.reports[0].observations[0].prefix == HERE


async def test_an_endless_guest_does_not_hold_up_another_service(sites: Sites) -> None:
    endless = Endless()
    site = await sites.start({"endless": endless, "hello": hello})
    site.install(route("endless"), route("hello", OTHER))
    stuck = [asyncio.create_task(fetch(site.port, get())) for _ in range(GUEST_CALLS_RUNNING + 2)]
    for _ in range(GUEST_CALLS_RUNNING):
        await asyncio.to_thread(endless.entered.acquire)
    for _ in range(20):
        assert (await fetch(site.port, get(f"/{OTHER}/"))).body == b"hello"
    assert not any(task.done() for task in stuck)
    endless.release.set()
    assert {answer.body for answer in await asyncio.gather(*stuck)} == {b"at last"}


async def test_a_service_with_too_much_waiting_turns_users_away_at_once(sites: Sites) -> None:
    endless = Endless()
    site = await sites.start({"endless": endless})
    most = GUEST_CALLS_RUNNING + GUEST_CALLS_WAITING
    tasks = [asyncio.create_task(fetch(site.port, get())) for _ in range(most + 3)]
    await eventually(lambda: sum(task.done() for task in tasks) == 3)
    turned_away = [task.result() for task in tasks if task.done()]
    assert {(answer.status, answer.headers["retry-after"]) for answer in turned_away} == {(503, "1")}
    endless.release.set()
    answers = await asyncio.gather(*tasks)
    assert sorted(answer.status for answer in answers) == [200] * most + [503] * 3


async def test_a_slow_sender_is_timed_out_and_an_idle_one_let_go(sites: Sites) -> None:
    site = await sites.start({"hello": hello}, request_s=1.0, idle_s=1.0, sweep_s=0.05)
    assert Answer(await talk(site.port, b"GET / HTTP/1.1\r\nHost:")).status == 408
    head = f"POST /{WEB}/ HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na".encode()
    assert Answer(await talk(site.port, head)).status == 408
    assert await talk(site.port, b"") == b""
    data = await talk(site.port, get(close=False))
    assert data.endswith(b"hello")
    assert data.count(b"HTTP/1.1") == 1


async def test_a_trickle_does_not_prolong_the_time_a_request_may_take(sites: Sites) -> None:
    site = await sites.start({"hello": hello}, request_s=1.0, sweep_s=0.05)
    async with connected(site.port) as (reader, writer):
        answer = asyncio.create_task(reader.read())
        while not answer.done():
            writer.write(b"G" if not answer.done() else b"")
            await asyncio.wait([answer], timeout=0.05)
        assert Answer(answer.result()).status in (400, 408)


async def test_a_user_who_never_reads_is_cut_off_and_costs_little_meanwhile(sites: Sites) -> None:
    calls = []

    def large(environment: dict[str, str], body: bytes) -> bytes:
        calls.append(1)
        return TEXT + b"x" * 1_000_000

    site = await sites.start({"large": large}, write_stall_s=0.2, sweep_s=0.05)
    async with connected(site.port) as (reader, writer):
        reader._transport.pause_reading()
        writer.write(get(close=False) * 200)
        await eventually(lambda: bool(calls) and site.gateway.connections == 0)
    assert len(calls) < 50
    assert (await fetch(site.port, get())).status == 200


async def test_connections_beyond_the_limit_are_turned_away(sites: Sites) -> None:
    site = await sites.start({"hello": hello}, connections=2)
    async with connected(site.port) as (reader, writer), connected(site.port) as (other_reader, other):
        for one in ((reader, writer), (other_reader, other)):
            one[1].write(get(close=False))
            await read_answer(one[0])
        full = Answer(await talk(site.port, b""))
        assert full.status == 503
        writer.write(get())
        assert (await reader.read()).endswith(b"hello")
        assert (await fetch(site.port, get())).status == 200


async def test_curl_follows_a_user_to_the_copy(sites: Sites) -> None:
    home, copy = await sites.start(), await sites.start()
    home.install(route(redirects=(sent_to(f"{copy.url}/{WEB}/"),)))
    for options in ([], ["-d", "payload"]):
        process = await asyncio.create_subprocess_exec(
            "curl", "-sSL", "--max-time", "10", *options, f"{home.url}/{WEB}/p%20q?x=1", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        got = json.loads(output)
        assert got["env"]["SERVER_PORT"] == str(copy.port)
        assert got["env"]["PATH_INFO"] == "/p q"
        assert got["env"]["QUERY_STRING"] == "x=1"
        assert got["body"] == ("payload" if options else "")
    assert not any(report.observations for report in home.reports)


async def test_a_drained_gateway_finishes_what_has_begun_and_takes_no_more(sites: Sites) -> None:
    endless = Endless()
    site = await sites.start({"endless": endless})
    async with connected(site.port) as (idle, _):
        busy = asyncio.create_task(talk(site.port, get(close=False)))
        await asyncio.to_thread(endless.entered.acquire)
        drained = asyncio.create_task(site.gateway.drain(10))
        assert await idle.read() == b""
        with pytest.raises(OSError):
            await talk(site.port, get())
        assert not drained.done()
        endless.release.set()
        answer = Answer(await busy)
        assert (answer.body, answer.headers["connection"]) == (b"at last", "close")
        await drained


async def test_draining_does_not_wait_longer_than_it_is_told(sites: Sites) -> None:
    endless = Endless()
    site = await sites.start({"endless": endless})
    task = asyncio.create_task(talk(site.port, get()))
    await asyncio.to_thread(endless.entered.acquire)
    start = time.monotonic()
    await site.gateway.drain(0.1)
    assert time.monotonic() - start < 5
    endless.release.set()
    await task


async def test_requests_are_logged_if_wanted(sites: Sites, capfd: pytest.CaptureFixture[str]) -> None:
    site = await sites.start({"hello": hello}, access_log=True)
    await fetch(site.port, get(f"/{WEB}/x?y"))
    await fetch(site.port, get("/nowhere"))
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(line["status"], line["target"], line["address"]) for line in lines] == [
        (200, f"/{WEB}/x?y", "127.0.0.1"),
        (404, "/nowhere", "127.0.0.1"),
    ]
    first, second = lines
    assert (first["bytes"], first["bytes_in"], first["protocol"], first["tls"]) == (5, 0, "HTTP/1.1", None)
    assert (first["service"], second["service"], first["whole"]) == (WEB, None, True)
    assert first["ms"] >= first["guest_ms"] > 0


async def test_times_are_told_unless_the_operator_does_not_want_it(sites: Sites) -> None:
    told = await sites.start({"hello": hello})
    silent = await sites.start({"hello": hello}, server_timing=False)
    assert "guest;dur=" in (await fetch(told.port, get())).headers["server-timing"]
    assert "server-timing" not in (await fetch(silent.port, get())).headers


async def test_a_fast_guest_comes_to_be_called_without_a_thread(sites: Sites) -> None:
    names = []

    def where(environment: dict[str, str], body: bytes) -> bytes:
        names.append(threading.current_thread() is threading.main_thread())
        return TEXT

    site = await sites.start({"where": where})
    async with connected(site.port) as (reader, writer):
        async with asyncio.timeout(20):
            while not (names and names[-1]):
                writer.write(get(close=False))
                await read_answer(reader)
    assert names[0] is False


async def test_what_is_pipelined_behind_a_slow_guest_is_not_read_without_end(sites: Sites) -> None:
    endless = Endless()
    site = await sites.start({"endless": endless})
    async with connected(site.port) as (reader, writer):
        writer.write(get(close=False))
        await asyncio.to_thread(endless.entered.acquire)
        body = b"x" * 500_000
        writer.write(get(method="POST", body=body, close=False) * 100)
        with pytest.raises(TimeoutError):  # 50 MB do not fit the sockets' buffers, so they were not all taken
            await asyncio.wait_for(writer.drain(), 1)
        endless.release.set()
        for _ in range(101):
            assert (await read_answer(reader)).body == b"at last"


async def test_a_user_who_leaves_while_a_websocket_opens_is_reported_to_the_guest(sites: Sites) -> None:
    endless, events = Endless(), []

    def slow(environment: dict[str, str], body: bytes) -> bytes:
        events.append(environment["FOOTLOOSE_EVENT"])
        return endless(environment, body) if events == ["open"] else b""

    site = await sites.start({"slow": slow})
    handshake = get(f"/{WEB}/", "Upgrade: websocket", "Sec-WebSocket-Version: 13", close=False).replace(
        b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with connected(site.port) as (_, writer):
        writer.write(handshake)
        await asyncio.to_thread(endless.entered.acquire)
    endless.release.set()
    await eventually(lambda: events == ["open", "close"])
    assert site.gateway.connections == 0
