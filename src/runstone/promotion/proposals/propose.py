"""Open a proposal: one commit from the up-to-date default branch, on a branch of its own, pushed, and a request for it.

The work tree, the index and the branch that is checked out are not touched. Whoever asks for the same again gets the
proposal that is there; where the default branch has moved on beneath it, it is made anew in its place.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from runstone.errors import BranchTaken, NotProposed, ProposalUnclear, RefMoved, RemoteUnreachable, RunstoneError
from runstone.git.checkouts import checkouts
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.stream import Progress
from runstone.promotion.ci.merged import merge_registry
from runstone.promotion.proposals import publish
from runstone.promotion.proposals.ground import Ground, plan_on, read_ground, rules_of
from runstone.promotion.proposals.listing import fork_point, state_of
from runstone.promotion.proposals.look import View, look
from runstone.promotion.proposals.plan import Plan, Wish
from runstone.promotion.proposals.proposal import format_message, read_wish
from runstone.promotion.proposals.request import Asked, ask_for_review
from runstone.promotion.proposals.verdict import hindrance
from runstone.registry import branch
from runstone.registry.people import parse_person
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace

Maker = Callable[[Ground], Wish]
"""What makes the wish out of the model as it stands on the up-to-date default branch."""

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Options:
    """How a change is made.

    Attributes:
        propose: Whether it is proposed even where the project lets it be made at once.
        push: Whether the proposal is pushed; else it stays here, and a remote that is away does not matter.
        draft: Whether the request on the forge is a draft.
        reviewers: Accounts on the forge that are asked to look.
        labels: Labels of the request.
        remote: The git remote; see `transport.find_remote`.
        progress: Told of git's steps.
    """

    propose: bool = False
    push: bool = True
    draft: bool = False
    reviewers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    remote: str | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a wish.

    Attributes:
        plan: What it came to.
        commit: The commit made, or that of the proposal that was there; None where there was nothing to do.
        is_proposal: Whether that is a proposal; else it is on the default branch.
        is_new: Whether it was made by this call.
        base: The commit that it was planned on.
        remote: The remote that it was pushed to.
        is_sent: Whether that got it by this call.
        asked: The request for review.
        hindrances: What the gates have against a proposal that was just made, where no request on a forge tells.
    """

    plan: Plan
    commit: str | None = None
    is_proposal: bool = False
    is_new: bool = False
    base: str | None = None
    remote: str | None = None
    is_sent: bool = False
    asked: Asked = field(default_factory=Asked)
    hindrances: tuple[str, ...] = ()


def propose(workspace: Workspace, key: str, wish: Maker, options: Options | None = None) -> Outcome:
    """Open the proposal of a wish, or find it.

    Args:
        workspace: The repository.
        key: The model's folder.
        wish: What is wanted, given the model as it stands.
        options: How.

    Writes:
        One commit, the branch of the proposal here and on the remote, and a request on the forge; what `look` brings.

    Raises:
        NotProposed: The remote cannot be asked, and the proposal is to be pushed.
        BranchRefused: It does not take the branch; then there is none here, either.
        BranchTaken: The branch holds something else.
        RefMoved: Others proposed the same, again and again.
        VersionNotFound, TransitionRefused …: As `plan`.
    """
    options, repo = options or Options(), workspace.repo
    for attempt in range(_ATTEMPTS):
        view = ask_remote(repo, options)
        ground = read_ground(repo, view.tip, key)
        made = plan_on(ground, wish(ground))
        if made.nothing:
            return Outcome(made, base=view.tip)
        if options.push and view.is_fresh and share_versions(workspace, view, made, options):
            continue
        try:
            outcome = open_proposal(workspace, view, made, options)
        except RefMoved:
            if attempt == _ATTEMPTS - 1:
                raise
            continue
        if outcome.asked.url is None and any(rule.gates for rule in rules_of(ground, made)):
            return replace(outcome, hindrances=_hindrances(workspace, view, outcome))
        return outcome
    raise AssertionError("unreachable")


def ask_remote(repo: Repository, options: Options) -> View:
    """What there is to propose to; raises `NotProposed` where the remote is away, and the proposal is to be pushed."""
    try:
        view = look(repo, may_fail=not options.push, remote=options.remote, progress=options.progress)
    except RemoteUnreachable as error:
        raise NotProposed(error.remote, error.url, error.why) from error
    if view.tip is None:
        step = f"`git commit --allow-empty -m Begin && git push -u {view.remote or 'origin'} {view.branch}`"
        raise RunstoneError(f"`{view.target}` has no commit yet, so there is nothing to propose to. Make one: {step}")
    return view


def open_proposal(
    workspace: Workspace, view: View, plan: Plan, options: Options, *, replaces: str | None = None
) -> Outcome:
    """Put a plan on its branch, and ask for review.

    Args:
        workspace: The repository.
        view: What is known of the shared repository.
        plan: What to propose; there must be something to do.
        options: How.
        replaces: A commit that may be replaced, whatever it is.

    Raises:
        As `propose`.
    """
    repo, ref = workspace.repo, f"refs/heads/{plan.branch}"
    remote = view.remote if options.push and view.is_fresh else None
    local, shared = repo.refs.read(ref), view.there.get(ref)
    commit, is_new = None, False
    for there in dict.fromkeys(oid for oid in (shared, local) if oid is not None):
        if _is_same(repo, view, plan, there):
            commit = commit or there
        elif there != replaces:
            _check_replaceable(repo, view, plan, there)
    if commit is None:
        commit, is_new = branch.make_commit(repo, view.tip, plan.changes, format_message(repo, plan)), True
        assert commit is not None, "a plan that changes nothing says so"
    if local not in (commit, None):
        taken = checkouts(repo, ref)
        if taken:
            raise BranchTaken(plan.branch, f"is checked out in {taken[0]}")
    if remote is not None:
        publish.publish(repo, remote, ref, commit, shared, options.progress)
    if local != commit:
        repo.refs.update([RefUpdate(ref, commit, local)])
    outcome = Outcome(plan, commit, True, is_new, view.tip, remote, remote is not None and shared != commit)
    if remote is None:
        return outcome
    base = fork_point(repo, view, commit) or view.tip
    assert base is not None
    return replace(outcome, asked=ask_for_review(workspace, view, plan, commit, base, options))


def _hindrances(workspace: Workspace, view: View, outcome: Outcome) -> tuple[str, ...]:
    """What stands in the way of a proposal; it is made all the same, and judged again when it is merged."""
    assert view.tip is not None
    assert outcome.commit is not None
    base = fork_point(workspace.repo, view, outcome.commit)
    try:
        merged = merge_registry(workspace.repo, view.tip, outcome.commit, base)
        return hindrance(workspace, view.tip, merged.commit).reasons
    except RunstoneError as error:
        return (str(error),)


def _is_same(repo: Repository, view: View, plan: Plan, commit: str) -> bool:
    """Whether a branch's commit proposes just this, and can be merged as it is."""
    found = repo.objects.commit(commit)
    base = fork_point(repo, view, commit)
    if base is None or found.parents != (base,) or state_of(repo, view, commit, base) not in ("open", "stale"):
        return False
    try:
        wish = read_wish(repo, found, plan.branch)
    except ProposalUnclear:
        return False
    if _essence(wish) != _essence(plan.wish):
        return False
    made = branch.make_commit(repo, base, plan.changes, "")
    return made is not None and repo.objects.commit(made).tree == found.tree


def _essence(wish: Wish) -> Wish:
    """A wish without what trailers do not keep to the letter."""
    return replace(wish, model="", why=None, registration=None)


def _place(wish: Wish) -> tuple[str | None, ...]:
    """What of a wish cannot differ between two forms of one proposal."""
    return wish.kind, wish.key, wish.stage, wish.alias, wish.new_name


def _check_replaceable(repo: Repository, view: View, plan: Plan, commit: str) -> None:
    """See that a branch in the way is an older form of the same proposal, or one whose changes have been merged."""
    base = fork_point(repo, view, commit)
    if state_of(repo, view, commit, base) == "merged":
        return
    found = repo.objects.commit(commit)
    if base is None or found.parents != (base,):
        raise BranchTaken(plan.branch, "holds commits that are not this proposal's")
    try:
        wish = read_wish(repo, found, plan.branch)
    except ProposalUnclear as error:
        raise BranchTaken(plan.branch, f"holds something else: {error.why}") from None
    if _place(wish) != _place(plan.wish):
        raise BranchTaken(plan.branch, f"proposes something else: {found.message.partition(chr(10))[0]}")
    who, own = (text.rpartition("> ")[0] + ">" for text in (found.author, repo.identity("author")))
    if parse_person(who).mail != parse_person(own).mail and _essence(wish) != _essence(plan.wish):
        raise BranchTaken(plan.branch, f"is the proposal of {who}, who wishes it otherwise")


def share_versions(workspace: Workspace, view: View, plan: Plan, options: Options) -> bool:
    """Share the versions of a plan that are here alone: nobody could look at a proposal to use them."""
    tags = [f"refs/tags/{plan.wish.key}@v{version}" for version in plan.wish.versions]
    repo = workspace.repo
    if all(tag in view.there or repo.refs.read(tag) is None for tag in tags):
        return False
    done = sync(workspace, remote=options.remote, progress=options.progress)
    return bool(done.versions_sent)
