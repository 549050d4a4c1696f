"""Validation by the JSON Schemas in schemas/, with errors told as sentences: file, key, what must be, what was found.

The one module that knows where the schemas lie: inside an installed package, else in the source tree. Writers
do not come here: the dataclasses check as they read, and accept the same documents (a property test says so).
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runstone import names
from runstone.errors import InvalidName, RecordInvalid, RunstoneError
from runstone.records.document import parse_time, show
from runstone.records.metric import parse_metrics
from runstone.records.upgrade import VERSIONS, check_format, split_format
from runstone.records.yaml import load

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a map",
    "array": "a list",
}


def folder() -> Path:
    """The folder of the schemas.

    Raises:
        RunstoneError: Neither the package nor the source tree has it.
    """
    package = Path(__file__).resolve().parents[1]
    for path in (package / "schemas", package.parents[1] / "schemas"):
        if (path / "run.v1.json").is_file():
            return path
    raise RunstoneError(
        f"The schemas are missing from {package}. Install again: `pip install --force-reinstall runstone`"
    )


def validate(document: object, kind: str, where: str) -> None:
    """Check a document against the schema of its kind.

    Args:
        document: What YAML gave.
        kind: A key of `VERSIONS`; or a part of a record: `dataset`, `model`.
        where: File and commit, for messages.

    Raises:
        RecordInvalid: It breaks the schema; the message tells of the first place, in the order of the schema.
        NewerFormat: It was written by a newer Runstone.
    """
    if not isinstance(document, Mapping):
        raise RecordInvalid(where, f"the document must be a map, but is {show(document)}")
    if "schema" in _properties(kind) and not (kind == "config" and document.get("schema") is None):
        check_format(document, kind, where)
    error = next(iter(_validator(kind).iter_errors(document)), None)
    if error is not None:
        raise RecordInvalid(where, _sentence(_meant(error)))


def validate_text(text: str | bytes, where: str) -> str:
    """Check the text of a file by the format that it names, and say which kind it is.

    A file of metrics is known by its first line, `runstone.yaml` by its name if it does not say.

    Raises:
        RecordInvalid: The text cannot be read, names no format, or breaks the one it names.
        NewerFormat: It was written by a newer Runstone.
    """
    if isinstance(text, bytes) and text.startswith(b"# schema: "):
        try:
            text = text.decode()
        except UnicodeDecodeError:
            raise RecordInvalid(where, "the file is not UTF-8 text") from None
    if isinstance(text, str) and text.startswith("# schema: "):
        for _ in parse_metrics(text, where):
            pass
        return "metrics"
    document = load(text, where)
    if not isinstance(document, Mapping):
        raise RecordInvalid(where, f"the document must be a map, but is {show(document)}")
    found = document.get("schema")
    parts = split_format(found)
    if found is None and re.fullmatch(r"(.*[/\\])?runstone\.yaml( at [0-9a-f]+)?", where):
        parts = ("config", 1)
    if parts is None or parts[0] not in VERSIONS or parts[0] == "metrics":
        known = ", ".join(f"runstone/{kind}/v{version}" for kind, version in VERSIONS.items() if kind != "metrics")
        raise RecordInvalid(where, f"`schema` must be one of {known}, but is {show(found)}")
    validate(document, parts[0], where)
    return parts[0]


@cache
def _documents() -> dict[str, Any]:
    documents = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in folder().glob("*.json")}
    for document in documents.values():
        del document["$schema"]  # where a $ref leads to one, jsonschema would leave our strict validator for its own
    return documents


def _properties(kind: str) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = _documents()[f"{kind}.v{VERSIONS.get(kind, 1)}.json"]["properties"]
    return properties


@cache
def _validator(kind: str) -> "Validator":
    """The validator of one kind, strict where its Python habits are not JSON's: see `_is_whole` and `_pattern`."""
    import jsonschema
    import referencing
    from referencing.jsonschema import DRAFT202012

    extend: Any = jsonschema.validators.extend  # has no types
    formats = jsonschema.FormatChecker(())
    formats.checks("date-time", raises=ValueError)(_is_time)
    formats.checks("stage-name", raises=InvalidName)(lambda name: bool(names.check_stage(name)))
    formats.checks("alias-name", raises=InvalidName)(lambda name: name == "*" or bool(names.check_alias(name)))
    strict = extend(
        jsonschema.Draft202012Validator,
        validators={"pattern": _pattern},
        type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_whole),
    )
    resources = [DRAFT202012.create_resource(document) for document in _documents().values()]
    registry: Any = resources @ referencing.Registry()
    schema = _documents()[f"{kind}.v{VERSIONS.get(kind, 1)}.json"]
    validator: Validator = strict(schema, registry=registry, format_checker=formats)
    return validator


def _is_whole(_checker: object, value: object) -> bool:
    """A whole number is written without a point: 1.0 is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_time(value: object) -> bool:
    return not isinstance(value, str) or parse_time(value) is not None


def _pattern(_validator: object, pattern: str, value: object, _schema: object) -> "Iterator[ValidationError]":
    """As in ECMAScript, `$` is the very end; in Python it would let a line end pass."""
    from jsonschema.exceptions import ValidationError

    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield ValidationError("")


def _meant(error: "ValidationError") -> "ValidationError":
    """Of the branches of `anyOf` and `oneOf`, the first error of the one that was meant: where most of it fits."""
    while error.validator in ("anyOf", "oneOf") and error.context:
        error = max(error.context, key=lambda inner: (len(inner.absolute_path), inner.validator != "type"))
    return error


def _sentence(error: "ValidationError") -> str:
    path = ""
    for part in error.absolute_path:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    found: Any = error.instance
    rule: Any = error.validator_value
    schema: Any = error.schema
    if "propertyNames" in error.relative_schema_path:
        return f"the keys of `{path}` must be {schema['title']}, but one is {show(found)}"
    match error.validator:
        case "additionalProperties":
            unknown = next(key for key in found if key not in schema["properties"])
            return f"`{path}.{unknown}` is unknown here; known are {', '.join(schema['properties'])}"
        case "required":
            missing = next(key for key in rule if key not in found)
            return f"`{path}.{missing}` is missing" if path else f"`{missing}` is missing"
        case "type":
            kinds = [_TYPES[kind] for kind in ([rule] if isinstance(rule, str) else rule) if kind != "null"]
            must = " or ".join(kinds)
        case "enum":
            must = f"one of {', '.join(str(value) for value in rule if value is not None)}"
        case "minimum":
            must = f"{rule} or more"
        case _:
            must = schema["title"]
    return f"`{path}` must be {must}, but is {show(found)}"
