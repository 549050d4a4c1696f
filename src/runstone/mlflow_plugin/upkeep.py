"""What a repository needs done beside a server: runs that nobody writes to are committed, and all is kept in sync.

A remote that is away is no reason for a server to end: what fails is said, once for each way it fails in, and is tried
again in its time.
"""

import threading
import time
from collections.abc import Callable

from runstone.errors import RunstoneError
from runstone.tracking.workspace import Workspace

Say = Callable[[str], None]
_MOST_S = 30.0
"""Seconds, at most, between looks for what is to be committed."""


class Upkeep:
    """The jobs, and what each failed of last.

    Args:
        workspace: The repository.
        idle_s: Seconds after which a run that nobody writes to is committed.
        remote: The git remote to sync with; see `transport.find_remote`.
        say: Told what goes wrong, and when it goes well again.
    """

    def __init__(self, workspace: Workspace, *, idle_s: float, remote: str | None, say: Say) -> None:
        self._workspace = workspace
        self._idle_s = idle_s
        self._remote = remote
        self._say = say
        self._failed: dict[str, str] = {}

    def work(self, stopping: threading.Event, sync_every_s: float | None) -> None:
        """Do what is to be done, each job in its time, until told to stop.

        Args:
            stopping: Set when it is to stop.
            sync_every_s: Seconds between syncs; None for none.
        """
        jobs: list[tuple[float, Callable[[], None]]] = [(min(self._idle_s / 2, _MOST_S), self.commit_idle)]
        if sync_every_s is not None:
            jobs.append((sync_every_s, self.sync))
        due = [time.monotonic()] * len(jobs)
        while not stopping.wait(max(0.0, min(due) - time.monotonic())):
            for number, (every_s, job) in enumerate(jobs):
                if due[number] <= time.monotonic():
                    job()
                    due[number] = time.monotonic() + every_s

    def commit_idle(self) -> None:
        """Commit what waits, and the runs that nobody has written to for a time; see `tracking.shared.commit_idle`."""
        self._commit(self._idle_s)

    def commit_all(self) -> None:
        """Commit all that runs have logged so far."""
        self._commit(0.0)

    def sync(self) -> None:
        """Exchange runs with the remote; see `tracking.sync.sync`."""
        from runstone.tracking.sync import sync

        self._try("The sync failed", lambda: sync(self._workspace, remote=self._remote))

    def _commit(self, idle_s: float) -> None:
        from runstone.tracking.shared import commit_idle

        self._try("What waits could not be committed", lambda: commit_idle(self._workspace, idle_s))

    def _try(self, failure: str, work: Callable[[], object]) -> None:
        try:
            work()
        except (RunstoneError, OSError) as error:
            if self._failed.get(failure) != str(error):
                self._say(f"{failure}, and is tried again: {error}")
            self._failed[failure] = str(error)
        else:
            if self._failed.pop(failure, None) is not None:
                self._say(f"{failure} before; now it is done.")
