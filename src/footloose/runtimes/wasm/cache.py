"""Where compiled modules lie, and how a damaged one is told: beside each is its SHA-256."""

import hashlib
import os
from pathlib import Path

from footloose.core.digest import Digest
from footloose.core.errors import LocalError
from footloose.runtimes.wasm.engine import engine_key

FileState = tuple[str, int, int, int]
"""Path, inode, size and time of change: differs when the file does."""


def file_state(path: Path) -> FileState:
    """The state of a file now. Raises :class:`OSError`."""
    status = path.stat()
    return str(path), status.st_ino, status.st_size, status.st_mtime_ns


def compiled_path(folder: Path, artifact: Digest) -> Path:
    """Where the compiled form of an artifact belongs, for this engine, these settings and this processor."""
    return folder / f"{artifact.removeprefix('sha256:')}-{engine_key()}.cwasm"


def write_compiled(path: Path, code: bytes) -> None:
    """Put a compiled module in place, whole or not at all: first itself, then its digest."""
    _replace(path, code)
    _replace(_digest_path(path), hashlib.sha256(code).hexdigest().encode())


def verify_compiled(path: Path) -> None:
    """Raises :class:`LocalError` unless the module is there and is the one that was written."""
    try:
        expected = _digest_path(path).read_bytes()
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest().encode()
    except OSError as error:
        raise LocalError(f"cannot be read: {error.strerror}", where=str(path), fix="compile the artifact") from error
    if found != expected:
        raise LocalError("damaged: its digest differs", where=str(path), fix="compile the artifact again")


def _digest_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
