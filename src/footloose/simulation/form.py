"""What may stand in a file: kinds of values, read from a document, with everything that is wrong noted in it.

A form is data: it reads (:meth:`Form.read`), and it writes its own JSON Schema (:meth:`Form.schema`).
"""

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from footloose.model.appfile.document import Document, Path, shown

BAD = object()
"""What a form reads where the document is wrong; why was noted there."""


class Form(ABC):
    """A kind of value. ``description`` completes "must be …", ``example`` is how one is written."""

    description: str
    example: str

    @abstractmethod
    def read(self, document: Document, path: Path, value: Any) -> Any:
        """What ``value``, which stands at ``path``, means, or :data:`BAD`."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Its JSON Schema (draft 2020-12)."""

    def refuse(self, document: Document, path: Path, value: Any) -> Any:
        """Note that ``value`` is of another kind."""
        fix = f"for example {self.example}"
        document.complain(path, f"must be {self.description}, not {_seen(document, path, value)}", fix)
        return BAD


class Text(Form):
    """A scalar as it is written, if all of it matches ``pattern``; ``convert`` turns it into what it means."""

    def __init__(
        self, description: str, example: str, pattern: str, convert: Callable[[str], Any] = str, longest: int = 200
    ) -> None:
        self.description = description
        self.example = f"`{example}`"
        self.pattern = pattern
        self._compiled = re.compile(pattern)
        self._convert = convert
        self._longest = longest

    def read(self, document: Document, path: Path, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = document.written(path)
        if not isinstance(value, str) or len(value) > self._longest or not self._compiled.fullmatch(value):
            return self.refuse(document, path, value)
        meaning = self._convert(value)
        return self.refuse(document, path, value) if meaning is None else meaning

    def schema(self) -> dict[str, Any]:
        return {
            "type": ["string", "number"],
            "description": self.description,
            "pattern": f"^(?:{self.pattern})$",
            "examples": [self.example.strip("`")],
        }


class Number(Form):
    """A number from ``least`` to ``most``; a whole one unless ``real``."""

    def __init__(self, least: float, most: float, *, real: bool = False, example: str = "") -> None:
        kind = "a number" if real else "a whole number"
        self.description = f"{kind} from {least:,g} to {most:,.0f}"
        self.example = f"`{example or f'{max(least, 1):g}'}`"
        self._least, self._most, self._real = least, most, real

    def read(self, document: Document, path: Path, value: Any) -> Any:
        fits = isinstance(value, int) or (self._real and isinstance(value, float))
        if isinstance(value, bool) or not fits or not self._least <= value <= self._most:
            return self.refuse(document, path, value)
        return float(value) if self._real else value

    def schema(self) -> dict[str, Any]:
        kind = "number" if self._real else "integer"
        return {"type": kind, "description": self.description, "minimum": self._least, "maximum": self._most}


class Flag(Form):
    """``true`` or ``false``."""

    description = "true or false"
    example = "`true`"

    def read(self, document: Document, path: Path, value: Any) -> Any:
        return value if isinstance(value, bool) else self.refuse(document, path, value)

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Choice(Form):
    """One of some words, each with what it means."""

    def __init__(self, choices: Mapping[str, Any], description: str = "") -> None:
        self._choices = choices
        names = list(choices)
        self.description = description or f"{', '.join(names[:-1])} or {names[-1]}"
        self.example = f"`{names[0]}`"

    def read(self, document: Document, path: Path, value: Any) -> Any:
        if not isinstance(value, str) or value not in self._choices:
            return self.refuse(document, path, value)
        return self._choices[value]

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self._choices)}


class ListOf(Form):
    """A list of ``least`` or more of one kind, as a tuple without those that are wrong."""

    def __init__(self, item: Form, *, least: int = 0, most: int = 10_000) -> None:
        self._item, self._least, self._most = item, least, most
        count = f"{least} or more, each " if least else ""
        self.description = f"a list of {count}{item.description}"
        self.example = f"[{item.example.strip('`')}]"

    def read(self, document: Document, path: Path, value: Any) -> Any:
        if not isinstance(value, list) or not self._least <= len(value) <= self._most:
            return self.refuse(document, path, value)
        items = [self._item.read(document, (*path, index), each) for index, each in enumerate(value)]
        return tuple(each for each in items if each is not BAD)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self._item.schema(), "minItems": self._least, "maxItems": self._most}


class Placed(msgspec.Struct, frozen=True):
    """Something read, and where it stands."""

    path: Path
    value: Any


class WithPlace(Form):
    """What another form reads, as :class:`Placed`."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self.description, self.example = form.description, form.example

    def read(self, document: Document, path: Path, value: Any) -> Any:
        meaning = self._form.read(document, path, value)
        return BAD if meaning is BAD else Placed(path, meaning)

    def schema(self) -> dict[str, Any]:
        return self._form.schema()


class ByType(Form):
    """One form for values of one type, another for those of another: a list, a mapping, or else a scalar."""

    def __init__(self, forms: Mapping[type, Form], default: Form) -> None:
        self._forms, self._default = forms, default
        both = [default, *forms.values()]
        self.description = " or ".join(form.description for form in both)
        self.example = default.example

    def read(self, document: Document, path: Path, value: Any) -> Any:
        form = self._forms.get(type(value))
        if form is not None:
            return form.read(document, path, value)
        if value is None or isinstance(value, list | dict):
            return self.refuse(document, path, value)
        return self._default.read(document, path, value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [form.schema() for form in (self._default, *self._forms.values())]}


class Key:
    """A key of a block. ``field`` is what its value is called in the code, if not the same."""

    def __init__(self, form: Form, field: str = "", *, required: bool = False, note: str = "") -> None:
        self.form, self.field, self.required, self.note = form, field, required, note


class Block(Form):
    """A mapping of known keys. ``make`` is given the fields found, and only if all that are required are there.

    Of the keys in ``one_of`` (if any) exactly one must be there.
    """

    def __init__(
        self,
        what: str,
        make: Callable[..., Any],
        keys: Mapping[str, Key],
        *,
        one_of: Sequence[str] = (),
    ) -> None:
        self.description = what
        self._make = make
        self._keys = keys
        self._one_of = one_of
        needed = [name for name, key in keys.items() if key.required] + list(one_of[:1])
        pairs = [f"{name}: {keys[name].form.example.strip('`')}" for name in needed or list(keys)[:1]]
        self.example = f"`{{{', '.join(pairs)}}}`"

    def read(self, document: Document, path: Path, value: Any) -> Any:
        if not isinstance(value, dict):
            return self.refuse(document, path, value)
        found, whole = self.fields(document, path, value)
        return self._make(**found) if whole else BAD

    def fields(self, document: Document, path: Path, value: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """The fields that are right, and whether all are."""
        found: dict[str, Any] = {}
        whole = True
        for name, each in value.items():
            key = self._keys.get(name)
            if key is None:
                self._stray(document, (*path, name), name)
                continue
            meaning = key.form.read(document, (*path, name), each)
            if meaning is BAD:
                whole = False
            else:
                found[key.field or name] = meaning
        return found, self._complete(document, path, value) and whole

    def schema(self) -> dict[str, Any]:
        properties = {name: self._key_schema(key) for name, key in self._keys.items()}
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        required = [name for name, key in self._keys.items() if key.required]
        if required:
            schema["required"] = required
        if self._one_of:
            schema["oneOf"] = [{"required": [name]} for name in self._one_of]
        return schema

    @staticmethod
    def _key_schema(key: Key) -> dict[str, Any]:
        return key.form.schema() | ({"description": key.note} if key.note else {})

    def _stray(self, document: Document, path: Path, name: str) -> None:
        if name.startswith("x-"):
            return  # extensions, and what YAML anchors are kept under
        near = difflib.get_close_matches(name, self._keys, n=1)
        fix = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(self._keys)}"
        document.complain(path, f"unknown key `{shown(name)}`", fix, at=document.key_spot(path))

    def _complete(self, document: Document, path: Path, value: Mapping[str, Any]) -> bool:
        missing = [name for name, key in self._keys.items() if key.required and name not in value]
        at = document.key_spot(path)
        for name in missing:
            example = self._keys[name].form.example.strip("`")
            document.complain(path, f"`{name}` is missing", f"add it: `{name}: {example}`", at=at)
        given = [name for name in self._one_of if name in value]
        if self._one_of and not given:
            document.complain(path, f"none of {', '.join(self._one_of)}", "add one of them", at=at)
        for name in given[1:]:
            what = f"both `{given[0]}` and `{name}`"
            document.complain((*path, name), what, "keep one of them", at=document.key_spot((*path, name)))
        return not missing and (not self._one_of or len(given) == 1)


def _seen(document: Document, path: Path, value: Any) -> str:
    if isinstance(value, dict):
        return "a block"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "left empty" if value is None else f"`{shown(document.written(path))}`"
