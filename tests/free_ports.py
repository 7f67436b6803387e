"""Ports for servers that must be told beforehand where to listen."""

import random
import socket
from contextlib import suppress
from pathlib import Path

_LEAST = 10_000


def free_port(address: str = "127.0.0.1") -> int:
    """A port that is free for UDP and TCP, and that the kernel gives to nobody who asks for any port.

    One that the kernel itself chose may be given to somebody else before the server listens there.
    """
    least_of_any = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(_LEAST, max(_LEAST + 1000, least_of_any))
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            suppress(OSError),
        ):
            udp.bind((address, port))
            tcp.bind((address, port))
            return port
