"""Canonical YAML, written: the same value gives the same bytes, and YAML 1.1 and 1.2 readers agree on them.

A writer of our own, because PyYAML's takes 20 times as long, writes `1e-05` and bare times, and folds lines.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from runstone.errors import InvalidValue

MAX_DEPTH = 32
"""Maps and lists inside one another, the document itself counted."""

MAX_KEY = 1000
"""Characters a key may have as written: YAML stops at 1024 for keys on one line."""

# Known keys stand in this order in any record; unlisted ones follow, sorted, as in all other maps.
TOP = (
    "schema",
    "id",
    "model",
    "run",
    "record",
    "name",
    "experiment",
    "status",
    "user",
    "path",
    "digest",
    "flavors",
    "size",
    "signature",
    "description",
    "created",
    "started",
    "ended",
    "parent",
    "lifecycle",
    "deleted",
    "source",
    "environment",
    "params",
    "metrics",
    "tags",
    "datasets",
    "models",
    "attempts",
    "conflicts",
)
INNER: dict[str, tuple[str, ...]] = {
    "source": ("command", "directory", "commit", "branch", "snapshot", "dirty", "remote"),
    "environment": ("python", "platform", "requirements"),
    "metrics": ("last", "step", "min", "max", "count"),
    "datasets": ("name", "role", "digest", "path", "dvc", "shape"),
    "models": ("path", "flavors", "digest", "size", "signature"),
    "attempts": ("started", "ended", "status"),
}

# Text stands bare only if no reader could take it for anything else: it begins with a letter and is no word.
BARE = r"(?:--?|\.{0,2}/)?[A-Za-z_][A-Za-z0-9_./@%+=~-]*(?: [A-Za-z0-9_./@%+=~-]+)*"
WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan", "infinity"))
# What may stand between quotes as it is. The rest (control characters, line separators, the byte order mark,
# non-characters, surrogates) is escaped or refused. Compiling this class takes 5 ms, so only text beyond ASCII does.
RAW = r"\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff"
SINGLE = r"'[^']*(?:''[^']*)*'"
DOUBLE = r'"[^"\\]*(?:\\(?:["\\nrt]|x[0-9A-F]{2}|u[0-9A-F]{4})[^"\\]*)*"'
INT = r"-?(?:0|[1-9][0-9]*)"
FLOAT = r"-?[0-9]+\.[0-9]+(?:e[+-][0-9]+)?"

_is_bare = re.compile(BARE).fullmatch
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_is_schema = re.compile(r"runstone/([a-z]+(?:-[a-z]+)*)/v([1-9][0-9]{0,8})").fullmatch
_HINT = "# yaml-language-server: $schema=https://runstone.dev/schemas/{}.v{}.json"


class _Refused(Exception):
    """A value that YAML of ours cannot hold; the path grows while the stack unwinds."""

    def __init__(self, why: str) -> None:
        self.why, self.path = why, ""


def dump(document: Mapping[str, Any]) -> str:
    """Write a document as canonical YAML: equal documents give equal bytes, whatever the order of their keys.

    Args:
        document: Maps with text for keys, lists or tuples, text, numbers, true, false and null.

    Raises:
        InvalidValue: It holds something else, a key too long, or is nested more than 32 deep.

    Source: schemas/README.md, "Canonical YAML".
    """
    lines: list[str] = []
    try:
        schema = document.get("schema")
        if isinstance(schema, str) and (match := _is_schema(schema)):
            lines.append(_HINT.format(*match.groups()))
        if not document:
            return "{}\n"
        for key in _ordered(document, TOP):
            value = document[key]
            known = INNER.get(key, ())
            try:
                if isinstance(value, Mapping) and value and key != "environment":
                    lines.append(f"{_key(key)}:")
                    _block(value, known, key == "metrics", "  ", 2, lines)
                elif isinstance(value, list | tuple) and value and all(isinstance(v, Mapping) for v in value):
                    lines.append(f"{_key(key)}:")
                    lines += [f"- {_item(i, item, known)}" for i, item in enumerate(value)]
                else:
                    lines.append(f"{_key(key)}: {_flow(value, known, 2)}")
            except _Refused as refused:
                refused.path = f"{key}{refused.path}"
                raise
    except _Refused as refused:
        where = f"`{refused.path}`" if refused.path else "The document"
        raise InvalidValue(f"{where} cannot be recorded: {refused.why}.") from None
    lines.append("")
    return "\n".join(lines)


def _block(
    values: Mapping[str, Any],
    known: tuple[str, ...],
    one_line: bool,
    indent: str,
    depth: int,
    lines: list[str],
) -> None:
    """One key a line; `one_line` keeps the maps among the values in flow style, in the order of `known`."""
    if depth > MAX_DEPTH:
        raise _Refused(f"it is nested more than {MAX_DEPTH} deep")
    for key in _ordered(values, () if one_line else known):
        value = values[key]
        try:
            write = _SCALARS.get(type(value))
            if write is not None:
                lines.append(f"{indent}{_key(key)}: {write(value)}")
            elif not one_line and value and isinstance(value, Mapping):
                lines.append(f"{indent}{_key(key)}:")
                _block(value, (), False, indent + "  ", depth + 1, lines)
            else:
                lines.append(f"{indent}{_key(key)}: {_flow(value, known, depth + 1)}")
        except _Refused as refused:
            refused.path = f".{key}{refused.path}"
            raise


def _item(i: int, value: Any, known: tuple[str, ...]) -> str:
    try:
        return _flow(value, known, 3)
    except _Refused as refused:
        refused.path = f"[{i}]{refused.path}"
        raise


def _flow(value: Any, known: tuple[str, ...], depth: int) -> str:
    """A value on one line."""
    write = _SCALARS.get(type(value))
    if write is not None:
        return write(value)
    if isinstance(value, Mapping | list | tuple):
        if depth > MAX_DEPTH:
            raise _Refused(f"it is nested more than {MAX_DEPTH} deep")
        parts: list[str] = []
        at: Any = None
        try:
            if isinstance(value, Mapping):
                for at in _ordered(value, known):
                    inner = value[at]
                    write = _SCALARS.get(type(inner))
                    parts.append(f"{_key(at)}: {write(inner) if write else _flow(inner, (), depth + 1)}")
                return f"{{{', '.join(parts)}}}"
            for at in range(len(value)):
                parts.append(_flow(value[at], (), depth + 1))
            return f"[{', '.join(parts)}]"
        except _Refused as refused:
            step = f".{at}" if isinstance(value, Mapping) else f"[{at}]"
            refused.path = f"{step if at is not None else ''}{refused.path}"
            raise
    for kind, plain in _SUBCLASSES:
        if isinstance(value, kind):
            return _SCALARS[kind](plain(value))
    raise _Refused(
        f"it is a {type(value).__name__}, and a record holds text, numbers, true, false, null, lists and maps of these"
    )


def _ordered(values: Mapping[str, Any], known: tuple[str, ...]) -> list[str]:
    keys = [key for key in known if key in values]
    if len(keys) == len(values):
        return keys
    try:
        return keys + sorted(set(values).difference(keys) if keys else values)
    except TypeError:
        raise _Refused("its keys are not all text") from None


@lru_cache(4096)
def _key(key: str) -> str:
    if not isinstance(key, str):
        raise _Refused(f"its key {key!r} is not text")
    text = _quote(key)
    if len(text) > MAX_KEY:
        raise _Refused(f"its key has {len(key)} characters, too many for YAML")
    return text


def _text(text: str) -> str:
    return _short_text(text) if len(text) <= 80 else _quote(text)


def _quote(text: str) -> str:
    if _is_bare(text) and text.lower() not in WORDS:
        return str.__str__(text)
    if is_raw(text):
        return "'" + text.replace("'", "''") + "'"
    special = r'[\x00-\x1f\x7f"\\]' if text.isascii() else rf'[^{RAW}]|["\\]'
    return f'"{re.sub(special, _escape, text)}"'


def is_raw(text: str) -> bool:
    """Whether a text can stand between quotes as it is, but for the quotes in it."""
    return text.isprintable() if text.isascii() else re.search(f"[^{RAW}]", text) is None


_short_text = lru_cache(4096)(_quote)


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    if 0xD800 <= code < 0xE000:
        raise _Refused("its text holds half a surrogate pair, which UTF-8 cannot hold")
    return _ESCAPES.get(char) or (f"\\x{code:02X}" if code < 256 else f"\\u{code:04X}")


def _int(value: int) -> str:
    try:
        return repr(value)
    except ValueError:  # CVE-2020-10735: Python itself refuses such numbers, here and when it reads them
        raise _Refused("it is a whole number with too many digits; log it as text") from None


def _float(value: float) -> str:
    text = repr(value)
    if "e" in text:  # YAML 1.1 needs the dot: it reads 1e-05 as text
        return text if "." in text else text.replace("e", ".0e")
    return _ODD_FLOATS.get(text, text)


_ODD_FLOATS = {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}
_SCALARS: dict[type, Callable[[Any], str]] = {
    str: _text,
    int: _int,
    float: _float,
    bool: lambda value: "true" if value else "false",
    type(None): lambda value: "null",
}
# Enumerations of text and numpy.float64 count as the plain value they are.
_SUBCLASSES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)
