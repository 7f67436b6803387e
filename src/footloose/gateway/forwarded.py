"""Who the user is where trusted proxies stand in between: ``Forwarded`` (RFC 7239) and ``X-Forwarded-For``.

Read from the right, as each proxy adds what it saw at the end: the first address that is no trusted proxy's is the
user's. What stands further left may be invented. Guests see none of these headers: they are told by ``REMOTE_ADDR`` and
``HTTPS``.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from footloose.core.limits import FORWARDED_HOPS

FORWARDED, FOR, PROTO = "-FORWARDED", "-X_FORWARDED_FOR", "-X_FORWARDED_PROTO"
_PAIR = re.compile(r"\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(\"(?:[^\"\\]|\\.)*\"|[^\s\",;]*)\s*\Z")
_SPLIT = {sign: re.compile(rf'{sign}(?=(?:[^"]*"[^"]*")*[^"]*\Z)') for sign in ",;"}  # not inside quotes
_SCHEMES = ("http", "https")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Trusted:
    """The networks whose proxies are believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: Sequence[Network] = [ipaddress.ip_network(network) for network in networks]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


class Told(msgspec.Struct, frozen=True):
    """What proxies say of a user; None where they say nothing that can be believed."""

    address: str | None = None
    secure: bool | None = None


NOTHING = Told()


def told_by(fields: Mapping[str, str], trusted: Trusted) -> Told:
    """What the headers ``fields`` of a request from a trusted proxy say. ``Forwarded`` goes before the others."""
    forwarded = fields.get(FORWARDED)
    if forwarded is not None:
        hops = [_pairs(element) for element in _last(forwarded)]
        return _told([hop.get("for", "") for hop in hops], [hop.get("proto", "") for hop in hops], trusted)
    addresses = _last(fields.get(FOR, ""))
    protocols = _last(fields.get(PROTO, ""))
    if len(protocols) != len(addresses):  # most proxies replace this one rather than add to it
        protocols = protocols[-1:] * len(addresses)
    return _told(addresses, protocols, trusted)


def _told(addresses: Sequence[str], protocols: Sequence[str], trusted: Trusted) -> Told:
    address: str | None = None
    secure: bool | None = None
    for said, protocol in zip(reversed(addresses), reversed(protocols or [""] * len(addresses)), strict=True):
        node = _address(said)
        if node is None:  # hidden, unknown or garbage: nothing further left can be believed
            break
        address = node
        secure = protocol.lower() == "https" if protocol.lower() in _SCHEMES else secure
        if address not in trusted:
            break
    return Told(address, secure)


def _last(text: str) -> list[str]:
    parts = [part.strip() for part in _SPLIT[","].split(text[-FORWARDED_HOPS * 100 :])]
    return [part for part in parts if part][-FORWARDED_HOPS:]


def _pairs(element: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in _SPLIT[";"].split(element):
        match = _PAIR.match(part)
        if match is None:
            return {}
        value = match[2]
        pairs[match[1].lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
    return pairs


def _address(node: str) -> str | None:
    """The address in ``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1`` or ``[2001:db8::1]:80``, if there is one."""
    if node.startswith("["):
        node = node[1:].partition("]")[0]
    elif node.count(":") == 1:
        node = node.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(node)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped if mapped is not None else parsed).partition("%")[0]
