"""How the router process exchanges IP packets with a host's namespace: a TUN device, or a veth pair.

TUN is the quicker and needs ``/dev/net/tun`` to open. The veth pair needs no device node: its outer end is read and
written through AF_PACKET in the router process's own namespace, whose kernel takes no part since no packet there is
addressed to it.
"""

import ctypes
import fcntl
import os
import socket
import struct
from contextlib import suppress
from typing import Final, Protocol

from footloose.testbed.netlink import Netlink
from footloose.testbed.packets import Wire

TUN_DEVICE: Final = "/dev/net/tun"
HOST_LINK: Final = "eth0"
"""What the link is called inside a host."""
MTU: Final = 1500
QUEUE_PACKETS: Final = 4_000

_TUNSETIFF: Final = 0x400454CA
_TUNSETPERSIST: Final = 0x400454CB
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000

_SIOCETHTOOL: Final = 0x8946
_SIOCGIFHWADDR: Final = 0x8927
_ETHTOOL_STXCSUM: Final = 0x17
_ETHTOOL_SGSO: Final = 0x24
_ETH_P_IP: Final = 0x0800
_SO_RCVBUFFORCE: Final = 33
_BUFFER_BYTES: Final = 8 * 1024 * 1024


class Port(Protocol):
    """The router's end of a host's link."""

    def fileno(self) -> int:
        """The descriptor that becomes readable when the host has sent something."""
        ...

    def read(self) -> bytes:
        """The next packet the host sent. Raises :class:`BlockingIOError` if there is none."""
        ...

    def write(self, packet: Wire) -> None:
        """Give the host a packet. Raises :class:`OSError` if it cannot take it."""
        ...

    def close(self) -> None:
        """Give the descriptor back."""
        ...


class TunPort:
    """A TUN device, made in the namespace the thread is in."""

    def __init__(self) -> None:
        self._descriptor = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        request = struct.pack("=16sH22x", HOST_LINK.encode(), _IFF_TUN | _IFF_NO_PI)
        fcntl.ioctl(self._descriptor, _TUNSETIFF, request)
        # A persistent device costs nothing to close (30 ms otherwise); it goes with its namespace, which has no name.
        fcntl.ioctl(self._descriptor, _TUNSETPERSIST, 1)
        with Netlink() as netlink:
            netlink.bring_up(HOST_LINK, mtu=MTU, queue=QUEUE_PACKETS)

    def fileno(self) -> int:
        return self._descriptor

    def read(self) -> bytes:
        return os.read(self._descriptor, MTU + 100)

    def write(self, packet: Wire) -> None:
        os.write(self._descriptor, packet)

    def close(self) -> None:
        os.close(self._descriptor)


class VethPort:
    """The outer end of a veth pair. :meth:`make_link` is called in the host's namespace, then :meth:`open` in ours."""

    def __init__(self, outer: str, hardware_address: bytes) -> None:
        with Netlink() as netlink:
            netlink.bring_up(outer, mtu=MTU, queue=QUEUE_PACKETS)
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_PACKET, kind, 0)
        _widen(self._socket)
        self._socket.bind((outer, _ETH_P_IP))
        self._to = (outer, _ETH_P_IP, 0, 0, hardware_address)

    @staticmethod
    def make_link(outer: str, outer_network: int) -> bytes:
        """Make the pair from inside the host's namespace; returns the inner end's hardware address."""
        with Netlink() as netlink:
            netlink.add_veth(HOST_LINK, outer, outer_network)
            # Without ARP the kernel addresses frames to itself, and nobody needs to be asked for an address.
            netlink.bring_up(HOST_LINK, mtu=MTU, queue=QUEUE_PACKETS, arp=False)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
            # Packets must leave whole: with their checksums made, and none longer than the MTU.
            _ethtool(control, _ETHTOOL_STXCSUM, 0)
            _ethtool(control, _ETHTOOL_SGSO, 0)
            answer = fcntl.ioctl(control, _SIOCGIFHWADDR, struct.pack("=16s24x", HOST_LINK.encode()))
        return answer[18:24]

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> bytes:
        return self._socket.recv(MTU + 100)

    def write(self, packet: Wire) -> None:
        self._socket.sendto(packet, self._to)

    def close(self) -> None:
        self._socket.close()


def _widen(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    with suppress(PermissionError):  # past the kernel's limit only as the machine's root
        end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)


def _ethtool(control: socket.socket, command: int, value: int) -> None:
    setting = ctypes.create_string_buffer(struct.pack("=II", command, value), 8)
    request = struct.pack("@16sP16x", HOST_LINK.encode(), ctypes.addressof(setting))
    fcntl.ioctl(control, _SIOCETHTOOL, request)
