"""One repository with all that tracking needs beside it, and the runs this process has open in it."""

import os
import threading
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from runstone.errors import InvalidValue
from runstone.git.repository import Repository

if TYPE_CHECKING:  # imported where they are used: whoever only looks something up, which has to be quick, needs none
    from runstone.artifacts.store import ArtifactStore
    from runstone.tracking.log import ActiveRun
    from runstone.tracking.secrets import Redactor

_LOOK_EVERY_S = 2.0


class Workspace:
    """A repository, its artifacts and its rules; it holds no state but the handles of open runs."""

    def __init__(self, repo: Repository) -> None:
        self.repo = repo
        self.open_runs: dict[str, ActiveRun] = {}
        self.lock = threading.RLock()
        self._looked = -_LOOK_EVERY_S

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None) -> "Workspace":
        """The workspace of the repository that holds a folder; one object a repository in a process.

        Raises:
            NotARepository: No repository holds it.
        """
        key = str(Path(path if path is not None else ".").absolute())
        with _lock:
            found = _by_path.get(key)
            if found is None or not found.repo.git_dir.exists():
                repo = Repository.open(path)
                found = _by_tree.get((repo.git_dir, repo.work_tree))
                if found is None or found.repo.object_format != repo.object_format:
                    found = _by_tree[(repo.git_dir, repo.work_tree)] = cls(repo)
                _by_path[key] = found
            return found

    @cached_property
    def artifacts(self) -> "ArtifactStore":
        """The artifacts."""
        from runstone.artifacts.store import ArtifactStore

        return ArtifactStore(self.repo)

    @cached_property
    def redactor(self) -> "Redactor":
        """What must not be recorded, by the rules of `runstone.yaml`."""
        return redactor_of(self.repo)

    def drain(self, *, own: str | None = None) -> list[str]:
        """Commit the runs that have ended; returns their ids. See `git.commit.drain`."""
        from runstone.git.runs import commit

        return commit.drain(self.repo, self.artifacts, own=own)

    def recover(self, *, force: tuple[str, ...] = ()) -> list[str]:
        """Record the runs of dead processes; returns the ids of all runs committed. See `git.commit.recover`."""
        from runstone.git.runs import commit

        return commit.recover(self.repo, self.artifacts, force=force)

    def notice_dead_runs(self) -> None:
        """Record the runs of dead processes, if there are any; asked at every read, so it looks every two seconds only.

        Nothing is locked or written where there is nothing to record.
        """
        from runstone.git import kept
        from runstone.git.runs import journal

        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        entries = journal.list_entries(self.repo)
        if any(not entry.live or journal.is_abandoned(entry) for entry in entries) or kept.needs_check(self.repo):
            self.recover()


def redactor_of(repo: Repository) -> "Redactor":
    """What must not be recorded in a repository, by the rules of its `runstone.yaml`."""
    from runstone.tracking.secrets import Redactor

    rules = repo.config.secrets
    return Redactor(rules.keys, rules.values, rules.allow)


_lock = threading.Lock()
_by_path: dict[str, Workspace] = {}
_by_tree: dict[tuple[Path, Path | None], Workspace] = {}


def all_workspaces() -> list[Workspace]:
    """Every workspace this process has used."""
    return list(_by_tree.values())


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for workspace in all_workspaces():
        workspace.lock = threading.RLock()
        for active in workspace.open_runs.values():
            active._renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def repository_path(uri: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """The folder that a tracking URI names: a path, `runstone:PATH` or `file:PATH`; None stays None."""
    if not isinstance(uri, str):
        return uri
    scheme, found, rest = uri.partition(":")
    if not found or len(scheme) == 1 or scheme not in ("runstone", "runstone+file", "file"):
        if "://" in uri:
            raise InvalidValue(f"{uri!r} is a server's address. Name a git repository: a path, or `runstone:PATH`.")
        return uri
    return rest.removeprefix("//") or "."
