"""A table as text: cut to the width of a terminal, plain and whole in a pipe."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

import click

from runstone.tracking.shown import Kind, clean, cut, display_width, format_value

_LEAST_WIDTH = 8
_CUT_BEFORE_HIDING = 16
_RIGHT = {"number", "age", "duration", "size"}
STATUS_COLORS = {
    "FINISHED": "green",
    "FAILED": "red",
    "KILLED": "yellow",
    "RUNNING": "cyan",
    "deleted": "red",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        name: Its heading, its key in JSON, its field in CSV.
        kind: How its values are shown; JSON and CSV hold them whole. `time`, `age`: Unix milliseconds, in JSON and CSV
            as ISO 8601; `duration`: milliseconds, there seconds; `size`: bytes.
        yields: Where a terminal is too narrow for all, those with the highest number go first, of equals the last; 0
            for one that stays.
        is_whole: Whether it is never cut, as a name that is to be pasted.
    """

    name: str
    kind: Kind = "text"
    yields: int = 0
    is_whole: bool = False


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows below the headings of their columns."""
    hidden: list[str] = []
    on_terminal = sys.stdout.isatty()
    cells = [[format_value(value, column.kind) for value, column in zip(row, columns, strict=True)] for row in rows]
    headings = [clean(column.name) for column in columns]
    widths = [max(map(display_width, column)) for column in zip(headings, *cells, strict=True)]
    shown = list(range(len(columns)))
    if on_terminal:
        room = shutil.get_terminal_size().columns
        shown = _fitting(columns, widths, room)
        whole = {at for at in shown if columns[at].is_whole}
        _shrink(widths, [at for at in shown if at not in whole], room - sum(widths[at] + 2 for at in whole))
        hidden = [column.name for at, column in enumerate(columns) if at not in shown]
    is_right = [column.kind in _RIGHT for column in columns]
    kinds = [column.kind for column in columns]
    lines = [click.style(_line(headings, shown, widths, is_right), bold=True)]
    styles = {at for at in shown if kinds[at] == "status"} if _colored() else set()
    for row in cells:
        text = _line(row, shown, widths, is_right, styles)
        lines.append(text)
    click.echo("\n".join(lines))
    _say_hidden(hidden)


def _colored() -> bool:
    ctx = click.get_current_context(silent=True)
    return sys.stdout.isatty() if ctx is None or ctx.color is None else ctx.color


def _line(
    cells: Sequence[str],
    shown: Sequence[int],
    widths: Sequence[int],
    is_right: Sequence[bool],
    styles: Iterable[int] = (),
) -> str:
    parts = []
    for at in shown:
        text = cut(cells[at], widths[at])
        padding = " " * (widths[at] - display_width(text))
        if at in styles:
            text = click.style(text, fg=STATUS_COLORS.get(cells[at]))
        parts.append(padding + text if is_right[at] else text + padding)
    return "  ".join(parts).rstrip()


def _fitting(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """The columns that are shown, as `Column.yields` says."""
    shown = list(range(len(columns)))
    for at in sorted(shown, key=lambda i: (columns[i].yields, i), reverse=True):
        if not columns[at].yields or sum(min(widths[i], _CUT_BEFORE_HIDING) + 2 for i in shown) - 2 <= room:
            break
        shown.remove(at)
    return shown


def _say_hidden(names: Sequence[str]) -> None:
    """Say, on standard error, what the terminal was too narrow for."""
    if names:
        step = (
            f"Show one all the same: `-c {quote(f'+{names[-1]}')}`" if _takes_columns() else "A pipe shows all: `| cat`"
        )
        text = clean(f"No room for {', '.join(names)}. {step}")
        click.echo(click.style(text, dim=True), err=True)


def _takes_columns() -> bool:
    """Whether the command that runs has an option that chooses columns."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and any("-c" in param.opts for param in ctx.command.params)


def _shrink(widths: list[int], shown: Sequence[int], room: int) -> None:
    """Cut the widest columns to one width, the largest with which all fit, but not below what still says something."""
    low, high = _LEAST_WIDTH, max((widths[at] for at in shown), default=0)
    while low < high:
        cap = (low + high + 1) // 2
        if sum(min(widths[at], cap) + 2 for at in shown) - 2 <= room:
            low = cap
        else:
            high = cap - 1
    for at in shown:
        widths[at] = min(widths[at], low)
