"""The message of a commit to the registry: a subject, and trailers that programs read."""

from collections.abc import Iterable


def format_message(subject: str, trailers: Iterable[tuple[str, object]]) -> str:
    """`Promote churn v4 to Production`, an empty line, and `Model: churn` … ; each part on one line."""
    rows = [f"{key}: {_one_line(str(value))}" for key, value in trailers]
    return "\n".join([_one_line(subject), "", *rows, ""])


def _one_line(text: str) -> str:
    return " ".join(text.split())
