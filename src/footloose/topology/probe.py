"""The round trip to one address, measured now."""

import asyncio
import errno
import socket
import struct
import time

from footloose.core.errors import LocalError
from footloose.core.limits import PROBE_TIMEOUT_S, PROBE_TRIES
from footloose.topology.addresses import IpAddress, unicast
from footloose.topology.probe_socket import ProbeSocket
from footloose.topology.trace import FIRST_PORT, MARGIN_S, Answer

FALLBACK_AFTER_S = 0.25
"""Wait for a UDP answer where TCP can be tried next. A site farther away than this is of no use as an edge."""
PROBE_GAP_S = 0.01
"""Between two probes, so that they do not queue behind each other."""

_TCP_INFO_RTT = struct.Struct("@I")
_TCP_INFO_RTT_OFFSET = 68  # tcpi_rtt in struct tcp_info (<linux/tcp.h>), in microseconds


async def measure(address: str, *, tries: int = 3, tcp_port: int | None = None) -> float | None:
    """The least round trip of ``tries`` probes in milliseconds, None if nothing answered.

    UDP probes to closed ports come first (the host answers "port unreachable"). If they are met with silence and
    ``tcp_port`` is given, TCP connections to it are timed; a refusal is an answer too.
    Raises :class:`LocalError` if ``address`` is not one host's or this machine cannot send there.
    """
    if not 1 <= tries <= PROBE_TRIES:
        raise LocalError(f"{tries} tries", fix=f"ask for 1 to {PROBE_TRIES}")
    target = unicast(address)
    rtt_ms = await _by_udp(target, tries, PROBE_TIMEOUT_S if tcp_port is None else FALLBACK_AFTER_S)
    if rtt_ms is None and tcp_port is not None:
        rtt_ms = await _by_tcp(target, tcp_port, tries)
    return rtt_ms


async def _by_udp(target: IpAddress, tries: int, timeout_s: float) -> float | None:
    loop = asyncio.get_running_loop()
    answered: dict[int, float] = {}
    with ProbeSocket(target) as probes:
        for sent in range(1, tries + 1):
            probes.send(FIRST_PORT + sent - 1)
            pause = PROBE_GAP_S if sent < tries else timeout_s
            began = loop.time()
            while len(answered) < sent and loop.time() < began + pause:
                for reply in await probes.replies(began + pause):
                    if reply.answer is Answer.ARRIVED or reply.address == str(target):
                        answered[reply.port] = reply.rtt_ms
                if answered:
                    pause = min(pause, 2 * max(answered.values()) / 1000 + MARGIN_S)
    return min(answered.values(), default=None)


async def _by_tcp(target: IpAddress, port: int, tries: int) -> float | None:
    measured: list[float] = []
    for _ in range(tries):
        rtt_ms = await _connect(target, port)
        if rtt_ms is None:
            break
        measured.append(rtt_ms)
    return min(measured, default=None)


async def _connect(target: IpAddress, port: int) -> float | None:
    """How long one TCP handshake takes in milliseconds, None if it is not answered in time."""
    family = socket.AF_INET if target.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        began_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await asyncio.get_running_loop().sock_connect(connection, (str(target), port))
        except TimeoutError:
            return None
        except ConnectionRefusedError:
            return (time.monotonic_ns() - began_ns) / 1e6
        except OSError as error:
            if error.errno in (errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ECONNRESET):
                return None
            raise LocalError(f"cannot connect: {error.strerror}", where=f"{target} port {port}") from error
        elapsed_ms = (time.monotonic_ns() - began_ns) / 1e6
        return min(elapsed_ms, _kernel_rtt_ms(connection) or elapsed_ms)


def _kernel_rtt_ms(connection: socket.socket) -> float | None:
    """The kernel's own figure for the handshake, free of the event loop's delays."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_RTT_OFFSET + _TCP_INFO_RTT.size)
    if len(info) < _TCP_INFO_RTT_OFFSET + _TCP_INFO_RTT.size:
        return None
    (rtt_us,) = _TCP_INFO_RTT.unpack_from(info, _TCP_INFO_RTT_OFFSET)
    return float(rtt_us / 1000) or None
