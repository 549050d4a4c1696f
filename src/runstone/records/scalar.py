"""A value as text: as one word of a command line writes it (`0.1`, `true`, `adam`), or as Python's `str` shows it."""

import re
from typing import Any

MAX_DIGITS = 3900  # Python refuses to read more than 4,300

_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[-+]?(?:0|[1-9]\d*)", re.ASCII)
_SPECIAL = {
    "true": True,
    "false": False,
    "null": None,
    "~": None,
    "nan": float("nan"),
    ".nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
    ".inf": float("inf"),
    "-.inf": float("-inf"),
}


def parse_scalar(text: str) -> Any:
    """A number, true, false, null, or else the text; a text in quotes is what they hold, so `'"1"'` stays a text.

    A whole number of more than `MAX_DIGITS` digits stays a text too.
    """
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text.lower() in _SPECIAL:
        return _SPECIAL[text.lower()]
    if is_whole(text):
        return int(text) if len(text) <= MAX_DIGITS else text
    if is_number(text) and not re.match(r"[-+]?0\d", text):  # `007` is a name, not a number
        return float(text)
    return text


def is_number(text: str) -> bool:
    """Whether a text is spelled as a decimal number."""
    return _NUMBER.fullmatch(text) is not None


def is_whole(text: str) -> bool:
    """Whether a text is spelled as a whole number, with no zeros before it."""
    return _WHOLE.fullmatch(text) is not None


_CONSTANTS = {"None": None, "True": True, "False": False}


def typed(text: object) -> object:
    """A param that is told as text, as it is recorded: a number, true, false or null where `str` gives the very text.

    So `0.10`, `1e5` and `007` stay texts, and what others are told of it is the text again.
    """
    if not isinstance(text, str) or not text or len(text) > MAX_DIGITS:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if str(value) == text:
            return value
    return text
