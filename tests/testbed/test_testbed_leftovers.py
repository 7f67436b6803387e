"""Nothing stays behind, however a testbed ends; and it runs without root."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from footloose.testbed import Testbed, available, icon

pytestmark = pytest.mark.root

OWNER = """
import json, subprocess, sys
from pathlib import Path
from footloose.testbed import Testbed, icon

net = Testbed(icon(), tun=sys.argv[1] == "tun", root=sys.argv[2] == "root").up()
inside = [net.host("edge").popen(["sleep", "1000"]).pid]
# One that leaves its session and its parent, as daemons do, and tells its pid; it is seen inside before we go on.
daemon = net.host("client").run(
    ["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"], stdout=subprocess.PIPE, text=True)
inside.append(int(daemon.stdout))
box = net.ready.process
networks = [Path(f"/proc/{box}/fd/{number}").stat().st_ino for number in net.ready.networks.values()]
while Path(f"/proc/{inside[0]}/ns/net").stat().st_ino not in networks:
    pass
print(json.dumps({"box": box, "inside": inside, "networks": networks}), flush=True)
sys.stdin.read()
"""


def processes_in(networks: list[int]) -> list[int]:
    """All processes inside these namespaces."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "ns/net").stat().st_ino in networks:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@contextmanager
def watched(pids: list[int]) -> Iterator[dict[int, int]]:
    handles = {pid: os.pidfd_open(pid) for pid in pids}
    try:
        yield handles
    finally:
        for handle in handles.values():
            os.close(handle)


def gone(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(20_000))


def owner(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OWNER, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None], ids=["kill -9", "terminate", "end"])
@pytest.mark.parametrize("link", ["tun", "veth"])
@pytest.mark.parametrize("users", ["root", pytest.param("user", marks=pytest.mark.user_namespaces)])
def test_nothing_stays_when_the_owner_ends(how: signal.Signals | None, link: str, users: str) -> None:
    before = socket.if_nameindex()
    with owner(link, users) as process:
        found = told(process)
        inside = processes_in(found["networks"])
        assert set(found["inside"]) <= set(inside)
        with watched([found["box"], *inside]) as handles:
            if how is None:
                process.communicate("")
            else:
                process.send_signal(how)
            assert all(gone(handle) for handle in handles.values())
    assert socket.if_nameindex() == before


def test_a_process_started_just_before_the_end_does_not_escape() -> None:
    for _ in range(5):
        with Testbed(icon()) as net:
            process = net.host("edge").popen(["sleep", "1000"], stderr=subprocess.DEVNULL)
        assert process.returncode is not None


UNPRIVILEGED = """
import json, os, sys
from footloose.testbed import Testbed, available, icon

with Testbed(icon()) as net:
    traced = net.host("client").run(sys.argv[1:] + [net.host("root").address], capture_output=True, text=True).stdout
    print(json.dumps({"uid": os.getuid(), "namespaces": available().namespaces, "own_users": net.ready.own_users,
                      "traced": traced, "hops": net.hops("client", "root")}))
"""


def unprivileged_python() -> list[str]:
    """A command that runs Python as another user, who may be kept from this interpreter's home."""
    setpriv = shutil.which("setpriv")
    if setpriv is None or os.geteuid() != 0:
        pytest.skip("becoming another user needs root and setpriv")
    drop = [setpriv, "--reuid", "12345", "--regid", "12345", "--clear-groups", "--inh-caps=-all"]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    again = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import msgspec, footloose'], check=True)"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            done = subprocess.run(
                [*drop, python, "-c", again], env=other_environment(), capture_output=True, check=False
            )
        except OSError:
            continue
        if done.returncode == 0:
            return [*drop, python]
    pytest.skip("no Python here that another user may run")


def other_environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def test_another_user_can_run_one_without_any_privilege() -> None:
    if not Path("/proc/sys/user/max_user_namespaces").read_text().strip("0\n"):
        pytest.skip("this kernel lets users have no namespaces")
    traceroute = shutil.which("traceroute") or shutil.which("traceroute", path="/usr/sbin")
    if traceroute is None:
        pytest.skip("traceroute is not installed")
    command = [*unprivileged_python(), "-c", UNPRIVILEGED, traceroute, "-n", "-q", "1"]
    done = subprocess.run(command, env=other_environment(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["uid"] == 12345
    assert found["namespaces"] == "user"
    assert found["own_users"]
    assert [line.split()[1] for line in found["traced"].splitlines()[1:]] == found["hops"]


@pytest.mark.user_namespaces
def test_where_namespaces_are_forbidden_it_is_said_why() -> None:
    # Inside a user namespace whose own limit on namespaces is 0, nobody can make more.
    if available().namespaces == "":
        pytest.skip(available().why)
    script = (
        "from pathlib import Path\n"
        "for kind in ('user', 'net'): Path(f'/proc/sys/user/max_{kind}_namespaces').write_text('0')\n"
        "from footloose.testbed import Testbed, available, icon\n"
        "print(bool(available()), available().why)\n"
        "try: Testbed(icon()).up()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    command = ["unshare", "-Ur", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("False")
    assert "namespaces" in first
    assert second.startswith("LocalError icon:")
