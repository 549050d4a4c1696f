"""Two runs side by side, as one HTML page: no script, nothing fetched, readable without colour.

What records, files and commits say is escaped; the page's policy allows its own style, known by its hash, and no more.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from runstone.cli.patch_text import classify
from runstone.tracking.markdown import take_lines
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
from runstone.tracking.shown import clean

if TYPE_CHECKING:
    from runstone.tracking.compare import Commit, CommitRange, Comparison

PATCH_LIMIT = 2_000_000
"""Characters of a patch at most."""

_ROWS_OPEN = 40
_NUMBER = ' class="number"'
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid #8884; padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; }
td { font-family: ui-monospace, monospace; font-size: .9em; overflow-wrap: anywhere; }
td.number { text-align: right; white-space: nowrap; }
.added, .new { color: light-dark(#116329, #7ee787); } .removed, .old { color: light-dark(#a40e26, #ff9790); }
.changed { color: light-dark(#7d4e00, #e3b341); } .place { color: light-dark(#0550ae, #79c0ff); }
.header { font-weight: bold; }
pre { overflow-x: auto; border: 1px solid #8884; padding: .6rem; }
summary { cursor: pointer; }
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'"


def format_html(found: "Comparison", fetch: str, patch: Iterable[str], *, with_equal: bool = False) -> str:
    """A comparison as an HTML page.

    Args:
        found: The comparison.
        fetch: The command that brings commits which are missing.
        patch: The lines of the patch; no more are read than are shown.
        with_equal: What is equal, too.
    """
    title = f"{_text(found.a.name)} → {_text(found.b.name)}"
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        '<head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style></head>",
        f"<body><h1>{title}</h1>",
        *_runs(found),
    ]
    for name in found.sections:
        rows = shown_rows(found, name, with_equal)
        if rows:
            lines += _section(found, name, rows)
    if found.commits is not None:
        lines += _commits(found.commits, fetch)
    lines += _code(found, fetch, patch)
    lines.append("</body></html>")
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    return escape(clean(value))


def _runs(found: "Comparison") -> Iterator[str]:
    yield "<table><tr><th></th><th>run</th><th>id</th><th>experiment</th></tr>"
    for state, run in (("removed", found.a), ("added", found.b)):
        cells = "".join(f"<td>{_text(each)}</td>" for each in (run.name, run.id, run.experiment))
        yield f'<tr class="{state}"><td>{SIGNS[state]}</td>{cells}</tr>'
    yield "</table>"


def _section(found: "Comparison", name: str, rows: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    title = name.capitalize()
    is_long = len(rows) > _ROWS_OPEN
    yield f"<h2>{title}</h2>"
    if is_long:
        yield f"<details><summary>{len(rows)}</summary>"
    more = "<th>change</th><th>relative</th>" if name == "metrics" else ""
    yield f"<table><tr><th></th><th></th><th>{_text(found.a.name)}</th><th>{_text(found.b.name)}</th>{more}</tr>"
    for state, cells in rows:
        shown = "".join(f"<td{_NUMBER if at > 2 else ''}>{_text(cell)}</td>" for at, cell in enumerate(cells))
        yield f'<tr class="{state}"><td>{SIGNS[state]}</td>{shown}</tr>'
    yield "</table>"
    if is_long:
        yield "</details>"


def _commits(commits: "CommitRange", fetch: str) -> Iterator[str]:
    if commits.missing:
        yield f"<h2>Commits</h2><p>{_text(missing_note(commits.missing, fetch))}</p>"
        return
    if not (commits.count_a or commits.count_b) or commits.a is None or commits.b is None:
        return
    yield "<h2>Commits</h2>"
    a, b = commits.a[:SHORT_ID], commits.b[:SHORT_ID]
    yield from _log("added", f"git log {a}..{b}", commits.count_b, commits.only_b)
    yield from _log("removed", f"git log {b}..{a}", commits.count_a, commits.only_a)


def _log(state: str, command: str, count: int, commits: "Sequence[Commit]") -> Iterator[str]:
    if not count:
        return
    yield f"<p>{count} {'commit' if count == 1 else 'commits'}: <code>{_text(command)}</code></p><table>"
    for each in commits:
        cells = f"<td>{_text(each.id[:SHORT_ID])}</td><td>{_text(each.subject)}</td>"
        yield f'<tr class="{state}"><td>{SIGNS[state]}</td>{cells}</tr>'
    yield "</table>"
    if count > len(commits):
        yield f"<p>… and {count - len(commits)} more</p>"


def _code(found: "Comparison", fetch: str, patch: Iterable[str]) -> Iterator[str]:
    compared = found.code
    if compared is None or (compared.a is None and compared.b is None):
        return
    yield "<h2>Code</h2>"
    if compared.missing:
        yield f"<p>{_text(missing_note(compared.missing, fetch))}</p>"
    elif compared.is_same:
        yield f"<p>{'Same code.' if compared.is_matched else _text(same_note(compared))}</p>"
    elif compared.files:
        yield f"<p>{_text(summarize(compared))}</p><table>"
        for each in compared.files:
            new = "binary" if each.insertions is None else f"+{each.insertions}"
            old = "" if each.deletions is None else f"−{each.deletions}"
            counts = f'<td class="number new">{new}</td><td class="number old">{old}</td>'
            yield f"<tr><td>{_text(path_cell(each))}</td>{counts}</tr>"
        yield "</table>"
        yield from _patch(patch, f"runstone diff {found.a.id} {found.b.id} --code")
    for note in code_notes(found):
        yield f"<p>Note: {_text(note)}</p>"


def _patch(patch: Iterable[str], command: str) -> Iterator[str]:
    lines, is_cut = take_lines(patch, PATCH_LIMIT)
    shown = "\n".join(f'<span class="{kind}">{escape(line)}</span>' for kind, line in classify(lines))
    yield f"<details open><summary>Patch</summary><pre>{shown}</pre></details>"
    if is_cut:
        yield f"<p>This is its beginning; all of it: <code>{_text(command)}</code></p>"
