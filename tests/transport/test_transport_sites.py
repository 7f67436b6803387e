"""Two real sites on loopback: pinning, connections, limits, errors."""

import asyncio
import contextlib
import json
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from transport_site import ERRORS, Site

from footloose.core.clock import SystemClock
from footloose.core.digest import digest_of
from footloose.core.errors import LimitExceeded, LocalError, RemoteError
from footloose.core.identity import Identity, NodeId
from footloose.core.limits import MESSAGE_BYTES
from footloose.model.site import Endpoint
from footloose.transport import listener
from footloose.transport.client import PeerClient
from footloose.transport.listener import serve
from footloose.transport.problems import Problem, Refused
from footloose.transport.server import site_application
from footloose.transport.signatures import RequestSigner, content_digest, verify_evidence
from footloose.transport.tls import certificate_of, server_context


class Tap:
    """A relay between client and site that counts connections and bytes, and can cut them."""

    def __init__(self, to: Endpoint) -> None:
        self.to = to
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.bytes_up = 0

    async def __aenter__(self) -> "Tap":
        self.server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.endpoint = Endpoint("127.0.0.1", self.server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.server.close()
        self.cut()

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection(self.to.host, self.to.port)
        self.writers += [writer, far_writer]
        await asyncio.gather(self._pump(reader, far_writer, up=True), self._pump(far_reader, writer, up=False))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                self.bytes_up += len(piece) if up else 0
                writer.write(piece)
                await writer.drain()
        writer.close()


async def test_a_site_knows_who_asks_and_the_asker_knows_who_answers(
    site: Site, client: PeerClient, caller: Identity
) -> None:
    node = site.identity.node_id
    answer = await client.request(site.endpoint, "POST", "/v1/echo?a=1&b=%20x", node=node, body=b'{"hello":1}')
    assert (answer.status, answer.body, answer.node) == (200, b'{"hello":1}', node)
    assert answer.headers["X-Caller"] == caller.node_id
    head = verify_evidence(site.evidence[0])
    assert (head.caller, head.method, head.to) == (caller.node_id, "POST", node)
    assert head.url == f"https://{site.endpoint}/v1/echo?a=1&b=%20x"


async def test_an_impostor_with_another_key_never_sees_the_request(site: Site, client: PeerClient) -> None:
    wanted = Identity.generate().node_id
    async with Tap(site.endpoint) as tap:
        with pytest.raises(RemoteError, match=f"site {site.identity.node_id[:16]} is there instead"):
            await client.request(tap.endpoint, "POST", "/v1/echo", node=wanted, body=b"x" * 100_000)
        assert tap.connections == 1
        assert tap.bytes_up < 10_000
    assert site.evidence == []


async def test_a_server_without_a_node_key_is_no_site(client: PeerClient, tmp_path: Path) -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    plain = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with plain:
        endpoint = Endpoint("127.0.0.1", plain.sockets[0].getsockname()[1])
        with pytest.raises(RemoteError, match="cannot be reached"):
            await client.warm(endpoint, None)


async def test_an_older_tls_version_is_not_spoken(site: Site, client: PeerClient) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(site.endpoint.host, site.endpoint.port, ssl=context)

    old = server_context(site.identity)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=old)
    async with server:
        endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
        with pytest.raises(RemoteError, match="no site is there"):
            await client.warm(endpoint, site.identity.node_id)


def test_a_node_has_one_certificate_for_ever() -> None:
    identity = Identity.generate()
    assert certificate_of(identity) == certificate_of(identity)
    assert certificate_of(identity) != certificate_of(Identity.generate())


async def test_a_site_found_by_address_tells_who_it_is_and_is_asked_on_the_same_connection(
    site: Site, client: PeerClient
) -> None:
    async with Tap(site.endpoint) as tap:
        answer = await client.request(tap.endpoint, "GET", "/v1/open", node=None)
        assert answer.node == site.identity.node_id
        assert (await client.request(tap.endpoint, "GET", "/v1/echo", node=answer.node)).status == 200
        assert tap.connections == 1


async def test_a_site_not_known_by_key_gets_no_signed_request(site: Site, client: PeerClient) -> None:
    answer = await client.request(site.endpoint, "GET", "/v1/echo", node=None)
    assert answer.status == 401
    assert '"footloose-to"' in answer.headers["Accept-Signature"]


async def test_requests_share_a_connection_opened_ahead(site: Site, client: PeerClient) -> None:
    async with Tap(site.endpoint) as tap:
        assert await client.warm(tap.endpoint, site.identity.node_id) == site.identity.node_id
        for _ in range(5):
            await client.request(tap.endpoint, "POST", "/v1/echo", node=site.identity.node_id, body=b"x")
        assert tap.connections == 1


async def test_a_connection_is_not_shared_between_nodes_at_one_address(site: Site, client: PeerClient) -> None:
    await client.warm(site.endpoint, site.identity.node_id)
    with pytest.raises(RemoteError, match="is there instead"):
        await client.request(site.endpoint, "GET", "/v1/echo", node=Identity.generate().node_id)


@pytest.mark.parametrize(
    ("method", "idempotent", "answered"), [("GET", False, True), ("POST", True, True), ("POST", False, False)]
)
async def test_only_idempotent_requests_are_made_again_on_a_stale_connection(
    site: Site, client: PeerClient, method: str, idempotent: bool, answered: bool
) -> None:
    """A server that closes each kept connection as soon as a second request arrives on it."""

    async def half_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(half_answer, "127.0.0.1", 0, ssl=server_context(site.identity))
    async with server:
        endpoint, node = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1]), site.identity.node_id
        await client.warm(endpoint, node)
        request = client.request(endpoint, method, "/v1/echo", node=node, idempotent=idempotent)
        if answered:
            assert (await request).status == 204
        else:
            with pytest.raises(RemoteError, match="cannot be reached"):
                await request


async def test_a_silent_site_is_given_up_in_time(site: Site, client: PeerClient) -> None:
    with pytest.raises(RemoteError, match=r"no answer within 0\.2 s"):
        await client.request(site.endpoint, "GET", "/v1/wait", node=site.identity.node_id, timeout_s=0.2)


async def test_nobody_there_is_told_with_the_address(client: PeerClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = Endpoint("127.0.0.1", unused.getsockname()[1])
        with pytest.raises(RemoteError, match=f"{endpoint}.*cannot be reached"):
            await client.warm(endpoint, None)


async def test_a_site_cannot_flood_the_asker(site: Site, client: PeerClient) -> None:
    with pytest.raises(LimitExceeded, match="answered more than the 1000 bytes"):
        await client.request(site.endpoint, "GET", "/v1/flood", node=site.identity.node_id, answer_bytes=1000)


@pytest.mark.parametrize("host", ["elsewhere/x", "user@elsewhere", "a b", "a#b", "", "a\nb", "127.0.0.1:80"])
async def test_an_address_another_site_made_up_leads_nowhere(client: PeerClient, host: str) -> None:
    with pytest.raises(RemoteError):
        await client.warm(Endpoint(host, 7300), None)
    with pytest.raises(RemoteError):
        await client.warm(Endpoint("127.0.0.1", 70_000), None)


@pytest.mark.parametrize("path", ["v1/echo", "//\x00", "http://elsewhere/"])
async def test_what_is_no_path_is_not_asked_for(site: Site, client: PeerClient, path: str) -> None:
    with pytest.raises((LocalError, RemoteError)):
        (await client.request(site.endpoint, "GET", path, node=site.identity.node_id)).check()
    assert site.evidence == []


# Uploads


async def test_an_artifact_is_uploaded_with_progress(site: Site, client: PeerClient, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    file = tmp_path / "module.wasm"
    file.write_bytes(content)
    steps: list[tuple[int, int]] = []
    answer = await client.upload(
        site.endpoint,
        f"/v1/artifacts/{digest_of(content)}",
        file,
        digest_of(content),
        node=site.identity.node_id,
        progress=lambda sent, size: steps.append((sent, size)),
    )
    assert answer.status == 201
    assert site.uploaded == [content]
    assert steps[-1] == (len(content), len(content))
    assert [sent for sent, _ in steps] == sorted({sent for sent, _ in steps})
    assert verify_evidence(site.evidence[0]).digest == content_digest(content)


async def test_a_file_that_is_not_what_its_digest_says_is_refused(
    site: Site, client: PeerClient, tmp_path: Path
) -> None:
    file = tmp_path / "module.wasm"
    file.write_bytes(b"other content")
    digest = digest_of(b"content")
    answer = await client.upload(site.endpoint, f"/v1/artifacts/{digest}", file, digest, node=site.identity.node_id)
    assert answer.status == 401
    assert site.uploaded == []


async def test_an_artifact_too_large_is_refused_before_it_is_sent(
    site: Site, client: PeerClient, tmp_path: Path
) -> None:
    file = tmp_path / "module.wasm"
    with file.open("wb") as sparse:
        sparse.truncate(200 * 1024 * 1024)
    sent: list[int] = []
    with contextlib.suppress(RemoteError):  # the site may close before we have read why
        answer = await client.upload(
            site.endpoint,
            "/v1/artifacts/x",
            file,
            digest_of(b""),
            node=site.identity.node_id,
            progress=lambda done, _size: sent.append(done),
        )
        assert answer.status == 413
    assert (site.uploaded, site.failures) == ([], [])
    assert not sent or sent[-1] < 200 * 1024 * 1024


async def test_a_file_that_cannot_be_read_is_our_own_error(site: Site, client: PeerClient, tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="cannot be read"):
        await client.upload(site.endpoint, "/x", tmp_path / "none", digest_of(b""), node=site.identity.node_id)


async def test_an_upload_cut_in_the_middle_is_noticed_on_both_sides(
    site: Site, client: PeerClient, tmp_path: Path
) -> None:
    content = bytes(2 * 1024 * 1024)
    file = tmp_path / "module.wasm"
    file.write_bytes(content)
    async with Tap(site.endpoint) as tap:

        def cut(sent: int, size: int) -> None:
            if sent >= size // 2:
                tap.cut()
                tap.server.close()

        with pytest.raises(RemoteError):
            await client.upload(
                tap.endpoint, "/v1/artifacts/x", file, digest_of(content), node=site.identity.node_id, progress=cut
            )
        await site.failed.wait()
    assert isinstance(site.failures[0], RemoteError)
    assert site.uploaded == []


async def test_an_upload_that_stands_still_is_given_up(
    site: Site, caller: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("footloose.transport.server.UPLOAD_STALL_S", 0.1)
    reader, writer = await raw_connection(site)
    writer.write(signed_head(site, caller, "PUT", "/v1/artifacts/x", content_digest(b"ab"), length=2) + b"a")
    assert (await reader.readuntil(b"\r\n")).split()[1] == b"408"
    assert "did not come in time" in str(site.failures[0])
    writer.transport.abort()


async def test_an_upload_without_length_is_still_held_to_the_limit(site: Site, caller: Identity) -> None:
    reader, writer = await raw_connection(site)
    writer.write(signed_head(site, caller, "PUT", "/v1/artifacts/x", content_digest(b""), length=None))
    piece = bytes(64 * 1024)
    with contextlib.suppress(ConnectionError):
        for _ in range(Site.UPLOAD_LIMIT // len(piece) + 2):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
    assert (await reader.readuntil(b"\r\n")).split()[1] == b"413"
    assert site.uploaded == []
    writer.transport.abort()


# Bytes that are no requests of ours


async def raw_connection(site: Site) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return await asyncio.open_connection(site.endpoint.host, site.endpoint.port, ssl=context)


def signed_head(site: Site, caller: Identity, method: str, path: str, digest: str, length: int | None) -> bytes:
    url = f"https://{site.endpoint}{path}"
    node, now = site.identity.node_id, SystemClock().now()
    headers = {
        "Host": str(site.endpoint),
        **RequestSigner(caller).headers(method, url, to=node, digest=digest, now=now),
    }
    headers |= {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


async def test_huge_headers_are_refused(site: Site) -> None:
    reader, writer = await raw_connection(site)
    writer.write(b"GET /v1/echo HTTP/1.1\r\nHost: x\r\nSignature: " + b"a" * 100_000 + b"\r\n\r\n")
    assert (await reader.readuntil(b"\r\n")).split()[1] == b"400"
    writer.transport.abort()


async def test_a_huge_body_is_refused_unread(site: Site, caller: Identity) -> None:
    reader, writer = await raw_connection(site)
    length = MESSAGE_BYTES + 1
    writer.write(signed_head(site, caller, "POST", "/v1/echo", content_digest(b""), length=length))
    assert (await reader.readuntil(b"\r\n")).split()[1] == b"413"
    assert site.evidence == []
    writer.transport.abort()


async def test_a_huge_body_without_length_is_refused(site: Site, caller: Identity) -> None:
    reader, writer = await raw_connection(site)
    writer.write(signed_head(site, caller, "POST", "/v1/echo", content_digest(b""), length=None))
    with contextlib.suppress(ConnectionError):
        for _ in range(40):
            writer.write(b"%x\r\n%s\r\n" % (8192, bytes(8192)))
            await writer.drain()
    assert (await reader.readuntil(b"\r\n")).split()[1] == b"413"
    assert site.evidence == []
    writer.transport.abort()


async def test_a_slow_body_is_given_up(site: Site, caller: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footloose.transport.server.SITE_REQUEST_TIMEOUT_S", 0.1)
    reader, writer = await raw_connection(site)
    writer.write(signed_head(site, caller, "POST", "/v1/echo", content_digest(b"ab"), length=2) + b"a")
    assert (await reader.readuntil(b"\r\n")).split()[1] == b"408"
    writer.transport.abort()


async def test_a_connection_that_never_asks_is_closed(
    sites: Callable[[], Awaitable[Site]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "REQUEST_HEAD_TIMEOUT_S", 1.0)
    site = await sites()
    silent, silent_writer = await raw_connection(site)
    slow, slow_writer = await raw_connection(site)
    asking, asking_writer = await raw_connection(site)
    slow_writer.write(b"GET /v1/pi")
    asking_writer.write(b"GET /v1/ping HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await silent.read() == b""
    assert await slow.read() == b""
    assert b"204" in await asking.readuntil(b"\r\n\r\n")
    asking_writer.write(b"GET /v1/ping HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"204" in await asking.readuntil(b"\r\n\r\n")
    for writer in (silent_writer, slow_writer, asking_writer):
        writer.transport.abort()


async def test_a_connection_too_many_is_closed_and_the_others_go_on(site: Site, caller: Identity) -> None:
    async with await serve(site.application(), "127.0.0.1", 0, site.identity, connections=2) as small:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        held = [await asyncio.open_connection("127.0.0.1", small.endpoint.port, ssl=context) for _ in range(2)]
        for reader, writer in held:
            writer.write(b"GET /v1/ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"204" in await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            reader, writer = await asyncio.open_connection("127.0.0.1", small.endpoint.port, ssl=context)
            held.append((reader, writer))
            assert await reader.read() == b""
        held[0][1].write(b"GET /v1/ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"204" in await held[0][0].readuntil(b"\r\n\r\n")
        for _, writer in held:
            writer.transport.abort()


# Errors


def problem_cases() -> list[tuple[str, Callable[[], BaseException], int, str]]:
    return [
        ("remote", lambda: RemoteError("that is no lease", where="lease 7"), 400, "lease 7: that is no lease"),
        ("limit", lambda: LimitExceeded("too much"), 413, "too much"),
        ("refused", lambda: Refused(409, "taken", fix="ask later"), 409, "taken (ask later)"),
        ("local", lambda: LocalError("disk full", where="/var/lib/secret"), 503, "disk full"),
        ("bug", lambda: KeyError("inside"), 500, "this site failed to answer"),
    ]


@pytest.mark.parametrize(
    ("kind", "error", "status", "detail"), problem_cases(), ids=lambda case: case if isinstance(case, str) else ""
)
async def test_errors_are_told_as_problem_documents(
    site: Site,
    client: PeerClient,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    error: Callable[[], BaseException],
    status: int,
    detail: str,
) -> None:
    ERRORS[kind] = error
    with caplog.at_level(logging.INFO):
        answer = await client.request(site.endpoint, "GET", f"/v1/error/{kind}", node=site.identity.node_id)
    problem = json.loads(answer.body)
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert (answer.status, problem["status"], problem["detail"]) == (status, status, detail)
    assert b"secret" not in answer.body
    assert b"inside" not in answer.body
    with pytest.raises(Refused) as caught:
        answer.check()
    assert (caught.value.status, caught.value.what) == (status, detail)
    if kind == "bug":
        assert problem["instance"].removeprefix("urn:log:") in caplog.text


async def test_what_is_not_there_is_told_without_a_signature(site: Site, client: PeerClient) -> None:
    missing = await client.request(site.endpoint, "GET", "/v1/nothing", node=None)
    wrong = await client.request(site.endpoint, "DELETE", "/v1/open", node=None)
    assert (missing.status, wrong.status) == (404, 405)
    assert "GET" in wrong.headers["Allow"]


async def test_an_answer_is_read_as_the_type_wanted(site: Site, client: PeerClient) -> None:
    answer = await client.request(site.endpoint, "POST", "/v1/echo", node=site.identity.node_id, body=b'{"open":1}')
    assert answer.value(dict) == {"open": 1}
    with pytest.raises(RemoteError, match="not a valid Problem"):
        answer.value(Problem)


async def test_a_port_that_is_taken_is_our_own_error_and_says_what_to_do(site: Site) -> None:
    with pytest.raises(LocalError, match="another program listens there"):
        await serve(site_application(site.identity, site.clock), "127.0.0.1", site.endpoint.port, site.identity)


async def test_many_sites_ask_each_other_at_once(sites: Callable[[], Awaitable[Site]]) -> None:
    started = [await sites() for _ in range(4)]
    clients = [PeerClient(one.identity, one.clock) for one in started]

    async def ask(asker: int, asked: int) -> tuple[NodeId, str]:
        site = started[asked]
        body = f"{asker} to {asked}".encode()
        answer = await clients[asker].request(site.endpoint, "POST", "/v1/echo", node=site.identity.node_id, body=body)
        assert answer.body == body
        return answer.node, answer.headers["X-Caller"]

    pairs = [(asker, asked) for asker in range(4) for asked in range(4) if asker != asked] * 3
    answers = await asyncio.gather(*(ask(*pair) for pair in pairs))
    assert answers == [(started[asked].identity.node_id, started[asker].identity.node_id) for asker, asked in pairs]
    for client in clients:
        await client.close()
