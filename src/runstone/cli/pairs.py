"""What words such as `-p lr=0.1`, `-m acc=0.93@5` and `churn/4` say."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from runstone.records.scalar import MAX_DIGITS, is_whole, parse_scalar

if TYPE_CHECKING:
    from runstone.cli.session import Session


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


def part_version(session: "Session", text: str) -> tuple[str, int | None]:
    """`churn/4`, `churn@v4`, `churn/latest`, `churn@champion` → model and number; a model of the whole name wins.

    Args:
        session: Where.
        text: What was given for a model.

    Returns:
        The model, and the version that the text names besides; None if it names the model alone.

    Raises:
        ModelNotFound, VersionNotFound, AliasNotFound: It names a version that is not there.
    """
    from runstone.names import parse_version_number
    from runstone.registry.model import list_model_names
    from runstone.registry.resolve import resolve_version
    from runstone.uris import ModelUri

    name, mark, last = text.rpartition("@" if "@" in text else "/")
    number = parse_version_number(last.removeprefix("v") if mark == "@" else last)
    is_version = number is not None or last == "latest" or mark == "@"
    repo = session.workspace.repo
    if not name or not is_version or text in list_model_names(repo):
        return text, None
    if number is not None:
        uri = ModelUri(name, version=number)
    else:
        uri = ModelUri(name, alias=last) if mark == "@" else ModelUri(name, word=last)
    return name, resolve_version(repo, uri).version
