"""A chain of real kernel routers: client, two routers, server, each a network namespace joined by veth pairs."""

import asyncio
import contextlib
import ctypes
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
_SETTINGS = (
    "net/ipv4/ip_forward=1 net/ipv6/conf/all/forwarding=1 net/ipv4/conf/all/rp_filter=0 net/ipv4/icmp_ratemask=0"
    " net/ipv4/icmp_msgs_per_sec=100000 net/ipv4/icmp_msgs_burst=10000 net/ipv6/icmp/ratelimit=0"
)


@dataclass(frozen=True)
class Chain:
    """Namespaces by place (0 the client, 3 the server). Link n, of places n and n + 1: 10.77.n.0/24, fd77:n+1::/64."""

    names: tuple[str, ...]

    def address(self, place: int, *, v6: bool = False) -> str:
        """The address a node has on the link towards the client: what a trace from the client shows."""
        return f"fd77:{place}::2" if v6 else f"10.77.{place - 1}.2"

    def ip(self, place: int, *words: str) -> None:
        subprocess.run(["ip", "-n", self.names[place], *words], check=True, capture_output=True, timeout=20)

    def command(self, place: int, *words: str) -> str:
        done = subprocess.run(
            ["ip", "netns", "exec", self.names[place], *words], check=True, capture_output=True, text=True, timeout=30
        )
        return done.stdout

    @contextlib.contextmanager
    def mute(self, place: int) -> Iterator[None]:
        """The node sends no packets of its own to the client, and still forwards those of others."""
        client = ("10.77.0.0/24", "fd77:1::/64")
        try:
            for family, network in zip(("-4", "-6"), client, strict=True):
                self.ip(place, family, "rule", "add", "pref", "10", "iif", "lo", "to", network, "blackhole")
            yield
        finally:
            for family in ("-4", "-6"):
                self.ip(place, family, "rule", "del", "pref", "10")

    def run(
        self, work: Callable[[], Awaitable[T]], *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    ) -> T:
        """Run a coroutine in the client's namespace: in a thread, as a namespace belongs to a thread."""

        def body() -> T:
            enter(self.names[0])
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                return runner.run(_await(work))

        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(body).result()


async def _await(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


def enter(namespace: str) -> None:
    """Move the calling thread into a named network namespace (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(handle, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(handle)


@contextlib.contextmanager
def kernel_chain() -> Iterator[Chain]:
    """Build the chain; take it down whatever happens."""
    chain = Chain(tuple(f"fl{os.getpid()}-{role}" for role in ("client", "r1", "r2", "server")))
    try:
        _build(chain)
        yield chain
    finally:
        for name in chain.names:
            if Path(f"/run/netns/{name}").exists():
                subprocess.run(["ip", "netns", "del", name], check=True, timeout=20)


def _build(chain: Chain) -> None:
    for place, name in enumerate(chain.names):
        subprocess.run(["ip", "netns", "add", name], check=True, timeout=20)
        chain.ip(place, "link", "set", "lo", "up")
        settings = "; ".join(
            f"echo {value} > /proc/sys/{key}" for key, value in (item.split("=") for item in _SETTINGS.split())
        )
        chain.command(place, "sh", "-ec", settings)
    for link in range(len(chain.names) - 1):
        ends: list[tuple[int, str]] = [(link, "outward"), (link + 1, "inward")]
        chain.ip(
            link, "link", "add", "outward", "type", "veth", "peer", "name", "inward", "netns", chain.names[link + 1]
        )
        for host, (place, device) in enumerate(ends, start=1):
            chain.ip(place, "addr", "add", f"10.77.{link}.{host}/24", "dev", device)
            chain.ip(place, "addr", "add", f"fd77:{link + 1}::{host}/64", "dev", device, "nodad")
            chain.ip(place, "link", "set", device, "up")
    last = len(chain.names) - 1
    for place in range(last):  # everything farther down lies behind the next node
        chain.ip(place, "route", "add", "default", "via", f"10.77.{place}.2")
        chain.ip(place, "-6", "route", "add", "default", "via", f"fd77:{place + 1}::2")
    for place in range(1, last + 1):
        for link in range(place - 1):
            chain.ip(place, "route", "add", f"10.77.{link}.0/24", "via", f"10.77.{place - 1}.1")
            chain.ip(place, "-6", "route", "add", f"fd77:{link + 1}::/64", "via", f"fd77:{place}::1")
