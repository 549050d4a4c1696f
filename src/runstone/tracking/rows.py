"""What is shown of two runs side by side, whatever the form: the cells of a row, the statistics of the code, notes."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runstone.tracking.shown import clean, format_size, format_value

if TYPE_CHECKING:
    from runstone.git.code.patch import FileChange
    from runstone.records.document import Document
    from runstone.tracking.code import CodeComparison
    from runstone.tracking.compare import Comparison, Difference

SIGNS = {"added": "+", "removed": "-", "changed": "~", "equal": " "}
SHORT_ID = 12


def row(section: str, difference: "Difference") -> tuple[str, Sequence[str]]:
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


def shown_rows(found: "Comparison", section: str, with_equal: bool) -> list[tuple[str, Sequence[str]]]:
    """The rows of a section that are shown."""
    return [row(section, each) for each in found.sections[section] if with_equal or each.state != "equal"]


def path_cell(change: "FileChange") -> str:
    """The path of a file, of a renamed one both."""
    new = clean(change.path)
    return new if change.old_path is None else f"{clean(change.old_path)} => {new}"


def summarize(code: "CodeComparison") -> str:
    """As git sums up: `2 files changed, 3 insertions(+), 1 deletion(-)`."""
    count = len(code.files or ())
    parts = [f"{count} {'file' if count == 1 else 'files'} changed"]
    for number, noun, sign in ((code.insertions, "insertion", "+"), (code.deletions, "deletion", "-")):
        if number:
            parts.append(f"{number} {noun if number == 1 else f'{noun}s'}({sign})")
    return ", ".join(parts)


def same_note(code: "CodeComparison") -> str:
    """What to say of code in which nothing differs."""
    if not code.is_matched:
        return f"no file of either matches {' '.join(code.paths)}"
    return f"same code{' in these paths' if code.paths else ''}"


def code_notes(found: "Comparison") -> list[str]:
    """What to know of how the code was compared."""
    code = found.code
    if code is None:
        return []
    notes = []
    for run, commit, left_out in ((found.a, code.a, code.left_out_a), (found.b, code.b, code.left_out_b)):
        name = clean(run.name)
        if run.id in code.unkept and commit is not None:
            notes.append(f"{name} ran with edits that no commit holds; the commit below them is compared")
        if left_out:
            notes.append(f"not in the snapshot of {name}: {_left_out(left_out)}")
        if commit is None and (code.a is not None or code.b is not None):
            notes.append(f"the code of {name} is not known")
    return list(dict.fromkeys(notes))


def missing_note(missing: Sequence[str], fetch: str) -> str:
    """That commits are not here, and how to get them."""
    return f"not in this repository: {', '.join(clean(each[:SHORT_ID]) for each in missing)}. Fetch: {fetch}"


def _left_out(left_out: "Sequence[Document]") -> str:
    shown = ", ".join(f"{clean(each.get('path', '?'))} ({clean(each.get('reason', '?'))})" for each in left_out[:5])
    return shown if len(left_out) <= 5 else f"{shown} and {len(left_out) - 5} more"


def _show(section: str, key: str, value: Any) -> str:
    if key == "duration_ms" and section == "run":
        return format_value(value, "duration")
    if section == "artifacts":
        size = "" if value["size"] is None else f"{format_size(value['size'])} "
        count = f"{value['files']} files " if "files" in value else ""
        return clean(f"{count}{size}{value['md5'][:SHORT_ID]}")
    if section == "source" and key in ("commit", "snapshot"):
        return clean(value[:SHORT_ID])
    if section == "source" and key == "command":
        import shlex

        return clean(shlex.join(value))
    return format_value(value)
