"""What a param is as text and as a number, and what LIKE matches: one answer for the tables and for Python."""

import math
import re
from collections.abc import Callable
from functools import lru_cache

from runstone.records.scalar import is_number


def param_text(value: object) -> str:
    """A param as text, as MLflow would have stored it."""
    return value if isinstance(value, str) else str(value)


def param_number(value: object) -> int | float | None:
    """A param as a number, if it is one or is text that reads as one; true and false are none, nor is NaN."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else _as_float(value)
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, str) and len(value) <= 400 and is_number(value):
        return number(value)
    return None


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@lru_cache(maxsize=256)
def pattern(like: str, ignores_case: bool) -> Callable[[str], object]:
    """What tells whether a text matches an SQL LIKE pattern: `%` any text, `_` any one character.

    Each piece between two `%` is taken where it is first found and never looked for again (the atomic groups), so no
    pattern takes longer than its length times the text's.
    """
    pieces = ["".join("." if c == "_" else re.escape(c) for c in piece) for piece in like.split("%")]
    if len(pieces) == 1:
        body = pieces[0]
    else:
        body = pieces[0] + "".join(f"(?>.*?{piece})" for piece in pieces[1:-1] if piece)
        body += f".*{pieces[-1]}"
    return re.compile(body, re.DOTALL | (re.IGNORECASE if ignores_case else 0)).fullmatch


def number(text: str) -> int | float:
    """A decimal number as SQLite can hold it: whole where 64 bits suffice, else a float."""
    digits = text.lstrip("+-")
    if digits.isdecimal() and len(digits) < 20 and abs(whole := int(text)) < 1 << 63:
        return whole
    return float(text)
