"""The certificate files of a site: read, checked, and read again when they change."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from footloose.core.errors import LocalError
from footloose.core.limits import CERTIFICATE_BYTES, CERTIFICATE_CHECK_S, CERTIFICATES, TLS_NAMES
from footloose.gateway.tls import Certificate, CertificateFiles, context_for

_log = logging.getLogger(__name__)


def read_certificate(files: CertificateFiles, now: datetime | None = None) -> Certificate:
    """What the files hold. Raises :class:`LocalError` if they are missing, do not fit each other, or have expired."""
    chain, key = _read(files.certificate), _read(files.key)
    try:
        first = x509.load_pem_x509_certificate(chain.encode())
    except ValueError as error:
        raise LocalError(
            "not a certificate in PEM", where=str(files.certificate), fix="give --tls-cert the full chain, leaf first"
        ) from error
    now = now if now is not None else datetime.now(UTC)
    if first.not_valid_after_utc < now:
        raise LocalError(
            f"the certificate expired on {first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            where=str(files.certificate),
            fix="renew it",
        )
    if first.not_valid_before_utc > now:
        raise LocalError(
            f"the certificate is valid only from {first.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            where=str(files.certificate),
            fix="wait, or set this machine's clock",
        )
    certificate = Certificate(chain, key, _names(first))
    try:
        context_for(certificate)
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        what = "the key is not that of the certificate" if mismatch else f"not a usable key: {error.reason or error}"
        fix = f"give the key of {files.certificate}" if mismatch else "give --tls-key a PEM key without a passphrase"
        raise LocalError(what, where=str(files.key), fix=fix) from error
    return certificate


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > CERTIFICATE_BYTES:
            raise LocalError(f"larger than {CERTIFICATE_BYTES} bytes", where=str(path), fix="give a PEM file")
        return path.read_text("ascii", "replace")
    except OSError as error:
        raise LocalError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    dns = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return tuple(dns + addresses)[:TLS_NAMES]


class Certificates:
    """All certificates of a site. ``present`` is called with them at the start and whenever they have changed."""

    def __init__(self, files: Sequence[CertificateFiles], present: Callable[[Sequence[Certificate]], None]) -> None:
        self._files = files
        self._present = present
        self._looked: list[tuple[int, int, int]] = []
        self._again = asyncio.Event()

    def load(self) -> None:
        """Read them all. Raises :class:`LocalError` as :func:`read_certificate`; those presented before then stay."""
        if len(self._files) > CERTIFICATES:
            raise LocalError(f"more than {CERTIFICATES} certificates", where="--tls-cert")
        self._looked = self._look()
        certificates = [read_certificate(files) for files in self._files]
        self._present(certificates)

    def read_again(self) -> None:
        """Read the files now, whether they seem to have changed or not."""
        self._looked = []
        self._again.set()

    async def watch(self) -> None:
        """Read the files again whenever they change, until cancelled. Ones that are wrong are told of and not used."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CERTIFICATE_CHECK_S):
                    await self._again.wait()
            self._again.clear()
            if self._look() == self._looked:
                continue
            try:
                self.load()
            except LocalError as error:
                _log.error("the certificates in use stay: %s", error)
            else:
                _log.warning("certificates were read again")

    def _look(self) -> list[tuple[int, int, int]]:
        seen = []
        for files in self._files:
            for path in (files.certificate, files.key):
                with contextlib.suppress(OSError):  # what is missing is told of when it is read
                    found = path.stat()
                    seen.append((found.st_ino, found.st_size, found.st_mtime_ns))
        return seen
