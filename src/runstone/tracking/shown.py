"""Values as text for people: cleaned of control characters, rounded, in units; and how wide a terminal shows them.

Below the faces, since reports of promotions show values, too.
"""

import json
import math
import re
from collections.abc import Mapping
from time import time
from typing import Any, Literal

Kind = Literal["text", "id", "status", "number", "time", "age", "duration", "size"]
"""How a value is shown. `time` and `age` are Unix milliseconds, `duration` milliseconds, `size` bytes."""


_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")


def clean(value: Any, *, keep: str = "") -> str:
    """Text without control characters: what would move the cursor or colour the screen is shown as an escape."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape", "replace").decode() for c in text)


def format_value(value: Any, kind: Kind = "text") -> str:
    """One value as a table shows it."""
    if value is None:
        return "-"
    if kind == "age":
        return f"{format_duration(max(0, int(time() * 1000) - int(value)), coarse=True)} ago"
    if kind == "time":
        return format_iso(int(value))
    if kind == "duration":
        return format_duration(int(value))
    if kind == "size":
        return format_size(int(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | dict):
        return clean(json.dumps(strict(value), ensure_ascii=False, default=str))
    return clean(value)


def format_iso(time_ms: int) -> str:
    """Unix milliseconds as records hold them: ISO 8601, UTC."""
    from runstone.records.document import format_time

    return format_time(time_ms)


def format_duration(duration_ms: int, *, coarse: bool = False) -> str:
    """A stretch of time in its largest unit, or its two largest."""
    seconds = duration_ms / 1000
    if seconds < 60:
        return f"{seconds:.0f}s" if coarse or seconds >= 10 else f"{seconds:.2g}s"
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    whole = int(seconds)
    at = next(i for i, (_, size) in enumerate(units) if whole >= size)
    first = f"{whole // units[at][1]}{units[at][0]}"
    rest = whole % units[at][1] // units[at + 1][1]
    return first if coarse or not rest else f"{first} {rest}{units[at + 1][0]}"


def format_size(size: int) -> str:
    """Bytes in the largest unit of 1,024."""
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def strict(value: Any) -> Any:
    """A value that strict JSON can hold: NaN and infinities, which it has not, become texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        return {str(key): strict(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [strict(each) for each in value]
    return value


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def cut(text: str, width: int) -> str:
    """A text that takes no more than `width` cells; one that is longer ends in an ellipsis."""
    if display_width(text) <= width:
        return text
    kept, used = "", 0
    for character in text:
        used += display_width(character)
        if used > width - 1:
            break
        kept += character
    return f"{kept}…"


def display_width(text: str) -> int:
    """How many cells of a terminal a text takes: two for wide letters and emoji, none for combining marks."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def csv_cell(value: Any) -> Any:
    """A cell that spreadsheets take for what it is: a text that they would run as a formula gets a `'` before it.

    Source: OWASP, "CSV Injection". Texts that are numbers stay as they are.
    """
    if value is None:
        return ""
    if isinstance(value, list | dict | bool):
        return json.dumps(strict(value))
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value
