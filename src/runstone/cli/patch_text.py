"""A patch for people: git's colours on the parts of it, and nothing of its content that could steer a terminal."""

from collections.abc import Iterable, Iterator

import click

from runstone.tracking.shown import clean

HEADER, PLACE, NEW, OLD, CONTEXT = "header", "place", "new", "old", "context"
_COLORS = {PLACE: "cyan", NEW: "green", OLD: "red"}
_KINDS = {"@": PLACE, "+": NEW, "-": OLD}


def read_lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """The lines of a patch as text, control characters but for tabs as escapes."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield clean(line.decode("utf-8", "replace"), keep="\t")
    if rest:
        yield clean(rest.decode("utf-8", "replace"), keep="\t")


def classify(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each line with what it is. No line of content can pass for a header: they begin with a sign or a space."""
    in_header = True
    for line in lines:
        if line.startswith("diff --git "):
            in_header = True
        elif line.startswith("@@ "):
            in_header = False
        yield (HEADER if in_header else _KINDS.get(line[:1], CONTEXT)), line


def color_lines(lines: Iterable[str]) -> Iterator[str]:
    """Each line in its colour."""
    for kind, line in classify(lines):
        yield click.style(line, fg=_COLORS.get(kind), bold=True if kind == HEADER else None) if line else line
