"""The parts of a report as Markdown. Whatever records, files and people say stands in code; see `tracking.markdown`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from runstone.promotion.ci.annotations import without_commands
from runstone.promotion.ci.findings import Finding
from runstone.promotion.gates.protocol import Verdict
from runstone.promotion.report.subject import Subject, compare_signatures
from runstone.promotion.rules.approvals import Evidence, progress
from runstone.records.policy import Approvals, Direction
from runstone.tracking.code import CodeComparison, fetch_command
from runstone.tracking.compare import Comparison, Difference
from runstone.tracking.markdown import code, details, fenced, missing, table, take_lines
from runstone.tracking.rows import SIGNS, path_cell, row, summarize
from runstone.tracking.shown import clean, format_size, format_value
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri

ROWS_OPEN = 20
ROWS_SHOWN = 100
FILES_SHOWN = 50
CARD_LIMIT = 20_000
LONG = 600

_RESULTS = {"pass": "pass", "fail": "**fail**", "unknown": "**cannot tell**", "bypassed": "bypassed"}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a report.

    Attributes:
        title: What it is about, for the note that it was left out.
        lines: Its lines.
        weight: What is lighter is left out first; 10 stays.
    """

    title: str
    lines: tuple[str, ...]
    weight: int

    @property
    def size(self) -> int:
        """Characters."""
        return sum(len(line) + 1 for line in self.lines) + 1


def part(title: str, lines: Iterator[str] | Sequence[str], weight: int, *, count: int = 0) -> Part | None:
    """A part below a heading, folded away if it has many rows; None without any lines."""
    found = tuple(lines)
    if not found:
        return None
    if count > ROWS_OPEN:
        return Part(title, tuple(details(f"{title}: {count}", found)), weight)
    return Part(title, (f"#### {title}", "", *found), weight)


def findings_part(findings: Sequence[Finding]) -> Part | None:
    """What is wrong with the files."""
    shown = findings[:ROWS_SHOWN]
    lines = [f"- {code(f'{each.path}:{each.line}')} {code(each.message, limit=LONG)}" for each in shown]
    if len(findings) > len(shown):
        lines.append(f"- … and {len(findings) - len(shown)} more")
    return part("What is wrong", lines, 10)


def problems_part(problems: Sequence[str]) -> Part | None:
    """What is wrong with the proposal as a whole."""
    return part("What is wrong", [f"- {code(problem, limit=LONG)}" for problem in problems[:ROWS_SHOWN]], 10)


def gates_part(verdicts: Sequence[Verdict]) -> Part | None:
    """What the gates say."""
    if not verdicts:
        return None
    rows = ((code(v.gate), code(v.subject), _RESULTS[v.result], code(v.message, limit=LONG)) for v in verdicts)
    return part("Gates", table(("gate", "", "result", ""), rows), 10)


def approvals_lines(approvals: Sequence[Approvals], evidence: Evidence | None = None) -> list[str]:
    """Who must say yes, by each rule that no other one contains; and who has by now, as far as notes tell."""
    rules = [rule for rule in approvals if not any(_contains(other, rule) for other in approvals if other != rule)]
    is_told = evidence is not None and bool(evidence.approvers)
    lines = []
    for rule in rules:
        so_far = f" So far {code(progress(rule, evidence))}." if evidence is not None and is_told else ""
        lines.append(_approvals_line(rule) + so_far)
    return lines or ["No approval is needed."]


def _contains(one: Approvals, other: Approvals) -> bool:
    """Whether whatever meets one rule meets another, too."""
    return (
        one.count >= other.count
        and (not other.by or one.by == other.by)
        and (one.signed or not other.signed)
        and (other.by_author or not one.by_author)
        and (other.trailers or not one.trailers)
    )


def _approvals_line(approvals: Approvals) -> str:
    count = "1 approval" if approvals.count == 1 else f"{approvals.count} approvals"
    by = f", each by one of {', '.join(map(code, approvals.by))}" if approvals.by else ""
    own = "" if approvals.by_author else "; the author's own does not count"
    return f"Needs {count}{by}{', signed' if approvals.signed else ''}{own}."


def facts_part(old: Subject | None, new: Subject, titles: Sequence[str]) -> Part | None:
    """The two models: run, size, flavors, description."""
    sides = [new] if old is None else [old, new]
    rows = [
        ["run", *(code(_run_name(side)) for side in sides)],
        ["experiment", *(code(side.run.experiment if side.run else "") for side in sides)],
        ["status", *(code(side.run.status if side.run else "") for side in sides)],
        ["size", *_sizes(sides)],
        ["flavors", *(code(", ".join(side.flavors)) for side in sides)],
        ["description", *(code(side.description or "") for side in sides)],
        ["digest", *(code(side.digest) for side in sides)],
    ]
    kept = [cells for cells in rows if any(cells[1:])]
    return part("The model", table(["", *titles], kept), 9)


def metrics_part(
    compared: Sequence[Difference], titles: Sequence[str], directions: Mapping[str, Direction]
) -> Part | None:
    """Every metric against the present holder's, and which is better where the policy says what better is."""
    ordered = sorted(compared, key=lambda each: (each.key not in directions, each.state == "equal", each.key))
    rows = []
    for each in ordered[:ROWS_SHOWN]:
        _, cells = row("metrics", each)
        rows.append((*map(code, cells), _better(each, directions.get(each.key))))
    lines = [*table(["metric", *titles, "change", "relative", ""], rows)] if rows else []
    if len(ordered) > len(rows):
        lines += ["", f"… and {len(ordered) - len(rows)} more"]
    return part("Metrics", lines, 9, count=len(ordered))


def metrics_part_of_one(subject: Subject, directions: Mapping[str, Direction]) -> Part | None:
    """The metrics of a version that there is nothing to compare with."""
    metrics = subject.run.metrics if subject.run is not None else {}
    keys = sorted(metrics, key=lambda key: (key not in directions, key))
    rows = [(code(key), code(format_value(metrics[key].last)), _wanted(directions.get(key))) for key in keys]
    lines = [*table(("metric", "value", "better is"), rows[:ROWS_SHOWN])] if rows else []
    if len(rows) > ROWS_SHOWN:
        lines += ["", f"… and {len(rows) - ROWS_SHOWN} more"]
    return part("Metrics", lines, 9, count=len(rows))


def differences_part(
    title: str, section: str, compared: Sequence[Difference], titles: Sequence[str], weight: int
) -> Part | None:
    """What differs in params, data sets or packages."""
    found = [each for each in compared if each.state != "equal"]
    rows = []
    for each in found[:ROWS_SHOWN]:
        state, cells = row(section, each)
        rows.append((code(SIGNS[state]), *map(code, cells)))
    lines = [*table(["", "", *titles], rows)] if rows else []
    if len(found) > len(rows):
        lines += ["", f"… and {len(found) - len(rows)} more"]
    return part(title, lines, weight, count=len(found))


def signature_part(old: Subject, new: Subject, titles: Sequence[str]) -> Part | None:
    """What goes in and what comes out, if that changed: those who call the model must know."""
    found = compare_signatures(old.signature, new.signature)
    return differences_part("Signature", "signature", found, titles, 9)


def code_part(workspace: Workspace, compared: CodeComparison | None, command: str, url: str | None) -> Part | None:
    """Which files of the code differ, and how much."""
    if compared is None or (compared.a is None and compared.b is None):
        return None
    lines: list[str] = []
    if compared.missing:
        lines = [missing(compared.missing, fetch_command(workspace.repo))]
    elif compared.is_same:
        lines = ["Same code."]
    elif compared.files:
        rows = [
            (
                code(path_cell(each)),
                "binary" if each.insertions is None else f"+{each.insertions}",
                "" if each.deletions is None else f"−{each.deletions}",
            )
            for each in compared.files[:FILES_SHOWN]
        ]
        lines = [f"{summarize(compared)}: {code(command)}", "", *table(("file", "", ""), rows)]
        if len(compared.files) > FILES_SHOWN:
            lines += ["", f"… and {len(compared.files) - FILES_SHOWN} more files"]
    if url is not None and lines and not compared.is_same:
        lines += ["", f"[Compare on the forge]({url})"]
    return part("Code", lines, 6)


def card_part(card: str | None, path: str) -> Part | None:
    """The model card, as it is written: rendered, it could say anything in our name."""
    if card is None:
        return Part("Model card", (f"There is no model card: {code(path)}",), 10)
    text = "\n".join(clean(line, keep="\t") for line in card.splitlines())
    lines, is_cut = take_lines(without_commands(text).split("\n"), CARD_LIMIT)
    rest = ("", f"The rest: {code(path)}") if is_cut else ()
    return Part("Model card", tuple(details("Model card", (*fenced(lines, "markdown"), *rest))), 1)


def try_part(name: str, version: int, holder: int | None) -> Part:
    """What to paste to look at the model oneself."""
    uri = str(ModelUri(name, version))
    shell = [
        f"runstone checkout {quote(f'{name}@v{version}')}",
        f"runstone models get {quote(uri)} out",
        *([f"runstone diff {quote(f'{name}@v{holder}')} {quote(f'{name}@v{version}')}"] if holder else []),
    ]
    python = ["import runstone", "", f"model = runstone.pyfunc.load_model({uri!r})"]
    lines = (*fenced([*map(clean, shell)], "sh"), "", *fenced(python, "python"))
    return Part("How to try it", tuple(details("How to try it", lines)), 4)


def diff_part(path: str, lines: Sequence[str], weight: int) -> Part | None:
    """What changed in a small file."""
    if not lines:
        return None
    shown, is_cut = take_lines([without_commands(clean(line, keep="\t")) for line in lines], CARD_LIMIT)
    rest = ("", "…") if is_cut else ()
    return Part("changes of files", (f"{code(path)}:", "", *fenced(shown, "diff"), *rest), weight)


def compare_parts(
    workspace: Workspace, found: Comparison, titles: Sequence[str], command: str, url: str | None
) -> Iterator[Part | None]:
    """Params, code, data and packages of two runs."""
    sections = found.sections
    yield differences_part("Params", "params", sections["params"], titles, 7)
    yield code_part(workspace, found.code, command, url)
    yield differences_part("Data", "datasets", sections["datasets"], titles, 8)
    yield differences_part("Packages", "packages", sections["packages"], titles, 3)


def _run_name(side: Subject) -> str:
    return side.run_id if side.run is None else f"{side.run.name} ({side.run_id[:12]})"


def _sizes(sides: Sequence[Subject]) -> Iterator[str]:
    first = sides[0].size
    for side in sides:
        if side.size is None:
            yield ""
        elif side is sides[0] or not first:
            yield code(format_size(side.size))
        else:
            yield code(f"{format_size(side.size)} ({(side.size - first) / first:+.0%})")


def _better(each: Difference, direction: Direction | None) -> str:
    if direction is None:
        return ""
    if each.state == "removed":
        return "**missing**"
    change = each.change
    if change is None:
        return "new" if each.state == "added" else "**cannot tell**"
    if change == 0:
        return "same"
    return "better" if (change > 0) == (direction == "higher") else "**worse**"


def _wanted(direction: Direction | None) -> str:
    return direction or ""


def plain(text: str) -> str:
    """A text in a heading: as code on one line."""
    return code(re.sub(r"\s+", " ", text))
