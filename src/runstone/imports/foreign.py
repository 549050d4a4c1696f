"""What readers of other trackers share: ids made of what a run is at its source, nested values made flat, times."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MAX_FILE = 64 * 1024 * 1024
"""Bytes of a text file of another tool that is read whole; a file of params or metrics has a few thousand."""

_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999


def derived_id(*parts: object) -> str:
    """The id of a run by what names it at its source: the same whenever, and by whomever, it is brought in."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def flatten(
    value: Any, *, separator: str = ".", prefix: str = "", is_leaf: Callable[[dict[str, Any]], bool] = lambda _: False
) -> Iterator[tuple[str, Any]]:
    """The leaves of nested maps, each with the keys that lead to it; an empty map is a leaf, and so is a list."""
    pending: list[tuple[str, Any]] = [(prefix, value)]  # not recursion: files of others may be nested deep
    while pending:
        key, found = pending.pop()
        if isinstance(found, dict) and ((found and not is_leaf(found)) or not key):
            start = f"{key}{separator}" if key else ""
            pending += [(f"{start}{name}", each) for name, each in reversed(found.items())]
        else:
            yield key, found


def number(value: Any) -> float | None:
    """A value as a metric has it: a number or a truth value; None for anything else, or a number too large for one."""
    if isinstance(value, bool | int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def to_ms(seconds: Any) -> int | None:
    """Unix seconds as milliseconds; None for what is no time, or of no year that a record can hold."""
    try:
        found = round(float(seconds) * 1000)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if is_time(found) else None


def is_time(time_ms: int) -> bool:
    """Whether Unix milliseconds are of a year that a record can hold."""
    return _FIRST_MS <= time_ms <= _LAST_MS


def parse_json(text: str | bytes) -> Any:
    """A JSON value, NaN and infinities included.

    Raises:
        ValueError: It is none, or is nested too deep.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def file_time(path: Path) -> int:
    """When a file was written last, in Unix milliseconds."""
    return to_ms(path.stat().st_mtime) or 0


def part(text: str) -> str:
    """A name of others as a path below a folder, as far as it is one: `..`, empty and hidden parts lose their dots."""
    parts = [each.lstrip(".") or "_" for each in text.replace("\\", "/").split("/") if each]
    return "/".join(parts) or "_"
