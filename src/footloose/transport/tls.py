"""TLS between sites: the certificate *is* the node id, so nobody has to certify it.

A site shows a self-signed certificate made from its Ed25519 node key (RFC 8410). The other side ignores every name and
date in it and compares its public key with the node id it wants to speak to. The handshake itself proves that the
site holds the private key (RFC 8446 §4.4.3).
"""

import asyncio
import base64
import datetime
import hashlib
import os
import ssl

import aiohttp
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from footloose.core.identity import Identity, NodeId, node_id_of, public_key_of, short

# RFC 5280 §4.1.2.5: a certificate without a well-defined end. The key is what is trusted, not the date.
_NOT_BEFORE = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_NOT_AFTER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


def certificate_of(identity: Identity) -> x509.Certificate:
    """The node's self-signed certificate, the same each time it is made."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, identity.node_id)])
    serial = int.from_bytes(hashlib.sha256(identity.node_id.encode()).digest()[:16]) | 1
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(identity.private_key.public_key())
        .serial_number(serial)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .sign(identity.private_key, algorithm=None)
    )


def server_context(identity: Identity) -> ssl.SSLContext:
    """What a site listens with: TLS 1.3 only, its own certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    _load_from_memory(context, identity)
    return context


def _load_from_memory(context: ssl.SSLContext, identity: Identity) -> None:
    """``ssl`` reads keys from files only; a file in memory keeps the key off the disk."""
    key = identity.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor = os.memfd_create("footloose-certificate", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key + certificate_of(identity).public_bytes(Encoding.PEM))
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")


class WrongPeer(aiohttp.ClientError):
    """Another site than the one wanted is there (``found``), or none at all."""

    def __init__(self, found: NodeId | None) -> None:
        self.found = found
        super().__init__(f"site {short(found)} is there instead" if found else "no site is there")


class PeerPin(aiohttp.Fingerprint):
    """Whom a connection must lead to. aiohttp asks :meth:`check` after the handshake, before any byte of a request.

    With ``node`` None the first connection decides who that is, and :attr:`node` says it. A pin is also the name of
    its connections in aiohttp's pool, so one pin is kept per address and node.
    """

    def __init__(self, node: NodeId | None) -> None:
        # aiohttp wants 32 bytes; it hands them to nothing but its own check, which is replaced here.
        super().__init__(bytes(32) if node is None else public_key_of(node).public_bytes_raw())
        self.node = node

    def check(self, transport: asyncio.Transport) -> None:
        """Closes the connection and raises :class:`WrongPeer` unless the other side is who it should be."""
        found = _peer_of(transport)
        if found is not None and self.node in (None, found):
            self.node = found
            return
        # Not aiohttp's own mismatch error: on that it reads from the connection it has just closed, and may fail.
        transport.abort()
        raise WrongPeer(found)


def _peer_of(transport: asyncio.Transport) -> NodeId | None:
    """The node id the other side proved, or None if it is no site."""
    connection = transport.get_extra_info("ssl_object")
    if connection is None or connection.version() != "TLSv1.3":
        return None
    try:
        key = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True)).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return node_id_of(key) if isinstance(key, Ed25519PublicKey) else None


def curl_pin(node: NodeId) -> str:
    """The node id as ``curl --pinnedpubkey`` takes it (the hash of its SubjectPublicKeyInfo, as in RFC 7469)."""
    spki = public_key_of(node).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256//" + base64.b64encode(hashlib.sha256(spki).digest()).decode()
