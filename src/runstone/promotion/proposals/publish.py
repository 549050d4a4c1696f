"""The branch of a proposal on a remote: put there, replaced, removed; only if it still is where it was seen."""

from runstone.errors import BranchRefused, RefMoved
from runstone.git import transport
from runstone.git.repository import Repository
from runstone.git.stream import Progress


def publish(
    repo: Repository, remote: str, ref: str, commit: str | None, seen: str | None, progress: Progress | None = None
) -> None:
    """Move a branch of a remote.

    Args:
        repo: The repository.
        remote: The remote's name.
        ref: The branch's full name.
        commit: What it shall be; None removes it.
        seen: Where it was seen; None where it was not there.
        progress: Told of git's steps.

    Writes:
        The remote's branch, also backwards: a proposal that is made anew replaces itself.

    Raises:
        RefMoved: It is elsewhere by now.
        BranchRefused: The remote does not take it.
        RemoteUnreachable: It cannot be reached, or the connection broke.
    """
    if commit == seen:
        return
    done = transport.push(repo, remote, {ref: commit}, leases={ref: seen}, progress=progress)[ref]
    if done.state == "lost":
        raise RefMoved(ref, seen)
    if done.state == "refused":
        raise BranchRefused(remote, ref, done.reason, is_removal=commit is None)
