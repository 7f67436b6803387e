"""Whether, and how, this machine lets a testbed run: found out by making one host, in a process of its own."""

import shutil
import subprocess
import sys
from functools import cache

import msgspec

PROBE_TIMEOUT_S = 30.0


class Availability(msgspec.Struct, frozen=True):
    """``namespaces`` is ``root``, ``user`` (a user namespace) or empty; ``link`` is ``tun``, ``veth`` or empty.

    ``why`` says in a sentence which way works, or why none does and what to do.
    """

    namespaces: str
    link: str
    why: str

    def __bool__(self) -> bool:
        return bool(self.link)


@cache
def available() -> Availability:
    """Which way a testbed works here. Asks the kernel once, in about a tenth of a second."""
    if not sys.platform.startswith("linux"):
        return Availability("", "", "network namespaces exist on Linux only")
    if shutil.which("nsenter") is None:
        return Availability("", "", "nsenter is not installed: install util-linux")
    arguments = [sys.executable, "-m", "footloose.testbed.probe"]
    try:
        answer = subprocess.run(
            arguments, capture_output=True, stdin=subprocess.DEVNULL, timeout=PROBE_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Availability("", "", f"the probe failed: {error}")
    return msgspec.json.decode(answer.stdout, type=Availability)
