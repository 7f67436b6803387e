"""Sending users on: the URL at the other copy, and when not to."""

from collections.abc import Collection
from urllib.parse import urlsplit

from footloose.core.limits import REDIRECT_LIFETIME_S
from footloose.gateway.routes import Authority

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}


def url_at(base: str, rest: str, query: str) -> str:
    """The URL, at the copy whose URL is ``base``, of what is ``rest`` (a path's undecoded rest) and ``query`` here."""
    url = base.rstrip("/") + (rest or "/")
    return f"{url}?{query}" if query else url


def websocket_url(url: str) -> str:
    """``url`` with the scheme a WebSocket is opened by."""
    scheme, colon, rest = url.partition(":")
    return _WEBSOCKET_SCHEMES.get(scheme, scheme) + colon + rest


def is_secure(url: str) -> bool:
    """Whether ``url`` is reached by TLS: who came by it is sent nowhere else, where others could listen."""
    return url.startswith(("https:", "wss:"))


def points_at(url: str, authorities: Collection[Authority]) -> bool:
    """Whether ``url`` leads to one of ``authorities``. One that cannot be read leads nowhere, so counts as such."""
    authority = authority_of(url)
    return authority is None or authority in authorities


def authority_of(url: str) -> Authority | None:
    """Where ``url`` leads: a host, and the port it names or its scheme implies. None if it cannot be read."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    return Authority(parts.hostname, port) if parts.hostname else None


def max_age_s(until: float, now: float) -> int:
    """How many whole seconds a browser may remember a redirect that holds until ``until``."""
    return max(0, int(min(REDIRECT_LIFETIME_S, until - now)))


def status_for(method: str) -> int:
    """302 for what is safe to repeat as GET, 307 for what must keep its method and body (RFC 9110 §15.4)."""
    return 302 if method in ("GET", "HEAD") else 307
