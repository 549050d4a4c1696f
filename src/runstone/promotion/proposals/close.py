"""Close a proposal without merging it."""

from contextlib import suppress
from dataclasses import replace

from runstone.errors import RefMoved, RunstoneError
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.stream import Progress
from runstone.promotion.proposals.listing import find_proposal
from runstone.promotion.proposals.look import View, look, tracking_ref
from runstone.promotion.proposals.merge import remove_branches
from runstone.promotion.proposals.proposal import Proposal
from runstone.promotion.proposals.publish import publish
from runstone.promotion.proposals.request import find_request


def close(
    repo: Repository, name: str, *, remote: str | None = None, progress: Progress | None = None
) -> tuple[Proposal, list[str]]:
    """Remove a proposal's branch, here and on the remote. Its commit can be found in the reflog for a while.

    Args:
        repo: The repository.
        name: See `find_proposal`.
        remote: The git remote; see `transport.find_remote`.
        progress: Told of git's steps.

    Returns:
        The proposal, and what could not be removed, in words.

    Writes:
        The branch, on the remote and here, only if it still is what was looked at; the request on the forge.

    Raises:
        ProposalNotFound, ProposalAmbiguous: As `find_proposal`.
        RemoteUnreachable: The remote is away.
        BranchRefused: The remote keeps the branch; then it stays here, too, and the request stays open.
        RefMoved: Somebody else has just changed it.
    """
    view = look(repo, remote=remote, progress=progress)
    proposal = find_proposal(repo, view, name)
    _remove_shared(repo, view, proposal)
    left: list[str] = []
    try:
        request = find_request(repo, view, proposal)
        if request is not None:
            request.forge.close_request(request.info.number)
    except RunstoneError as error:  # the branch goes all the same, and with it what could be merged
        left.append(f"The request is still open: {error}")
    left += remove_branches(repo, replace(view, there={}), proposal)
    if proposal.is_foreign:
        left.append(f"`{proposal.name}` is a fork's branch: its owner closes it.")
    return proposal, left


def _remove_shared(repo: Repository, view: View, proposal: Proposal) -> None:
    """Remove the branch on the remote, first of all: while it is there, the proposal can be merged."""
    ref = f"refs/heads/{proposal.branch}"
    if view.remote is None or not view.is_fresh or view.there.get(ref) != proposal.commit:
        return
    publish(repo, view.remote, ref, None, proposal.commit)
    kept = tracking_ref(view.remote, ref)
    with suppress(RefMoved):
        if repo.refs.read(kept) == proposal.commit:
            repo.refs.update([RefUpdate(kept, None, proposal.commit)])
