"""A volume that fails, or ends the process, where a test wants it to."""

from collections.abc import Callable

from footloose.core.errors import LocalError
from footloose.state.volume import Volume


class PowerCut(BaseException):
    """The machine is off: nothing may catch this."""


class Faulty:
    """Does all as ``volume`` does, but for what ``fails`` names. ``step`` is called before and after each write."""

    def __init__(self, volume: Volume, step: Callable[[], None] = lambda: None) -> None:
        self._volume = volume
        self._step = step
        self.fails: Callable[[str], bool] = lambda _: False

    def where(self, name: str) -> str:
        return self._volume.where(name)

    def exists(self, name: str) -> bool:
        return self._volume.exists(name)

    def read(self, name: str) -> bytes:
        return self._volume.read(name)

    def append(self, name: str, content: bytes) -> None:
        self._check("append")
        self._step()
        self._volume.append(name, content[: len(content) // 2])
        self._step()
        self._volume.append(name, content[len(content) // 2 :])
        self._step()

    def sync(self, name: str) -> None:
        self._check("sync")
        self._step()
        self._volume.sync(name)
        self._step()

    def truncate(self, name: str, size_bytes: int) -> None:
        self._check("truncate")
        self._step()
        self._volume.truncate(name, size_bytes)
        self._step()

    def replace(self, name: str, content: bytes) -> None:
        self._check("replace")
        self._step()
        self._volume.replace(name, content)
        self._check("last step of replace")
        self._step()

    def keep_aside(self, name: str, aside: str) -> None:
        self._check("keep_aside")
        self._step()
        self._volume.keep_aside(name, aside)
        self._step()

    def _check(self, operation: str) -> None:
        if self.fails(operation):
            raise LocalError(f"{operation} does not work", where="volume")
