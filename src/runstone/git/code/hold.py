"""The snapshot of a live run is held by a ref, so that no `git gc` takes it before the run's commit leads to it.

The ref is `refs/runstone/snapshots/<commit>`; no refspec that git makes pushes or fetches it. Runs whose trees are
equal share one: it may be let go as soon as any of them is on the branch `runs`, for then the snapshot is reachable.
"""

from collections.abc import Iterable
from contextlib import suppress

from runstone.errors import GitFailed, RefBlocked, RefMoved, RunstoneError
from runstone.git import kept
from runstone.git.objects import is_object_id
from runstone.git.refs import RefUpdate
from runstone.git.repository import Repository
from runstone.git.runs import journal

PREFIX = "refs/runstone/snapshots/"


def hold(repo: Repository, commit: str) -> None:
    """Keep a snapshot from `git gc`. That git refuses the ref costs nothing else: gc spares what is young.

    Writes:
        The log of objects, synced, and one ref.

    Raises:
        DiskFull: There is no room.
        ReadOnlyRepository: The repository cannot be written.
    """
    ref = PREFIX + commit
    if repo.refs.read(ref) is None:
        with suppress(GitFailed, RefBlocked, RefMoved):
            repo.refs.update([RefUpdate(ref, commit, None)])


def release(repo: Repository, commits: Iterable[str]) -> int:
    """Let go of snapshots that the branch `runs` leads to; returns how many. What git refuses stays for `sweep`.

    Writes:
        Removes one ref for each that is held.
    """
    released = 0
    for commit in commits:
        ref = PREFIX + commit
        with suppress(RunstoneError, OSError):
            if repo.refs.read(ref) is not None:
                repo.refs.update([RefUpdate(ref, None, commit)])
                released += 1
    return released


def sweep(repo: Repository) -> int:
    """Let go of all snapshots that no live run needs any more; returns how many.

    Writes:
        Removes refs, torn ones too.
    """
    released = _remove_torn(repo)
    held = {ref.removeprefix(PREFIX) for ref in repo.refs.list(PREFIX)}
    if not held:
        return released
    tip = repo.runs_tip()
    needed = _needed(repo, held)
    done = [
        commit for commit in held if (tip is not None and kept.is_ancestor(repo, commit, tip)) or commit not in needed
    ]
    return released + release(repo, done)


def _needed(repo: Repository, held: set[str]) -> set[str]:
    """The snapshots that journals name; all, while a run has yet to name its own."""
    needed: set[str] = set()
    for entry in journal.list_entries(repo):
        try:
            content = journal.read(entry.path)
        except FileNotFoundError:
            return held  # its run is being recorded at this moment
        sources = [event.value for event in content.events if event.kind == journal.SOURCE]
        if not sources and (content.header or {}).get("role") not in (journal.JOIN, journal.CONTINUE):
            return held
        needed.update(str(source.get("snapshot")) for source in sources if isinstance(source, dict))
    return needed


def _remove_torn(repo: Repository) -> int:
    """An empty file, as power loss leaves it, makes every git command complain, and git does not remove it."""
    removed = 0
    for path in (repo.common_dir / PREFIX).glob("*"):
        with suppress(OSError):
            if is_object_id(path.name) and not path.read_bytes().strip(b"\0\n"):
                path.unlink()
                removed += 1
    return removed
