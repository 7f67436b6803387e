"""The artifacts on a simulated machine: only which there are, not what is in them."""

from collections.abc import Set as AbstractSet
from pathlib import Path

from footloose.core.clock import Clock
from footloose.core.digest import Digest
from footloose.core.errors import LocalError


class Artifacts:
    """What :class:`footloose.state.artifacts.ArtifactStore` is to a real site. Outlasts its process."""

    def __init__(self) -> None:
        self._added_at: dict[Digest, float] = {}
        self._clock: Clock | None = None
        self.compiled: set[Digest] = set()
        """Those this machine has compiled."""

    def use(self, clock: Clock) -> None:
        """A process begins to use them: all count as just added."""
        self._clock = clock
        self._added_at = dict.fromkeys(self._added_at, clock.now())

    def add(self, digest: Digest) -> None:
        """Keep an artifact."""
        self._added_at[digest] = self._clock.now() if self._clock is not None else 0.0

    def has(self, digest: Digest) -> bool:
        """Whether it is here."""
        return digest in self._added_at

    def renew(self, digest: Digest) -> bool:
        """Whether it is here; if so it counts as just added."""
        if digest not in self._added_at:
            return False
        self.add(digest)
        return True

    def path(self, digest: Digest) -> Path:
        """A name for its file. Raises :class:`LocalError` if it is not here."""
        if digest not in self._added_at:
            raise LocalError("is not here", where=f"artifact {digest[:80]}", fix="upload it first")
        return Path(digest)

    def collect(self, keep: AbstractSet[Digest], *, min_age_s: float = 0.0) -> tuple[Digest, ...]:
        """Remove what nothing refers to: all but ``keep`` and what came in the last ``min_age_s``; what went."""
        assert self._clock is not None  # noqa: S101  a process uses them
        before = self._clock.now() - min_age_s
        unused = tuple(one for one, added_at in self._added_at.items() if one not in keep and added_at <= before)
        for digest in unused:
            del self._added_at[digest]
        return unused
