"""The little of rtnetlink(7) that hosts need, in process: forking ``ip`` a thousand times takes half a minute.

Every call acts on the network namespace the calling thread was in when the :class:`Netlink` was opened.
"""

import os
import socket
import struct
from types import TracebackType
from typing import Final, Self

_RTM_NEWLINK: Final = 16
_RTM_NEWADDR: Final = 20
_RTM_NEWROUTE: Final = 24
_NLM_F_REQUEST: Final = 0x1
_NLM_F_ACK: Final = 0x4
_NLM_F_EXCL: Final = 0x200
_NLM_F_CREATE: Final = 0x400
_NLMSG_ERROR: Final = 2

_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_TXQLEN: Final = 13
_IFLA_LINKINFO: Final = 18
_IFLA_NET_NS_FD: Final = 28
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_VETH_INFO_PEER: Final = 1
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_RTA_OIF: Final = 4
_RTA_PREFSRC: Final = 7

_IFF_UP: Final = 0x1
_IFF_NOARP: Final = 0x80
_RT_TABLE_MAIN: Final = 254
_RTPROT_STATIC: Final = 4
_RT_SCOPE_LINK: Final = 253
_RTN_UNICAST: Final = 1

_HEADER: Final = struct.Struct("=IHHII")
_ANSWER_BYTES: Final = 65_536


class Netlink:
    """A conversation with the kernel about one namespace's links, addresses and routes."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def bring_up(self, name: str, *, mtu: int | None = None, queue: int | None = None, arp: bool = True) -> None:
        """Set a link up. ``queue`` is the length of its transmit queue in packets."""
        flags = _IFF_UP | (0 if arp else _IFF_NOARP)
        attributes = b""
        if mtu is not None:
            attributes += _attribute(_IFLA_MTU, struct.pack("=I", mtu))
        if queue is not None:
            attributes += _attribute(_IFLA_TXQLEN, struct.pack("=I", queue))
        body = _link(socket.if_nametoindex(name), flags, _IFF_UP | _IFF_NOARP) + attributes
        self._ask(_RTM_NEWLINK, 0, body)

    def add_address(self, name: str, address: str) -> None:
        """Give a link an IPv4 address of its own (/32)."""
        packed = socket.inet_aton(address)
        body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, socket.if_nametoindex(name))
        body += _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
        self._ask(_RTM_NEWADDR, _NLM_F_CREATE | _NLM_F_EXCL, body)

    def add_default_route(self, name: str, source: str) -> None:
        """Send everything out by a link, from ``source``."""
        body = struct.pack(
            "=BBBBBBBBI", socket.AF_INET, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_LINK, _RTN_UNICAST, 0
        )
        body += _attribute(_RTA_OIF, struct.pack("=I", socket.if_nametoindex(name)))
        body += _attribute(_RTA_PREFSRC, socket.inet_aton(source))
        self._ask(_RTM_NEWROUTE, _NLM_F_CREATE | _NLM_F_EXCL, body)

    def add_veth(self, name: str, peer: str, peer_network: int) -> None:
        """Make a veth pair, its other end in the namespace behind the descriptor ``peer_network``."""
        other = _link() + _attribute(_IFLA_IFNAME, _text(peer))
        other += _attribute(_IFLA_NET_NS_FD, struct.pack("=I", peer_network))
        data = _attribute(_IFLA_INFO_DATA, _attribute(_VETH_INFO_PEER, other))
        information = _attribute(_IFLA_INFO_KIND, b"veth") + data
        body = _link() + _attribute(_IFLA_IFNAME, _text(name)) + _attribute(_IFLA_LINKINFO, information)
        self._ask(_RTM_NEWLINK, _NLM_F_CREATE | _NLM_F_EXCL, body)

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST | _NLM_F_ACK | flags, self._sequence, 0)
        self._socket.send(header + body)
        answer = self._socket.recv(_ANSWER_BYTES)
        _, kind, _, _, _ = _HEADER.unpack_from(answer)
        if kind != _NLMSG_ERROR:
            raise OSError(f"rtnetlink answered with message type {kind}")
        code = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        if code:
            raise OSError(code, f"rtnetlink: {os.strerror(code)}")


def _link(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def _text(value: str) -> bytes:
    return value.encode() + b"\0"
