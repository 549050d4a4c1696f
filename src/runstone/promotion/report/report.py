"""The report on a proposal: what it changes, told in Markdown to those who shall approve it.

What does not fit a forge's limit is left out, what matters least first, and the report says so.
"""

from collections.abc import Iterable, Iterator, Sequence
from difflib import unified_diff
from functools import cached_property
from shlex import quote

from runstone import names
from runstone.errors import UsageError
from runstone.git import transport
from runstone.git.repository import Repository
from runstone.promotion.ci.context import bring_commits
from runstone.promotion.ci.findings import Finding
from runstone.promotion.forge import find_forge
from runstone.promotion.report import text as text
from runstone.promotion.report.described import describe
from runstone.promotion.report.places import path_of
from runstone.promotion.report.subject import Subject, code_of, compare_subjects, subject_of_request, subject_of_version
from runstone.promotion.report.text import Part, plain
from runstone.promotion.rules.approvals import Evidence, with_reviews
from runstone.promotion.rules.judgement import Judged, Judgement, judge
from runstone.records.stage import NO_STAGE
from runstone.registry.branch import read_file
from runstone.registry.changes import AliasChange, Change, RegistrationChange, StageChange
from runstone.registry.history.line import read_makers
from runstone.registry.layout import Place
from runstone.registry.state import read_policy
from runstone.tracking.markdown import code, table, take_lines
from runstone.tracking.workspace import Workspace

MARKER = "<!-- runstone report -->"
"""What the report begins with, so that the comment that holds it can be found and brought up to date."""

LIMIT = 60_000
"""Characters: GitHub takes 65,536."""

NO_LIMIT = 100_000_000
"""For a file or a terminal."""

_MOST_CHANGES = 50
_SET_ASIDE = "pass, with gates set aside"
_RESULTS = {
    "pass": "pass",
    "fail": "fail",
    "unknown": "cannot be decided yet",
}


def report(
    workspace: Workspace,
    base: str | None,
    head: str,
    *,
    judgement: Judgement | None = None,
    findings: Sequence[Finding] = (),
    limit: int = LIMIT,
) -> str:
    """Tell what a proposal changes, as GitHub-flavoured Markdown.

    Args:
        workspace: The repository.
        base: What the proposal is to be merged into; its policy judges.
        head: The registry as it would be after the merge: what `merged.merge_registry` gives, or the proposal itself
            where its base got nothing meanwhile.
        judgement: What was judged of the changes; it is judged now if None.
        findings: What a check found wrong with the files.
        limit: Characters at most.

    Writes:
        In a CI job or a shallow clone: objects, as the code of the runs is fetched.
    """
    if judgement is None:
        judgement = judge(workspace, base, head)
    judged = judgement.judged
    wrong = [each for each in findings if _is_serious(each) and not _is_told(each)]
    levels = {finding.level for finding in findings}
    result = (
        judgement.result
        if not levels
        else "fail"
        if "error" in levels
        else "unknown"
        if "unknown" in levels
        else "pass"
    )
    # A check has said of the files what is wrong with them, line by line.
    problems = () if findings else judgement.problems
    aside = result == "pass" and any(v.result == "bypassed" for each in judged for v in each.verdicts)
    parts = [
        _head(judged, _SET_ASIDE if aside else _RESULTS[result]),
        text.findings_part(wrong),
        text.problems_part(problems),
    ]
    report_ = _Report(workspace, base, head)
    for each in _in_order(judged)[:_MOST_CHANGES]:
        parts += report_.parts(each, judged)
    if len(judged) > _MOST_CHANGES:
        parts.append(Part("", (f"… and {len(judged) - _MOST_CHANGES} more changes",), 10))
    return _fit([part for part in parts if part is not None], limit)


def _is_serious(finding: Finding) -> bool:
    """Whether approvers must see it: also what decides how others are judged."""
    return finding.level in ("error", "unknown") or finding.kind == "judged-by"


def _is_told(finding: Finding) -> bool:
    """Whether a finding stands with the change that it is about."""
    return finding.kind.startswith("gate-") or finding.kind == "transition"


def _in_order(judged: Iterable[Judged]) -> list[Judged]:
    """What is proposed before what follows from it."""
    order = (StageChange, AliasChange, RegistrationChange)
    found = list(judged)
    return sorted(found, key=lambda each: (not isinstance(each.change, order), is_displaced(each.change, found)))


def is_displaced(change: Change, judged: Iterable[Judged]) -> bool:
    """Whether a version only makes room for another one."""
    if not isinstance(change, StageChange) or change.before == NO_STAGE:
        return False
    others = (each.change for each in judged if isinstance(each.change, StageChange))
    return any(other.key == change.key and other.after == change.before for other in others)


def _head(judged: Sequence[Judged], result: str) -> Part:
    title = "What this changes in the registry"
    rows = []
    for each in _in_order(judged)[:_MOST_CHANGES]:
        told = "makes room" if is_displaced(each.change, judged) else ""
        rows.append((plain(each.change.model), plain(describe(each.change)), told))
    lines = [MARKER, f"### {title}", ""]
    lines += [*table(("model", "change", ""), rows)] if rows else ["Nothing."]
    return Part("", (*lines, "", f"Files and gates: **{result}**."), 10)


class _Report:
    """The parts of one report, and what they share."""

    def __init__(self, workspace: Workspace, base: str | None, head: str) -> None:
        self.workspace, self.base, self.head = workspace, base, head

    @cached_property
    def evidence(self) -> Evidence:
        """Who has approved the proposal by notes of their own: it is the head, or what that merges for a trial."""
        parents = self.repo.objects.commit(self.head).parents
        proposal = parents[1] if len(parents) == 2 and parents[0] == self.base else self.head
        makers = () if self.base is None else read_makers(self.repo, self.base, proposal)
        return with_reviews(self.repo, Evidence(proposal, True, makers, None, ()), self.base)

    @property
    def repo(self) -> Repository:
        return self.workspace.repo

    def parts(self, judged: Judged, all_: Sequence[Judged]) -> list[Part | None]:
        """What there is to say of one change."""
        change = judged.change
        found = [self._title(judged), text.gates_part(judged.verdicts)]
        if is_displaced(change, all_):
            return found if judged.verdicts or judged.problems else []
        match change:
            case StageChange() if change.after != NO_STAGE:
                found += self._version(judged, change.version)
            case AliasChange() if change.after is not None:
                found += self._version(judged, change.after)
            case RegistrationChange() if change.after is not None:
                subject = subject_of_request(self.repo, change.after)
                found += self._subject(judged, subject)
                found.append(self._card(change.key))
            case StageChange() | AliasChange() | RegistrationChange():
                pass
            case _:
                found.append(self._diff(change))
        return found

    def _title(self, judged: Judged) -> Part:
        lines = [f"### {plain(describe(judged.change))}", "", *text.approvals_lines(judged.approvals, self.evidence)]
        lines += [f"- **{each}**" for each in (code(problem, limit=text.LONG) for problem in judged.problems)]
        return Part("", tuple(lines), 10)

    def _version(self, judged: Judged, version: int) -> Iterator[Part | None]:
        change = judged.change
        subject = subject_of_version(self.repo, change.key, version)
        if subject is None:
            yield Part("", (f"The git tag of v{version} is not here. Fetch it: `runstone sync`",), 10)
            return
        yield from self._subject(judged, subject)
        yield self._card(change.key)
        yield text.try_part(change.model or names.decode_component(change.key), version, judged.holder)

    def _subject(self, judged: Judged, new: Subject) -> Iterator[Part | None]:
        key, name = judged.change.key, judged.change.model
        directions = read_policy(self.repo, self.base, key).metrics
        old = None if judged.holder is None else subject_of_version(self.repo, key, judged.holder)
        if old is None:
            yield text.metrics_part_of_one(new, directions)
            yield text.facts_part(None, new, [plain(new.label)])
            return
        bring_commits(self.repo, code_of([old, new]))
        titles = [f"{plain(old.label)}, present" if old.label != new.label else plain(old.label), plain(new.label)]
        compared = compare_subjects(self.workspace, old, new)
        if compared is None:
            yield Part("", ("Their runs are not here, so they are not compared. Fetch them: `runstone sync`",), 10)
            yield text.facts_part(old, new, titles)
            return
        yield text.metrics_part(compared.sections["metrics"], titles, directions)
        yield text.facts_part(old, new, titles)
        yield text.signature_part(old, new, titles)
        url = None
        if compared.code is not None and compared.code.a is not None and compared.code.b is not None:
            url = _compare_url(self.repo, compared.code.a, compared.code.b)
        command = f"runstone diff {quote(f'{name}@{old.label}')} {quote(_what(name, new))} --code"
        yield from text.compare_parts(self.workspace, compared, titles, command, url)

    def _card(self, key: str) -> Part | None:
        path = Place("card", key).path(self.repo.config.registry)
        data = read_file(self.repo, self.head, path)
        return text.card_part(None if data is None else data.decode("utf-8", "replace"), path)

    def _diff(self, change: Change) -> Part | None:
        path = path_of(change, self.repo.config.registry)
        before, after = self._lines(self.base, path), self._lines(self.head, path)
        return text.diff_part(path, list(unified_diff(before, after, "before", "after", lineterm="")), 8)

    def _lines(self, commit: str | None, path: str) -> list[str]:
        data = None if commit is None else read_file(self.repo, commit, path)
        return [] if data is None else data.decode("utf-8", "replace").splitlines()


def _compare_url(repo: Repository, a: str, b: str) -> str | None:
    """Where the forge of the git remote shows what differs between two commits; None without a forge."""
    if not (repo.objects.is_id(a) and repo.objects.is_id(b)):
        return None
    try:
        remote = transport.find_remote(repo)
        forge = None if remote is None else find_forge(repo, remote)
    except UsageError:  # which matters to whoever asks the forge, not to who reads a report
        return None
    return None if forge is None else forge.compare_url(a, b)


def _what(name: str, subject: Subject) -> str:
    return f"{name}@{subject.label}" if subject.label.startswith("v") else subject.run_id


def _fit(parts: Sequence[Part], limit: int) -> str:
    """The parts as one text; the lightest are left out until it is short enough."""
    kept, left_out = list(parts), []
    note = 400
    while sum(part.size for part in kept) + note > limit:
        lightest = min(kept, key=lambda part: (part.weight, -part.size))
        if lightest.weight >= 10:
            break
        kept.remove(lightest)
        left_out.append(lightest.title)
    lines = [line for part in kept for line in (*part.lines, "")]
    if left_out:
        titles = ", ".join(dict.fromkeys(reversed(left_out)))
        lines.append(f"Left out, as there is no room for it here: {titles}. All of it: `runstone ci report`")
    whole = "\n".join(lines).rstrip() + "\n"
    if len(whole) <= limit:
        return whole
    shown, _ = take_lines(whole.split("\n"), limit - 120)
    return "\n".join([*shown, "", "… cut, as there is no room here. All of it: `runstone ci report`", ""])
