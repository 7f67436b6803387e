"""WebSockets of users, by the ``websockets`` library."""

import asyncio
import json
import threading
from collections.abc import Callable

import pytest
from gateway_support import (
    HERE,
    TEXT,
    WEB,
    Endless,
    Site,
    Sites,
    chat,
    connected,
    eventually,
    route,
    sent_to,
    soon,
)
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from footloose.core.limits import WEBSOCKET_MESSAGE_BYTES
from footloose.gateway import wire
from footloose.model.guest import GuestError, GuestFault
from footloose.model.network import Prefix
from footloose.model.routing import Moved

HANDSHAKE = (
    f"GET /{WEB}/ HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
).encode()


def ws(site: Site, rest: str = "/") -> str:
    return f"ws://127.0.0.1:{site.port}/{WEB}{rest}"


async def heard(socket: ClientConnection) -> str | bytes:
    async with asyncio.timeout(10):
        return await socket.recv()


async def closed_with(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(10):
        await socket.wait_closed()
    return socket.close_code


async def test_each_message_is_one_call_and_its_answer_one_message(sites: Sites) -> None:
    site = await sites.start({"chat": chat})
    async with connect(ws(site)) as socket:
        for number in range(20):
            await socket.send(f"n{number}")
        assert [await heard(socket) for _ in range(20)] == [f"you said n{number}" for number in range(20)]


async def test_events_carry_the_connection_and_the_kind_of_message(sites: Sites) -> None:
    events = []

    def keep(environment: dict[str, str], body: bytes) -> bytes:
        events.append((environment, body))
        return b""

    site = await sites.start({"keep": keep})
    async with connect(ws(site, "/room?name=x")) as socket:
        await socket.send("text é")
        await socket.send(b"\x00binary")
    await eventually(lambda: len(events) == 4)
    kinds = [(env["FOOTLOOSE_EVENT"], env["CONTENT_TYPE"].split(";")[0], body) for env, body in events]
    assert kinds == [
        ("open", "application/octet-stream", b""),
        ("message", "text/plain", "text é".encode()),
        ("message", "application/octet-stream", b"\x00binary"),
        ("close", "application/octet-stream", b""),
    ]
    assert len({env["FOOTLOOSE_CONNECTION"] for env, _ in events}) == 1
    for env, body in events:
        assert (env["REQUEST_METHOD"], env["PATH_INFO"], env["QUERY_STRING"]) == ("WEBSOCKET", "/room", "name=x")
        assert env["CONTENT_LENGTH"] == str(len(body))


async def test_a_publication_reaches_all_who_subscribed(sites: Sites) -> None:
    site = await sites.start({"chat": chat})
    async with connect(ws(site)) as one, connect(ws(site)) as two:
        await one.send("all:hi")
        assert [await heard(one), await heard(two)] == ["hi", "hi"]


async def test_a_guest_may_refuse_a_connection(sites: Sites) -> None:
    def refuse(environment: dict[str, str], body: bytes) -> bytes:
        return b"Status: 403 Not You\nContent-Type: text/plain\n\nno"

    site = await sites.start({"refuse": refuse})
    with pytest.raises(InvalidStatus) as caught:
        await connect(ws(site))
    assert caught.value.response.status_code == 403
    assert caught.value.response.body == b"no"


async def test_a_guest_that_fails_to_open_is_a_bad_gateway(sites: Sites) -> None:
    def fail(environment: dict[str, str], body: bytes) -> bytes:
        raise GuestError(GuestFault.TIME, "100 ms")

    site = await sites.start({"fail": fail})
    with pytest.raises(InvalidStatus) as caught:
        await connect(ws(site))
    assert caught.value.response.status_code == 504


async def test_a_guest_that_fails_a_message_ends_the_connection_with_1011(sites: Sites) -> None:
    def fail(environment: dict[str, str], body: bytes) -> bytes:
        if environment["FOOTLOOSE_EVENT"] == "message":
            raise GuestError(GuestFault.TRAP, "secret")
        return b""

    site = await sites.start({"fail": fail})
    async with connect(ws(site)) as socket:
        await socket.send("x")
        assert await closed_with(socket) == 1011
        assert socket.close_reason == "the guest failed: trap"
    await site.until(lambda: any("secret" in text for text in site.logs))


async def test_a_message_over_the_limit_ends_the_connection_with_1009(sites: Sites) -> None:
    site = await sites.start({"chat": chat})
    async with connect(ws(site)) as socket:
        await socket.send("x" * (WEBSOCKET_MESSAGE_BYTES - 9))
        assert len(await heard(socket)) == WEBSOCKET_MESSAGE_BYTES
        await socket.send("x" * (WEBSOCKET_MESSAGE_BYTES + 1))
        assert await closed_with(socket) == 1009


async def test_a_subprotocol_is_chosen_by_the_guest_among_those_offered(sites: Sites) -> None:
    def choose(environment: dict[str, str], body: bytes) -> bytes:
        return b"Sec-WebSocket-Protocol: two\n\nwelcome" if environment["FOOTLOOSE_EVENT"] == "open" else b""

    site = await sites.start({"choose": choose})
    async with connect(ws(site), subprotocols=["one", "two"]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "two"
        assert await heard(socket) == "welcome"


async def test_open_users_are_told_where_to_go_once_per_place_and_go_on_being_served(sites: Sites) -> None:
    site = await sites.start({"chat": chat})
    async with connect(ws(site, "/room?x=1")) as socket:
        for copy in ("http://copy-a:1", "http://copy-a:1", "http://copy-b:2"):
            site.install(route("chat", redirects=(sent_to(f"{copy}/{WEB}/"),)))
        site.install(route("chat", redirects=(sent_to("http://else:3", Prefix("10.0.0.0/24")),)))
        site.install(route("chat", redirects=(sent_to(f"{site.url}/{WEB}/"),)))
        await socket.send("still here")
        messages = [await heard(socket) for _ in range(3)]
        told = [json.loads(message) for message in messages[:2]]
        assert [message["footloose"] for message in told] == ["migrate", "migrate"]
        assert [message["url"] for message in told] == [
            f"ws://copy-a:1/{WEB}/room?x=1",
            f"ws://copy-b:2/{WEB}/room?x=1",
        ]
        assert all(message["reason"] for message in told)
        assert messages[2] == "you said still here"


async def test_users_who_stay_are_told_again_after_a_while_unless_they_may_stay(sites: Sites) -> None:
    site = await sites.start({"chat": chat}, sweep_s=0.02, tell_again_s=0.1)
    site.install(route("chat", redirects=(sent_to(f"http://copy:1/{WEB}/"),)))
    async with connect(ws(site)) as socket:
        urls = [json.loads(await heard(socket))["url"] for _ in range(3)]
        assert urls == [f"ws://copy:1/{WEB}/"] * 3
        site.install(route("chat"))
        await socket.send("x")
        while (said := await heard(socket)) != "you said x":
            assert json.loads(said)["footloose"] == "migrate"
        await asyncio.sleep(0.3)
        await socket.send("y")
        assert await heard(socket) == "you said y"


async def test_a_new_user_with_a_redirect_is_taken_and_told_at_once(sites: Sites) -> None:
    site = await sites.start({"chat": chat})
    site.install(route("chat", redirects=(sent_to(f"http://copy:1/{WEB}/"),)))
    async with connect(ws(site)) as socket:
        assert json.loads(await heard(socket))["url"] == f"ws://copy:1/{WEB}/"
        await socket.send("x")
        assert await heard(socket) == "you said x"


async def test_users_of_a_service_that_leaves_are_told_where_to_and_let_go(sites: Sites) -> None:
    site = await sites.start({"chat": chat}, sweep_s=0.05, leave_s=2.0)
    async with connect(ws(site)) as socket:
        site.install(moved=(Moved(WEB, f"http://home:1/{WEB}/", soon()),))
        assert json.loads(await heard(socket))["url"] == f"ws://home:1/{WEB}/"
        await socket.send("wait")
        assert await heard(socket) == "you said wait", "served on while they leave"
        assert await closed_with(socket) == 1012
    async with connect(ws(site)) as late:
        assert json.loads(await heard(late))["url"] == f"ws://home:1/{WEB}/"
        assert await closed_with(late) == 1012


async def test_users_of_a_service_that_is_removed_are_let_go(sites: Sites) -> None:
    site = await sites.start({"chat": chat})
    async with connect(ws(site)) as socket:
        site.install()
        assert await closed_with(socket) == 1001
    with pytest.raises(InvalidStatus):
        await connect(ws(site))


async def test_open_websockets_are_reported_at_once_every_second_and_when_they_close(sites: Sites) -> None:
    site = await sites.start({"chat": chat})

    def levels() -> list[int]:
        return [one.open_websockets for report in site.reports for one in report.observations if one.prefix == HERE]

    async with connect(ws(site)), connect(ws(site)):
        await site.until(lambda: levels().count(2) >= 3)
        quiet = [one for report in site.reports for one in report.observations][-1]
        assert (quiet.requests, quiet.address) == (0, "127.0.0.1")
        assert quiet.rtt_ms is not None
    await site.until(lambda: levels()[-1] == 0)


async def test_a_reader_that_is_too_slow_is_dropped_and_others_are_not(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_CLOSE_WAIT_S", 0.2)

    def flood(environment: dict[str, str], body: bytes) -> bytes:
        if environment["FOOTLOOSE_EVENT"] == "open":
            return b"Footloose-Subscribe: t\n\n"
        return b"Footloose-Publish: t\n\n" + body * 60_000 if body else b""

    site = await sites.start({"flood": flood}, sweep_s=0.05)
    async with connected(site.port) as (reader, writer), connect(ws(site)) as quick:
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        reader._transport.pause_reading()
        async with asyncio.timeout(20):
            while not any("too slow a reader" in text for text in site.logs):
                await quick.send("x")
                assert len(await heard(quick)) == 60_000
        await site.until(lambda: _level(site) == 1)


def _level(site: Site) -> int:
    """How many WebSockets are open, by the latest report."""
    return [one.open_websockets for report in site.reports for one in report.observations][-1]


async def test_a_quiet_user_is_pinged_and_one_that_is_gone_is_let_go(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "WEBSOCKET_PING_S", 1.0)
    monkeypatch.setattr(wire, "_CLOSE_WAIT_S", 0.2)
    site = await sites.start({"chat": chat}, sweep_s=0.05)
    async with connect(ws(site)) as alive:
        async with connected(site.port) as (reader, writer):
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            rest = await asyncio.wait_for(_read_until_reset(reader), 10)
            assert rest.startswith(b"\x89\x00")
            assert b"\x88" in rest
        await alive.send("x")
        assert await heard(alive) == "you said x"


async def test_a_quiet_user_is_asked_before_it_is_let_go_also_by_a_worker_that_stood_still(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "WEBSOCKET_PING_S", 0.2)
    site = await sites.start({"chat": chat}, sweep_s=0.05)
    async with connect(ws(site)) as quiet:
        threading.Event().wait(1.0)  # the worker's loop does not run
        for _ in range(20):  # and then sees to the time first
            await asyncio.sleep(0)
        await quiet.send("x")
        assert await heard(quiet) == "you said x"


async def _read_until_reset(reader: asyncio.StreamReader) -> bytes:
    data = b""
    try:
        while piece := await reader.read(100):
            data += piece
    except ConnectionResetError:
        return data
    return data


async def test_frames_sent_together_with_the_handshake_are_not_lost(sites: Sites) -> None:
    site = await sites.start({"chat": chat})
    async with connected(site.port) as (reader, writer):
        writer.write(HANDSHAKE + b"\x81\x81\x00\x00\x00\x00a")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(12) == b"\x81\x0ayou said a"


async def test_messages_wait_for_a_slow_guest_in_order_and_in_bounds(sites: Sites) -> None:
    endless = Endless()

    def slow(environment: dict[str, str], body: bytes) -> bytes:
        if body == b"0":
            endless(environment, body)
        return TEXT + body if environment["FOOTLOOSE_EVENT"] == "message" else b""

    site = await sites.start({"slow": slow})
    async with connect(ws(site)) as socket:
        for number in range(100):
            await socket.send(str(number))
        await asyncio.to_thread(endless.entered.acquire)
        endless.release.set()
        assert [await heard(socket) for _ in range(100)] == [str(number) for number in range(100)]


async def test_what_was_sent_before_leaving_is_still_handled_and_then_the_close(sites: Sites) -> None:
    endless, events = Endless(), []

    def slow(environment: dict[str, str], body: bytes) -> bytes:
        events.append((environment["FOOTLOOSE_EVENT"], body))
        if body == b"first":
            endless(environment, body)
        return b""

    site = await sites.start({"slow": slow})
    async with connect(ws(site)) as socket:
        await socket.send("first")
        await socket.send("second")
        await asyncio.to_thread(endless.entered.acquire)
    endless.release.set()
    await eventually(lambda: events[-1][0] == "close")
    assert events == [("open", b""), ("message", b"first"), ("message", b"second"), ("close", b"")]


async def test_a_worker_that_stops_has_users_connect_again(sites: Sites) -> None:
    site = await sites.start({"chat": chat})
    async with connect(ws(site)) as socket:
        await site.gateway.drain(10)
        assert await closed_with(socket) == 1012
    with pytest.raises((OSError, ConnectionClosed)):
        await connect(ws(site))


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda: TEXT + b"x" * (WEBSOCKET_MESSAGE_BYTES + 1), "not sent"),
        (lambda: b"Footloose-Subscribe: " + b"x" * 500 + b"\n\n", "not subscribed"),
        (lambda: b"Footloose-Publish: " + b"x" * 500 + b"\n\nbody", "not published"),
    ],
    ids=["a long message", "a long topic to subscribe to", "a long topic to publish to"],
)
async def test_what_a_guest_may_not_do_is_logged_and_the_connection_goes_on(
    sites: Sites, answer: Callable[[], bytes], complaint: str
) -> None:
    def guest(environment: dict[str, str], body: bytes) -> bytes:
        return answer() if body == b"bad" else TEXT + b"ok" if body else b""

    site = await sites.start({"guest": guest})
    async with connect(ws(site)) as socket:
        await socket.send("bad")
        await socket.send("good")
        assert await heard(socket) == "ok"
    await site.until(lambda: any(complaint in text for text in site.logs))
