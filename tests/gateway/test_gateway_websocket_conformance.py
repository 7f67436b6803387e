"""RFC 6455 by raw frames on a real socket, in the order of the Autobahn test suite's cases 1 to 7.

That suite itself needs Python 2, which is nowhere to be had any more; see the reference page of the gateway.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from gateway_support import WEB, Site, Sites

from footloose.core.limits import WEBSOCKET_MESSAGE_BYTES

TEXT_FRAME, BINARY_FRAME, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"
PATIENCE_S = 60.0

Frame = tuple[int, bytes]


def echoing(environment: dict[str, str], body: bytes) -> bytes:
    if environment["FOOTLOOSE_EVENT"] != "message":
        return b""
    return b"Content-Type: " + environment["CONTENT_TYPE"].encode() + b"\r\n\r\n" + body


def frame(kind: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    first = (0x80 if fin else 0) | rsv << 4 | kind
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head = bytes([first, bit | len(payload)])
    elif len(payload) < 65536:
        head = bytes([first, bit | 126]) + struct.pack("!H", len(payload))
    else:
        head = bytes([first, bit | 127]) + struct.pack("!Q", len(payload))
    if not masked:
        return head + payload
    key = int.from_bytes((MASK * (len(payload) // 4 + 1))[: len(payload)], "big")
    return head + MASK + (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")


@asynccontextmanager
async def opened(site: Site) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that has shaken hands."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    try:
        writer.write(
            f"GET /{WEB}/ HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        yield reader, writer
    finally:
        writer.transport.abort()


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    first, second = await reader.readexactly(2)
    assert first & 0x70 == 0
    assert second & 0x80 == 0
    length = second
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", await reader.readexactly(8))
    return first & 0x0F, await reader.readexactly(length)


async def exchange(site: Site, sent: Sequence[bytes], *, answers: int = 0, pieces: int | None = None) -> list[Frame]:
    """What comes back for ``sent``: so many ``answers``, whereupon we close, and all up to the other Close."""
    async with asyncio.timeout(PATIENCE_S), opened(site) as (reader, writer):
        data = b"".join(sent)
        for at in range(0, len(data), pieces or len(data)):
            writer.write(data[at : at + (pieces or len(data))])
            await asyncio.sleep(0)
        got = [await read_frame(reader) for _ in range(answers)]
        writer.write(frame(CLOSE, struct.pack("!H", 1000)))
        while not got or got[-1][0] != CLOSE:
            got.append(await read_frame(reader))
        return got


def close(code: int, reason: bytes = b"") -> bytes:
    return struct.pack("!H", code) + reason


def code_of(frames: Sequence[Frame]) -> int | None:
    """The code the gateway closed with."""
    kind, payload = frames[-1]
    assert kind == CLOSE
    return int(struct.unpack("!H", payload[:2])[0]) if payload else None


@pytest.fixture
async def site(sites: Sites) -> Site:
    return await sites.start({"echoing": echoing})


# 1: messages.


@pytest.mark.parametrize("kind", [TEXT_FRAME, BINARY_FRAME])
async def test_messages_of_every_size_come_back(site: Site, kind: int) -> None:
    for size in (0, 125, 126, 127, 128, 65535, WEBSOCKET_MESSAGE_BYTES):
        payload = b"*" * size
        frames = await exchange(site, [frame(kind, payload)], answers=size > 0)
        expected = [(kind, payload)] if size else []  # an answer with an empty body says nothing
        assert (frames[:-1], code_of(frames)) == (expected, 1000)
    assert code_of(await exchange(site, [frame(kind, b"*" * (WEBSOCKET_MESSAGE_BYTES + 1))])) == 1009


async def test_a_message_comes_back_whole_however_it_is_cut(site: Site) -> None:
    payload = b"*" * 3000
    for pieces in (1, 997):
        frames = await exchange(site, [frame(TEXT_FRAME, payload)], answers=1, pieces=pieces)
        assert frames[:-1] == [(TEXT_FRAME, payload)]


# 2: pings and pongs.


@pytest.mark.parametrize("payload", [b"", b"Hello", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125])
async def test_a_ping_is_answered_with_what_it_held(site: Site, payload: bytes) -> None:
    assert (await exchange(site, [frame(PING, payload)], pieces=1))[0] == (PONG, payload)


async def test_pings_are_answered_in_order_and_pongs_not_at_all(site: Site) -> None:
    pings = [frame(PING, b"%d" % number) for number in range(10)]
    frames = await exchange(site, [frame(PONG, b"unasked"), *pings])
    assert frames[:-1] == [(PONG, b"%d" % number) for number in range(10)]


# 3 and 4: reserved bits and kinds. 2.5, 5.1, 5.2: control frames that are too long or in parts. 5.x: continuations.

BROKEN = {
    **{f"reserved bits {rsv}": [frame(TEXT_FRAME, b"x", rsv=rsv)] for rsv in range(1, 8)},
    **{f"reserved bits {rsv} of a ping": [frame(PING, b"x", rsv=rsv)] for rsv in (1, 2, 4)},
    **{f"reserved kind {kind}": [frame(kind, b"x")] for kind in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a long ping": [frame(PING, b"x" * 126)],
    "a long close": [frame(CLOSE, close(1000, b"x" * 124))],
    "a ping in parts": [frame(PING, b"x", fin=False), frame(CONTINUATION, b"y")],
    "a pong in parts": [frame(PONG, b"x", fin=False), frame(CONTINUATION, b"y")],
    "a continuation of nothing": [frame(CONTINUATION, b"x")],
    "a first part of a continuation of nothing": [frame(CONTINUATION, b"x", fin=False), frame(TEXT_FRAME, b"y")],
    "a continuation of what is over": [frame(TEXT_FRAME, b"a"), frame(CONTINUATION, b"b")],
    "a message within a message": [frame(TEXT_FRAME, b"a", fin=False), frame(TEXT_FRAME, b"b")],
    "a frame that is not masked": [frame(TEXT_FRAME, b"x", masked=False)],
    "a close of one byte": [frame(CLOSE, b"x")],
    **{
        f"close code {code}": [frame(CLOSE, close(code))]
        for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535)
    },
}


@pytest.mark.parametrize("case", BROKEN, ids=str)
async def test_what_breaks_the_protocol_ends_the_connection(site: Site, case: str) -> None:
    frames = await exchange(site, [*BROKEN[case], frame(TEXT_FRAME, b"afterwards")])
    assert code_of(frames) == 1002
    assert (TEXT_FRAME, b"afterwards") not in frames


@pytest.mark.parametrize("sizes", [(5, 5), (0, 5), (5, 0, 5), (1, 2, 3, 4)])
async def test_parts_are_put_together_with_control_frames_in_between(site: Site, sizes: Sequence[int]) -> None:
    sent, whole = [], b""
    for index, size in enumerate(sizes):
        part = bytes([97 + index]) * size
        whole += part
        last = index == len(sizes) - 1
        sent += [frame(TEXT_FRAME if index == 0 else CONTINUATION, part, fin=last), frame(PING, b"%d" % index)]
    for pieces in (None, 1):
        frames = await exchange(site, sent, answers=len(sizes) + 1, pieces=pieces)
        assert (TEXT_FRAME, whole) in frames
        assert [payload for kind, payload in frames if kind == PONG] == [b"%d" % index for index in range(len(sizes))]


# 6: UTF-8. The sequences are those of Markus Kuhn's stress test.

GOOD = [
    "Hello-µ@ßöäüàá-UTF-8!!",
    "κόσμε",
    "\x00",
    "\x7f",
    "\x80",
    "\u07ff",
    "\u0800",
    "\ud7ff",
    "\ue000",
    "\ufffd",
    "\uffff",
    "\U00010000",
    "\U0010ffff",
]
BAD = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\x80",
    b"\xbf",
    b"\x80\xbf\x80",
    b"\xc0 \xc1",
    b"\xe0 ",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\xfe",
    b"\xff",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
]


async def test_text_that_is_utf8_comes_back(site: Site) -> None:
    for text in GOOD:
        data = text.encode()
        parts = [data[index : index + 1] for index in range(len(data))]
        in_parts = [
            frame(TEXT_FRAME if index == 0 else CONTINUATION, part, fin=index == len(parts) - 1)
            for index, part in enumerate(parts)
        ]
        assert (await exchange(site, [frame(TEXT_FRAME, data), *in_parts], answers=2))[:-1] == [(TEXT_FRAME, data)] * 2


async def test_text_that_is_not_utf8_ends_the_connection(site: Site) -> None:
    for data in BAD:
        split = [frame(TEXT_FRAME, data[:1], fin=False), frame(CONTINUATION, data[1:])]
        assert [code_of(await exchange(site, sent)) for sent in ([frame(TEXT_FRAME, data)], split)] == [1007, 1007], (
            data
        )
    assert code_of(await exchange(site, [frame(CLOSE, close(1000, b"\xce\xba\xe1\xbd"))])) == 1007


# 7: closing.


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999]
)
async def test_a_close_is_answered_with_its_code_and_nothing_after_it(site: Site, code: int) -> None:
    frames = await exchange(
        site, [frame(CLOSE, close(code, b"bye")), frame(TEXT_FRAME, b"too late"), frame(PING, b"too late")]
    )
    assert frames == [(CLOSE, close(code, b"bye"))] or frames == [(CLOSE, close(code))]


async def test_a_close_without_a_code_is_answered(site: Site) -> None:
    frames = await exchange(site, [frame(CLOSE)])
    assert len(frames) == 1
    assert frames[0][0] == CLOSE
