"""Repair what `tracking.doctor` finds and what can be repaired without losing anything."""

from collections.abc import Iterator
from pathlib import Path

from runstone.errors import RunstoneError
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.tracking.doctor import broken_ref, empty_objects, stale_locks
from runstone.tracking.workspace import Workspace


def mend(workspace: Workspace) -> Iterator[str]:
    """Repair, and tell each thing that was done.

    Writes:
        Removes empty loose objects and stale locks; sets the branch of runs back to its last known commit where its
        file is broken; records ended runs; makes a damaged index anew.

    Raises:
        RunstoneError: The branch is broken, and no commit of it is known.
    """
    from runstone.index import cache

    repo = workspace.repo
    for path in stale_locks(repo):
        path.unlink(missing_ok=True)
        yield f"removed the stale lock {path}"
    empty = empty_objects(repo)
    for path in empty:
        path.unlink(missing_ok=True)
    if empty:
        yield f"removed {len(empty)} empty objects"
    broken = broken_ref(repo)
    if broken is not None:
        yield f"set {repo.runs_ref} back to {_restore_ref(repo, broken)[:12]}"
    for run_id in workspace.recover():
        yield f"recorded run {run_id}"
    count = cache.rebuild(repo)
    yield f"made the index anew, of {count} runs"


def _restore_ref(repo: Repository, broken: Path) -> str:
    """Put a broken ref back: to the newest commit that its reflog knows, or a remote's copy."""
    with repo.lock:
        for oid in _candidates(repo):
            if repo.objects.resolve(oid) is not None:
                broken.unlink()
                packed = repo.refs.read(repo.runs_ref)  # what `git pack-refs` kept shows through, and is older
                repo.refs.update([RefUpdate(repo.runs_ref, oid, packed)])
                return oid
    raise RunstoneError(
        f"{broken} is broken, and no commit of the branch is known here. Get it from a clone: "
        f"`rm {broken} && git fetch origin {repo.config.branch}:{repo.config.branch}`"
    )


def _candidates(repo: Repository) -> Iterator[str]:
    log = repo.common_dir / "logs" / repo.runs_ref
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    for line in reversed(lines):
        yield line.split(" ", 2)[1]
    for name, oid in repo.refs.list("refs/remotes/").items():
        if name.endswith(f"/{repo.config.branch}"):
            yield oid
