"""Topology files: YAML, with errors that name the line. The format is in ``docs/reference/topology-files.md``."""

import re
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import yaml

from footloose.testbed.topology import Host, Link, Role, Router, Topology, TopologyError

FILE_BYTES = 4 * 1024 * 1024
KEYS = 200_000
"""Keys and items together, counted after aliases are followed."""
_KEY_IN_MESSAGE = re.compile(r"(.*) - at `(?:key in )?\$(.*)`\Z", re.DOTALL)


class _RouterEntry(msgspec.Struct, forbid_unknown_fields=True):
    silent: bool = False
    icmp_per_s: float | None = None
    icmp_burst: int = 6
    dns: str = ""
    domain: str = ""


class _HostEntry(msgspec.Struct, forbid_unknown_fields=True):
    role: Role = Role.HOST
    region: str = ""
    domain: str = ""


class _LinkEntry(msgspec.Struct, forbid_unknown_fields=True):
    between: tuple[str, str]
    delay_ms: float
    jitter_ms: float = 0.0
    loss: float = 0.0
    rate_mbit: float | None = None
    queue_ms: float = 100.0


class _File(msgspec.Struct, forbid_unknown_fields=True):
    routers: dict[str, _RouterEntry | None]
    hosts: dict[str, _HostEntry | None]
    links: list[_LinkEntry]
    name: str = ""
    seed: int = 1


def load(path: Path) -> Topology:
    """The topology in a file. Raises :class:`TopologyError` with file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TopologyError(f"cannot be read: {error}", where=str(path)) from error
    return parse(text, where=str(path), name=path.stem)


def parse(text: str, *, where: str = "topology", name: str = "topology") -> Topology:
    """The topology in a text. ``where`` stands for the file in messages, ``name`` is used if the text gives none."""
    if len(text) > FILE_BYTES:
        raise TopologyError(f"longer than {FILE_BYTES} characters", where=where)
    lines: dict[str, int] = {}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = _plain(node, "", lines) if node is not None else None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise TopologyError(f"not YAML: {error.problem}", where=where + line) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise TopologyError(f"not YAML: {error}", where=where) from error
    if not isinstance(value, dict):
        raise TopologyError("has no routers, hosts and links", where=where, fix="see docs/reference/topology-files.md")
    with _located(where, lines):
        return _build(_converted(value), name)


def _build(file: _File, name: str) -> Topology:
    routers = tuple(
        Router(key, entry.silent, entry.icmp_per_s, entry.icmp_burst, entry.dns, entry.domain)
        for key, entry in ((key, entry or _RouterEntry()) for key, entry in file.routers.items())
    )
    hosts = tuple(
        Host(key, entry.role, entry.region, entry.domain)
        for key, entry in ((key, entry or _HostEntry()) for key, entry in file.hosts.items())
    )
    links = tuple(_link(index, entry) for index, entry in enumerate(file.links))
    return Topology(file.name or name, routers, hosts, links, file.seed)


def _link(index: int, entry: _LinkEntry) -> Link:
    try:
        return Link(*entry.between, entry.delay_ms, entry.jitter_ms, entry.loss, entry.rate_mbit, entry.queue_ms)
    except TopologyError as error:
        raise TopologyError(error.what, where=f"links[{index}]", fix=error.fix) from error


def _converted(value: dict[str, Any]) -> _File:
    try:
        return msgspec.convert(value, _File)
    except msgspec.ValidationError as error:
        match = _KEY_IN_MESSAGE.match(str(error))
        what, key = match.groups() if match else (str(error), "")
        raise TopologyError(what, where=key.lstrip("."), fix=_fix(what, key)) from error


def _fix(what: str, key: str) -> str | None:
    """What to write instead, where a key is unknown or lacking."""
    if "unknown field" not in what and "missing required field" not in what:
        return None
    kinds: tuple[tuple[str, type[msgspec.Struct]], ...] = (
        (".links", _LinkEntry),
        (".routers", _RouterEntry),
        (".hosts", _HostEntry),
    )
    kind = next((kind for start, kind in kinds if key.startswith(start)), _File)
    return "keys here are " + ", ".join(kind.__struct_fields__)


@contextmanager
def _located(file: str, lines: dict[str, int]) -> Iterator[None]:
    """Turn the key an error names into file, line and key."""
    try:
        yield
    except TopologyError as error:
        key = error.where or ""
        line = _line_of(key, lines)
        raise TopologyError(error.what, where=f"{file}:{line}: {key}".rstrip(": "), fix=error.fix) from error


def _line_of(key: str, lines: dict[str, int]) -> int:
    while key and key not in lines:
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return lines.get(key, 1)


def _plain(node: yaml.Node, key: str, lines: dict[str, int]) -> Any:
    """``node`` as plain values; ``lines`` gets the line of every key."""
    lines.setdefault(key, node.start_mark.line + 1)
    if len(lines) > KEYS:
        raise yaml.MarkedYAMLError(problem=f"more than {KEYS} keys and items", problem_mark=node.start_mark)
    if isinstance(node, yaml.MappingNode):
        return _plain_mapping(node, key, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(each, f"{key}[{index}]", lines) for index, each in enumerate(node.value)]
    return _scalar(node)


def _plain_mapping(node: yaml.MappingNode, key: str, lines: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name_node, value_node in node.value:
        name = str(_scalar(name_node)) if isinstance(name_node, yaml.ScalarNode) else ""
        if not name or name in found:
            problem = f"the key {name!r} stands here twice" if name else "a key must be a name"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=name_node.start_mark)
        path = f"{key}.{name}".lstrip(".")
        lines[path] = name_node.start_mark.line + 1
        found[name] = _plain(value_node, path, lines)
    return found


def _scalar(node: yaml.Node) -> Hashable:
    loader = yaml.SafeLoader("")
    try:
        value: Hashable = loader.construct_object(node)
    finally:
        loader.dispose()
    return value
