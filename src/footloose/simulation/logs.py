"""What sites log in a run: it belongs into the run's story, and nowhere else."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from footloose.simulation.process import ProcessLoop

_ROOT = logging.getLogger("footloose")


class _Handler(logging.Handler):
    def __init__(self, told: Callable[[str, str], None]) -> None:
        super().__init__(logging.WARNING)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        process = asyncio._get_running_loop()
        if isinstance(process, ProcessLoop) and not process.killed:
            self._told(process.name, record.getMessage())


@contextmanager
def told_to(told: Callable[[str, str], None]) -> Iterator[None]:
    """While this lasts, ``told`` gets what processes in virtual time log: the name of the process and the message."""
    handler, propagate = _Handler(told), _ROOT.propagate
    _ROOT.addHandler(handler)
    _ROOT.propagate = False
    try:
        yield
    finally:
        _ROOT.propagate = propagate
        _ROOT.removeHandler(handler)
