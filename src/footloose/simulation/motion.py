"""Where users go: nowhere, on to a place beside, or as real ones did."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from random import Random

from footloose.core.errors import LocalError
from footloose.simulation.ground import Ground
from footloose.simulation.scenario import Motion, Static, Trace, Walk

Steps = Iterator[tuple[float, int]]
"""How long a user stays where it is (seconds), and where it is next."""


def steps(motion: Motion, user: int, place: int, ground: Ground, random: Random) -> Steps:
    """The steps of one user who begins at ``place``. Raises :class:`LocalError` if a trace cannot be read."""
    match motion:
        case Static():
            return iter(())
        case Walk():
            return _walk(motion, place, ground, random)
        case Trace():
            return _trace(motion, user, ground, cells_of(motion.file))


def _walk(walk: Walk, place: int, ground: Ground, random: Random) -> Steps:
    while beside := ground.beside(place):
        place = random.choice(list(beside))
        yield walk.every_s, place


def _trace(trace: Trace, user: int, ground: Ground, cells: Callable[[int, int], int]) -> Steps:
    """Cells are numbered, and so are places: the nth cell is the nth place, over and over."""
    minute = 0
    while True:
        minute += 1
        yield trace.minute_s, cells(user, minute) % len(ground.places)


@lru_cache(maxsize=4)
def cells_of(file: str) -> Callable[[int, int], int]:
    """In which cell each user was in each minute, from a MATLAB file with one matrix: users by minutes.

    Users and minutes beyond those in the file begin at its start again. Raises :class:`LocalError`.
    """
    try:
        from scipy.io import loadmat  # noqa: PLC0415  only for this
    except ImportError as error:
        raise LocalError("traces are read with scipy", where=file, fix="pip install scipy") from error
    try:
        matrices = [value for name, value in loadmat(file).items() if not name.startswith("__") and value.ndim == 2]
    except (OSError, ValueError, NotImplementedError) as error:
        raise LocalError(
            f"cannot be read: {error}", where=file, fix="give a MATLAB file of version 7 or less"
        ) from error
    if not matrices:
        raise LocalError("has no matrix of users by minutes", where=file)
    largest = max(matrices, key=lambda one: one.size)
    users, minutes = largest.shape
    return lambda user, minute: int(largest[user % users, minute % minutes])
