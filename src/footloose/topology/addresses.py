"""Which addresses may be probed."""

import ipaddress

from footloose.core.errors import LocalError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_FIX = "probe the address of one host"
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")


def unicast(address: str) -> IpAddress:
    """``address`` in its plain form (an IPv4-mapped IPv6 address becomes IPv4).

    Raises :class:`LocalError` saying why if no single host can be reached there. An address that one of this
    site's own networks uses for broadcast looks like any other; the kernel refuses it when it is sent to.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError as error:
        raise LocalError(f"{address[:60]!r} is not an IP address", fix=_FIX) from error
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    reason = _unusable(parsed)
    if reason is not None:
        raise LocalError(f"{parsed} is {reason}, so there is no one host to probe", fix=_FIX)
    return parsed


def _unusable(address: IpAddress) -> str | None:
    if address.is_unspecified:
        return "the unspecified address"
    if address.is_multicast:
        return "a multicast address"
    if address.is_link_local:
        return "a link-local address"
    if isinstance(address, ipaddress.IPv4Address):
        if address == ipaddress.IPv4Address("255.255.255.255"):
            return "the broadcast address"
        if address in _THIS_NETWORK:
            return "an address of 'this network' (RFC 1122)"
        if address.is_reserved:
            return "a reserved address (RFC 1112)"
    return None
