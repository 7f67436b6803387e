"""IPv4 and ICMP as bytes: checksums, the TTL, errors and echo replies (RFC 791, 792, 1071, 1624, 1812 §4.3)."""

import struct
from typing import Final

Wire = bytes | bytearray
"""A packet as it goes over the wire."""

HEADER_BYTES: Final = 20
ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17

ECHO_REPLY: Final = 0
UNREACHABLE: Final = 3
ECHO_REQUEST: Final = 8
TIME_EXCEEDED: Final = 11

NET_UNREACHABLE: Final = 0
HOST_UNREACHABLE: Final = 1
PROTOCOL_UNREACHABLE: Final = 2
PORT_UNREACHABLE: Final = 3

ROUTER_TTL: Final = 255
_ERROR_BYTES: Final = 576
"""Largest ICMP error (RFC 1812 §4.3.2.3)."""
_ICMP_ERRORS: Final = frozenset((3, 4, 5, 11, 12))


def checksum(data: Wire) -> int:
    """The Internet checksum of ``data`` (RFC 1071)."""
    if len(data) % 2:
        data = bytes(data) + b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def whole(packet: Wire) -> bool:
    """Whether ``packet`` is an IPv4 packet as long as it says."""
    if len(packet) < HEADER_BYTES or packet[0] >> 4 != 4:
        return False
    header = (packet[0] & 15) * 4
    return HEADER_BYTES <= header <= int.from_bytes(packet[2:4], "big") == len(packet)


def aged(packet: Wire, hops: int) -> bytearray:
    """``packet`` with its TTL less by ``hops``, the header checksum brought up to date (RFC 1624)."""
    copy = bytearray(packet)
    copy[8] -= hops
    total = (copy[10] << 8) + copy[11] + (hops << 8)
    total = (total & 0xFFFF) + (total >> 16)
    if total == 0xFFFF:
        total = 0
    copy[10], copy[11] = total >> 8, total & 0xFF
    return copy


def icmp_error(kind: int, code: int, about: Wire, source: Wire) -> bytes:
    """The ICMP error a router at ``source`` sends to the sender of ``about``."""
    quoted = about[: _ERROR_BYTES - HEADER_BYTES - 8]
    return _packet(source, about[12:16], _icmp(kind, code, b"\0\0\0\0", quoted))


def echo_reply(request: Wire) -> bytes:
    """The answer to an echo request that was sent to a router's own address."""
    body = request[(request[0] & 15) * 4 :]
    return _packet(request[16:20], request[12:16], _icmp(ECHO_REPLY, 0, body[4:8], body[8:]))


def is_echo_request(packet: Wire) -> bool:
    """Whether ``packet`` is a ping."""
    start = (packet[0] & 15) * 4
    return packet[9] == ICMP and len(packet) >= start + 8 and packet[start] == ECHO_REQUEST


def may_cause_error(packet: Wire) -> bool:
    """Whether an ICMP error may be sent about it: not about errors, later fragments and groups (RFC 1812 §4.3.2.7)."""
    if (packet[6] & 0x1F) or packet[7] or packet[16] >= 224:
        return False
    start = (packet[0] & 15) * 4
    return not (packet[9] == ICMP and len(packet) > start and packet[start] in _ICMP_ERRORS)


def _icmp(kind: int, code: int, rest: Wire, body: Wire) -> bytes:
    message = struct.pack("!BBH", kind, code, 0) + rest + body
    return message[:2] + checksum(message).to_bytes(2, "big") + message[4:]


def _packet(source: Wire, destination: Wire, payload: bytes) -> bytes:
    length = HEADER_BYTES + len(payload)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0xC0, length, 0, 0, ROUTER_TTL, ICMP, 0, source, destination)
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload
