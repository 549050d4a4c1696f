"""Two runs side by side, as Markdown for a pull request: tables, and the patch folded away.

All that records, files and commits say stands in code, where it can neither mention anybody, nor link, nor be HTML.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from runstone.tracking.markdown import code, details, fenced, missing, table, take_lines
from runstone.tracking.rows import SHORT_ID, SIGNS, code_notes, path_cell, same_note, shown_rows, summarize

if TYPE_CHECKING:
    from runstone.tracking.compare import Commit, CommitRange, Comparison

PATCH_LIMIT = 40_000
"""Characters of a patch at most: GitHub takes comments of 65,536."""

_ROWS_OPEN = 20
_ROWS_SHOWN = 200
_COMMITS_SHOWN = 20
_FILES_SHOWN = 100


def format_md(found: "Comparison", fetch: str, patch: Iterable[str], *, with_equal: bool = False) -> str:
    """A comparison as Markdown.

    Args:
        found: The comparison.
        fetch: The command that brings commits which are missing.
        patch: The lines of the patch; no more are read than are shown.
        with_equal: What is equal, too.
    """
    lines = [
        f"### {code(found.a.name)} → {code(found.b.name)}",
        "",
        *table(("", "run", "id", "experiment"), [_run(found, "−"), _run(found, "+")]),
    ]
    for name in found.sections:
        rows = shown_rows(found, name, with_equal)
        if rows:
            lines += ["", *_folded(name.capitalize(), len(rows), list(_section(found, name, rows)))]
    if found.commits is not None:
        lines += _commits(found.commits, fetch)
    lines += _code(found, fetch, patch)
    return "\n".join(lines) + "\n"


def _run(found: "Comparison", sign: str) -> tuple[str, ...]:
    run = found.a if sign == "−" else found.b
    return sign, code(run.name), code(run.id), code(run.experiment)


def _section(found: "Comparison", name: str, rows: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    head = ["", "", code(found.a.name), code(found.b.name)]
    if name == "metrics":
        head += ["change", "relative"]
    shown = ([code(SIGNS[state]), *map(code, cells)] for state, cells in rows[:_ROWS_SHOWN])
    yield from table(head, shown)
    if len(rows) > _ROWS_SHOWN:
        yield ""
        yield f"… and {len(rows) - _ROWS_SHOWN} more"


def _folded(title: str, count: int, lines: Sequence[str]) -> Iterator[str]:
    if count <= _ROWS_OPEN:
        yield f"#### {title}"
        yield ""
        yield from lines
    else:
        yield from details(f"{title}: {count}", lines)


def _commits(commits: "CommitRange", fetch: str) -> Iterator[str]:
    if commits.missing:
        yield from ("", "#### Commits", "", missing(commits.missing, fetch))
        return
    if not (commits.count_a or commits.count_b) or commits.a is None or commits.b is None:
        return
    yield from ("", "#### Commits", "")
    a, b = commits.a[:SHORT_ID], commits.b[:SHORT_ID]
    yield from _log("+", f"git log {a}..{b}", commits.count_b, commits.only_b)
    yield from _log("-", f"git log {b}..{a}", commits.count_a, commits.only_a)


def _log(sign: str, command: str, count: int, commits: "Sequence[Commit]") -> Iterator[str]:
    if not count:
        return
    yield f"{count} {'commit' if count == 1 else 'commits'}: `{command}`"
    yield ""
    for each in commits[:_COMMITS_SHOWN]:
        yield f"- {code(sign)} {code(each.id[:SHORT_ID])} {code(each.subject)}"
    if count > _COMMITS_SHOWN:
        yield f"- … and {count - _COMMITS_SHOWN} more"
    yield ""


def _code(found: "Comparison", fetch: str, patch: Iterable[str]) -> Iterator[str]:
    compared = found.code
    if compared is None or (compared.a is None and compared.b is None):
        return
    yield from ("", "#### Code", "")
    if compared.missing:
        yield missing(compared.missing, fetch)
    elif compared.is_same:
        yield "Same code." if compared.is_matched else code(same_note(compared))
    elif compared.files:
        yield f"{summarize(compared)}"
        yield ""
        rows = [
            (
                code(path_cell(each)),
                "binary" if each.insertions is None else f"+{each.insertions}",
                "" if each.deletions is None else f"−{each.deletions}",
            )
            for each in compared.files[:_FILES_SHOWN]
        ]
        yield from table(("file", "", ""), rows)
        if len(compared.files) > _FILES_SHOWN:
            yield ""
            yield f"… and {len(compared.files) - _FILES_SHOWN} more files"
        yield from _patch(patch, f"runstone diff {found.a.id} {found.b.id} --code")
    for note in code_notes(found):
        yield ""
        yield f"Note: {code(note, limit=2000)}"


def _patch(patch: Iterable[str], command: str) -> Iterator[str]:
    lines, is_cut = take_lines(patch, PATCH_LIMIT)
    rest = ("", f"The whole patch: `{command}`") if is_cut else ()
    yield ""
    yield from details("Patch, its beginning" if is_cut else "Patch", (*fenced(lines, "diff"), *rest))
