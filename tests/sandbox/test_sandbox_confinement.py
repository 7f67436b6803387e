"""A process confines itself for good; what it can still do is tried by one made for that."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from footloose.sandbox import calls
from footloose.sandbox.calls import CallFilter, NoFilter
from footloose.sandbox.files import version

ATTEMPTS = Path(__file__).with_name("sandbox_attempts.py")
NOBODYS = 64_807
MAY = {"read what it may", "go on with open connections", "take a socket in its folder"}
needs_landlock = pytest.mark.skipif(version() == 0, reason="this kernel has no Landlock, or it is off")


def confined(tmp_path: Path, user: str, folder_mode: int = 0o755) -> dict[str, Any]:
    """What a confined process made of its attempts."""
    readable, secret, sockets = (tmp_path / name for name in ("readable", "secret", "sockets"))
    for folder in (readable, secret, sockets):
        folder.mkdir()
        (folder / "file").write_text("content")
    if user != "-":
        os.chown(sockets, int(user), int(user))
    readable.chmod(folder_mode)
    command = [sys.executable, str(ATTEMPTS), user, *map(str, (readable, secret, sockets))]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@needs_landlock
def test_a_confined_process_can_do_its_work_and_nothing_else(tmp_path: Path) -> None:
    found = confined(tmp_path, "-")
    assert {name for name, result in found["results"].items() if result == "done"} == MAY
    assert {"no new privileges", "files", "system calls"} <= set(found["holds"])


@needs_landlock
@pytest.mark.root
def test_root_becomes_nobody_and_still_reads_what_only_root_may(tmp_path: Path) -> None:
    found = confined(tmp_path, str(NOBODYS), folder_mode=0o700)
    assert {name for name, result in found["results"].items() if result == "done"} == MAY
    assert found["lacks"] == []
    assert found["user"] == NOBODYS


def test_without_libseccomp_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_LIBRARY", "libseccomp.so.none")
    with pytest.raises(NoFilter, match="libseccomp cannot be loaded"):
        CallFilter()
