"""Judging a proposal: each change of the registry between two commits, by the policy and the settings of the first.

Only what changed is read, so that it costs what the change costs, however large the registry. That all other files are
sound is not asked here.
"""

from dataclasses import dataclass, replace
from typing import Literal

from runstone.errors import NewerFormat, RecordInvalid
from runstone.git.repository import Repository
from runstone.promotion.gates import Candidate, Verdict, judge_gate
from runstone.promotion.rules.bypass import Bypass, read_bypass
from runstone.promotion.rules.legality import Ground, find_problems
from runstone.promotion.rules.settings import read_config
from runstone.promotion.rules.settled import settled
from runstone.promotion.rules.versions import TaggedVersion, find_version, lacks_record
from runstone.records.policy import Approvals, Policy, Rule
from runstone.records.stage import NO_STAGE
from runstone.registry.changes import AliasChange, Change, StageChange
from runstone.tracking.workspace import Workspace

Result = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What is to be said of one change.

    Attributes:
        change: The change.
        problems: What is wrong with it whatever the gates say: sentences.
        verdicts: What the gates say, in the order of the policy; none for what only leaves its place.
        approvals: Who must say yes: each of these rules must be met; none if it is free.
        holder: The version that gates compare it with: the one that it displaces, else the newest in the stage.
    """

    change: Change
    problems: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    approvals: tuple[Approvals, ...] = ()
    holder: int | None = None

    @property
    def result(self) -> Result:
        """`fail` if anything does, else `unknown` if anything is, else `pass`."""
        results = {verdict.result for verdict in self.verdicts}
        if self.problems or "fail" in results:
            return "fail"
        return "unknown" if "unknown" in results else "pass"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be said of all changes between two commits.

    Attributes:
        base: The commit whose policy judged; None before the first.
        head: The commit that was judged.
        judged: One for each change.
        problems: What is wrong with the proposal as a whole: files that cannot be read, a registry that moves.
        bypass: The wish to set gates aside, if there is one.
    """

    base: str | None
    head: str
    judged: tuple[Judged, ...] = ()
    problems: tuple[str, ...] = ()
    bypass: Bypass | None = None

    @property
    def result(self) -> Result:
        """As of one change."""
        results = {each.result for each in self.judged}
        if self.problems or "fail" in results:
            return "fail"
        return "unknown" if "unknown" in results else "pass"


def judge(workspace: Workspace, base: str | None, head: str, *, gates: bool = True) -> Judgement:
    """Judge what changed in the registry from one commit to another.

    Args:
        workspace: The repository.
        base: The commit that the proposal is against, whose policy judges; None for the first commit.
        head: The proposal's commit, or the merge that it became.
        gates: Whether to judge the gates too, which may read runs, ask the DVC remote and start programs.

    Raises:
        RecordInvalid, NewerFormat: The policy or the settings of the base cannot be read, so that nobody can judge.
    """
    was, now = read_config(workspace.repo, base).registry, _registry_at(workspace, head)
    workspace = settled(workspace, base, head)
    repo = workspace.repo
    if now is not None and now != was and base is not None and _is_any_there(repo, base, was, now):
        problem = f"`runstone.yaml` moves the registry from `{was}` to `{now}`, so nothing in it can be compared. "
        moves = f"{problem}Move it in a change that nobody has to judge."
        ground = Ground.read(repo, base, head)
        judged = [_judge_change(workspace, ground, change, None, with_gates=False) for change in ground.changes]
        return Judgement(base, head, tuple(judged), (moves, *ground.problems))
    ground = Ground.read(repo, base, head)
    bypass = read_bypass(repo, base, head)
    judged = [_judge_change(workspace, ground, change, bypass, gates) for change in ground.changes]
    return Judgement(base, head, tuple(judged), ground.problems, bypass)


def _is_any_there(repo: Repository, commit: str, *folders: str) -> bool:
    """Whether a commit has something where a registry was, or shall be."""
    tree = repo.objects.commit(commit).tree
    return any(repo.objects.entry(tree, folder) is not None for folder in folders)


def _registry_at(workspace: Workspace, head: str) -> str | None:
    """The folder of the registry by the settings at the head; None if they cannot be read, which is told elsewhere."""
    try:
        return read_config(workspace.repo, head).registry
    except (RecordInvalid, NewerFormat):
        return None


def _judge_change(
    workspace: Workspace, ground: Ground, change: Change, bypass: Bypass | None, with_gates: bool
) -> Judged:
    judged = Judged(change, find_problems(ground, change), approvals=ground.rules.needed(change))
    number = _entering(ground, change)
    if number is None or ground.base is None or not isinstance(change, StageChange | AliasChange):
        return judged
    policy = ground.policy(change.key)
    holder = _holder(ground, change)
    judged = replace(judged, holder=None if holder is None else holder.number)
    version = find_version(workspace.repo, change.key, number)
    if not with_gates or version is None:
        return judged
    rule = _rule(policy, change)
    candidate = Candidate(
        workspace=workspace,
        base=ground.base,
        head=ground.head,
        policy=policy,
        state=ground.after(change.key),
        version=version,
        holder=holder,
        stage=change.after if isinstance(change, StageChange) else None,
        alias=change.alias if isinstance(change, AliasChange) else None,
    )
    verdicts = tuple(judge_gate(gate, candidate) for gate in rule.gates)
    if bypass is not None:
        verdicts = tuple(_set_aside(verdict, bypass, rule) for verdict in verdicts)
    absent = lacks_record(workspace.repo, version)
    if absent is not None and all(verdict.result != "unknown" for verdict in verdicts):
        # No gate asked for the run, yet what the git tag claims of it is compared with nothing.
        verdicts = (*verdicts, Verdict("record", "record of the run", "unknown", absent))
    return replace(judged, verdicts=verdicts)


def _entering(ground: Ground, change: Change) -> int | None:
    """The version that comes to a place where gates stand; None if none does, or if it only makes room."""
    match change:
        case StageChange():
            return None if change.after == NO_STAGE or ground.makes_room(change) else change.version
        case AliasChange():
            return change.after
        case _:
            return None


def _rule(policy: Policy, change: StageChange | AliasChange) -> Rule:
    if isinstance(change, AliasChange):
        return policy.alias_rule(change.alias)
    return policy.stages.get(change.after, Rule())


def _holder(ground: Ground, change: StageChange | AliasChange) -> TaggedVersion | None:
    """The version to compare with: of those in the place at the base, one that goes before one that stays."""
    if isinstance(change, AliasChange):
        held: tuple[int, ...] = () if change.before is None else (change.before,)
        staying: tuple[int, ...] = ()
    else:
        held = ground.before(change.key).stages.get(change.after, ())
        staying = ground.after(change.key).stages.get(change.after, ())
    order = sorted((number for number in held), key=lambda number: (number not in staying, number), reverse=True)
    found = (find_version(ground.repo, change.key, number) for number in order)
    return next((version for version in found if version is not None), None)


def _set_aside(verdict: Verdict, bypass: Bypass, rule: Rule) -> Verdict:
    if verdict.result not in ("fail", "unknown"):
        return verdict
    refusal = bypass.refusal(rule)
    if refusal is not None:
        return replace(verdict, message=f"{verdict.message} {refusal}")
    return replace(
        verdict, result="bypassed", message=f"{verdict.message} Set aside by {bypass.author}: {bypass.reason}"
    )
