"""The DHT node on a UDP socket: an asyncio shell around the machine."""

import asyncio
import ipaddress
import os
import random
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Protocol, cast

import msgspec

from footloose.core.clock import Clock, SystemClock
from footloose.core.errors import LocalError, RemoteError
from footloose.core.identity import Identity
from footloose.core.limits import DHT_LOOKUPS
from footloose.discovery.dht.events import (
    Abandon,
    Announce,
    Bootstrap,
    Effect,
    Event,
    Found,
    Joined,
    LookUp,
    LookupDone,
    Received,
    SendDatagram,
    Withdraw,
)
from footloose.discovery.dht.machine import Dht
from footloose.discovery.dht.notary import IdentityNotary
from footloose.discovery.dht.records import Nearness
from footloose.discovery.merge import merged
from footloose.model.network import RouterId
from footloose.model.site import Endpoint, Sighting

RECEIVE_BUFFER_BYTES = 1024 * 1024
SEND_BUFFER_BYTES = 256 * 1024
"""Datagrams waiting for the socket; more are dropped, as the network would."""
RESOLVE_RETRY_S = 1.0
RESOLVE_AGAIN_S = 60.0


class DhtStats(msgspec.Struct, frozen=True):
    """Counts since the start, and the size of things now. ``dropped`` is by reason."""

    sent: int
    received: int
    dropped: dict[str, int]
    contacts: int
    lost_contacts: int
    keys: int
    records: int
    lookups: int
    lookups_answered: int


class _Transport(Protocol):
    """What both asyncio's and uvloop's datagram transports can do; the declared type leaves out the buffer."""

    def sendto(self, data: bytes, addr: tuple[str, int]) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def close(self) -> None: ...


class DhtNode:
    """One node of the DHT. ``api`` is where other sites reach this one; it is what announcements say."""

    def __init__(
        self, identity: Identity, api: Endpoint, *, clock: Clock | None = None, rng: random.Random | None = None
    ) -> None:
        self._identity = identity
        self._api = api
        self._clock = clock or SystemClock()
        # Request ids must not be guessed, or answers could be forged from another address.
        self._rng = rng or random.SystemRandom()
        self._machine: Dht | None = None
        self._transport: _Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._resolver: asyncio.Task[None] | None = None
        self._lookups: dict[int, asyncio.Queue[Found | LookupDone]] = {}
        self._lookup_turns = asyncio.Semaphore(DHT_LOOKUPS)
        self._joined = asyncio.Event()
        self._bootstrapped = False
        self._counts: Counter[str] = Counter()

    async def start(self, bind: Endpoint, bootstrap: Sequence[Endpoint] = ()) -> Endpoint:
        """Open the socket at ``bind`` (port 0: any) and begin to join. Returns the address bound.

        ``bootstrap`` endpoints may be down or, if they are names, unknown: they are tried until they answer.
        Raises :class:`LocalError` if the socket cannot be opened.
        """
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Protocol(self), local_addr=(bind.host, bind.port)
            )
        except OSError as error:
            what = f"cannot open a UDP socket: {os.strerror(error.errno or 0)}"
            raise LocalError(what, where=str(bind), fix="choose another address or port") from error
        self._transport = cast(_Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        bound = _endpoint(transport.get_extra_info("sockname"))
        version = 6 if ":" in bound.host else 4
        notary = IdentityNotary(self._identity)
        self._machine = Dht(notary, self._api, self._rng, self._clock.now(), ip_version=version)
        self._bootstrapped = bool(bootstrap)
        addresses = [endpoint for endpoint in bootstrap if _is_address(endpoint.host)]
        names = [endpoint for endpoint in bootstrap if not _is_address(endpoint.host)]
        self._receive(Bootstrap(tuple(addresses)))
        if names:
            self._resolver = asyncio.create_task(self._resolve(names, sock.family))
        return bound

    async def joined(self) -> None:
        """Wait until the nodes nearest to this one know it."""
        await self._joined.wait()

    async def announce(self, items: Iterable[tuple[RouterId, float, int]]) -> None:
        """Make known that this site is ``rtt_ms`` and ``hops`` from these routers, and keep it known until withdrawn.

        Routers announced before and not named now stay announced.
        Raises :class:`LocalError` if one cannot be announced.
        """
        self._receive(Announce(tuple(Nearness(router, float(rtt_ms), hops) for router, rtt_ms, hops in items)))

    async def withdraw(self, routers: Iterable[RouterId]) -> None:
        """Stop announcing these; what is known of them runs out."""
        self._receive(Withdraw(tuple(routers)))

    async def lookup(self, routers: Sequence[RouterId]) -> AsyncGenerator[Sighting, None]:
        """Sites announced near ``routers``, in the order they are found; a site comes again if a newer word is found.

        The look-ups start in the order given and run side by side; what this node keeps itself comes at once.
        Raises :class:`RemoteError` at the end if other nodes should have been asked and none answered.
        """
        if self._transport is None:
            raise LocalError("not running", where="DHT node", fix="call start() first")
        ends: list[LookupDone] = []
        lookups = [self._lookup_one(router, ends) for router in dict.fromkeys(routers)]
        async with aclosing(merged(lookups)) as sightings:
            async for sighting in sightings:
                yield sighting
        asked = sum(end.asked for end in ends)
        expected = self._transport is not None and routers and (self._bootstrapped or asked)
        if expected and not any(end.answers for end in ends):
            raise RemoteError(f"no other node answered ({asked} requests)", where="DHT", fix="check the bootstrap list")

    def contacts(self) -> tuple[Endpoint, ...]:
        """The addresses of the nodes this one knows, as far as they answer."""
        return tuple(contact.address for contact in self._machine.table.contacts()) if self._machine else ()

    def stats(self) -> DhtStats:
        """What the node has done and what it holds."""
        machine = self._running()
        dropped = {drop.value: count for drop, count in machine.dropped.items()}
        if self._counts["unsent"]:
            dropped["unsent"] = self._counts["unsent"]
        return DhtStats(
            sent=self._counts["sent"],
            received=self._counts["received"],
            dropped=dropped,
            contacts=len(machine.table),
            lost_contacts=len(machine.table.lost()),
            keys=len(machine.storage),
            records=machine.storage.records,
            lookups=self._counts["lookups"],
            lookups_answered=self._counts["lookups answered"],
        )

    async def close(self) -> None:
        """Close the socket and end every look-up. May be called twice."""
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
        for number, queue in self._lookups.items():
            queue.put_nowait(LookupDone(number, 0, 0, 0))

    # Between the socket and the machine

    def datagram(self, data: bytes, source: tuple[str, int]) -> None:
        """A datagram came."""
        self._counts["received"] += 1
        if self._transport is not None:
            self._receive(Received(data, _endpoint(source)))

    def _running(self) -> Dht:
        if self._machine is None:
            raise LocalError("not started", where="DHT node", fix="call start() first")
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

    def _schedule(self, machine: Dht) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            wait_s = max(0.0, machine.next_deadline() - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._wake)

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case SendDatagram():
                    self._send(effect)
                case Found() | LookupDone():
                    if effect.lookup in self._lookups:
                        self._lookups[effect.lookup].put_nowait(effect)
                case Joined():
                    self._joined.set()

    def _send(self, effect: SendDatagram) -> None:
        if self._transport is None or self._transport.get_write_buffer_size() > SEND_BUFFER_BYTES:
            self._counts["unsent"] += 1
            return
        self._transport.sendto(effect.datagram, (effect.to.host, effect.to.port))
        self._counts["sent"] += 1

    async def _lookup_one(self, router: RouterId, ends: list[LookupDone]) -> AsyncGenerator[Sighting, None]:
        async with self._lookup_turns:
            if self._transport is None:
                return  # closed while waiting
            self._counts["lookups"] += 1
            number = self._counts["lookups"]
            queue: asyncio.Queue[Found | LookupDone] = asyncio.Queue()
            self._lookups[number] = queue
            try:
                self._receive(LookUp(number, router))
                while not isinstance(arrival := await queue.get(), LookupDone):
                    yield arrival.record.sighting()
                ends.append(arrival)
                self._counts["lookups answered"] += arrival.answers > 0
            finally:
                del self._lookups[number]
                self._receive(Abandon(number))

    async def _resolve(self, names: Sequence[Endpoint], family: int) -> None:
        """Turn bootstrap names into addresses, again and again: they may move."""
        loop = asyncio.get_running_loop()
        while True:
            pause_s = RESOLVE_AGAIN_S
            for name in names:
                try:
                    found = await loop.getaddrinfo(name.host, name.port, family=family, type=socket.SOCK_DGRAM)
                except OSError:
                    self._counts["unresolved"] += 1
                    pause_s = RESOLVE_RETRY_S
                    continue
                self._receive(Bootstrap(tuple(_endpoint(address) for *_, address in found)))
            await asyncio.sleep(pause_s)


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, node: DhtNode) -> None:
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
    """A socket address (two parts, or four for IPv6) in the form that contacts have."""
    host, port = str(address[0]).partition("%")[0], int(address[1])
    return Endpoint(str(ipaddress.ip_address(host)), port)
