"""A member on a UDP socket: an asyncio shell around the machine."""

import asyncio
import ipaddress
import random
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import msgspec

from footloose.core.clock import Clock, SystemClock
from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import Identity, NodeId
from footloose.membership.card import Facts
from footloose.membership.config import WAN, Config
from footloose.membership.events import (
    Changed,
    Conflict,
    Departed,
    Effect,
    Event,
    Join,
    Joined,
    Leave,
    MemberView,
    Met,
    Received,
    Released,
    Send,
    Unwatch,
    UpdateFacts,
    Watch,
)
from footloose.membership.machine import Membership
from footloose.membership.notary import IdentityNotary
from footloose.membership.regions import RegionSummary
from footloose.membership.wire import decode, encode
from footloose.model.site import Endpoint
from footloose.topology.coordinates import Coordinate
from footloose.transport.datagrams import DatagramRefused, Datagrams

RECEIVE_BUFFER_BYTES = 1024 * 1024
SEND_BUFFER_BYTES = 256 * 1024
"""Datagrams waiting for the socket; more are dropped, as the network would."""
RESOLVE_RETRY_S = 1.0
RESOLVE_AGAIN_S = 60.0

Told = Callable[[Changed | Released | Conflict], None]
"""Is told what happens to members, on the event loop; it must not block."""


class MembershipStats(msgspec.Struct, frozen=True):
    """Counts since the start, and the size of things now. ``dropped`` is by reason; ``health`` 0 is well."""

    sent: int
    received: int
    dropped: dict[str, int]
    live: int
    unreachable: int
    peers: int
    health: int


class _Transport(Protocol):
    """What both asyncio's and uvloop's datagram transports can do; the declared type leaves out the buffer."""

    def sendto(self, data: bytes, addr: tuple[str, int]) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def close(self) -> None: ...


class MembershipNode:
    """One member. ``facts`` are what it says of itself at first; ``told`` is called with what happens to others."""

    def __init__(
        self,
        identity: Identity,
        facts: Facts,
        *,
        config: Config = WAN,
        told: Told = lambda _: None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._identity = identity
        self._facts = facts
        self._config = config
        self._told = told
        self._clock = clock or SystemClock()
        # The numbers of pings must not be guessed, or answers could be made up by one of several at an address.
        self._rng = rng or random.SystemRandom()
        self._datagrams = Datagrams(identity, spare=self._knows)
        self._machine: Membership | None = None
        self._transport: _Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._resolver: asyncio.Task[None] | None = None
        self._joined = asyncio.Event()
        self._departed = asyncio.Event()
        self._counts: Counter[str] = Counter()

    async def start(self, bind: Endpoint, seeds: Sequence[Endpoint] = (), *, reached_at: str | None = None) -> Endpoint:
        """Open the socket at ``bind`` (port 0: any) and begin to join. Returns the address bound.

        Others are told the address ``reached_at`` if given, else that of ``bind``. ``seeds`` may be down or, if they
        are names, unknown: they are tried until they answer. Raises :class:`LocalError` if the socket cannot be opened
        or others could not reach it.
        """
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Protocol(self), local_addr=(bind.host, bind.port)
            )
        except OSError as error:
            raise LocalError(
                f"cannot open a UDP socket: {error}", where=str(bind), fix="set another address"
            ) from error
        self._transport = cast(_Transport, transport)
        try:
            bound = self._open(transport, reached_at)
        except LocalError:
            transport.close()
            raise
        self._receive(Join(tuple(seed for seed in seeds if _is_address(seed.host))))
        names = [seed for seed in seeds if not _is_address(seed.host)]
        if names:
            family = transport.get_extra_info("socket").family
            self._resolver = asyncio.create_task(self._resolve(names, family))
        return bound

    def _open(self, transport: asyncio.DatagramTransport, reached_at: str | None) -> Endpoint:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        bound = _endpoint(transport.get_extra_info("sockname"))
        address = Endpoint(reached_at or bound.host, bound.port)
        if not _is_address(address.host) or ipaddress.ip_address(address.host).is_unspecified:
            raise LocalError("others cannot reach this", where=str(address), fix="say at which address they can")
        notary = IdentityNotary(self._identity)
        now = self._clock.now()
        self._machine = Membership(self._identity.node_id, address, self._facts, notary, self._rng, now, self._config)
        return bound

    def meet(self, address: Endpoint) -> None:
        """Somebody was met who is a member at ``address``. A name is nothing to go by: cards have addresses."""
        if _is_address(address.host):
            self._receive(Met(Endpoint(str(ipaddress.ip_address(address.host)), address.port)))

    async def joined(self) -> None:
        """Wait until another member has answered."""
        await self._joined.wait()

    async def leave(self) -> None:
        """Say goodbye, so that nobody looks for this site, and close."""
        if self._transport is not None and self._machine is not None:
            self._receive(Leave())
            await self._departed.wait()
        await self.close()

    async def close(self) -> None:
        """Close the socket without a word: to the others, this site becomes unreachable. May be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._resolver is not None:
            self._resolver.cancel()
            await asyncio.gather(self._resolver, return_exceptions=True)
            self._resolver = None
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self._departed.set()

    def update(self, *, load_percent: int, capacity: int, services: int) -> None:
        """The site's facts are these now."""
        self._receive(UpdateFacts(load_percent, capacity, services))

    def watch(self, node: NodeId, address: Endpoint | None = None) -> None:
        """Keep ``node`` in view; look for it at ``address``. Raises :class:`LocalError` if too many are watched."""
        self._receive(Watch(node, address))

    def unwatch(self, node: NodeId) -> None:
        """Keep ``node`` no longer for its own sake."""
        self._receive(Unwatch(node))

    def members(self) -> list[MemberView]:
        """All members in view, whatever their state."""
        return self._running().members()

    def member(self, node: NodeId) -> MemberView | None:
        """One member, if it is in view."""
        return self._running().member(node)

    def regions(self) -> list[RegionSummary]:
        """What is known of regions as a whole."""
        return self._running().regions(self._clock.now())

    @property
    def coordinate(self) -> Coordinate:
        """Where this site is."""
        return self._running().coordinate

    def stats(self) -> MembershipStats:
        """What the member has done and what it holds."""
        machine = self._running()
        dropped = Counter({name: count for name, count in self._counts.items() if name not in ("sent", "received")})
        dropped.update({drop.value: count for drop, count in machine.dropped.items()})
        return MembershipStats(
            sent=self._counts["sent"],
            received=self._counts["received"],
            dropped=dict(dropped),
            live=len(machine.view.live),
            unreachable=len(machine.view.lost),
            peers=len(self._datagrams),
            health=machine.health.score,
        )

    # Between the socket and the machine

    def datagram(self, data: bytes, source: tuple[str, int]) -> None:
        """A datagram came."""
        self._counts["received"] += 1
        if self._transport is None:
            return
        try:
            opened = self._datagrams.open(data, self._clock.now())
            message = decode(opened.payload)
        except DatagramRefused as refused:
            self._counts[refused.drop.value] += 1
            return
        except RemoteError:
            self._counts["not a message"] += 1
            return
        self._receive(Received(message, opened.sender, _endpoint(source), opened.addressed))

    def _knows(self, node: NodeId) -> bool:
        return self._machine is not None and node in self._machine.view.members

    def _running(self) -> Membership:
        if self._machine is None:
            raise LocalError("not started", where="membership", fix="call start() first")
        return self._machine

    def _receive(self, event: Event) -> None:
        machine = self._running()
        try:
            self._carry_out(machine.receive(event, self._clock.now()))
        finally:
            self._schedule(machine)

    def _wake(self) -> None:
        machine = self._running()
        try:
            self._carry_out(machine.wake(self._clock.now()))
        finally:
            self._schedule(machine)

    def _schedule(self, machine: Membership) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = machine.next_deadline()
        if self._transport is not None and deadline is not None:
            wait_s = max(0.0, deadline - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._wake)

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self._send(effect)
                case Changed() | Released() | Conflict():
                    self._told(effect)
                case Joined():
                    self._joined.set()
                case Departed():
                    self._departed.set()

    def _send(self, effect: Send) -> None:
        if self._transport is None or self._transport.get_write_buffer_size() > SEND_BUFFER_BYTES:
            self._counts["unsent"] += 1
            return
        try:
            datagram = self._datagrams.seal(encode(effect.message), effect.to, self._clock.now())
        except RemoteError:
            # Somebody told of a member whose id is no key. Nobody can be spoken to by that name.
            self._counts["no such key"] += 1
            return
        self._transport.sendto(datagram, (effect.address.host, effect.address.port))
        self._counts["sent"] += 1

    async def _resolve(self, names: Sequence[Endpoint], family: int) -> None:
        """Turn the names of seeds into addresses, again and again: they may move."""
        loop = asyncio.get_running_loop()
        while True:
            pause_s = RESOLVE_AGAIN_S
            for name in names:
                try:
                    found = await loop.getaddrinfo(name.host, name.port, family=family, type=socket.SOCK_DGRAM)
                    self._receive(Join(tuple(_endpoint(address) for *_, address in found)))
                except OSError:
                    self._counts["unresolved"] += 1
                    pause_s = RESOLVE_RETRY_S
                except LocalError:
                    self._counts["too many seeds"] += 1
            await asyncio.sleep(pause_s)


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, node: MembershipNode) -> None:
        self._node = node

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._node.datagram(data, addr)

    def error_received(self, exc: Exception) -> None:
        """Nothing to do: a datagram that did not arrive is found out by its answer missing."""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _endpoint(address: tuple[Any, ...]) -> Endpoint:
    """A socket address (two parts, or four for IPv6) in the form that cards have."""
    host, port = str(address[0]).partition("%")[0], int(address[1])
    return Endpoint(str(ipaddress.ip_address(host)), port)
