"""Artifacts, each under its digest: whole, checked and on the disk, or not there at all."""

import logging
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import BinaryIO

import msgspec

from footloose.core.clock import Clock
from footloose.core.digest import Digest, digest_of, parse_digest
from footloose.core.errors import LocalError, RemoteError
from footloose.core.limits import ARTIFACT_BYTES, ARTIFACT_STORE_BYTES, DISK_RESERVE_BYTES
from footloose.state.artifact_writer import PARTIAL, ArtifactWriter, Room
from footloose.state.disk import disk_error

log = logging.getLogger(__name__)

_PREFIX = "sha256:"


class StoredArtifact(msgspec.Struct, frozen=True):
    """An artifact in the store. ``added_at`` (seconds) is when this process came by it, or was last to use it."""

    digest: Digest
    size_bytes: int
    added_at: float


class ArtifactStore:
    """Content-addressed files in one directory, used from one event loop."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        artifact_bytes: int = ARTIFACT_BYTES,
        capacity_bytes: int = ARTIFACT_STORE_BYTES,
        reserve_bytes: int = DISK_RESERVE_BYTES,
    ) -> None:
        """Open the store, clearing what cut uploads left. Raises :class:`LocalError` if it cannot be used."""
        self._directory = directory
        self._clock = clock
        self._room = Room(directory, artifact_bytes, capacity_bytes, reserve_bytes)
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            self._stored = self._scan()
            self._room.stored_bytes = sum(one.size_bytes for one in self._stored.values())
        except OSError as error:
            raise disk_error(error, directory) from error

    def _scan(self) -> dict[Digest, StoredArtifact]:
        found: dict[Digest, StoredArtifact] = {}
        for file in self._directory.iterdir():
            if file.name.endswith(PARTIAL):
                file.unlink()
                continue
            try:
                digest = parse_digest(_PREFIX + file.name)
            except RemoteError:
                log.warning("%s: not an artifact, left alone", file)
                continue
            found[digest] = StoredArtifact(digest, file.stat().st_size, self._clock.now())
        return found

    @property
    def used_bytes(self) -> int:
        """All artifacts together."""
        return self._room.stored_bytes

    def has(self, digest: Digest) -> bool:
        """Whether the artifact is here, whole."""
        return digest in self._stored

    def renew(self, digest: Digest) -> bool:
        """Whether the artifact is here; if so it counts as just added, for :meth:`collect`."""
        artifact = self._stored.get(digest)
        if artifact is None:
            return False
        self._stored[digest] = msgspec.structs.replace(artifact, added_at=self._clock.now())
        return True

    def list(self) -> tuple[StoredArtifact, ...]:
        """All artifacts, by digest."""
        return tuple(self._stored[digest] for digest in sorted(self._stored))

    def path(self, digest: Digest) -> Path:
        """Its file; not to be written to. Raises :class:`LocalError` if it is not here."""
        if digest not in self._stored:
            raise LocalError("is not here", where=f"artifact {digest[:80]}", fix="upload it first")
        return self._file(digest)

    def open(self, digest: Digest) -> BinaryIO:
        """Its content, to read. Raises :class:`LocalError` if it is not here."""
        path = self.path(digest)
        try:
            return path.open("rb")
        except OSError as error:
            raise disk_error(error, path) from error

    def begin(self, digest: Digest, size_bytes: int = 0) -> "ArtifactWriter":
        """Receive an artifact: ``async with store.begin(digest) as writer``, then ``write`` and ``commit``.

        ``size_bytes`` is what was announced, if anything, so that what cannot fit is refused at once. Raises
        :class:`LimitExceeded` if it is too large, :class:`LocalError` if there is no room or no way to write.
        """
        digest = parse_digest(digest)
        return ArtifactWriter(self._file(digest), digest, size_bytes, self._room, self._note)

    async def add(self, content: bytes) -> Digest:
        """Store ``content``. Raises as :meth:`begin`."""
        digest = digest_of(content)
        if not self.has(digest):
            async with self.begin(digest, len(content)) as writer:
                await writer.write(content)
                await writer.commit()
        return digest

    def remove(self, digest: Digest) -> bool:
        """Remove an artifact; whether it was here. A file that is open stays readable for who has it open."""
        artifact = self._stored.get(digest)
        if artifact is None:
            return False
        file = self._file(digest)
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, file) from error
        del self._stored[digest]
        self._room.stored_bytes -= artifact.size_bytes
        return True

    def collect(self, keep: AbstractSet[Digest], *, min_age_s: float = 0.0) -> tuple[Digest, ...]:
        """Remove what nothing refers to: all but ``keep`` and what came in the last ``min_age_s``. Returns what went.

        The age spares what was just uploaded for a lease that is still being agreed.
        """
        before = self._clock.now() - min_age_s
        unused = [one.digest for one in self.list() if one.digest not in keep and one.added_at <= before]
        return tuple(digest for digest in unused if self.remove(digest))

    def _note(self, digest: Digest, size_bytes: int) -> None:
        if digest not in self._stored:
            self._room.stored_bytes += size_bytes
        self._stored[digest] = StoredArtifact(digest, size_bytes, self._clock.now())

    def _file(self, digest: Digest) -> Path:
        return self._directory / digest.removeprefix(_PREFIX)
