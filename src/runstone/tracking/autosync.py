"""`push: auto`: when a run has ended, a process of its own syncs, which outlives the script.

The end of a run never waits for a network and never fails for one. It leaves a mark and begins a process, unless a mark
is there: then one waits already. That process takes the mark away when its turn comes, so at most one works and one
waits, however many runs end. What could not be shared goes with the next sync; `runstone doctor` tells of it.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runstone.errors import RunstoneError, UsageError
from runstone.git.lock import FileLock
from runstone.git.repository import Repository
from runstone.tracking.workspace import Workspace

if TYPE_CHECKING:
    from runstone.tracking.sync import Synced

_STALE_S = 60.0
"""A mark older than this may be of a process that died before its turn came: another one is begun."""

_LOG_BYTES = 256 * 1024
_begun: "list[subprocess.Popen[bytes]]" = []
"""Processes that this one began; kept so that they can be reaped, never waited for."""


@dataclass(frozen=True, slots=True)
class SyncState:
    """How far a repository and its git remote are apart, as far as can be told without asking.

    Attributes:
        remote: The git remote; None if there is none, or several of which none is the default.
        waiting: Events on the branch `runs` that the remote is not known to have.
        failure: What the last sync in the background failed of; None if it did not.
        failed_at: When, in Unix seconds.
    """

    remote: str | None
    waiting: int
    failure: str | None = None
    failed_at: float | None = None


def begin(workspace: Workspace) -> None:
    """See that what is new will be synced: leave a mark, and begin a process unless one waits.

    Writes:
        `sync/wanted` and `sync.log` in Runstone's folder of the repository.
    """
    repo = workspace.repo
    mark = repo.writable_state("sync") / "wanted"
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        try:
            if time.time() - mark.stat().st_mtime < _STALE_S:
                return
        except FileNotFoundError:
            pass  # its process has just begun to work, perhaps before this run was recorded
        mark.touch()
    _begun[:] = [process for process in _begun if process.poll() is None]
    # A linked work tree may be gone before the sync begins, as that of `runstone rerun` is.
    where = repo.work_tree if repo.git_dir == repo.common_dir else None
    with log_file(repo).open("ab") as log:
        if log.tell() > _LOG_BYTES:
            log.truncate(0)
        _begun.append(
            subprocess.Popen(
                [sys.executable, "-m", "runstone", "--repo", str(where or repo.common_dir), "sync", "--auto"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=os.name == "posix",
            )
        )


def work(workspace: Workspace) -> "Synced | None":
    """Sync, as the process that `begin` has begun; None if another one has done it meanwhile.

    Writes:
        As `sync`; where it fails, `sync/failed.json` in Runstone's folder of the repository.
    """
    from runstone.tracking.sync import sync  # not at the end of a run, which only begins a process

    repo = workspace.repo
    folder = repo.writable_state("sync")
    with FileLock(repo.cache_dir / "autosync.lock"):
        try:
            (folder / "wanted").unlink()
        except FileNotFoundError:
            return None
        try:
            return sync(workspace)
        except (RunstoneError, OSError) as error:
            failure_file(repo).write_text(json.dumps({"at": time.time(), "why": str(error)}) + "\n", encoding="utf-8")
            raise


def state(workspace: Workspace) -> SyncState:
    """How far the repository and its git remote are apart; nobody is asked."""
    from runstone.git.transport import find_remote

    repo = workspace.repo
    try:
        remote = find_remote(repo)
    except UsageError:  # there are several, and which is meant is said with each sync
        remote = None
    tip = repo.refs.read(repo.runs_ref)
    waiting = 0
    if tip is not None and remote is not None:
        known = repo.refs.read(f"refs/runstone/synced/{remote}")
        span = [tip, f"^{known}"] if known is not None else [tip]
        waiting = int(repo.git("rev-list", "--first-parent", "--count", *span)[1])
    return SyncState(remote, waiting, *(last_failure(repo) or ()))


def last_failure(repo: Repository) -> tuple[str, float] | None:
    """What the last sync in the background failed of, and when; None if it did not, or one has succeeded since."""
    try:
        failed = json.loads(failure_file(repo).read_text(encoding="utf-8"))
        return str(failed["why"]), float(failed["at"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def failure_file(repo: Repository) -> Path:
    """What went wrong with the last sync in the background, until one succeeds."""
    return repo.state_dir / "sync" / "failed.json"


def log_file(repo: Repository) -> Path:
    """What the processes in the background have said."""
    return repo.state_dir / "sync.log"
