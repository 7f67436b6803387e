"""Packets as hosts send them, for tests of the fabric."""

import socket
import struct

from footloose.testbed.fabric import Fabric
from footloose.testbed.packets import ECHO_REQUEST, ICMP, UDP, checksum


def ip_packet(source: str, target: str, payload: bytes, *, ttl: int = 64, protocol: int = UDP) -> bytes:
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        20 + len(payload),
        7,
        0,
        ttl,
        protocol,
        0,
        socket.inet_aton(source),
        socket.inet_aton(target),
    )
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload


def udp(source: str, target: str, *, ttl: int = 64, size: int = 32) -> bytes:
    return ip_packet(source, target, struct.pack("!HHHH", 40000, 33434, 8 + size, 0) + bytes(size), ttl=ttl)


def ping(source: str, target: str, *, ttl: int = 64, sequence: int = 1) -> bytes:
    message = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, 9, sequence) + b"payload!"
    message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
    return ip_packet(source, target, message, ttl=ttl, protocol=ICMP)


def source_of(packet: bytes) -> str:
    return socket.inet_ntoa(bytes(packet[12:16]))


def target_of(packet: bytes) -> str:
    return socket.inet_ntoa(bytes(packet[16:20]))


def arrivals(fabric: Fabric, until: float = 1e9) -> list[tuple[float, str, bytes]]:
    """All that arrives, with the exact time it was due."""
    found = []
    while (due := fabric.next_deadline()) is not None and due <= until:
        found += [(due, host, bytes(packet)) for host, packet in fabric.wake(due)]
    return found
