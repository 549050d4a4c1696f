"""Pieces of Markdown for requests and comments on them.

All that records, files and commits say stands in code, where it can neither mention anybody, nor link, nor be HTML.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from runstone.tracking.rows import SHORT_ID
from runstone.tracking.shown import clean

CELL = 200
"""Characters of a text in a table at most."""


def code(text: str, *, limit: int = CELL) -> str:
    """A text as code, whatever it holds; also in a table. What is longer than `limit` is cut."""
    shown = clean(text)
    if len(shown) > limit:
        shown = f"{shown[: limit - 1]}…"
    if not shown.strip():
        return ""
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    space = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{space}{shown}{space}{fence}".replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def details(title: str, lines: Iterable[str]) -> Iterator[str]:
    """Lines that are folded away below a title, which holds no markup of others."""
    yield from ("<details>", f"<summary>{title}</summary>", "", *lines, "", "</details>")


def fenced(lines: Sequence[str], language: str = "") -> Iterator[str]:
    """Lines as a block of code, whatever they hold."""
    longest = max((len(run) for line in lines for run in re.findall("`{3,}", line)), default=2)
    fence = "`" * (longest + 1)
    yield from (f"{fence}{language}", *lines, fence)


def missing(commits: Sequence[str], fetch: str) -> str:
    """That commits are not here, and how to get them."""
    return f"Not in this repository: {', '.join(code(each[:SHORT_ID]) for each in commits)}. Fetch: `{fetch}`"


def take_lines(lines: Iterable[str], limit: int) -> tuple[list[str], bool]:
    """As many whole lines as have no more than `limit` characters together, and whether any were left."""
    taken: list[str] = []
    for line in lines:
        limit -= len(line) + 1
        if limit < 0:
            return taken, True
        taken.append(line)
    return taken, False
