"""Two runs side by side, as text for a terminal or a pipe."""

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from runstone.cli.output import clean, cut, display_width, heading
from runstone.tracking.rows import (
    SHORT_ID,
    SIGNS,
    code_notes,
    missing_note,
    path_cell,
    same_note,
    shown_rows,
    summarize,
)

if TYPE_CHECKING:
    from runstone.git.code.patch import FileChange
    from runstone.records.run import Run
    from runstone.tracking.code import CodeComparison
    from runstone.tracking.compare import CommitRange, Comparison

_COLORS = {"added": "green", "removed": "red", "changed": "yellow"}
_WIDEST = 60
"""Columns that values are aligned to in a pipe; longer ones stand out, or one long value would widen every line."""

_FILES_SHOWN = 20
_PIPE_WIDTH = 80
_BARS = 40


def print_comparison(found: "Comparison", fetch: str, *, with_equal: bool) -> bool:
    """Print what differs.

    Args:
        found: The comparison.
        fetch: The command that brings commits which are missing.
        with_equal: What is equal, too.

    Returns:
        Whether there was anything to print but the names of the runs.
    """
    print_runs(found.a, found.b)
    printed = print_sections(found, with_equal=with_equal)
    if found.commits is not None:
        printed |= print_commits(found.commits, fetch, with_equal=with_equal)
    if found.code is not None:
        printed |= print_code(found, fetch)
    return printed


def print_sections(found: "Comparison", *, with_equal: bool = False) -> bool:
    """Print the params, the metrics …; whether there was anything to print."""
    printed = False
    for name in found.sections:
        rows = shown_rows(found, name, with_equal)
        if rows:
            heading(name.capitalize())
            _print_rows(rows)
            printed = True
    return printed


def print_runs(a: "Run", b: "Run") -> None:
    """Print which two are compared."""
    rows = [(each.name, each.id, each.experiment) for each in (a, b)]
    widths = [max(display_width(clean(row[at])) for row in rows) for at in range(3)]
    for label, color, row in (("-", "red", rows[0]), ("+", "green", rows[1])):
        cells = [_pad(clean(cell), width) for cell, width in zip(row, widths, strict=True)]
        click.echo(
            f"{click.style(label, fg=color)} {click.style(cells[0], bold=True)}  {'  '.join(cells[1:]).rstrip()}"
        )


def print_commits(commits: "CommitRange", fetch: str, *, with_equal: bool = False) -> bool:
    """Print the history between the two; whether there was any."""
    if commits.missing:
        heading("Commits")
        click.echo(f"  {missing_note(commits.missing, fetch)}")
        return True
    if commits.a is None or commits.b is None or commits.a == commits.b:
        if with_equal and commits.a == commits.b and commits.a is not None:
            heading("Commits")
            click.echo(f"  both at {commits.a[:SHORT_ID]}")
            return True
        return False
    heading("Commits")
    a, b = commits.a[:SHORT_ID], commits.b[:SHORT_ID]
    _print_log(
        "+", "green", f"git log --oneline {a}..{b}", commits.count_b, [(c.id, c.subject) for c in commits.only_b]
    )
    _print_log("-", "red", f"git log --oneline {b}..{a}", commits.count_a, [(c.id, c.subject) for c in commits.only_a])
    return True


def print_code(found: "Comparison", fetch: str, *, hints: bool = True) -> bool:
    """Print which files of the code differ, and with `hints` what shows how; whether any do, or it cannot be told."""
    code = found.code
    if code is None or (code.a is None and code.b is None):
        return False
    heading("Code")
    if code.missing:
        click.echo(f"  {missing_note(code.missing, fetch)}")
    elif code.is_same:
        click.echo(f"  {clean(same_note(code))}")
    elif code.files:
        for line in stat_lines(code, limit=_FILES_SHOWN):
            click.echo(f" {line}")
        if hints:
            click.echo(f"  See it: runstone diff {found.a.id} {found.b.id} --code")
    for note in code_notes(found):
        click.echo(f"  {note}")
    return not code.is_same


def stat_lines(code: "CodeComparison", *, limit: int | None = None) -> Iterator[str]:
    """What changed in each file, and in all, as `git diff --stat` shows it."""
    files = code.files or ()
    shown = files[:limit]
    paths = [path_cell(each) for each in shown]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_WIDTH
    most = max((_total(each) for each in shown), default=0)
    number = len(str(most))
    if any(each.insertions is None for each in shown):
        number = max(number, 3)
    longest = max(map(display_width, paths), default=0)
    if sys.stdout.isatty():
        longest = min(longest, max(20, width - number - 16))
    room = max(10, min(_BARS, width - longest - number - 6))
    for path, each in zip(paths, shown, strict=True):
        text = _pad(cut(path, longest), longest)
        if each.insertions is None or each.deletions is None:
            yield f" {text} | {'Bin'.rjust(number)}"
        else:
            bar = _bar(each.insertions, each.deletions, most, room)
            yield f" {text} | {str(_total(each)).rjust(number)} {bar}".rstrip()
    if len(files) > len(shown):
        yield f" … and {len(files) - len(shown)} more files"
    if files:
        yield f" {summarize(code)}"


def _total(change: "FileChange") -> int:
    return (change.insertions or 0) + (change.deletions or 0)


def _bar(insertions: int, deletions: int, most: int, room: int) -> str:
    """Plus and minus signs; where there is no room for one a line, in proportion, but at least one of each kind."""
    if most > room:
        insertions, deletions = (n and max(1, n * room // most) for n in (insertions, deletions))
    signs = (("+" * insertions, "green"), ("-" * deletions, "red"))
    return "".join(click.style(text, fg=color) for text, color in signs if text)


def _print_rows(rows: Sequence[tuple[str, Sequence[str]]]) -> None:
    widths = [max(display_width(cells[at]) for _, cells in rows) for at in range(len(rows[0][1]))]
    is_cut = sys.stdout.isatty()
    if is_cut:
        _narrow(widths, shutil.get_terminal_size().columns - 2)
    else:
        widths = [min(width, _WIDEST) for width in widths]
    for state, cells in rows:
        fitted = [cut(cell, width) if is_cut else cell for cell, width in zip(cells, widths, strict=True)]
        padded = [_pad(cell, width, right=at > 2) for at, (cell, width) in enumerate(zip(fitted, widths, strict=True))]
        line = f"{SIGNS[state]} {'  '.join(padded)}".rstrip()
        click.echo(click.style(line, fg=_COLORS[state]) if state in _COLORS else line)


def _narrow(widths: list[int], room: int) -> None:
    """Make key and values narrower until a row fits, the widest first."""
    while sum(widths) + 2 * (len(widths) - 1) > room:
        at = max(range(3), key=lambda i: widths[i])
        if widths[at] <= 8:
            return
        widths[at] -= 1


def _print_log(sign: str, color: str, log: str, count: int, commits: Iterable[tuple[str, str]]) -> None:
    if not count:
        return
    click.echo(f"  {count} {'commit' if count == 1 else 'commits'}: {log}")
    listed = list(commits)
    for id_, subject in listed:
        click.echo(click.style(f"{sign} {id_[:SHORT_ID]} {clean(subject)}", fg=color))
    if count > len(listed):
        click.echo(f"  … and {count - len(listed)} more")


def _pad(text: str, width: int, *, right: bool = False) -> str:
    space = " " * (width - display_width(text))
    return space + text if right else text + space
