"""Share runs through a git remote and a DVC remote: first bytes, then the branch `runs`, then git tags, then notes."""

from pathlib import Path

from runstone.errors import NothingToSyncWith
from runstone.git import leftover, transport
from runstone.git.lock import FileLock
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.runs.branch import Draft
from runstone.git.stream import Progress
from runstone.tracking import push as pushing
from runstone.tracking import version_tags
from runstone.tracking.autosync import failure_file
from runstone.tracking.exchange import Exchange, labelled, private_refs, run_folders
from runstone.tracking.exchange import Synced as Synced
from runstone.tracking.workspace import Workspace


def sync(
    workspace: Workspace,
    *,
    remote: str | None = None,
    send: bool = True,
    receive: bool = True,
    artifacts: bool = True,
    progress: Progress | None = None,
) -> Synced:
    """Bring what others have shared, and share what they do not have.

    Args:
        workspace: The repository.
        remote: The git remote; see `transport.find_remote`.
        send: Whether to push.
        receive: Whether to make local tags of those that only the remote has. Their runs always come, and the notes
            of approvals, as a push can only go on top of them.
        artifacts: Whether runs are pushed together with their bytes; without, git names what others cannot get.
        progress: Told what is being moved.

    Returns:
        What was moved.

    Writes:
        The branch `runs`, here and on the remote, by compare-and-swap; tags, never over another one; objects of the
        DVC remote; `refs/notes/runstone`, which only grows, here and on the remote; `refs/remotes/<remote>/runs` and
        `refs/runstone/`. One sync at a time in one clone.

    Raises:
        RemoteUnreachable, RemoteFailed: A remote is away; the next sync goes on.
        PushRefused: The remote does not take the runs.
        RemoteBusy: Others were faster for minutes.
        ArtifactsNotShared: There is no DVC remote for the runs' bytes, or bytes of theirs are lost.
        NothingToSyncWith: The repository has no remote at all.
        UsageError: There is no such remote, or its settings make git overwrite the branch.
        RefBlocked, DiskFull, ReadOnlyRepository: As `update_runs`.
    """
    repo = workspace.repo
    name = transport.find_remote(repo, remote)
    lock = FileLock(repo.cache_dir / "sync.lock")
    try:
        with lock:
            return _sync(workspace, name, send=send, receive=receive, artifacts=artifacts, progress=progress)
    finally:
        lock.settle()


def _sync(
    workspace: Workspace, name: str | None, *, send: bool, receive: bool, artifacts: bool, progress: Progress | None
) -> Synced:
    repo = workspace.repo
    leftover.clear_locks(_locks(repo, name or "origin"))
    workspace.recover()
    if name is None:
        return _without_git(workspace, send=send, artifacts=artifacts, progress=progress)
    transport.check_refspecs(repo, name, repo.runs_ref)
    exchange = Exchange(workspace, name, artifacts=artifacts, progress=progress)
    exchange.look()
    exchange.join()
    if send:
        exchange.send()
    exchange.exchange_tags(send=send, receive=receive)
    exchange.exchange_notes(send=send)
    failure_file(repo).unlink(missing_ok=True)
    return exchange.done


def _locks(repo: Repository, remote: str) -> list[Path]:
    """The lock files that a git of an earlier sync may have left when it was killed."""
    names = ("packed-refs", "shallow", repo.runs_ref, *private_refs(repo.config.branch, remote))
    refs = repo.common_dir / "refs"
    found = [*(refs / "tags").glob("*.lock"), *(refs / "runstone").rglob("*.lock")]
    return list(dict.fromkeys([*(repo.common_dir / f"{name}.lock" for name in names), *found]))


def _without_git(workspace: Workspace, *, send: bool, artifacts: bool, progress: Progress | None) -> Synced:
    """With no git remote the bytes alone are sent: of the runs that have come since this was done before.

    Writes:
        Objects of the DVC remote; `refs/runstone/stored/<DVC remote>`, up to where its bytes have been sent.
    """
    repo, store, done = workspace.repo, workspace.artifacts, Synced()
    remote = store.remote()
    if remote is None:
        raise NothingToSyncWith()
    pushing.publish_remote(workspace)
    mark = pushing.stored_ref(remote.name)
    tip, stored = repo.refs.read(repo.runs_ref), repo.refs.read(mark)
    if send and artifacts and tip is not None and tip != stored:
        draft = Draft(repo, tip)
        digests = [digest for folder in run_folders(repo, stored, tip) for digest in pushing.digests_in(draft, folder)]
        fresh = version_tags.on_line(repo, tip) - (version_tags.on_line(repo, stored) if stored else set())
        tags = [tag for tag in version_tags.all_here(repo) if tag.commit in fresh]
        digests += [digest for found in pushing.version_digests(repo, tags).values() for digest in found]
        pushing.need_used_folder(workspace, remote)
        moved = remote.push(digests, store.cache, labelled("artifacts", progress))
        done.objects, done.size = moved.count, moved.size
        repo.refs.update([RefUpdate(mark, tip, stored)])
    return done
