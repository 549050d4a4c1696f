"""`runstone diff`: two runs side by side, section by section."""

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from runstone.cli.command import command
from runstone.cli.output import Form, clean, cut, display_width, emit_json, format_value, heading, hint, json_option
from runstone.cli.session import RUN, Session, pass_session

if TYPE_CHECKING:
    from runstone.records.run import Run
    from runstone.tracking.compare import CommitRange, Comparison, Difference

_SIGNS = {"added": "+", "removed": "-", "changed": "~", "equal": " "}
_COLORS = {"added": "green", "removed": "red", "changed": "yellow"}
_SHORT_ID = 12
_WIDEST = 60
"""Columns that values are aligned to in a pipe; longer ones stand out, or one long value would widen every line."""

# As `tracking.compare.SECTIONS`, which a test compares: the help must not import what compares.
_NAMES = "run, params, metrics, tags, datasets, environment, packages, source, commits"


@command(
    "diff",
    examples="""
    runstone diff brave-otter-17 calm-fox-3      what differs between two runs
    runstone diff 0192f3 0192f4 --only metrics   only the metrics
    runstone diff 0192f3 0192f4 --all --json     what is equal, too, for a program
    """,
)
@click.argument("run_a", metavar="A", type=RUN)
@click.argument("run_b", metavar="B", type=RUN)
@click.option("--only", multiple=True, metavar="SECTIONS", help=f"Only these, parted by commas: {_NAMES}.")
@click.option("--all", "with_equal", is_flag=True, help="Show what is equal, too.")
@json_option
@pass_session
def diff(session: Session, run_a: str, run_b: str, only: tuple[str, ...], with_equal: bool, form: Form) -> None:
    """Compare two runs: from A to B.

    A and B are ids, unambiguous beginnings of them, or names. `+` marks what only B has, `-` what only A has, `~` what
    changed. The code's commits are listed as `git log A..B` does, in either direction.
    """
    from runstone.tracking.compare import SECTIONS, compare_runs

    chosen = [name.strip().lower() for text in only for name in text.split(",") if name.strip()] or SECTIONS
    found = compare_runs(session.workspace, run_a, run_b, sections=chosen)
    if form == "json":
        emit_json(_as_json(found, with_equal))
        return
    _print_runs(found.a, found.b)
    printed = False
    for name, differences in found.sections.items():
        shown = [each for each in differences if with_equal or each.state != "equal"]
        if shown:
            heading(name.capitalize())
            _print_rows([_row(name, each) for each in shown])
            printed = True
    if found.commits is not None:
        printed |= _print_commits(found.commits, with_equal)
    if not printed:
        hint(f"no difference in {', '.join(name for name in SECTIONS if name in chosen)}")


# --- JSON


def _as_json(found: "Comparison", with_equal: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"a": _identity(found.a), "b": _identity(found.b)}
    for name, differences in found.sections.items():
        kept = [each for each in differences if with_equal or each.state != "equal"]
        document[name] = [_entry(name, each) for each in kept]
    if found.commits is not None:
        commits = found.commits
        document["commits"] = {
            "a": commits.a,
            "b": commits.b,
            "missing": commits.missing,
            "only_a": [{"id": each.id, "subject": each.subject} for each in commits.only_a],
            "only_b": [{"id": each.id, "subject": each.subject} for each in commits.only_b],
            "count_a": commits.count_a,
            "count_b": commits.count_b,
        }
    return document


def _identity(run: "Run") -> dict[str, Any]:
    return {"run_id": run.id, "run_name": run.name, "experiment": run.experiment}


def _entry(section: str, difference: "Difference") -> dict[str, Any]:
    entry: dict[str, Any] = {"key": difference.key, "state": difference.state}
    if difference.state != "added":
        entry["a"] = difference.a
    if difference.state != "removed":
        entry["b"] = difference.b
    if section == "metrics":
        entry |= {"change": difference.change, "relative": difference.relative}
    return entry


# --- text


def _print_runs(a: "Run", b: "Run") -> None:
    rows = [(each.name, each.id, each.experiment) for each in (a, b)]
    widths = [max(display_width(clean(row[at])) for row in rows) for at in range(3)]
    for label, color, row in (("-", "red", rows[0]), ("+", "green", rows[1])):
        cells = [_pad(clean(cell), width) for cell, width in zip(row, widths, strict=True)]
        click.echo(
            f"{click.style(label, fg=color)} {click.style(cells[0], bold=True)}  {'  '.join(cells[1:]).rstrip()}"
        )


def _row(section: str, difference: "Difference") -> tuple[str, Sequence[str]]:
    """The state, and the key, both values and, of metrics, the change, as text."""
    key = clean(difference.key.removesuffix("_ms"))
    a = "" if difference.state == "added" else _show(section, difference.key, difference.a)
    b = "" if difference.state == "removed" else _show(section, difference.key, difference.b)
    if a == b and difference.state == "changed":  # as 1 and "1", or two numbers alike to six digits
        a, b = clean(json.dumps(difference.a)), clean(json.dumps(difference.b))
    cells = [key, a, b]
    if section == "metrics":
        change, relative = (None, None) if a == b else (difference.change, difference.relative)
        cells += ["" if change is None else f"{change:+.6g}", "" if relative is None else f"{relative:+.2%}"]
    return difference.state, cells


def _show(section: str, key: str, value: Any) -> str:
    if key == "duration_ms" and section == "run":
        return format_value(value, "duration")
    if section == "source" and key in ("commit", "snapshot"):
        return clean(value[:_SHORT_ID])
    if section == "source" and key == "command":
        import shlex

        return clean(shlex.join(value))
    return format_value(value)


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
        line = f"{_SIGNS[state]} {'  '.join(padded)}".rstrip()
        click.echo(click.style(line, fg=_COLORS[state]) if state in _COLORS else line)


def _narrow(widths: list[int], room: int) -> None:
    """Make key and values narrower until a row fits, the widest first."""
    while sum(widths) + 2 * (len(widths) - 1) > room:
        at = max(range(3), key=lambda i: widths[i])
        if widths[at] <= 8:
            return
        widths[at] -= 1


def _print_commits(commits: "CommitRange", with_equal: bool) -> bool:
    if commits.missing:
        heading("Commits")
        ids = ", ".join(clean(each[:_SHORT_ID]) for each in commits.missing)
        click.echo(f"  not in this repository: {ids}. Fetch what others have: git fetch --all")
        return True
    if commits.a is None or commits.b is None or commits.a == commits.b:
        if with_equal and commits.a == commits.b and commits.a is not None:
            heading("Commits")
            click.echo(f"  both at {commits.a[:_SHORT_ID]}")
            return True
        return False
    heading("Commits")
    a, b = commits.a[:_SHORT_ID], commits.b[:_SHORT_ID]
    _print_log(
        "+", "green", f"git log --oneline {a}..{b}", commits.count_b, [(c.id, c.subject) for c in commits.only_b]
    )
    _print_log("-", "red", f"git log --oneline {b}..{a}", commits.count_a, [(c.id, c.subject) for c in commits.only_a])
    return True


def _print_log(sign: str, color: str, log: str, count: int, commits: Iterable[tuple[str, str]]) -> None:
    if not count:
        return
    click.echo(f"  {count} {'commit' if count == 1 else 'commits'}: {log}")
    listed = list(commits)
    for id_, subject in listed:
        click.echo(click.style(f"{sign} {id_[:_SHORT_ID]} {clean(subject)}", fg=color))
    if count > len(listed):
        click.echo(f"  … and {count - len(listed)} more")


def _pad(text: str, width: int, *, right: bool = False) -> str:
    space = " " * (width - display_width(text))
    return space + text if right else text + space
