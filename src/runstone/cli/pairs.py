"""What options such as `-p lr=0.1` and `-m acc=0.93@5` say."""

import re
from collections.abc import Iterable
from typing import Any

import click

_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_MAX_DIGITS = 3900  # Python refuses to read more than 4,300
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


def parse_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """`key=value` to a dictionary of texts; raises `click.UsageError` for one without `=`, or a key given twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{pair!r} must be KEY=VALUE.")
        if key in found:
            raise click.UsageError(f"{key!r} is given twice.")
        found[key] = value
    return found


def parse_params(pairs: Iterable[str]) -> dict[str, Any]:
    """As `parse_pairs`, the values typed as YAML would."""
    return {key: parse_scalar(value) for key, value in parse_pairs(pairs).items()}


def parse_scalar(text: str) -> Any:
    """A number, true, false, null, or else the text; a text in quotes is what they hold, so `'"1"'` stays a text."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text.lower() in _SPECIAL:
        return _SPECIAL[text.lower()]
    if _WHOLE.fullmatch(text):
        if len(text) > _MAX_DIGITS:
            raise click.UsageError(f"{text[:20]}… is a number of {len(text)} digits. In quotes it is kept as a text.")
        return int(text)
    # `007` is a name, not a number.
    if _NUMBER.fullmatch(text) and not re.match(r"[-+]?0\d", text):
        return float(text)
    return text


def parse_metric(text: str) -> tuple[str, float, int]:
    """`acc=0.93` or `acc=0.93@5`: key, value and step; raises `click.UsageError`."""
    key, equals, rest = text.partition("=")
    value, at, step = rest.partition("@")
    try:
        if not equals or not key or not value or (at and not step):
            raise ValueError
        return key, float(value), int(step) if at else 0
    except ValueError:
        raise click.UsageError(f"{text!r} must be KEY=NUMBER or KEY=NUMBER@STEP.") from None
