"""A worker whose guests are Python functions, started by tests as a real process of its own."""

import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from footloose.core.errors import LocalError
from footloose.model.app import GuestKind, Instances, Limits
from footloose.model.guest import GuestAnswer
from footloose.node.control import WorkerConfig
from footloose.node.worker import serve

TEXT = b"Content-Type: text/plain\n\n"


class Guest:
    """Does what the name of its compiled file says."""

    streams = False

    def __init__(self, name: str) -> None:
        self.name = name

    def call(self, environment: Sequence[tuple[str, str]], _body: bytes) -> GuestAnswer:
        if self.name == "hang" and dict(environment)["PATH_INFO"] == "/now":
            time.sleep(1000)
        if self.name == "endless":
            threading.Event().wait()
        if self.name == "slow":
            time.sleep(0.5)
        if self.name == "die":
            os._exit(7)
        return GuestAnswer(TEXT + str(os.getpid()).encode() if environment else TEXT)


class Runtime:
    """Loads guests by name."""

    def tidy(self) -> None:
        """Nothing rests here."""

    def load(self, compiled: Path, _kind: GuestKind, _limits: Limits, _instances: Instances) -> Guest:
        if compiled.name == "freeze":
            time.sleep(1000)  # the loop stands still
        if compiled.name == "missing":
            raise LocalError("no such guest")
        return Guest(compiled.name)


if __name__ == "__main__":
    if "broken" in sys.argv[1:-1]:
        sys.exit(3)
    if "mute" in sys.argv[1:-1]:
        time.sleep(1000)
    serve(msgspec.json.decode(sys.argv[-1], type=WorkerConfig), Runtime)
    os._exit(0)
