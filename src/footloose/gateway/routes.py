"""Which service a request is for: by service id in the path, else by host and longest path prefix.

Paths are compared as they were sent, not decoded: what a guest sees in ``PATH_INFO`` is decoded later, once.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Generic, TypeVar

import msgspec

from footloose.model.app import HttpRoute, ServiceId

T = TypeVar("T")
ANY_HOST = "*"
_AUTHORITY_CHARS = 300  # a DNS name has at most 253


class Routes(Generic[T]):
    """An immutable table of what is served where; ``T`` is whatever stands for a service."""

    def __init__(self, entries: Iterable[tuple[ServiceId, HttpRoute | None, T]] = ()) -> None:
        self._by_id: dict[str, T] = {}
        self._by_host: dict[str, list[tuple[str, T]]] = {}
        for service, route, target in entries:
            self._by_id[service] = target
            if route is not None:
                self._by_host.setdefault(route.host.lower(), []).append((route.path.rstrip("/"), target))
        for prefixes in self._by_host.values():
            prefixes.sort(key=lambda entry: len(entry[0]), reverse=True)

    def find(self, host: str, path: str) -> tuple[T, int] | None:
        """The service for ``path`` at ``host`` (a Host header), and how much of the path is its SCRIPT_NAME."""
        app_end = path.find("/", 1)
        if app_end > 0:
            end = path.find("/", app_end + 1)
            if end < 0:
                end = len(path)
            target = self._by_id.get(path[1:end])
            if target is not None:
                return target, end
        return self._find_by_host(host, path) if self._by_host else None

    def _find_by_host(self, host: str, path: str) -> tuple[T, int] | None:
        for name in (host_name(host), ANY_HOST):
            for prefix, target in self._by_host.get(name, ()):
                end = len(prefix)
                if path.startswith(prefix) and (len(path) == end or path[end] == "/"):
                    return target, end
        return None


class Authority(msgspec.Struct, frozen=True):
    """Host and port as a Host header or URL names them."""

    name: str
    port: int | None = None


def parse_authority(text: str) -> Authority | None:
    """``text`` (``host``, ``host:port``, ``[v6]:port``) taken apart, lower-case; None if it is none of these."""
    return _parse_authority(text) if len(text) <= _AUTHORITY_CHARS else None


@lru_cache(maxsize=1024)
def _parse_authority(text: str) -> Authority | None:
    name, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = text, ""
    if name.startswith("["):
        if not name.endswith("]"):
            return None
        name = name[1:-1]
    elif ":" in name:
        return None
    if any(char in name for char in ' /\\@?#"<>[]') or not name.isascii() or not name.isprintable():
        return None
    if port and not (port.isascii() and port.isdigit() and int(port) < 65536):
        return None
    return Authority(name.lower(), int(port) if port else None)


def host_name(host: str) -> str:
    """The name in a Host header, lower-case, without the port; empty if it is malformed."""
    authority = parse_authority(host)
    return authority.name if authority is not None else ""
