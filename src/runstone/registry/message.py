"""The message of a commit to the registry: a subject, and trailers that programs read."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from runstone.registry.numbers import TAGS

if TYPE_CHECKING:
    from runstone.git.repository import Repository


def format_message(subject: str, trailers: Iterable[tuple[str, object]]) -> str:
    """`Promote churn v4 to Production`, an empty line, and `Model: churn` … ; each part on one line."""
    rows = [f"{key}: {_one_line(str(value))}" for key, value in trailers]
    return "\n".join([_one_line(subject), "", *rows, ""])


def version_rows(repo: "Repository", key: str, versions: Iterable[int]) -> list[tuple[str, object]]:
    """The trailers that name the versions which a commit moves: `Version: 4`, and after it `Tag:` with the id of the
    object of its git tag, so that a tag which is made anew later is found out, and `Seal:` with that of what it says,
    by which one is known that a sync made anew for the same record on another commit.
    """
    from runstone.registry.tag import read_seal

    rows: list[tuple[str, object]] = []
    for version in versions:
        name = f"{key}@v{version}"
        tag = repo.objects.find(f"{TAGS}{name}")
        rows.append(("Version", version))
        if tag is not None:
            seal = read_seal(repo, name, tag[2])
            rows += [("Tag", tag[0]), *([("Seal", seal)] if seal is not None else [])]
    return rows


def _one_line(text: str) -> str:
    return " ".join(text.split())
