"""What may be logged: params become plain YAML values, metrics numbers, tags text. Anything else is refused here,
before it reaches the journal, so that what was accepted can always be recorded.
"""

import operator
from collections.abc import Iterable
from typing import Any, SupportsFloat, SupportsIndex

from runstone.errors import InvalidValue
from runstone.names import check_key
from runstone.records.document import format_time, show
from runstone.records.metric import Metric
from runstone.records.run import ParamValue

_MAX_DEPTH = 16
MAX_TEXT = 8 * 1024 * 1024
"""Characters of all params and tags of one run together; a record is read whole, so it has to have a bound."""

MAX_BITS = 13_000
"""Bits of a whole number, about 3,900 digits: Python refuses to write, or read, more than 4,300."""

MAX_INT = 2**63 - 1
"""Steps and times beyond 64 bits could be recorded, but no index and no table could hold them."""
ENDS = ("FINISHED", "FAILED", "KILLED")
"""The statuses a run can end with."""


def param_value(key: str, value: Any, depth: int = 0) -> ParamValue:
    """A value as YAML holds it: None, bool, int, float, text, lists and maps of these; anything else as `str` shows it.

    Raises:
        InvalidValue: The text is not Unicode, a number has thousands of digits, or it is nested more than 16 deep.
    """
    kind = type(value)
    if kind is str:
        return check_text("param", key, value)
    if kind is int and value.bit_length() > MAX_BITS:
        raise InvalidValue(f"The param {key!r} is {_show(value)}. Log it as a file: `log_text(text, 'name.txt')`.")
    if kind in (int, float, bool) or value is None:
        return value  # type: ignore[no-any-return]  # these four are ParamValue
    if depth > _MAX_DEPTH:
        raise InvalidValue(f"The param {key!r} is nested more than {_MAX_DEPTH} deep. Log it as a file: `log_dict`.")
    if isinstance(value, dict):
        return {check_text("param", key, str(k)): param_value(key, v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [param_value(key, item, depth + 1) for item in value]
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a scalar of numpy, torch, jax …
        item = value.item()
        if type(item) in (int, float, bool, str):
            return param_value(key, item, depth)
    return check_text("param", key, str(value))


def metric_value(key: str, value: Any) -> float:
    """A metric's value as a float; NaN and the infinities are numbers too.

    Raises:
        InvalidValue: It is no number: text, None, or an array of several.
    """
    if isinstance(value, str | bytes) or value is None:
        raise InvalidValue(_not_a_number(key, _show(value)))
    if getattr(value, "ndim", 0) and getattr(value, "size", 0) == 1 and hasattr(value, "item"):
        value = value.item()
    try:
        number: SupportsFloat = value
        return float(number)
    except (TypeError, ValueError, OverflowError):
        raise InvalidValue(_not_a_number(key, _show(value))) from None


def step_value(key: str, step: Any) -> int:
    """A step as a whole number; None is 0.

    Raises:
        InvalidValue: It is no whole number of 64 bits.
    """
    return 0 if step is None else _whole(f"The step of metric {key!r}", step)


def metric_points(points: Iterable[Metric]) -> list[tuple[str, float, int, int]]:
    """Points of metrics as a journal takes them, checked before any of them is written.

    Raises:
        InvalidName: A key cannot be used.
        InvalidValue: A value is no number, a step or a time no whole number of 64 bits.
    """
    return [
        (
            check_key("metric", point.key),
            metric_value(point.key, point.value),
            time_value(point.key, point.timestamp),
            step_value(point.key, point.step),
        )
        for point in points
    ]


def time_value(what: str, time_ms: Any, *, is_date: bool = False) -> int:
    """A time in Unix milliseconds.

    Args:
        what: The metric or argument whose time it is, for the message.
        time_ms: The time.
        is_date: Whether it has to be a date too, of the years 1 to 9999; runs are filed by it.

    Raises:
        InvalidValue: It is no whole number of 64 bits, or no date.
    """
    value = _whole(f"The time of {what!r}", time_ms)
    if is_date:
        format_time(value)
    return value


def check_end(status: str) -> str:
    """Return a status that a run can end with, or raise `InvalidValue`."""
    if status not in ENDS:
        raise InvalidValue(f"A run ends as {', '.join(ENDS)}, but the status given is {show(status)}.")
    return status


def tag_value(key: str, value: Any) -> str:
    """A tag's value as text.

    Raises:
        InvalidValue: The text is not Unicode.
    """
    return check_text("tag", key, value if type(value) is str else str(value))


def check_text(kind: str, key: str, text: str) -> str:
    """Return the text, or raise if UTF-8 cannot hold it (lone surrogates, as undecodable file names have)."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidValue(f"The {kind} {key!r} holds text that is not valid Unicode: {text!r:.60}.") from None
    return text


def check_keys(kind: str, keys: Any) -> None:
    """Check the keys of a batch before any of it is written."""
    for key in keys:
        check_key(kind, key)


def _whole(what: str, value: Any) -> int:
    try:
        if isinstance(value, float) and value.is_integer():
            number = int(value)
        else:
            index: SupportsIndex = value
            number = operator.index(index)
    except TypeError:
        raise InvalidValue(f"{what} must be a whole number, but is {_show(value)}.") from None
    if not -MAX_INT <= number <= MAX_INT:
        raise InvalidValue(f"{what} must fit in 64 bits, but is {_show(value)}.")
    return number


def _show(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return f"a number of {value.bit_length()} bits"
    return show(value)


def _not_a_number(key: str, found: str) -> str:
    return f"The metric {key!r} must be a number, but is {found}. Log text as a tag or a param."
