"""What is wrong with a file that somebody wrote, where, and what to do about it."""

from collections.abc import Iterable

import msgspec

from footloose.core.errors import LocalError
from footloose.core.limits import APP_FILE_PROBLEMS


class Spot(msgspec.Struct, frozen=True, order=True):
    """A place in a file. Lines and columns count from 1, as editors do; 0 is the file as a whole."""

    line: int = 0
    column: int = 0


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing wrong. ``key`` is the dotted path of the key concerned, empty for the file as a whole."""

    at: Spot
    key: str
    what: str
    fix: str

    def place(self, file: str) -> str:
        """Where, in the form editors and compilers use: ``file:line:column: key``."""
        place = f"{file}:{self.at.line}:{self.at.column}" if self.at.line else file
        return f"{place}: {self.key}" if self.key else place

    def line(self, file: str) -> str:
        """The problem in one line."""
        return f"{self.place(file)}: {self.what} ({self.fix})"


class FileProblems(LocalError):
    """A file that cannot be used. ``problems`` has all that was found in ``file``, in the order of the file."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(set(problems)))[:APP_FILE_PROBLEMS]
        super().__init__("\n".join(problem.line(file) for problem in self.problems))


class AppFileError(FileProblems):
    """An app file that cannot be used."""
