"""The node key on disk. Whoever loses it is another site afterwards, so it is never made anew in silence."""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from footloose.core.errors import LocalError
from footloose.core.identity import Identity
from footloose.state.disk import disk_error, sync_directory

_OTHERS = 0o077
_KEY_BYTES = 64 * 1024


def load_identity(path: Path, *, used: bool) -> Identity:
    """The identity in the key file at ``path``; a new one if there is none and the directory was not ``used`` before.

    Raises :class:`LocalError` if the key cannot be read, is missing, or is open to other users.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(_KEY_BYTES)
    except FileNotFoundError as error:
        if not used:
            return _create(path)
        raise LocalError(
            "the node key is missing, though this directory has been used",
            where=str(path),
            fix="restore it from a backup, or begin as a new site in another state directory",
        ) from error
    except OSError as error:
        raise disk_error(error, path) from error
    if mode & _OTHERS:
        raise LocalError("other users can read the node key", where=str(path), fix=f"chmod 600 {path}")
    return Identity(_parse(pem, path))


def _parse(pem: bytes, path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path)
    return key


def _no_key(path: Path) -> LocalError:
    return LocalError("holds no Ed25519 private key in PEM", where=str(path), fix="restore it from a backup")


def _create(path: Path) -> Identity:
    """A new key, complete on the disk before anyone hears of it."""
    identity = Identity.generate()
    pem = identity.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    unfinished = path.with_name(path.name + ".new")
    try:
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        raise disk_error(error, path) from error
    return identity
