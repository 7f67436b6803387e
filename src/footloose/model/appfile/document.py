"""YAML as plain data that knows where in the file each value stands.

Scalars follow the YAML 1.2 core schema, as Compose does: ``yes`` and ``on`` are text, ``010`` is ten.
Depth, number of values and expansion of aliases are bounded, so a small file cannot become a large one.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import yaml

from footloose.core.limits import APP_FILE_BYTES, APP_FILE_DEPTH, APP_FILE_NODES
from footloose.core.printable import printable
from footloose.model.appfile.problems import AppFileError, Problem, Spot

Path: TypeAlias = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
_SCALARS: Mapping[str, tuple[re.Pattern[str], str, Callable[[str], object]]] = {
    _TAG + "null": (re.compile(r"(?:~|null|Null|NULL|)\Z"), "~nN\0", lambda _: None),
    _TAG + "bool": (re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), "tTfF", lambda text: text.lower() == "true"),
    # Numbers too long to be meant as numbers stay text: no infinities, no giant integers.
    _TAG + "int": (re.compile(r"[-+]?[0-9]{1,18}\Z"), "-+0123456789", int),
    _TAG + "float": (
        re.compile(r"[-+]?(?:\.[0-9]{1,18}|[0-9]{1,18}(?:\.[0-9]{0,18})?)(?:[eE][-+]?[0-9]{1,2})?\Z"),
        "-+.0123456789",
        float,
    ),
}
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class Document:
    """The data of a file, where its keys and values stand, and the problems met on the way.

    ``data`` holds only dicts with text keys, lists, text, numbers, booleans and None. The contents of ``x-`` keys
    other than ``x-footloose`` are not looked at; Compose leaves them to others too.
    """

    def __init__(self) -> None:
        self.data: Any = None
        self.problems: list[Problem] = []
        self._spots: dict[Path, tuple[Spot, Spot]] = {}
        self._written: dict[Path, str] = {}
        self._unsound: set[Path] = set()

    def key_spot(self, path: Path) -> Spot:
        """Where the key at ``path`` stands (of a list's item: the item)."""
        return self._spots.get(path, (Spot(), Spot()))[0]

    def value_spot(self, path: Path) -> Spot:
        """Where the value at ``path`` begins."""
        return self._spots.get(path, (Spot(), Spot()))[1]

    def written(self, path: Path) -> str:
        """The scalar at ``path`` just as the file has it: ``1.10``, not 1.1."""
        return self._written[path].replace("$$", "$")

    def complain(self, path: Path, what: str, fix: str, *, at: Spot | None = None) -> None:
        """Note that something is wrong at ``path`` (at its value unless ``at`` says otherwise)."""
        self.problems.append(Problem(at or self.value_spot(path), dotted(path), what, fix))
        self._unsound.add(path)

    def is_sound(self, path: Path) -> bool:
        """Whether nothing was found wrong at ``path`` or below."""
        return not any(place[: len(path)] == path for place in self._unsound)

    def place(self, path: Path, key: Spot, value: Spot) -> None:
        """Note where the key and the value at ``path`` stand."""
        self._spots[path] = (key, value)

    def write(self, path: Path, text: str) -> None:
        """Note how the scalar at ``path`` is written."""
        self._written[path] = text


def dotted(path: Path) -> str:
    """A path as people write it: ``services.web.environment[0]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{shown(step)}"
    return text.removeprefix(".")


def shown(text: str) -> str:
    """``text`` from a file, short and safe to print in a message."""
    return printable(text, 60)


def read_document(
    content: bytes, file: str, *, kind: str = "an app file", start: str = "start with `name:` and `services:`"
) -> Document:
    """The one YAML document in ``content``. Raises :class:`AppFileError` if it is none, or too large.

    ``kind`` of file it should be, and how such a file starts, are for messages.
    What is wrong inside a well-formed document (a key given twice, a foreign tag) is noted in its ``problems``.
    """
    if len(content) > APP_FILE_BYTES:
        fix = f"keep it under {APP_FILE_BYTES // 1024} KiB"
        raise AppFileError(file, [Problem(Spot(), "", f"{len(content)} bytes is too large for {kind}", fix)])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        spot = _spot_of_offset(content[: error.start].decode("utf-8", "replace"))
        raise AppFileError(file, [Problem(spot, "", "not UTF-8 text", "save the file as UTF-8")]) from error
    root = _compose(text, file)
    if root is None:
        raise AppFileError(file, [Problem(Spot(), "", "the file is empty", start)])
    reader = _Reader()
    try:
        reader.document.data = reader.value(root, ())
    except _TooMuch as stop:
        raise AppFileError(file, [stop.problem]) from stop
    return reader.document


class _TooMuch(Exception):
    """A bound on the document was passed."""

    def __init__(self, node: yaml.Node, what: str, fix: str) -> None:
        self.problem = Problem(_spot(node), "", what, fix)
        super().__init__(what)


class _Composer(yaml.SafeLoader):
    """PyYAML's composer, bounded in depth, with scalars of the YAML 1.2 core schema."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML keeps its table here, per class)
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > APP_FILE_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "nested too deep", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _tag, (_pattern, _first, _) in _SCALARS.items():
    _Composer.add_implicit_resolver(_tag, _pattern, [letter if letter != "\0" else "" for letter in _first])
_Composer.add_implicit_resolver(_MERGE, re.compile(r"<<\Z"), ["<"])


def _compose(text: str, file: str) -> yaml.Node | None:
    try:
        loader = _Composer(text)
    except yaml.reader.ReaderError as error:
        spot = _spot_of_offset(text[: error.position])
        problem = Problem(spot, "", "a character YAML does not allow", "remove it, or write it as an escape in quotes")
        raise AppFileError(file, [problem]) from error
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        spot = Spot(mark.line + 1, mark.column + 1) if mark is not None else Spot()
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise AppFileError(
            file, [Problem(spot, "", printable(f"not valid YAML: {what}", 200), "mend it there")]
        ) from error
    except (ValueError, OverflowError) as error:  # PyYAML turns "\UFFFFFFFF" and %YAML versions into numbers unchecked
        raise AppFileError(file, [Problem(Spot(), "", "not valid YAML: a number out of range", "mend it")]) from error
    finally:
        loader.dispose()


def _spot_of_offset(before: str) -> Spot:
    lines = before.split("\n")
    return Spot(len(lines), len(lines[-1]) + 1)


def _spot(node: yaml.Node) -> Spot:
    return Spot(node.start_mark.line + 1, node.start_mark.column + 1)


class _Reader:
    """Turns composed nodes into plain data, expanding aliases and ``<<`` within bounds."""

    def __init__(self) -> None:
        self.document = Document()
        self._count = 0

    def value(self, node: yaml.Node, path: Path, key: Spot | None = None) -> Any:
        """The data of ``node``, which stands at ``path``."""
        self._bound(node, len(path))
        self.document.place(path, key or _spot(node), _spot(node))
        if isinstance(node, yaml.MappingNode):
            self._check_tag(node, "map", path)
            entries = self._entries(node, path, len(path))
            return {key: self._entry(*pair, (*path, key)) for key, pair in entries.items()}
        if isinstance(node, yaml.SequenceNode):
            self._check_tag(node, "seq", path)
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _bound(self, node: yaml.Node, depth: int) -> None:
        self._count += 1
        if depth > APP_FILE_DEPTH:
            raise _TooMuch(node, f"nested more than {APP_FILE_DEPTH} deep", "an alias may not lead back into itself")
        if self._count > APP_FILE_NODES:
            raise _TooMuch(node, f"more than {APP_FILE_NODES} values", "use fewer aliases")

    def _entry(self, key_node: yaml.Node, value_node: yaml.Node, path: Path) -> Any:
        if _is_foreign(path):
            self.document.place(path, _spot(key_node), _spot(value_node))
            return None
        return self.value(value_node, path, _spot(key_node))

    def _entries(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Keys and values of a mapping with what ``<<`` brings; its own keys win (https://yaml.org/type/merge.html)."""
        entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        brought: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                brought += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            elif not isinstance(key_node, yaml.ScalarNode):
                self.document.complain(path, "a key that is not text", "write a word", at=_spot(key_node))
            elif key_node.value in entries:
                what = f"given twice; first on line {_spot(entries[key_node.value][0]).line}"
                self.document.complain((*path, key_node.value), what, "keep one of them", at=_spot(key_node))
            else:
                entries[key_node.value] = (key_node, value_node)
        for source in brought:
            self._bound(source, depth + 1)
            if isinstance(source, yaml.MappingNode):
                for key, pair in self._entries(source, path, depth + 1).items():
                    entries.setdefault(key, pair)
            else:
                what = "`<<` takes a mapping or a list of mappings"
                self.document.complain(path, what, "give it an alias of a mapping", at=_spot(source))
        return entries

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        text: str = node.value
        self.document.write(path, text)
        if "$" in text.replace("$$", ""):
            self.document.complain(
                path, "variables are not filled in", "write the value itself, or `$$` for a dollar sign"
            )
        if unprintable := _UNPRINTABLE.search(text):
            what = f"the character U+{ord(unprintable[0]):04X} cannot be passed on"
            self.document.complain(path, what, "remove it")
        if node.tag in _SCALARS:
            pattern, _, convert = _SCALARS[node.tag]
            if pattern.match(text):
                return convert(text)
            self.document.complain(path, f"{shown(text)!r} does not fit its tag", "remove the tag")
        else:
            self._check_tag(node, "str", path)
        return text.replace("$$", "$")

    def _check_tag(self, node: yaml.Node, kind: str, path: Path) -> None:
        if node.tag != _TAG + kind:
            self.document.complain(path, f"the tag {shown(node.tag)} is not understood", "remove the tag")


def _is_foreign(path: Path) -> bool:
    """Whether the key at ``path`` is an ``x-`` extension that is not ours, where Compose allows one."""
    *holder, key = path
    allowed = len(holder) in (0, 2) or holder[2:3] == ["deploy"]
    return allowed and isinstance(key, str) and key.startswith("x-") and key != "x-footloose"
