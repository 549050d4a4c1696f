"""Canonical YAML, read: what `yaml_write` writes, five times as fast as PyYAML and without importing it."""

import math
import re
from functools import lru_cache
from typing import Any, cast

from runstone.records.yaml_write import BARE, DOUBLE, FLOAT, INT, MAX_DEPTH, MAX_KEY, SINGLE, WORDS, is_raw


class NotCanonical(Exception):
    """The fast parser leaves this text to PyYAML."""


_SCALAR = rf"({FLOAT})|({INT})|({BARE})|({SINGLE})|({DOUBLE})|(\[\]|\{{\}}|-?\.inf|\.nan)"
_KEY = rf"({BARE}|{SINGLE}|{DOUBLE})"
_match_line = re.compile(rf"{_KEY}:(?: (?:(?:{_SCALAR})\Z|([\[{{]))|\Z)").match
_match_item = re.compile(rf"(?:{_SCALAR})(?=, |[\]}}])|([\[{{])").match
_match_key = re.compile(rf"{_KEY}: ").match
# As text, compiled by `re` when first met: of runs only, and it would cost every start a quarter of a millisecond.
_SUMMARY = (
    rf"  ([A-Za-z_][A-Za-z0-9_./-]*): "
    rf"\{{last: ({FLOAT}), step: ({INT}), min: ({FLOAT}), max: ({FLOAT}), count: ({INT})\}}\Z"
)
_sub_escape = re.compile(r'\\(?:(["\\nrt])|x([0-9A-F]{2})|u([0-9A-F]{4}))').sub
_ESCAPED = {"\\": "\\", '"': '"', "n": "\n", "r": "\r", "t": "\t"}
_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "null": None}
_OTHERS: dict[str, Any] = {".nan": math.nan, ".inf": math.inf, "-.inf": -math.inf, "[]": list, "{}": dict}


def parse(text: str) -> dict[str, Any]:
    """Read what `dump` writes, and nothing else; whatever this accepts, every YAML reader reads alike.

    Raises:
        NotCanonical, ValueError: The text is not of the subset, or wrong: PyYAML will tell which.
    """
    lines = text.split("\n")
    if lines.pop() or not is_raw(text.replace("\n", "")):
        raise NotCanonical
    first = lines[0] if lines else ""
    if first.startswith("# yaml-language-server: ") and first.isascii() and first.isprintable():
        del lines[0]
    lines.reverse()  # so that pop() gives the next
    return _parse_block(lines, 0)


def _parse_block(lines: list[str], depth: int) -> dict[str, Any]:
    """Take the lines of one map from the end of `lines`; never an empty map."""
    if depth >= MAX_DEPTH:
        raise NotCanonical
    start = 2 * depth
    indent = " " * start
    values: dict[str, Any] = {}
    while lines and lines[-1].startswith(indent):
        line = lines.pop()
        if depth == 1 and ": {last: " in line and (summary := re.match(_SUMMARY, line)):  # most lines of most runs
            key, last, step, low, high, count = summary.groups()
            value: Any = {
                "last": float(last),
                "step": int(step),
                "min": float(low),
                "max": float(high),
                "count": int(count),
            }
        else:
            match = _match_line(line, start)
            if match is None:
                raise NotCanonical
            kind = cast(int, match.lastindex)
            key = match[1]
            if kind == 1:
                value = _parse_items(lines) if not depth and lines and lines[-1][:2] == "- " else None
                value = value or _parse_block(lines, depth + 1)
            elif kind == _FLOW:
                value, end = _parse_flow(line, match.start(_FLOW), depth + 2)
                if end != len(line):
                    raise NotCanonical
            else:
                value = _read(kind, match[kind])
        key = _read_key(key)
        if key in values:
            raise NotCanonical
        values[key] = value
    if not values:
        raise NotCanonical
    return values


def _parse_items(lines: list[str]) -> list[Any]:
    """The maps of a list at the top level, one a line."""
    items = []
    while lines and lines[-1][:3] == "- {":
        line = lines.pop()
        value, end = ({}, 4) if line == "- {}" else _parse_flow(line, 2, 3)
        if end != len(line):
            raise NotCanonical
        items.append(value)
    return items


def _parse_flow(line: str, at: int, depth: int) -> tuple[Any, int]:
    """The list or map that opens at `line[at]` and is not empty, and where it ends."""
    if depth > MAX_DEPTH:
        raise NotCanonical
    is_map = line[at] == "{"
    values: dict[str, Any] = {}
    items: list[Any] = []
    key = ""
    at += 1
    while True:
        if is_map:
            match = _match_key(line, at)
            if match is None:
                raise NotCanonical
            key, at = _read_key(match[1]), match.end()
        match = _match_item(line, at)
        if match is None:
            raise NotCanonical
        kind = cast(int, match.lastindex) + 1  # one group fewer than a line has: the key
        value, at = _parse_flow(line, at, depth + 1) if kind == _FLOW else (_read(kind, match[0]), match.end())
        if is_map:
            if key in values:
                raise NotCanonical
            values[key] = value
        else:
            items.append(value)
        if line[at : at + 2] != ", ":
            if line[at : at + 1] != ("}" if is_map else "]"):
                raise NotCanonical
            return (values if is_map else items), at + 1
        at += 2


_FLOW = 8  # the last group of _match_line: a list or map opens


def _read(kind: int, text: str) -> Any:
    """A scalar by the group of `_match_line` that found it."""
    if kind == 2:
        return float(text)
    if kind == 3:
        return int(text)
    if kind == 4:
        if text.lower() not in WORDS:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        raise NotCanonical
    if kind == 7:
        return _OTHERS[text]() if text in "[]{}" else _OTHERS[text]
    return _unquote(text)


@lru_cache(4096)
def _read_key(text: str) -> str:
    if len(text) > MAX_KEY or text.lower() in WORDS:
        raise NotCanonical
    return _unquote(text) if text[0] in "'\"" else text


def _unquote(text: str) -> str:
    inner = text[1:-1]
    if text[0] == "'":
        return inner.replace("''", "'")
    return _sub_escape(_unescape, inner) if "\\" in inner else inner


def _unescape(match: re.Match[str]) -> str:
    if match[1]:
        return _ESCAPED[match[1]]
    code = int(match[2] or match[3], 16)
    if 0xD800 <= code < 0xE000:
        raise NotCanonical
    return chr(code)
