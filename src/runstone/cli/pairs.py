"""What options such as `-p lr=0.1` and `-m acc=0.93@5` say."""

from collections.abc import Iterable
from typing import Any

import click

from runstone.records.scalar import MAX_DIGITS, is_whole, parse_scalar


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
    return {key: parse_value(value) for key, value in parse_pairs(pairs).items()}


def parse_value(text: str) -> Any:
    """As `parse_scalar`; raises `click.UsageError` for a whole number that Python would refuse to read."""
    if len(text) > MAX_DIGITS and is_whole(text):
        raise click.UsageError(f"{text[:20]}… is a number of {len(text)} digits. In quotes it is kept as a text.")
    return parse_scalar(text)


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
