"""What every record shares: reading a document key by key, carrying what is unknown, times as text.

A document is what YAML gives: dicts, lists, str, int, float, bool, None. `Reader` takes known keys
out of it with their types checked and hands back the rest, which the record carries unchanged.

Records that a look-up in the registry takes are named tuples, not dataclasses: a process that resolves one alias would
spend a third of its time on defining those.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from runstone.errors import InvalidValue, RecordInvalid

Document = dict[str, Any]
EMPTY: Document = {}
"""A map of a record that says nothing; all records share it, as nothing changes the maps of a record."""
T = TypeVar("T")

# As text, compiled by `re` when first used: together they would cost every start a millisecond.
_TIME = r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,6}))?Z"
_PATH = r"(?!/|[A-Za-z]:)(?!(.*/)?\.\.(/|$))[^\\\x00-\x1f]+"
_OBJECT_ID = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"
_EPOCH_ORDINAL = 719163
_YEAR_1_S, _YEAR_9999_S = -62_135_596_800, 253_402_300_799  # the first second of the one, the last of the other
_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "a map", list: "a list"}


def format_time(time_ms: int) -> str:
    """Unix milliseconds → `2026-11-22T06:12:03.123Z`, always UTC with milliseconds.

    Raises:
        InvalidValue: The time is not in the years 1 to 9999.
    """
    from datetime import UTC, datetime  # here, as below: whoever looks a version up, which has to be quick, has no use

    seconds, ms = divmod(time_ms, 1000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidValue(f"The time {time_ms} ms is not in the years 1 to 9999.") from None
    return f"{moment.isoformat()[:19]}.{ms:03d}Z"  # isoformat, since strftime cuts the zeros of early years


def parse_seconds(text: str) -> int:
    """Seconds as git writes them → Unix milliseconds; 0 for what is no number.

    A commit may hold any number, whoever set that clock; what is beyond the years 1 to 9999 counts as their end, so
    that the time can be shown.
    """
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        return 0
    return 1000 * min(max(int(text), _YEAR_1_S), _YEAR_9999_S)


def parse_time(text: str) -> int:
    """The inverse of `format_time`.

    Raises:
        ValueError: The text is not such a time.
    """
    from datetime import datetime

    match = re.fullmatch(_TIME, text)
    if match is None:
        raise ValueError(f"{text!r} is not a time such as 2026-11-22T06:12:03.123Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    days = datetime(year, month, day).toordinal() - _EPOCH_ORDINAL
    ms = int((match[7] or "0").ljust(3, "0")[:3])
    return ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + ms


class Reader:
    """Takes the known keys out of one map of a document; the rest is `extra`."""

    def __init__(self, document: Any, where: str, prefix: str = "") -> None:
        if not isinstance(document, Mapping):
            name = f"`{prefix}`" if prefix else "the document"
            raise RecordInvalid(where, f"{name} must be a map, but is {show(document)}")
        self._rest = dict(document)
        self._where = where
        self._prefix = prefix

    def fail(self, key: str, problem: str) -> RecordInvalid:
        """The error for one key of this map."""
        return RecordInvalid(self._where, f"`{self.path(key)}` {problem}")

    def path(self, key: str) -> str:
        """The key with the path that leads to it."""
        return f"{self._prefix}.{key}" if self._prefix and key else self._prefix or key

    def need(self, key: str, kind: type[T]) -> T:
        """A key that must be there."""
        if key not in self._rest:
            raise self.fail(key, "is missing")
        value = self.take(key, kind)
        if value is None:
            raise self.fail(key, "must not be empty")
        return value

    def take(self, key: str, kind: type[T]) -> T | None:
        """A key that may be missing or null."""
        value = self._rest.pop(key, None)
        if value is None:
            return None
        if kind is float and type(value) is int:
            return as_float(value)  # type: ignore[return-value]  # T is float here
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.fail(key, f"must be {_KINDS[kind]}, but is {show(value)}")
        return value

    def take_any(self, key: str) -> Any:
        """A key of several types, which the caller tells apart; it may be missing."""
        return self._rest.pop(key, None)

    def take_time(self, key: str) -> int | None:
        """A time as Unix milliseconds."""
        text = self.take(key, str)
        if text is None:
            return None
        try:
            return parse_time(text)
        except ValueError as error:
            raise self.fail(key, f"must be a time: {error}") from None

    def need_path(self, key: str) -> str:
        """A path that must be there, is relative, and stays inside: joining it to a folder is safe."""
        return self._inside(key, self.need(key, str))

    def need_object_id(self, key: str) -> str:
        """A git object's full id that must be there: git cannot take it for an option or a revision."""
        return self._object_id(key, self.need(key, str))

    def take_object_id(self, key: str) -> str | None:
        """As `need_object_id`, but it may be missing."""
        oid = self.take(key, str)
        return None if oid is None else self._object_id(key, oid)

    def _object_id(self, key: str, oid: str) -> str:
        if re.fullmatch(_OBJECT_ID, oid) is None:
            raise self.fail(key, f"must be a full object id of git, but is {show(oid)}")
        return oid

    def take_path(self, key: str) -> str | None:
        """As `need_path`, but it may be missing."""
        path = self.take(key, str)
        return None if path is None else self._inside(key, path)

    def _inside(self, key: str, path: str) -> str:
        if re.fullmatch(_PATH, path) is None:
            raise self.fail(key, f"must be a relative path with forward slashes and no `..`, but is {show(path)}")
        return path

    def take_choice(self, key: str, choices: tuple[str, ...]) -> str:
        """One of `choices`; the first when missing."""
        value = self.take(key, str)
        if value is None:
            return choices[0]
        if value not in choices:
            raise self.fail(key, f"must be one of {', '.join(choices)}, but is {show(value)}")
        return value

    def take_texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty when missing."""
        values = self.take(key, list) or []
        for i, value in enumerate(values):
            if not isinstance(value, str):
                raise self.fail(f"{key}[{i}]", f"must be text, but is {show(value)}")
        return tuple(values)

    def take_text_map(self, key: str) -> dict[str, str]:
        """A map of text to text; empty when missing."""
        values = self.take(key, dict) or {}
        for name, value in values.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise self.fail(f"{key}.{name}", f"must be text, but is {show(value)}")
        return values

    def extra(self) -> Document:
        """The keys nobody asked for: carried through as they are."""
        return self._rest


def as_float(value: float) -> float:
    """A number of YAML as a float; a whole one beyond all floats is infinite, as 1.0e+400 is."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def show(value: object) -> str:
    """A value as an error message shows it: `the text "0.3x"`, `the number 3`, `nothing`."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f'the text "{value if len(value) <= 40 else value[:39] + "…"}"'
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"the number {value!r}"
    if isinstance(value, Mapping):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    return f"a {type(value).__name__}"
