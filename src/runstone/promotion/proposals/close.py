"""Close a proposal without merging it."""

from runstone.errors import RunstoneError
from runstone.git.repository import Repository
from runstone.git.stream import Progress
from runstone.promotion.proposals.listing import find_proposal
from runstone.promotion.proposals.look import look
from runstone.promotion.proposals.merge import remove_branches
from runstone.promotion.proposals.proposal import Proposal
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
    """
    view = look(repo, remote=remote, progress=progress)
    proposal = find_proposal(repo, view, name)
    left: list[str] = []
    try:
        request = find_request(repo, view, proposal)
        if request is not None:
            request.forge.close_request(request.info.number)
    except RunstoneError as error:  # the branch goes all the same, and with it what could be merged
        left.append(f"The request is still open: {error}")
    left += remove_branches(repo, view, proposal)
    if proposal.is_foreign:
        left.append(f"`{proposal.name}` is a fork's branch: its owner closes it.")
    return proposal, left
