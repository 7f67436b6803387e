"""One SQLite database per site for what it notes (decisions, logs, known sites), opened whole or not at all.

A note survives the end of the process, but the last few may be lost with the power (https://www.sqlite.org/wal.html).
What a site promised is not here but in :mod:`footloose.state.intent`.
"""

import datetime
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from footloose.core.errors import LocalError
from footloose.state.disk import disk_error, sync_directory
from footloose.state.schema import MIGRATIONS

log = logging.getLogger(__name__)

_BUSY_MS = 2000
_PRIMARY_CODE = 0xFF
_FIXES = {
    sqlite3.SQLITE_FULL: "free some disk space",
    sqlite3.SQLITE_IOERR: "free some disk space and check the disk",
    sqlite3.SQLITE_READONLY: "give the user this node runs as the right to write it",
    sqlite3.SQLITE_CANTOPEN: "give the user this node runs as the right to write it",
    sqlite3.SQLITE_BUSY: "close other programs that use it",
    sqlite3.SQLITE_CORRUPT: "restart the node: it will move the file aside and begin a new one",
    sqlite3.SQLITE_NOTADB: "restart the node: it will move the file aside and begin a new one",
}


class Database:
    """A site's database, used from one thread. ``loss`` says what was lost if a damaged one had to be replaced."""

    def __init__(self, path: Path, connection: sqlite3.Connection, loss: str | None) -> None:
        self.path = path
        self.loss = loss
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> "Database":
        """The database at ``path``, made if there is none, brought to the newest schema, checked for damage.

        A damaged file is moved aside and a new one begun; :attr:`loss` and the log tell so. Raises
        :class:`LocalError` if the file cannot be used, or was written by a newer version.
        """
        loss = _move_aside(path, damage) if (damage := _damage(path)) else None
        try:
            connection = _connect(path)
        except sqlite3.Error as error:
            raise _local(error, path) from error
        try:
            _migrate(connection, path)
        except sqlite3.Error as error:
            connection.close()
            raise _local(error, path) from error
        except LocalError:
            connection.close()
            raise
        return cls(path, connection, loss)

    @contextmanager
    def note(self) -> Iterator[sqlite3.Connection]:
        """A transaction. Raises :class:`LocalError` if it cannot be kept, and nothing of it is."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _local(error, self.path) from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises :class:`LocalError` if the file cannot be read."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise _local(error, self.path) from error

    def close(self) -> None:
        """Close the file. What was noted stays."""
        self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA trusted_schema=OFF")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise LocalError(
            f"written by a newer version of this program (schema {version}, known here: {len(MIGRATIONS)})",
            where=str(path),
            fix="upgrade, or use another state directory",
        )
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={number}")
        connection.execute("COMMIT")


def _damage(path: Path) -> str | None:
    """What is wrong with the file, if anything; whatever is not damage shows itself when it is opened for good."""
    if not path.exists():
        return None
    if path.stat().st_size == 0 and not path.with_name(path.name + "-wal").exists():
        return "it is empty"
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
            (finding,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error) if _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} else None
    return None if finding == "ok" else str(finding)


def _move_aside(path: Path, damage: str) -> str:
    """Keep the damaged file, for whoever can still read something out of it. Returns what to tell the operator."""
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    try:
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        sync_directory(path.parent)
    except OSError as error:
        raise disk_error(error, path) from error
    loss = (
        f"{path}: the site's database was damaged ({damage}). The decisions, logs and known sites in it are lost to "
        f"this site; what it runs is not. It is kept as {aside.name} and a new one was begun"
    )
    log.error(loss)
    return loss


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE


def _local(error: sqlite3.Error, path: Path) -> LocalError:
    return LocalError(str(error), where=str(path), fix=_FIXES.get(_code(error)))
