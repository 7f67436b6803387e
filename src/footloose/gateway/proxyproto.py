"""The PROXY protocol, versions 1 and 2, without input or output: who is behind a proxy in front of this gateway.

Source: *The PROXY protocol, versions 1 & 2* (HAProxy, 2020). Its header comes before anything else on a connection.
It is required where it is allowed and never guessed at (§2).
"""

import ipaddress
import struct

import msgspec

from footloose.core.limits import PROXY_HEADER_BYTES

_V1 = b"PROXY "
_V1_MOST = 107  # with its CRLF (§2.1)
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED = struct.Struct("!12sBBH")
_LOCAL, _PROXIED = 0, 1
_STREAMS = {0x11: (4, 12), 0x21: (16, 36)}  # TCP over IPv4 and IPv6: bytes of an address, and of the whole block


class Garbage(Exception):
    """What came is no header of the PROXY protocol; the connection is of no use."""


class Behind(msgspec.Struct, frozen=True):
    """The two ends of the connection that the proxy took: the user's address, and what it connected to there."""

    address: str
    here: str
    port: int


class ProxyHeader:
    """One header, taken as it comes. Once it is ``done``, ``behind`` is None if the proxy speaks for itself."""

    def __init__(self) -> None:
        self.done = False
        self.behind: Behind | None = None
        self._taken = b""

    def feed(self, seen: bytes) -> int:
        """How many of the bytes ``seen`` belong to the header: they are taken, the rest is not.

        Raises :class:`Garbage`.
        """
        if self.done or not seen:
            return 0
        data = self._taken + seen
        end = _end(data)
        taken = data if end is None else data[:end]
        used = len(taken) - len(self._taken)
        self._taken = taken
        if end is not None:
            self.behind = _version_1(taken) if taken.startswith(_V1) else _version_2(taken)
            self.done = True
        return used


def _end(data: bytes) -> int | None:
    """Where the header at the start of ``data`` ends; None if that has not come yet."""
    if data.startswith(_V1[: len(data)]):
        end = data.find(b"\r\n", 0, _V1_MOST)
        if end >= 0:
            return end + 2
        if len(data) >= _V1_MOST:
            raise Garbage("a line without an end")
        return None
    if not data.startswith(_V2[: len(data)]):
        raise Garbage("neither version 1 nor 2")
    if len(data) < _V2_FIXED.size:
        return None
    *_, length = _V2_FIXED.unpack_from(data)
    if length > PROXY_HEADER_BYTES:
        raise Garbage(f"{length} bytes of addresses and options")
    end = _V2_FIXED.size + length
    return end if len(data) >= end else None


def _version_1(line: bytes) -> Behind | None:
    try:
        words = line[:-2].decode("ascii").split(" ")
    except UnicodeDecodeError as error:
        raise Garbage("not ASCII") from error
    if words[1] == "UNKNOWN":
        return None
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise Garbage("not a line of version 1")
    kind = ipaddress.IPv4Address if words[1] == "TCP4" else ipaddress.IPv6Address
    try:
        source, target = kind(words[2]), kind(words[3])
    except ValueError as error:
        raise Garbage("not an address of its family") from error
    ports = [_port(word) for word in words[4:]]
    return Behind(_plain(source), _plain(target), ports[1])


def _port(word: str) -> int:
    if not (word.isdecimal() and len(word) <= 5 and (word == "0" or word[0] != "0") and int(word) < 65536):
        raise Garbage("not a port")
    return int(word)


def _version_2(header: bytes) -> Behind | None:
    _, version_command, family, length = _V2_FIXED.unpack_from(header)
    if version_command >> 4 != 2 or version_command & 15 not in (_LOCAL, _PROXIED):
        raise Garbage("not a version and command that are known")
    if version_command & 15 == _LOCAL or family not in _STREAMS:
        return None  # a health check, or an end that is no TCP: what it says of addresses is to be ignored (§2.2)
    size, block = _STREAMS[family]
    if length < block:
        raise Garbage("too short for its addresses")
    at = _V2_FIXED.size
    source = ipaddress.ip_address(header[at : at + size])
    target = ipaddress.ip_address(header[at + size : at + 2 * size])
    (port,) = struct.unpack_from("!H", header, at + 2 * size + 2)
    return Behind(_plain(source), _plain(target), port)


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped if mapped is not None else address)
