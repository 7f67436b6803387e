"""The commands of docs/reference/site-api-security.md, as printed there, against a real site."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from transport_site import Site

from footloose.core.identity import Identity
from footloose.transport.signatures import verify_evidence
from footloose.transport.tls import curl_pin

PAGE = Path(__file__).parents[2] / "docs/reference/site-api-security.md"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("curl", "openssl", "base32"))), reason="curl, openssl or base32 is not installed"
)


async def shell(command: str) -> tuple[int, str]:
    functions = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL))
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f"{functions}\n{command}", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode().strip()


async def test_curl_knows_a_site_by_its_node_id(site: Site) -> None:
    node = site.identity.node_id
    assert await shell(f"pin_of {node}") == (0, curl_pin(node))
    code, output = await shell(f"ask {node} https://{site.endpoint}/v1/open")
    assert (code, json.loads(output)) == (0, {"open": True})


async def test_curl_turns_away_from_another_site(site: Site) -> None:
    code, output = await shell(f"ask {Identity.generate().node_id} https://{site.endpoint}/v1/open")
    assert (code, "public key" in output) == (90, True)  # CURLE_SSL_PINNEDPUBKEYNOTMATCH


async def test_a_request_signed_with_openssl_is_accepted(site: Site, caller: Identity, tmp_path: Path) -> None:
    key = tmp_path / "identity.pem"
    key.write_bytes(caller.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    url = f"https://{site.endpoint}/v1/echo?x=1"
    code, output = await shell(f"ask_signed {key} {site.identity.node_id} POST '{url}' '{{\"hello\":1}}'")
    assert (code, output) == (0, '{"hello":1}')
    assert verify_evidence(site.evidence[0]).caller == caller.node_id
