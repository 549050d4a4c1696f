"""What is needed to look at a proposal and may not be here: the run that it asks to register."""

from runstone.git.repository import Repository
from runstone.git.stream import Progress
from runstone.promotion.ci.upstream import Upstream
from runstone.promotion.proposals.look import View
from runstone.promotion.proposals.proposal import Proposal
from runstone.registry.changes import RegistrationChange, read_changes


def bring_runs(repo: Repository, view: View, proposal: Proposal, progress: Progress | None = None) -> None:
    """Bring the branch of runs, where a proposal asks to register a run that is not here; else nothing.

    Writes:
        Objects; `refs/remotes/<remote>/<branch of runs>`.

    Raises:
        RemoteUnreachable: The remote is away.
    """
    if view.remote is None or not view.is_fresh:
        return
    changes = read_changes(repo, proposal.base, proposal.commit)
    wanted = {c.after.commit for c in changes if isinstance(c, RegistrationChange) and c.after is not None}
    missing = {commit for commit in wanted if repo.objects.find(commit) is None}
    if missing:
        Upstream(repo, view.remote, progress).bring_runs(missing)
