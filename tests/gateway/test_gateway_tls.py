"""Users who come by TLS: certificates, who may speak, where they are sent."""

import asyncio
import socket
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gateway_support import WEB, Answer, Sites, eventually, fetch, get, hello, route, sent_to, soon

from footloose.core.errors import LocalError
from footloose.core.limits import REQUEST_BODY_BYTES
from footloose.gateway.tls import Certificate, CertificateFiles
from footloose.model.routing import Moved
from footloose.node.certificates import Certificates, read_certificate
from tls_files import trusting, write_certificate


def made(directory: Path, *names: str, stem: str = "site") -> Certificate:
    return read_certificate(CertificateFiles(*write_certificate(directory, *names, stem=stem)))


async def ask(port: int, trusted: Path, name: str = "localhost", data: bytes = b"") -> Answer:
    """One request by TLS."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(trusted), server_hostname=name)
        writer.write(data or get())
        answer = Answer(await reader.read())
        writer.close()
        await writer.wait_closed()
        return answer


def presented(port: int, name: str | None) -> bytes:
    """The certificate presented to one who asks for ``name``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        return secure.getpeercert(binary_form=True) or b""


def der(directory: Path, stem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert((directory / f"{stem}.pem").read_text())


async def test_a_guest_is_told_that_its_user_came_by_tls(sites: Sites, tmp_path: Path) -> None:
    site = await sites.start(tls=[made(tmp_path, "localhost")])
    answer = await ask(site.tls_port, tmp_path / "site.pem")
    seen = answer.json["env"]
    assert isinstance(seen, dict)
    assert (seen["HTTPS"], seen["SERVER_PORT"]) == ("on", str(site.tls_port))
    plain = (await fetch(site.port, get())).json["env"]
    assert isinstance(plain, dict)
    assert "HTTPS" not in plain


async def test_http_1_1_is_agreed_on_and_old_versions_of_tls_are_not(sites: Sites, tmp_path: Path) -> None:
    site = await sites.start({"hello": hello}, tls=[made(tmp_path, "localhost")])
    context = trusting(tmp_path / "site.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection("127.0.0.1", site.tls_port, ssl=context, server_hostname="localhost")
    secured = writer.get_extra_info("ssl_object")
    assert (secured.selected_alpn_protocol(), secured.version()) == ("http/1.1", "TLSv1.3")
    writer.close()
    await writer.wait_closed()
    with pytest.warns(DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", site.tls_port, ssl=context, server_hostname="localhost")


async def test_the_name_asked_for_decides_which_certificate_is_presented(sites: Sites, tmp_path: Path) -> None:
    first = made(tmp_path, "one.example", "127.0.0.1", stem="first")
    second = made(tmp_path, "two.example", "*.two.example", stem="second")
    site = await sites.start({"hello": hello}, tls=[first, second])
    for name, stem in (
        ("one.example", "first"),
        ("TWO.example", "second"),
        ("a.two.example", "second"),
        ("a.b.two.example", "first"),
        ("else.example", "first"),
        (None, "first"),
    ):
        assert await asyncio.to_thread(presented, site.tls_port, name) == der(tmp_path, stem), name


async def test_another_certificate_is_presented_from_then_on_and_connections_go_on(
    sites: Sites, tmp_path: Path
) -> None:
    site = await sites.start({"hello": hello}, tls=[made(tmp_path, "localhost", stem="old")])
    context = trusting(tmp_path / "old.pem")
    reader, writer = await asyncio.open_connection("127.0.0.1", site.tls_port, ssl=context, server_hostname="localhost")
    site.gateway.present([made(tmp_path, "localhost", stem="new")])
    assert await asyncio.to_thread(presented, site.tls_port, "localhost") == der(tmp_path, "new")
    writer.write(get())
    assert Answer(await reader.read()).body == b"hello"
    writer.close()
    await writer.wait_closed()


async def test_users_by_tls_are_sent_to_copies_with_tls_only(sites: Sites, tmp_path: Path) -> None:
    site = await sites.start(tls=[made(tmp_path, "localhost")])
    trusted = tmp_path / "site.pem"
    site.install(route(redirects=(sent_to("http://far.example/x/"),)))
    assert (await fetch(site.port, get())).status == 302
    assert (await ask(site.tls_port, trusted)).status == 200
    site.install(route(redirects=(sent_to("https://far.example/x/"),)))
    assert (await ask(site.tls_port, trusted)).headers["location"] == "https://far.example/x/"
    site.install(moved=(Moved(WEB, "http://far.example/x/", soon()),))
    assert (await fetch(site.port, get())).status == 302
    assert (await ask(site.tls_port, trusted)).status == 503


async def test_nobody_is_sent_to_the_port_they_asked_for_by_tls(sites: Sites, tmp_path: Path) -> None:
    site = await sites.start({"hello": hello}, tls=[made(tmp_path, "localhost")])
    site.install(route("hello", redirects=(sent_to("https://site.example/x/"),)))
    asked = f"GET /{WEB}/ HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n".encode()
    assert (await ask(site.tls_port, tmp_path / "site.pem", data=asked)).body == b"hello"


async def test_an_answer_to_what_is_refused_arrives_by_tls_too(sites: Sites, tmp_path: Path) -> None:
    site = await sites.start({"hello": hello}, tls=[made(tmp_path, "localhost")])
    head = f"POST /{WEB}/ HTTP/1.1\r\nHost: h\r\nContent-Length: {REQUEST_BODY_BYTES + 1}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", site.tls_port, ssl=trusting(tmp_path / "site.pem"), server_hostname="localhost"
    )
    writer.write(head)
    writer.write(b"x" * REQUEST_BODY_BYTES)
    async with asyncio.timeout(30):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413")
    writer.transport.abort()
    await eventually(lambda: site.gateway.connections == 0, 30)


async def test_who_does_not_speak_tls_there_is_let_go(sites: Sites, tmp_path: Path) -> None:
    site = await sites.start({"hello": hello}, tls=[made(tmp_path, "localhost")])
    reader, writer = await asyncio.open_connection("127.0.0.1", site.tls_port)
    writer.write(get())
    async with asyncio.timeout(30):
        assert b"HTTP" not in await reader.read()
    writer.close()


async def test_curl_fetches_by_tls(sites: Sites, tmp_path: Path) -> None:
    site = await sites.start({"hello": hello}, tls=[made(tmp_path, "localhost")])
    url = f"https://localhost:{site.tls_port}/{WEB}/"
    run = await asyncio.to_thread(
        subprocess.run,
        ["curl", "-sS", "--cacert", tmp_path / "site.pem", "--resolve", f"localhost:{site.tls_port}:127.0.0.1", url],
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert run.stdout == b"hello"


# The files.


def files(directory: Path, **kinds: object) -> CertificateFiles:
    return CertificateFiles(*write_certificate(directory, "a.example", **kinds))  # type: ignore[arg-type]


def test_files_that_cannot_be_used_are_refused_with_the_reason(tmp_path: Path) -> None:
    good = files(tmp_path)
    other = files(tmp_path, stem="other")
    with pytest.raises(LocalError, match=r"missing\.pem.*cannot be read: No such file"):
        read_certificate(CertificateFiles(tmp_path / "missing.pem", good.key))
    with pytest.raises(LocalError, match=r"other\.key.*the key is not that of the certificate"):
        read_certificate(CertificateFiles(good.certificate, other.key))
    with pytest.raises(LocalError, match="not a certificate in PEM"):
        read_certificate(CertificateFiles(good.key, good.key))
    with pytest.raises(LocalError, match="not a usable key"):
        read_certificate(CertificateFiles(good.certificate, good.certificate))
    assert read_certificate(good).names == ("a.example",)


def test_a_certificate_is_refused_outside_its_time(tmp_path: Path) -> None:
    good = files(tmp_path)
    with pytest.raises(LocalError, match="the certificate expired on"):
        read_certificate(good, datetime.now(UTC) + timedelta(days=2))
    with pytest.raises(LocalError, match="valid only from"):
        read_certificate(good, datetime.now(UTC) - timedelta(days=2))


async def test_files_are_read_again_when_they_change_and_the_old_ones_stay_if_the_new_are_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[str] = []
    changed = asyncio.Event()

    def present(certificates: object) -> None:
        assert isinstance(certificates, list)
        shown.append(certificates[0].chain)
        changed.set()

    where = files(tmp_path)
    certificates = Certificates([where], present)
    certificates.load()
    watching = asyncio.create_task(certificates.watch())
    try:
        await asyncio.sleep(0)
        good = where.key.read_text()
        where.key.write_text("nothing")
        certificates.read_again()
        await eventually(lambda: "the certificates in use stay" in caplog.text, 30)
        assert len(shown) == 1
        where.key.write_text(good)
        changed.clear()
        certificates.read_again()
        async with asyncio.timeout(30):
            await changed.wait()
        assert len(shown) == 2
    finally:
        watching.cancel()
