"""Topology files: YAML, with errors that name the line. The format is in ``docs/reference/topology-files.md``."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from footloose.testbed.topology import Host, Link, Role, Router, Topology, TopologyError

FILE_BYTES = 4 * 1024 * 1024
KEYS = 100_000
"""Keys and items together, counted after aliases are followed."""
_KEY_IN_MESSAGE = re.compile(r"(.*) - at `(?:key in )?\$(.*)`\Z", re.DOTALL)


EntryT = TypeVar("EntryT", bound=msgspec.Struct)


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
    routers: dict[str, Any]
    hosts: dict[str, Any]
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
    reader = _Reader()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = reader.read(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise TopologyError(f"not YAML: {error.problem}", where=where + line) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise TopologyError(f"not YAML: {error}", where=where) from error
    if not isinstance(value, dict):
        raise TopologyError("has no routers, hosts and links", where=where, fix="see docs/reference/topology-files.md")
    with _located(where, reader.lines):
        return _build(_converted(value, _File, ""), name)


def _build(file: _File, name: str) -> Topology:
    routers = tuple(_router(key, value) for key, value in file.routers.items())
    hosts = tuple(_host(key, value) for key, value in file.hosts.items())
    links = tuple(_link(index, entry) for index, entry in enumerate(file.links))
    return Topology(file.name or name, routers, hosts, links, file.seed)


def _router(name: str, value: Any) -> Router:
    entry = _converted(value or {}, _RouterEntry, f"routers.{name}")
    return Router(name, entry.silent, entry.icmp_per_s, entry.icmp_burst, entry.dns, entry.domain)


def _host(name: str, value: Any) -> Host:
    entry = _converted(value or {}, _HostEntry, f"hosts.{name}")
    return Host(name, entry.role, entry.region, entry.domain)


def _link(index: int, entry: _LinkEntry) -> Link:
    try:
        return Link(*entry.between, entry.delay_ms, entry.jitter_ms, entry.loss, entry.rate_mbit, entry.queue_ms)
    except TopologyError as error:
        raise TopologyError(error.what, where=f"links[{index}]", fix=error.fix) from error


def _converted(value: Any, kind: type[EntryT], key: str) -> EntryT:
    """``value``, which stands at ``key``, as a ``kind``."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        match = _KEY_IN_MESSAGE.match(str(error))
        what, below = match.groups() if match else (str(error), "")
        raise TopologyError(what, where=f"{key}{below}".lstrip("."), fix=_fix(what, key + below)) from error


def _fix(what: str, key: str) -> str | None:
    """What to write instead, where a key is unknown or lacking."""
    if "unknown field" not in what and "missing required field" not in what:
        return None
    kinds: tuple[tuple[str, type[msgspec.Struct]], ...] = (
        (".links", _LinkEntry),
        ("routers.", _RouterEntry),
        ("hosts.", _HostEntry),
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


class _Reader:
    """Turns YAML nodes into plain values and notes the line of every key."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self._loader = yaml.SafeLoader("")

    def read(self, node: yaml.Node, key: str = "") -> Any:
        """``node``, which stands at ``key``, as a plain value. Raises :class:`yaml.MarkedYAMLError`."""
        self.lines.setdefault(key, node.start_mark.line + 1)
        if len(self.lines) > KEYS:
            raise yaml.MarkedYAMLError(problem=f"more than {KEYS} keys and items", problem_mark=node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(each, f"{key}[{index}]") for index, each in enumerate(node.value)]
        return self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, key: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = str(self.read(name_node, key)) if isinstance(name_node, yaml.ScalarNode) else ""
            if not name or name in found:
                problem = f"the key {name!r} stands here twice" if name else "a key must be a name"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=name_node.start_mark)
            path = f"{key}.{name}".lstrip(".")
            self.lines[path] = name_node.start_mark.line + 1
            found[name] = self.read(value_node, path)
        return found
