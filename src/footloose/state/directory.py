"""The state directory of one site: its key, its database, its artifacts, held by one node at a time.

======================  =============================================================
``identity.pem``        the node key (PKCS #8), made on the first start; keep it secret
``lock``                held by the running node, with its process id inside
``intent.log``          what it agreed to run: apps, leases, orders
``site.db``             what it notes: decisions, guest logs, known sites
``artifacts/``          artifacts by digest
``compiled/``           what this site compiled from them; may be removed
``run/``                sockets of the running node and its workers
======================  =============================================================
"""

import fcntl
import logging
import os
from contextlib import ExitStack
from io import FileIO
from pathlib import Path

from footloose.core.clock import Clock
from footloose.core.errors import LocalError
from footloose.core.identity import Identity
from footloose.state.artifacts import ArtifactStore
from footloose.state.database import Database
from footloose.state.decisions import DecisionLog
from footloose.state.disk import disk_error
from footloose.state.guest_logs import GuestLogs
from footloose.state.intent import INTENT, Intent
from footloose.state.key import load_identity
from footloose.state.sites import SiteBook
from footloose.state.volume import DirectoryVolume

log = logging.getLogger(__name__)

_DATABASE = "site.db"


class StateDirectory:
    """All a site remembers. ``loss`` says what was lost if the record or the database was found damaged, else None."""

    def __init__(
        self,
        path: Path,
        identity: Identity,
        intent: Intent,
        database: Database,
        artifacts: ArtifactStore,
        loss: str | None,
        held: ExitStack,
    ) -> None:
        self.path = path
        self.identity = identity
        self.database = database
        self.loss = loss
        self.artifacts = artifacts
        self.apps = intent.apps
        self.leases = intent.leases
        self.orders = intent.orders
        self.decisions = DecisionLog(database)
        self.guest_logs = GuestLogs(database)
        self.sites = SiteBook(database)
        self.compiled = path / "compiled"
        self.run = path / "run"
        self._held = held

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
        with ExitStack() as held:
            held.callback(_locked(path / "lock").close)
            noted = (path / _DATABASE).exists()
            identity = load_identity(path / "identity.pem", used=noted or (path / INTENT).exists())
            artifacts = ArtifactStore(path / "artifacts", clock)
            missing = _missing(path / INTENT) if noted else None
            volume = DirectoryVolume(path)
            held.callback(volume.close)
            intent = Intent(volume)
            database = Database.open(path / _DATABASE)
            held.callback(database.close)
            losses = [loss for loss in (missing, intent.loss, database.loss) if loss is not None]
            return cls(path, identity, intent, database, artifacts, "\n".join(losses) or None, held.pop_all())

    def close(self) -> None:
        """Close all files and let another node have the directory."""
        self._held.close()

    def __enter__(self) -> "StateDirectory":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _missing(path: Path) -> str | None:
    """What is lost if there is no record though there is a database, which is made after it."""
    if path.exists():
        return None
    loss = (
        f"{path}: the record of what this site agreed to run is missing, though this directory has been used. "
        f"Its apps and leases are lost to this site (restore a backup, or deploy the apps again)"
    )
    log.error(loss)
    return loss


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
