"""The branch of a proposal on a remote: put there, replaced, removed; only if it still is where it was seen."""

import re

from runstone.errors import BranchRefused, RefMoved, RemoteUnreachable
from runstone.git import transport
from runstone.git.repository import Repository
from runstone.git.stream import Progress, stream_git

_RACES = re.compile(
    r"stale info|fetch first|non-fast-forward|cannot lock ref|failed to update ref|incorrect old value|already exists|"
    r"failed to lock|unable to resolve reference"
)
_REFUSED = re.compile(r"^!\t[^\t]*\t(.*)$", re.MULTILINE)


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
    for oid in (commit, seen):
        assert oid is None or repo.objects.is_id(oid)
    options = ["--porcelain", "--no-follow-tags", "--recurse-submodules=no", f"--force-with-lease={ref}:{seen or ''}"]
    options += ["--progress"] if progress is not None else ["--no-progress"]
    url = transport.remote_url(repo, remote)  # checks the remote's name
    done = stream_git(repo, ["push", *options, "--", remote, f"{commit or ''}:{ref}"], progress=progress)
    if done.code == 0:
        return
    line = _REFUSED.search(done.out)
    if line is None:
        raise RemoteUnreachable(remote, url, done.err or f"git ended with {done.code} without a word")
    if _RACES.search(line[1]):
        raise RefMoved(ref, seen)
    said = [text.removeprefix("remote: ").rstrip() for text in done.err.splitlines() if text.startswith("remote: ")]
    raise BranchRefused(remote, ref, "\n".join([line[1], *said]))
