"""A UDP socket that is told of the ICMP errors its datagrams cause. Needs no privilege (Linux, ``ip(7)`` IP_RECVERR).

The kernel matches ICMP errors to the socket and keeps them in its error queue, each with the destination of the
datagram it concerns, the address that complained, and its arrival time.
"""

import asyncio
import errno
import ipaddress
import select
import socket
import struct
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec

from footloose.core.errors import LocalError
from footloose.topology.addresses import IpAddress
from footloose.topology.trace import Answer, Reply

# Missing from Python 3.11's socket module: <linux/in.h>, <linux/in6.h>, <asm-generic/socket.h>, <linux/errqueue.h>
IP_RECVERR = 11
IPV6_RECVERR = 25
SO_TIMESTAMPNS = 35
SO_EE_ORIGIN_ICMP = 2
SO_EE_ORIGIN_ICMP6 = 3

_EXTENDED_ERROR = struct.Struct("=IBBBBII")  # struct sock_extended_err, followed by the offender's sockaddr
_TIMESPEC = struct.Struct("@ll")
_FAMILY = struct.Struct("=H")
_EXPIRED_TYPES = frozenset({(SO_EE_ORIGIN_ICMP, 11), (SO_EE_ORIGIN_ICMP6, 3)})
_UNREACHABLE_TYPES = frozenset({(SO_EE_ORIGIN_ICMP, 3), (SO_EE_ORIGIN_ICMP6, 1)})
_EXPIRED_IN_TRANSIT = 0
_PORT_UNREACHABLE = {SO_EE_ORIGIN_ICMP: 3, SO_EE_ORIGIN_ICMP6: 4}
_FRAGMENTATION_NEEDED = (SO_EE_ORIGIN_ICMP, 4)

PAYLOAD = b"footloose route probe"
SEND_TRIES = 8
"""Tries of one call, while each fails with the ICMP error of an earlier probe."""
MESSAGES_AT_ONCE = 256
"""Messages taken off a queue before others get a turn."""
ANCILLARY_BYTES = 512
"""Room for a time stamp, an extended error and the offender's address."""
_REPORTED_ERRORS = frozenset(
    {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPROTO, errno.ENOPROTOOPT}
)
"""What ICMP errors to earlier probes look like to the next call on the socket."""

Ancillary = Sequence[tuple[int, int, bytes]]


class IcmpError(msgspec.Struct, frozen=True):
    """One message of the error queue. ``arrived_ns`` is wall-clock time, None if the kernel gave none."""

    address: str
    answer: Answer
    arrived_ns: int | None


class ProbeSocket:
    """Sends probes to one target and hears what becomes of them. A context manager; not shared between tasks.

    Raises :class:`LocalError` if this machine cannot open such a socket.
    """

    def __init__(self, target: IpAddress) -> None:
        self._target = str(target)
        self._v4 = target.version == 4
        self._sent: dict[int, tuple[int, int]] = {}
        self._received: list[Reply] = []
        try:
            self._socket = socket.socket(socket.AF_INET if self._v4 else socket.AF_INET6, socket.SOCK_DGRAM)
        except OSError as error:
            raise LocalError(f"no IPv{target.version} socket: {error.strerror}", where=self._target) from error
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if self._v4:
            self._socket.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        else:
            self._socket.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        # A full error queue shows as POLLERR, which libuv (uvloop) takes for a broken descriptor and stops watching.
        # An epoll descriptor in between is plainly readable whenever the socket has anything, under any event loop.
        self._ready = select.epoll()
        self._ready.register(self._socket, select.EPOLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ready.close()
        self._socket.close()

    def send(self, port: int, ttl: int | None = None) -> None:
        """Send one probe. Raises :class:`LocalError` if this machine will not (no route, firewall, broadcast address).

        The error of an earlier probe makes the next send fail: take it off the queue and send again.
        """
        ancillary: list[tuple[int, int, bytes]] = []
        if ttl is not None:
            kind = (socket.IPPROTO_IP, socket.IP_TTL) if self._v4 else (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)
            ancillary.append((*kind, struct.pack("@i", ttl)))
        for attempt in range(1, SEND_TRIES + 1):
            self._sent[port] = (time.time_ns(), time.monotonic_ns())
            try:
                self._socket.sendmsg([PAYLOAD], ancillary, 0, (self._target, port))
            except BlockingIOError:
                return  # the send buffer is full: as good as lost on the way
            except OSError as error:
                self._drain()
                if error.errno not in _REPORTED_ERRORS or attempt == SEND_TRIES:
                    fix = _FIXES.get(error.errno or 0)
                    raise LocalError(f"cannot send: {error.strerror}", where=self._target, fix=fix) from error
            else:
                return

    async def replies(self, until: float) -> list[Reply]:
        """What has come in, waiting for something until ``until`` (the running loop's time). Empty if nothing came."""
        loop = asyncio.get_running_loop()
        if not self._received:
            something: asyncio.Future[None] = loop.create_future()
            loop.add_reader(self._ready.fileno(), _resolve, something)
            try:
                await asyncio.wait([something], timeout=max(until - loop.time(), 0))
            finally:
                loop.remove_reader(self._ready.fileno())
            self._drain()
        received, self._received = self._received, []
        return received

    def _drain(self) -> None:
        """Take what the kernel holds for us, at most ``MESSAGES_AT_ONCE`` of each kind (the rest next time)."""
        for _ in range(MESSAGES_AT_ONCE):
            message = self._receive(socket.MSG_ERRQUEUE)
            if message is None:
                break
            ancillary, _, port = message  # the probe's destination
            error = parse_error(ancillary)
            if error is not None and port in self._sent:
                self._received.append(Reply(port, error.address, error.answer, self._rtt_ms(port, error.arrived_ns)))
        for _ in range(MESSAGES_AT_ONCE):
            message = self._receive(0)
            if message is None:
                break
            ancillary, host, port = message  # who sent it: something listens at that port of the target, and answered
            if host == self._target and port in self._sent:
                rtt_ms = self._rtt_ms(port, _timestamp_ns(ancillary))
                self._received.append(Reply(port, self._target, Answer.ARRIVED, rtt_ms))

    def _receive(self, flags: int) -> tuple[Ancillary, str, int] | None:
        """Ancillary data, host and port of the next message; None when there is none."""
        for _ in range(SEND_TRIES):
            try:
                _, ancillary, _, where = self._socket.recvmsg(len(PAYLOAD), ANCILLARY_BYTES, flags)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno not in _REPORTED_ERRORS:
                    raise LocalError(f"cannot receive: {error.strerror}", where=self._target) from error
                # The ICMP error in the queue told a second way; having read it, ask again
            else:
                return ancillary, where[0], where[1]
        return None

    def _rtt_ms(self, port: int, arrived_ns: int | None) -> float:
        """From send to arrival, as the kernel timed it; by our own clock where the wall clock was set in between."""
        sent_wall_ns, sent_ns = self._sent[port]
        elapsed_ns = time.monotonic_ns() - sent_ns
        rtt_ns = elapsed_ns if arrived_ns is None else arrived_ns - sent_wall_ns
        return (rtt_ns if 0 <= rtt_ns <= elapsed_ns else elapsed_ns) / 1e6


_FIXES = {
    errno.ENETUNREACH: "see whether this machine is connected and has a route there",
    errno.EHOSTUNREACH: "see whether this machine is connected and has a route there",
    errno.EACCES: "probe the address of one host, not a network's broadcast address",
    errno.EPERM: "let the local firewall pass outgoing UDP to ports 33434-33493",
}


def parse_error(ancillary: Ancillary) -> IcmpError | None:
    """What the control messages of one error-queue entry say of the probe; None if nothing about its way."""
    for level, kind, data in ancillary:
        if (level, kind) in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
            if len(data) < _EXTENDED_ERROR.size:
                return None
            _, origin, icmp_type, code, *_ = _EXTENDED_ERROR.unpack_from(data)
            answer = _answer(origin, icmp_type, code)
            address = _offender(data[_EXTENDED_ERROR.size :])
            if answer is None or address is None:
                return None
            return IcmpError(address, answer, _timestamp_ns(ancillary))
    return None


def _answer(origin: int, icmp_type: int, code: int) -> Answer | None:
    """RFC 792 and RFC 4443 in the words of a trace."""
    if (origin, icmp_type) in _EXPIRED_TYPES:
        return Answer.EXPIRED if code == _EXPIRED_IN_TRANSIT else None
    if (origin, icmp_type) not in _UNREACHABLE_TYPES or (origin, code) == _FRAGMENTATION_NEEDED:
        return None
    return Answer.ARRIVED if code == _PORT_UNREACHABLE[origin] else Answer.BLOCKED


def _offender(sockaddr: bytes) -> str | None:
    """The address in a sockaddr_in or sockaddr_in6."""
    if len(sockaddr) < _FAMILY.size:
        return None
    (family,) = _FAMILY.unpack_from(sockaddr)
    if family == socket.AF_INET and len(sockaddr) >= 8:
        return str(ipaddress.IPv4Address(sockaddr[4:8]))
    if family == socket.AF_INET6 and len(sockaddr) >= 24:
        return str(ipaddress.IPv6Address(sockaddr[8:24]))
    return None


def _timestamp_ns(ancillary: Ancillary) -> int | None:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS) and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return None


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
