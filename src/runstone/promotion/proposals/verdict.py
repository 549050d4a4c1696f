"""What stands in the way of a change: what the policy refuses, gates that fail, approvals that are lacking."""

from dataclasses import dataclass

from runstone.errors import GatesNotPassed
from runstone.promotion.rules.approvals import Rules, collect, lacking, with_note
from runstone.promotion.rules.judgement import judge
from runstone.promotion.rules.settings import judged_changes
from runstone.records.approval import ApprovalNote
from runstone.tracking.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why a change may not be made.

    Attributes:
        reasons: One line each; empty when it may be.
        is_undecided: Whether all that is in the way is that something could not be judged.
    """

    reasons: tuple[str, ...] = ()
    is_undecided: bool = False


def hindrance(workspace: Workspace, base: str, head: str) -> Hindrance:
    """What the policy of `base` has against the changes up to `head`: problems, and gates that do not pass."""
    judgement = judge(workspace, base, head)
    if judgement.result == "pass":
        return Hindrance()
    reasons = list(judgement.problems)
    for judged in judgement.judged:
        reasons += judged.problems
        reasons += [f"{v.gate}: {v.message}" for v in judged.verdicts if v.result in ("fail", "unknown")]
    reasons = reasons or [f"It was judged: {judgement.result}."]
    return Hindrance(tuple(dict.fromkeys(reasons)), judgement.result == "unknown")


def refuse_failures(workspace: Workspace, base: str, head: str, what: str, *, may_bypass: bool) -> None:
    """Refuse a change that is to be made at once; raises `GatesNotPassed`, which says whether anybody may bypass."""
    found = hindrance(workspace, base, head)
    if found.reasons:
        raise GatesNotPassed(what, found.reasons, undecided=found.is_undecided, may_bypass=may_bypass)


def missing_approvals(workspace: Workspace, base: str, merge: str, note: ApprovalNote | None = None) -> list[str]:
    """What is lacking for a merge to count as approved, by the policy of the commit that it was made on.

    Args:
        workspace: The repository.
        base: The commit that it was made on.
        merge: The merge commit.
        note: What the forge knows of the request, which is noted in git only once it is merged.
    """
    repo = workspace.repo
    evidence, rules = collect(repo, merge), Rules(repo, base)
    if note is not None:
        evidence = with_note(repo, evidence, note, base)
    asked = [rule for change in judged_changes(repo, base, merge) for rule in rules.needed(change)]
    found = [lacking(rule, evidence) for rule in dict.fromkeys(asked)]
    return list(dict.fromkeys(sentence for sentences in found for sentence in sentences))
