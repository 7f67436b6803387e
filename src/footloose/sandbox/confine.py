"""All of it together, in the order it has to be done."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from footloose.core.errors import LocalError
from footloose.sandbox.calls import CallFilter, NoFilter
from footloose.sandbox.files import confine_files, version
from footloose.sandbox.identity import become, no_new_privileges


class Confined(msgspec.Struct, frozen=True):
    """How a process is confined: what holds, and what does not hold here, with the reason."""

    user: int
    holds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


class Confinement:
    """What holds for this process so far. Made before there are threads, and before it meets anyone.

    From then on it reaches only these files (:func:`~footloose.sandbox.files.confine_files`), as ``user``, which
    matters to root only; None leaves root root. Raises :class:`LocalError` if what the kernel has does not work.
    """

    def __init__(self, user: int | None, readable: Iterable[Path], sockets: Iterable[Path]) -> None:
        self._holds: list[str] = []
        self._lacks: list[str] = []
        self._filter = self._prepared()
        try:
            self._confine(user, readable, sockets)
        except OSError as error:
            raise LocalError(f"the process cannot be confined: {error}", where="sandbox") from error

    def finish(self) -> Confined:
        """Once all that is needed is loaded and open: only harmless system calls from now on."""
        if self._filter is not None:
            try:
                self._filter.enforce()
                self._holds.append("system calls")
            except NoFilter as error:
                self._lacks.append(f"system calls: {error}")
        return Confined(os.getuid(), tuple(self._holds), tuple(self._lacks))

    def _prepared(self) -> CallFilter | None:
        try:
            return CallFilter()
        except NoFilter as error:
            self._lacks.append(f"system calls: {error}")
            return None

    def _confine(self, user: int | None, readable: Iterable[Path], sockets: Iterable[Path]) -> None:
        no_new_privileges()
        self._holds.append("no new privileges")
        landlock = version() > 0
        if os.getuid() == 0 and user is not None:
            become(user, may_read=landlock)
            self._holds.append("a user of its own")
        elif os.getuid() == 0:
            self._lacks.append("a user of its own: it was started to be root")
        if landlock:
            confine_files(readable, sockets)
            self._holds.append("files")
        else:
            self._lacks.append("files: the kernel has no Landlock, or it is off")
