"""Make a proposal anew on the present default branch: the same wish, planned on what is so now."""

from dataclasses import replace

from runstone.promotion.proposals.edits import rebase_edit
from runstone.promotion.proposals.ground import plan_on, read_ground
from runstone.promotion.proposals.listing import find_proposal
from runstone.promotion.proposals.look import look
from runstone.promotion.proposals.proposal import read_wish
from runstone.promotion.proposals.propose import Options, Outcome, open_proposal, share_versions
from runstone.registry.version import run_commit
from runstone.tracking.sync import sync
from runstone.tracking.workspace import Workspace


def refresh(workspace: Workspace, name: str, options: Options | None = None) -> Outcome:
    """Make an open proposal anew, out of what its trailers wish.

    Whoever refreshes becomes its author, and so can no longer be the one to approve it.

    Args:
        workspace: The repository.
        name: See `find_proposal`.
        options: How.

    Writes:
        As `propose`; the branch only if it still is what was looked at.

    Raises:
        ProposalNotFound, ProposalAmbiguous: As `find_proposal`.
        ProposalUnclear: Its commit does not say what it wishes.
        VersionNotFound, TransitionRefused …: What it wishes can no longer be.
        RefMoved: Somebody else has just made it anew.
    """
    options, repo = options or Options(), workspace.repo
    view = look(repo, may_fail=not options.push, remote=options.remote, progress=options.progress)
    proposal = find_proposal(repo, view, name)
    wish = read_wish(repo, repo.objects.commit(proposal.commit), proposal.branch)
    if wish.kind == "edit":
        return rebase_edit(workspace, view, proposal, options)
    if options.push and view.is_fresh and wish.registration is not None:
        # It may have been asked for while the remote was away; and the run may be moved to another commit.
        sync(workspace, remote=options.remote, progress=options.progress)
        moved = run_commit(repo, wish.registration.record)
        wish = replace(wish, registration=replace(wish.registration, commit=moved))
    ground = read_ground(repo, view.tip, wish.key)
    plan = replace(plan_on(ground, wish), branch=proposal.branch)
    if plan.nothing:
        return Outcome(plan, proposal.commit, True, base=view.tip)
    if options.push and view.is_fresh and share_versions(workspace, view, plan, options):
        return refresh(workspace, name, options)
    return open_proposal(workspace, view, plan, options, replaces=proposal.commit)
