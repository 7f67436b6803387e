"""TLS of users' connections: certificates by name, and their replacement while connections go on.

The node reads and checks the files and hands their text to the workers, which need no access to them.
"""

import contextlib
import os
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

_PROTOCOLS = ("http/1.1",)


class CertificateFiles(msgspec.Struct, frozen=True):
    """Where a certificate, with its chain, and its private key lie, both in PEM."""

    certificate: Path
    key: Path


class Certificate(msgspec.Struct, frozen=True):
    """A certificate with its chain, its private key, both PEM, and the names and addresses it is for, in lower case."""

    chain: str
    key: str
    names: tuple[str, ...]


def context_for(certificate: Certificate | None) -> ssl.SSLContext:
    """What a server needs to present ``certificate``. Raises :class:`ssl.SSLError` if its parts do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(_PROTOCOLS)
    if certificate is not None:
        with contextlib.ExitStack() as stack:
            chain = stack.enter_context(_in_memory(certificate.chain))
            key = stack.enter_context(_in_memory(certificate.key))
            context.load_cert_chain(chain, key, password=_no_passphrase)
    return context


def _no_passphrase() -> str:
    """Instead of a question at the terminal."""
    return ""


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """A file name for ``text`` that is on no disk: OpenSSL's interface takes nothing else."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


class Names:
    """The certificates in force. ``context`` is what a listener is made with; it stays when they are replaced."""

    def __init__(self) -> None:
        self.context = context_for(None)
        self.context.sni_callback = self._choose
        self._first: ssl.SSLContext | None = None
        self._by_name: dict[str, ssl.SSLContext] = {}

    def replace(self, certificates: Sequence[Certificate]) -> None:
        """Present these from the next handshake on; the first to those who name none that is known."""
        contexts = [context_for(certificate) for certificate in certificates]
        by_name: dict[str, ssl.SSLContext] = {}
        for certificate, context in zip(certificates, contexts, strict=True):
            for name in certificate.names:
                by_name.setdefault(name, context)
        self._first = contexts[0] if contexts else None
        self._by_name = by_name

    def _choose(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext
    ) -> int | None:
        chosen = self._for(name.lower()) if name is not None else self._first
        if chosen is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = chosen
        return None

    def _for(self, name: str) -> ssl.SSLContext | None:
        wildcard = "*" + name[name.find(".") :] if "." in name else ""
        return self._by_name.get(name) or self._by_name.get(wildcard) or self._first
