"""Change a stage, an alias or a model at once: one commit on the default branch, where the project lets that be."""

from runstone.git.repository import Repository
from runstone.promotion.proposals.ground import plan_on, read_ground, rules_of
from runstone.promotion.proposals.plan import Plan
from runstone.promotion.proposals.proposal import format_message
from runstone.promotion.proposals.propose import Maker, Options, Outcome, propose
from runstone.promotion.rules.approvals import Rules
from runstone.registry import branch, state
from runstone.registry.changes import read_changes
from runstone.tracking.workspace import Workspace


class _Reviewed(Exception):
    """The plan needs approvals."""


def carry_out(workspace: Workspace, key: str, wish: Maker, options: Options | None = None) -> Outcome:
    """Make a change at once where the project's mode and the policy let it be; else propose it.

    Args:
        workspace: The repository.
        key: The model's folder.
        wish: What is wanted, given the model as it stands.
        options: How.

    Writes:
        One commit on the default branch, by compare-and-swap; a work tree that has it checked out goes along. Or what
        `propose` writes.

    Raises:
        GatesNotPassed: The gates do not let it through.
        LocalEdits, BranchBehind, BranchDiverged: As `registry.branch.commit_files`.
        VersionNotFound, TransitionRefused …: As `plan`.
    """
    options = options or Options()
    if options.propose or reviews(workspace.repo):
        return propose(workspace, key, wish, options)
    try:
        return _commit(workspace, key, wish)
    except _Reviewed:
        return propose(workspace, key, wish, options)


def reviews(repo: Repository) -> bool:
    """Whether `promotion: review` holds: here, or on the default branch."""
    return state.reviews(repo, branch.registry_commit(repo))


def needs_approval(repo: Repository, base: str | None, plan: Plan) -> bool:
    """Whether something that a plan changes is guarded, by the policy and the settings of the commit that it is on."""
    if base is None or not plan.changes:
        return False
    rules = Rules(repo, base)
    head = branch.draft_commit(repo, base, plan.changes)
    return any(rules.needed(change) for change in read_changes(repo, base, head))


def _commit(workspace: Workspace, key: str, wish: Maker) -> Outcome:
    repo = workspace.repo
    made: list[tuple[str | None, Plan]] = []

    def changes(base: str | None) -> dict[str, str | None]:
        ground = read_ground(repo, base, key)
        plan = plan_on(ground, wish(ground))
        made.append((base, plan))
        rules = rules_of(ground, plan)
        if any(rule.approvals is not None and rule.approvals.count for rule in rules):
            raise _Reviewed
        if plan.wish.kind == "rename" and needs_approval(repo, base, plan):
            raise _Reviewed
        if any(rule.gates for rule in rules):
            _judge(workspace, base, plan, may_bypass=any(rule.bypass for rule in rules))
        return plan.changes

    commit = branch.commit_files(repo, changes, lambda _: format_message(repo, made[-1][1], direct=True))
    base, plan = made[-1]
    return Outcome(plan, commit, is_new=commit is not None, base=base)


def _judge(workspace: Workspace, base: str | None, plan: Plan, *, may_bypass: bool) -> None:
    from runstone.promotion.proposals.verdict import refuse_failures

    message = format_message(workspace.repo, plan, direct=True)
    head = branch.make_commit(workspace.repo, base, plan.changes, message)
    if base is not None and head is not None:
        refuse_failures(workspace, base, head, plan.subject, may_bypass=may_bypass)
