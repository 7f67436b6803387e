"""Certificates on their way from files to users, through real and confined workers."""

import asyncio
import sys
from pathlib import Path

from footloose.gateway.tls import CertificateFiles
from footloose.model.site import Endpoint
from footloose.node.certificates import Certificates
from footloose.node.control import Sandbox
from footloose.node.workers import Workers
from free_ports import free_port
from tls_files import trusting, write_certificate

REAL = (sys.executable, "-m", "footloose.node.worker")


async def test_a_confined_worker_speaks_tls_with_the_certificates_its_node_has(tmp_path: Path) -> None:
    chain, key = write_certificate(tmp_path, "localhost")
    sandbox = Sandbox(None, (str(tmp_path),))
    at = Endpoint("127.0.0.1", free_port())
    workers = Workers(
        Endpoint("127.0.0.1", 0), 1, tmp_path / "run", lambda _report: None, tls=at, sandbox=sandbox, command=REAL
    )
    certificates = Certificates([CertificateFiles(chain, key)], workers.present)
    certificates.load()
    try:
        await workers.start()
        for _ in range(2):
            async with asyncio.timeout(60):
                reader, writer = await asyncio.open_connection(
                    at.host, at.port, ssl=trusting(chain), server_hostname="localhost"
                )
                writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                assert (await reader.read()).startswith(b"HTTP/1.1 404")
                writer.close()
                await writer.wait_closed()
            write_certificate(tmp_path, "localhost")
            certificates.load()
            await workers.replace(0)
    finally:
        await workers.stop(0.2)
