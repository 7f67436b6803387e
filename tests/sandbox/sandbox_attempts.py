"""A process that confines itself and then tries what it may no longer do; prints what came of it as JSON."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from footloose.sandbox.confine import Confinement


def tried(attempt: Callable[[], object]) -> str:
    """What became of an attempt: ``done``, or the name of the error."""
    try:
        attempt()
    except OSError as error:
        return type(error).__name__
    return "done"


def in_thread(attempt: Callable[[], object]) -> str:
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.append(tried(attempt)))
    thread.start()
    thread.join()
    return results[0]


def main() -> None:
    user = int(sys.argv[1]) if sys.argv[1] != "-" else None
    readable, secret, sockets = (Path(each) for each in sys.argv[2:])
    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()
    client = socket.create_connection(address)
    server, _ = listening.accept()
    confinement = Confinement(user, [readable], [sockets])
    early = tried((secret / "file").read_text)
    confined = confinement.finish()

    def reconnect() -> None:
        client.connect_ex(("0.0.0.0", 0))
        client.connect(address)

    def datagrams() -> socket.socket:
        return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    attempts: dict[str, Callable[[], object]] = {
        "read what it may": (readable / "file").read_text,
        "read what it may not": (secret / "file").read_text,
        "write": lambda: (readable / "new").write_text(""),
        "go on with open connections": lambda: (client.send(b"1"), server.recv(1), server.send(b"2"), client.recv(1)),
        "take a socket in its folder": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind(
            str(sockets / "s")
        ),
        "take a socket elsewhere": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind(str(secret / "s")),
        "open a Unix stream": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "open a TCP socket": socket.socket,
        "open a UDP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "start a process": os.fork,
        "start a program": lambda: subprocess.run(["/bin/true"], check=True),
        "look into another process": lambda: os.pidfd_open(os.getppid()),
        "signal another process": lambda: os.kill(os.getppid(), 0),
        "be root again": lambda: os.setresuid(0, 0, 0),
        "change the root": lambda: os.chroot(str(readable)),
        "become another program": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
        "move to another processor": lambda: os.sched_setaffinity(0, {0}),
    }
    results = {name: tried(attempt) for name, attempt in attempts.items()}
    results["read before the list is in force"] = early
    results["read in a thread"] = in_thread((secret / "file").read_text)
    results["open a TCP socket in a thread"] = in_thread(socket.socket)
    results["reconnect an open connection"] = tried(reconnect)
    told = {"user": confined.user, "holds": confined.holds, "lacks": confined.lacks}
    print(json.dumps({"results": results, **told}))


main()
