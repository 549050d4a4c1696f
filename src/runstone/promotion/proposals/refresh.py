"""Make a proposal anew on the present default branch: the same wish, planned on what is so now."""

from dataclasses import replace

from runstone.promotion.proposals.ground import plan_on, read_ground
from runstone.promotion.proposals.listing import find_proposal
from runstone.promotion.proposals.look import look
from runstone.promotion.proposals.proposal import read_wish
from runstone.promotion.proposals.propose import Options, Outcome, open_proposal
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
    ground = read_ground(repo, view.tip, wish.key)
    plan = replace(plan_on(ground, wish), branch=proposal.branch)
    if plan.nothing:
        return Outcome(plan, proposal.commit, True, base=view.tip)
    return open_proposal(workspace, view, plan, options, replaces=proposal.commit)
