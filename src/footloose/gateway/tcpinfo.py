"""The kernel's own idea of the round trip to a user (``struct tcp_info`` of <linux/tcp.h>, Linux 4.9 and later).

``tcpi_min_rtt``, the least seen within the kernel's window (five minutes), is taken where it is there: it is the
path's delay, while the smoothed ``tcpi_rtt`` also holds delayed acknowledgements and full queues.
"""

import socket
import struct
from typing import Protocol

_RTT_AT = 68
_MIN_RTT_AT = 148
_INFO_BYTES = 152
_NO_SAMPLE = 0xFFFFFFFF
_U32 = struct.Struct("=I")


class TcpSocket(Protocol):
    """The part of a socket this module reads."""

    def getsockopt(self, level: int, option: int, buflen: int, /) -> bytes:
        """As :meth:`socket.socket.getsockopt`."""
        ...


def rtt_ms(sock: TcpSocket) -> float | None:
    """The round trip to the other end in milliseconds; None if the kernel has not measured it or it is no TCP."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return None
    for at in (_MIN_RTT_AT, _RTT_AT):
        if len(info) >= at + _U32.size:
            (microseconds,) = _U32.unpack_from(info, at)
            if microseconds not in (0, _NO_SAMPLE):
                return float(microseconds) / 1000.0
    return None
