"""A proposal, checked as CI does: every file of the registry as it would be after the merge, then what changes.

The policy that judges is that of the target branch, never that of the proposal.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from shlex import quote
from typing import Literal

from runstone.errors import NewerFormat, RecordInvalid, RecordsSkipped, RunstoneError
from runstone.git.repository import CONFIG_FILE, Repository
from runstone.promotion.ci.context import Context, bring_tags, is_fetching
from runstone.promotion.ci.file_checks import check_files
from runstone.promotion.ci.files import File, add_versions, read_files, read_versions
from runstone.promotion.ci.findings import Finding, Level, find_line
from runstone.promotion.ci.merged import BESIDE, merge_registry
from runstone.promotion.ci.upstream import Upstream
from runstone.promotion.report.places import path_of
from runstone.promotion.report.report import LIMIT, report
from runstone.promotion.rules.judgement import Judged, Judgement, judge
from runstone.promotion.rules.past import has_held
from runstone.promotion.rules.settings import changes_file, judged_changes
from runstone.promotion.rules.settled import settled
from runstone.records import yaml
from runstone.records.stage import NO_STAGE
from runstone.registry.changes import (
    AliasChange,
    Change,
    RegistrationChange,
    StageChange,
)
from runstone.registry.layout import Place
from runstone.registry.state import read_policy
from runstone.tracking.workspace import Workspace

Result = Literal["pass", "fail", "unknown"]

_WHOLE = 2**31 - 1
"""As a depth: all of a history."""

_LEVELS: dict[str, Level] = {"fail": "error", "unknown": "unknown", "bypassed": "warning"}

_BESIDE = {
    ".mailmap": "who is the same person, and so whose approval counts",
    ".dvc/config": "where the files of models are looked for, and which programs DVC starts for that",
    ".dvc/config.local": "where the files of models are looked for, and which programs DVC starts for that",
}

_BROKEN = {"format", "format-newer", "file-unreadable"}
_MAKES_ROOM = " makes room for "
_SAID_BY_FILES = {"version-missing", "version-retired", "stage-unknown"}


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found.

    Attributes:
        context: What was judged.
        merged: The commit with the registry as it would be after the merge.
        files: How many files were checked.
        findings: What there is to say of them, by file and line.
        judgement: What is judged of the changes; None if they could not be judged.
    """

    context: Context
    merged: str
    files: int
    findings: tuple[Finding, ...]
    judgement: Judgement | None

    @property
    def result(self) -> Result:
        """Whether it may be merged, as far as files and gates tell."""
        levels = {finding.level for finding in self.findings}
        return "fail" if "error" in levels else "unknown" if "unknown" in levels else "pass"

    def count(self, level: str) -> int:
        """How many findings of a level there are."""
        return sum(finding.level == level for finding in self.findings)


def check(workspace: Workspace, context: Context, *, gates: bool = True) -> Check:
    """Check every file of the registry, and judge what a proposal changes.

    Args:
        workspace: The repository.
        context: Which commits, as `ci_context.find_context` finds them.
        gates: Whether gates are asked, too; the files and transitions alone are quick.

    Writes:
        What `bring` and `merge_registry` write: objects, and version tags that only the remote has.
    """
    workspace = settled(workspace, context.base, context.head)
    repo = workspace.repo
    registry = repo.config.registry
    merged = merge_registry(repo, context.base, context.head, context.fork)
    files = read_files(repo, merged.commit)
    if context.base != merged.commit:
        bring(repo, context, merged.commit)
    checked = check_files(registry, files, add_versions(read_versions(repo), context.remote_tags))
    findings = [_undecided(finding, context) for finding in checked.findings]
    findings += [_conflict(path, context) for path in merged.conflicts]
    findings += _beside(repo, context.base, merged.commit)
    judgement = None
    if context.base != merged.commit:  # whether a fact changed or not: what stands where facts should be tells, too
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RecordsSkipped)  # said of the file, with its line
                judgement = judge(workspace, context.base, merged.commit, gates=gates)
        except (RecordInvalid, NewerFormat) as error:
            why = f"of the target branch cannot be read, so nothing can be judged by it. {error}"
            path = str(getattr(error, "where", "")).partition(" at ")[0] or Place("policy").path(registry)
            findings.append(Finding("unknown", path, 1, "policy-broken", why))
        except RunstoneError as error:  # the registry lies elsewhere, an object is missing: nobody can tell
            findings.append(Finding("unknown", CONFIG_FILE, 1, "proposal", str(error)))
    if judgement is not None:
        told = list(_judged(repo, files, judgement, findings))
        full = {finding.path for finding in told if finding.kind == "transition"}  # which say so, too
        findings = [each for each in findings if each.kind != "stage-full" or each.path not in full] + told
    findings.sort(key=lambda each: (each.path, each.line))
    return Check(context, merged.commit, len(files), tuple(findings), judgement)


def write_report(workspace: Workspace, found: Check, *, limit: int = LIMIT) -> str:
    """The report on what was checked."""
    workspace = settled(workspace, found.context.base, found.context.head)
    return report(
        workspace,
        found.context.base,
        found.merged,
        judgement=found.judgement or Judgement(found.context.base, found.merged),
        findings=found.findings,
        limit=limit,
    )


def bring(repo: Repository, context: Context, merged: str) -> tuple[Change, ...]:
    """What changes; the version tags, runs and code that are needed to judge it are fetched where they are missing.

    Writes:
        Objects, and version tags that only the remote has.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordsSkipped)
        changes = judged_changes(repo, context.base, merged)
    bring_tags(repo, context, {change.key for change in changes if change.key})
    wanted = {change.after.commit for change in changes if isinstance(change, RegistrationChange) and change.after}
    if is_fetching(repo, context.said) and any(repo.objects.find(oid) is None for oid in wanted):
        with suppress(RunstoneError):  # what is not here is told when it is judged
            Upstream(repo).bring_runs(wanted)
    if repo.shallow and is_fetching(repo, context.said) and _may_go_back(repo, context, changes):
        with suppress(RunstoneError):
            Upstream(repo).bring_past(_WHOLE)
    return changes


def _may_go_back(repo: Repository, context: Context, changes: Sequence[Change]) -> bool:
    """Whether the past of the target is needed: it tells whether a version goes back to where it was.

    The trailer is asked only for this; what exempts a version is that past.
    """
    moves = [change for change in changes if isinstance(change, StageChange) and change.after != NO_STAGE]
    if moves and "\nProposal: rollback\n" in repo.objects.commit(context.head).message:
        return True
    with suppress(RecordInvalid, NewerFormat):  # told when it is judged
        for change in moves:
            rule = read_policy(repo, context.base, change.key).stages.get(change.after)
            if rule is not None and rule.sources is not None and change.before not in rule.sources:
                return True
    return False


def _beside(repo: Repository, base: str | None, merged: str) -> Iterator[Finding]:
    """What is no fact, and yet decides how facts are judged: whoever looks at the proposal has to see it."""
    if base is None:
        return
    for path in BESIDE:
        if changes_file(repo, base, merged, path):
            what = _BESIDE[path]
            yield Finding("warning", path, 1, "judged-by", f"is changed, which decides {what}. Look at it with care")


def _undecided(finding: Finding, context: Context) -> Finding:
    """A version that is not here may be on the remote, where that could not be asked."""
    if finding.kind != "version-missing" or context.note is None:
        return finding
    return replace(finding, level="unknown", message=f"{finding.message}. It may be on the remote: {context.note}")


def _conflict(path: str, context: Context) -> Finding:
    branch = quote(context.branch or "BRANCH")
    why = "was changed on the target branch, too, since this proposal was made, so it cannot be merged"
    return Finding(
        "error", path, 1, "conflict", f"{why}. Make it anew from there: `runstone proposals refresh {branch}`"
    )


def _judged(
    repo: Repository, files: dict[str, File], judgement: Judgement, known: Sequence[Finding]
) -> Iterator[Finding]:
    """The findings of a judgement, each at its file; what the files said already is not said again."""
    registry = repo.config.registry
    if judgement.problems and not any(each.level == "error" for each in known):
        yield from (Finding("error", CONFIG_FILE, 1, "proposal", problem) for problem in judgement.problems)
    broken = {_folder(each.path) for each in known if each.kind in _BROKEN and each.path != CONFIG_FILE}
    said = {each.path for each in known if each.kind in _SAID_BY_FILES}
    said |= {each.path for each in known if each.kind in _BROKEN and each.path == CONFIG_FILE}
    for judged in judgement.judged:
        path = path_of(judged.change, registry)
        if _folder(path) in broken:
            continue  # a file that cannot be read counts as absent, so that its model seems to change otherwise
        line = _line(judged, files.get(path))
        for problem in judged.problems:
            if _MAKES_ROOM in problem:
                yield _sent_elsewhere(repo, files, judgement.base, judged.change, problem)
            elif path not in said:
                at = _request_line(files.get(path), problem) if _is_request(judged.change) else line
                step = _way(repo, judgement.base, judged.change, problem)
                problem = f"{problem}." if step and problem.endswith("`") else problem  # which ends in a command
                yield Finding("error", path, at, "transition", f"{problem}{step}")
        for verdict in judged.verdicts:
            if verdict.result != "pass":
                about = f"{verdict.gate} {verdict.subject}".rstrip()
                yield Finding(
                    _LEVELS[verdict.result], path, line, f"gate-{verdict.gate}", f"{about}: {verdict.message}"
                )


def _folder(path: str) -> str:
    return "/".join(path.split("/")[:2])


def _sent_elsewhere(
    repo: Repository, files: dict[str, File], base: str | None, change: Change, problem: str
) -> Finding:
    """A version that makes room and is not where the policy sends it, told of the file that has to name it."""
    assert isinstance(change, StageChange)
    previous = read_policy(repo, base, change.key).stages[change.before].previous or NO_STAGE
    path = Place("stage", change.key, previous).path(repo.config.registry)
    file = files.get(path)
    if file is None:
        here = path_of(change, repo.config.registry)
        line = find_line(files[here].data or b"", "versions") if here in files else 1
        step = f"Make the file `{path}`, with {change.version} in its `versions`"
        return Finding("error", here, line, "transition", f"{problem} {step}")
    step = f"Add {change.version} to `versions` in `{path}`"
    return Finding("error", path, find_line(file.data or b"", "versions"), "transition", f"{problem} {step}")


def _is_request(change: Change) -> bool:
    return isinstance(change, RegistrationChange)


def _request_line(file: File | None, problem: str) -> int:
    """The line of a request that a problem is about."""
    about = (("digest", "digest"), ("logged no model", "path"), ("commit", "commit"))
    key = next((key for words, key in about if words in problem), "run")
    return 1 if file is None or file.data is None else find_line(file.data, key)


def _way(repo: Repository, base: str | None, change: Change, problem: str) -> str:
    """What to do about a move that the policy does not know, or a request that cannot be met."""
    if isinstance(change, RegistrationChange):
        if not any(words in problem for words in ("digest", "logged no model", "There is no run")):
            return ""
        model, run = quote(change.model), quote(change.run)
        return f" Make the request anew from the run: `runstone register {model} --run {run} --propose`"
    if not isinstance(change, StageChange):
        return ""
    rule = read_policy(repo, base, change.key).stages.get(change.after)
    if rule is None or rule.sources is None or change.before in rule.sources:
        return ""
    if has_held(repo, base, change.key, change.after, change.version):
        return ""
    first = next((source for source in rule.sources if source != NO_STAGE), None)
    if first is None:
        return f" Take {change.version} out of `versions`"
    return f" First: `runstone promote {quote(change.model)} {change.version} --stage {quote(first)}`"


def _line(judged: Judged, file: File | None) -> int:
    if file is None or file.data is None:
        return 1
    change = judged.change
    if isinstance(change, AliasChange):
        return find_line(file.data, "version")
    if not isinstance(change, StageChange):
        return 1
    try:
        versions = yaml.load(file.data, "")["versions"]
        return find_line(file.data, f"versions[{versions.index(change.version)}]")
    except (RecordInvalid, KeyError, TypeError, ValueError, AttributeError):
        return 1
