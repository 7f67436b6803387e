"""The state directory of one site: its key, its database, its artifacts, held by one node at a time.

======================  =============================================================
``identity.pem``        the node key (PKCS #8), made on the first start; keep it secret
``lock``                held by the running node, with its process id inside
``site.db``             apps, leases, decisions, guest logs, known sites, orders
``artifacts/``          artifacts by digest
``compiled/``           what this site compiled from them; may be removed
``run/``                sockets of the running node and its workers
======================  =============================================================
"""

import fcntl
import os
from io import FileIO
from pathlib import Path

from footloose.core.clock import Clock
from footloose.core.errors import LocalError
from footloose.core.identity import Identity
from footloose.state.apps import AppStore
from footloose.state.artifacts import ArtifactStore
from footloose.state.database import Database
from footloose.state.decisions import DecisionLog
from footloose.state.disk import disk_error
from footloose.state.guest_logs import GuestLogs
from footloose.state.key import load_identity
from footloose.state.leases import LeaseStore
from footloose.state.orders import OrderStore
from footloose.state.sites import SiteBook

_DATABASE = "site.db"


class StateDirectory:
    """All a site remembers. ``loss`` says what was lost if the database was found damaged, else None."""

    def __init__(
        self, path: Path, lock: FileIO, identity: Identity, database: Database, artifacts: ArtifactStore
    ) -> None:
        self.path = path
        self.identity = identity
        self.database = database
        self.loss = database.loss
        self.artifacts = artifacts
        self.apps = AppStore(database)
        self.leases = LeaseStore(database)
        self.decisions = DecisionLog(database)
        self.guest_logs = GuestLogs(database)
        self.orders = OrderStore(database)
        self.sites = SiteBook(database)
        self.compiled = path / "compiled"
        self.run = path / "run"
        self._lock = lock

    @classmethod
    def open(cls, path: Path, clock: Clock) -> "StateDirectory":
        """The directory at ``path``, made if there is none.

        Raises :class:`LocalError` if another node holds it, if it cannot be written, or if its key cannot be used.
        """
        for directory in (path, path / "compiled", path / "run"):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise disk_error(error, directory) from error
        lock = _locked(path / "lock")
        try:
            identity = load_identity(path / "identity.pem", used=(path / _DATABASE).exists())
            artifacts = ArtifactStore(path / "artifacts", clock)
            database = Database.open(path / _DATABASE)
        except BaseException:
            lock.close()
            raise
        return cls(path, lock, identity, database, artifacts)

    def close(self) -> None:
        """Close the database and let another node have the directory."""
        self.database.close()
        self._lock.close()

    def __enter__(self) -> "StateDirectory":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _locked(path: Path) -> FileIO:
    """The lock file, locked for as long as it is open; the kernel lets go of it when the process ends, however."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise disk_error(error, path) from error
    lock = FileIO(descriptor, "r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate()
        lock.write(f"{os.getpid()}\n".encode())
    except BlockingIOError as error:
        holder = lock.read(20).decode(errors="replace").strip() or "not yet known"
        lock.close()
        what = f"in use by another node (process {holder})"
        raise LocalError(what, where=str(path.parent), fix="stop it, or use another state directory") from error
    except OSError as error:
        lock.close()
        raise disk_error(error, path) from error
    return lock
