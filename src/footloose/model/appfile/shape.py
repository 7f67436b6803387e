"""The shape of an app file: the published JSON Schema, and its findings put for people.

Every leaf of the schema has a ``description`` that completes "must be …"; the messages are made of them.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from footloose.model.appfile import compose_keys
from footloose.model.appfile.document import Document, Path, shown


def schema_text() -> str:
    """The published JSON Schema (draft 2020-12) of an app file."""
    return resources.files(__package__).joinpath("schema.json").read_text("utf-8")


def check_shape(document: Document) -> None:
    """Note all the ways ``document`` departs from the schema, and take those parts out of its data.

    What is left has the schema's shape, save that required keys may be missing and items of lists be None.
    """
    spoiled: set[Path] = set()
    known = {problem.at for problem in document.problems}
    for error in _validator().iter_errors(document.data):
        path = tuple(error.absolute_path)
        for place, what, fix in _findings(error, path, document):
            if error.validator != "required":
                spoiled.add(place)
            if document.value_spot(place) not in known:
                at = document.key_spot(place) if place != path or error.validator == "required" else None
                document.complain(place, what, fix, at=at)
    _take_out(document, spoiled)


@cache
def _validator() -> Any:
    strict = extend(Draft202012Validator, {"pattern": _pattern, "uniqueItems": _unique_items})  # type: ignore[no-untyped-call]
    return strict(json.loads(schema_text()))


def _pattern(_: Any, pattern: str, text: object, __: Any) -> Iterator[ValidationError]:
    """As the standard has it: ``$`` is the very end, where Python's would let a line feed pass."""
    if isinstance(text, str) and not re.search(re.sub(r"\$\Z", r"\\Z", pattern), text):
        yield ValidationError("does not match")


def _unique_items(_: Any, __: bool, items: object, ___: Any) -> Iterator[ValidationError]:
    """Only text is compared, as all our lists are of text; comparing blocks each with each could take minutes."""
    texts = [item for item in items if isinstance(item, str)] if isinstance(items, list) else []
    if len(set(texts)) < len(texts):
        yield ValidationError("has the same item twice")


def _findings(error: ValidationError, path: Path, document: Document) -> Iterable[tuple[Path, str, str]]:
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    instance: Any = error.instance
    wanted: Any = error.validator_value
    if error.validator == "additionalProperties":
        return [((*path, key), *_stray(key, path, schema)) for key in _stray_keys(instance, schema)]
    if "propertyNames" in error.absolute_schema_path:
        return [((*path, instance), f"must be {schema['description']}", _example(schema))]
    if error.validator == "required":
        missing = [key for key in wanted if key not in instance]
        return [(path, f"`{key}` is missing", f"add it: {_required_example(key)}") for key in missing]
    if error.validator == "uniqueItems":
        return [(path, "the same item twice", "keep one of them")]
    if error.validator in ("minProperties", "minItems"):
        return [(path, "empty", "fill it in, or remove it")]
    if error.validator in ("maxProperties", "maxItems"):
        return [(path, f"more than {wanted} entries", "use fewer")]
    if error.validator == "type" and wanted == "string" and isinstance(instance, int | float):
        text = document.written(path)
        if re.search(schema.get("pattern", ""), text):
            return [(path, f"must be text, and `{shown(text)}` is read as something else", f'write "{text}"')]
    return [
        (path, f"must be {schema.get('description', 'something else')}, not {_seen(path, document)}", _example(schema))
    ]


def _stray_keys(instance: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    patterns = [re.compile(pattern) for pattern in schema.get("patternProperties", {})]
    own = schema["properties"]
    return [key for key in instance if key not in own and not any(pattern.search(key) for pattern in patterns)]


def _stray(key: str, path: Path, schema: Mapping[str, Any]) -> tuple[str, str]:
    """Why ``key`` cannot stand at ``path``, and what to write instead."""
    if key == "x-footloose":
        return "it belongs to a service", "move it under the service it is about"
    refused = _refused_at(path).get(key)
    if refused is not None:
        return refused
    near = difflib.get_close_matches(key, schema["properties"], n=1)
    if near:
        return f"unknown key `{shown(key)}`", f"did you mean `{near[0]}`?"
    home = _home_of(key)
    if home is not None and path[:1] == ("services",):
        return f"`{key}` does not belong here", f"move it to `{home}`"
    return f"unknown key `{shown(key)}`", f"known here: {', '.join(schema['properties'])}"


def _refused_at(path: Path) -> Mapping[str, tuple[str, str]]:
    if not path:
        return compose_keys.TOP_LEVEL
    by_block: Mapping[Path, Mapping[str, tuple[str, str]]] = {
        (): compose_keys.SERVICE,
        ("deploy",): compose_keys.DEPLOY,
        ("deploy", "resources"): compose_keys.RESOURCES,
        ("deploy", "resources", "limits"): compose_keys.LIMITS,
    }
    return by_block.get(path[2:], {}) if len(path) >= 2 else {}


def _home_of(key: str) -> str | None:
    """Where in an ``x-footloose`` block ``key`` belongs, if it does."""
    own = json.loads(schema_text())["$defs"]["footloose"]["properties"]
    if key in own:
        return f"x-footloose.{key}"
    return next((f"x-footloose.{block}.{key}" for block in own if key in own[block].get("properties", {})), None)


def _example(schema: Mapping[str, Any]) -> str:
    examples = schema.get("examples")
    return f"for example {json.dumps(examples[0])}" if examples else "correct it"


def _required_example(key: str) -> str:
    return {"name": "`name: my-app`", "services": "`services:`", "image": "`image: ./web.wasm`"}[key]


def _seen(path: Path, document: Document) -> str:
    value = document.data
    for step in path:
        value = value[step]
    if isinstance(value, dict):
        return "a block"
    if isinstance(value, list):
        return "a list"
    return "left empty" if value is None else f"`{shown(document.written(path))}`"


def _take_out(document: Document, spoiled: set[Path]) -> None:
    for path in sorted(spoiled, key=len, reverse=True):
        if not path:
            document.data = {}
            return
        holder: Any = document.data
        for step in path[:-1]:
            holder = holder[step]
        last: Any = path[-1]
        if isinstance(holder, list):
            holder[last] = None  # keeps the places of the items after it
        else:
            del holder[last]
