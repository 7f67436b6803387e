"""What the demo stands on: an internet in a box or, where none is to be had, loopback addresses and a relay."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from footloose.testbed import LiveHost, Role, Testbed, Topology
from footloose.testbed.relay import NOT_REAL, LoopbackHost, LoopbackNet
from footloose.testbed.sites import API_PORT, DHT_PORT, Place, SiteOptions

_GATEWAY_PORT = 8080
_ECHO_PORT = 8007


class Ground(Protocol):
    """Hosts and the distances between them. ``not_real`` says what of the demo is then not as it would be outside."""

    not_real: Sequence[str]

    def up(self) -> AbstractContextManager[object]:
        """Bring it up for as long as a ``with`` block."""
        ...

    def place(self, name: str) -> Place:
        """A host by name."""
        ...

    def rtt_ms(self, a: str, b: str) -> float:
        """The round trip between two hosts as it was built, in milliseconds."""
        ...

    def options(self, name: str, *, joins: bool, resolver: str | None) -> SiteOptions:
        """What the site on a host is told; ``joins`` if it may join others in the DHT."""
        ...

    def user(self, name: str, url: str) -> Sequence[str]:
        """The command that runs a user on a host, who starts at ``url``."""
        ...


class Box:
    """An internet in a box."""

    not_real: Sequence[str] = ()

    def __init__(self, topology: Topology) -> None:
        self.net = Testbed(topology)

    def up(self) -> Testbed:
        """Bring it up for as long as a ``with`` block."""
        return self.net

    def place(self, name: str) -> LiveHost:
        """A host by name."""
        return self.net.host(name)

    def rtt_ms(self, a: str, b: str) -> float:
        """The round trip between two hosts as it was built, in milliseconds."""
        return self.net.rtt_ms(a, b)

    def options(self, name: str, *, joins: bool, resolver: str | None) -> SiteOptions:
        """Those that may join the DHT do so through the home; nobody is told of anybody else."""
        (home,) = self.net.topology.with_role(Role.HOME)
        join = f"{self.place(home.name).address}:{DHT_PORT}" if joins and name != home.name else None
        apart = () if joins else ("--membership", "off")  # members would tell others of it
        return SiteOptions(self.net.topology.host(name).region, join, resolver, extra=apart)

    def user(self, name: str, url: str) -> Sequence[str]:
        """The command that runs a user on a host, who starts at ``url``."""
        return self.place(name).argv([sys.executable, "-m", "footloose.demo.user", name, url])


class Loopback:
    """Loopback addresses and a relay. Ports below 1024 are left alone, as those who need this are seldom root."""

    not_real: Sequence[str] = (
        *NOT_REAL,
        "sites are told of each other beforehand: they cannot be found on a path that has no hops",
        "round trips are measured with an echo that each user offers: probes and the kernel would see no delay",
    )

    def __init__(self, topology: Topology) -> None:
        self._net = LoopbackNet(topology)
        self._topology = topology

    def up(self) -> LoopbackNet:
        """Bring it up for as long as a ``with`` block."""
        return self._net

    def place(self, name: str) -> Place:
        """A host by name, with the ports of sites and users exposed."""
        host = self._net.host(name)
        user = self._topology.host(name).role is Role.USER
        for port in (_ECHO_PORT,) if user else (_GATEWAY_PORT, API_PORT):
            self._net.expose(name, port)
        return _Faced(host)

    def rtt_ms(self, a: str, b: str) -> float:
        """The round trip between two hosts as it was built, in milliseconds."""
        return self._net.rtt_ms(a, b)

    def options(self, name: str, *, joins: bool, resolver: str | None) -> SiteOptions:  # noqa: ARG002  neither works here
        """All are told of all providers' sites. Nothing here carries datagrams, so there is no membership."""
        extra = ["--membership", "off", "--bind", self._net.host(name).address, "--echo-port", str(_ECHO_PORT)]
        for site in self._topology.with_role(Role.SITE):
            if site.name != name:
                extra += ["--site", f"{self._net.host(site.name).face}:{API_PORT}"]
        return SiteOptions(self._topology.host(name).region, gateway_port=_GATEWAY_PORT, extra=tuple(extra))

    def user(self, name: str, url: str) -> Sequence[str]:
        """The command that runs a user on a host, who starts at ``url``."""
        self.place(name)
        own = ["--from", self._net.host(name).address, "--echo-port", str(_ECHO_PORT)]
        return [sys.executable, "-m", "footloose.demo.user", *own, name, url]


class _Faced:
    """A loopback host as others see it."""

    def __init__(self, host: LoopbackHost) -> None:
        self.name = host.name
        self.address = host.face
        self._host = host

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a command there."""
        return self._host.popen(command, **options)
