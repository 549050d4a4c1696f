"""What a run is captured with: where its code came from and what it ran on, written to its journal from a thread.

It goes into the journal as soon as it is known, so that a run that is killed later has it too.
"""

import warnings
from pathlib import Path
from typing import Any

from runstone.errors import DiskFull, RunEnded
from runstone.git import journal
from runstone.git.journal import Writer
from runstone.tracking.background import Background
from runstone.tracking.environment import EnvironmentCapture
from runstone.tracking.source import SourceCapture
from runstone.tracking.workspace import Workspace


class CaptureFailed(UserWarning):
    """The source or the environment of a run is not known; the run is recorded without."""


class Capture:
    """The capture of one run; it begins with the object."""

    def __init__(self, workspace: Workspace, writer: Writer, *, cwd: Path | None = None) -> None:
        repo = workspace.repo
        self._writer = writer
        self._source = SourceCapture(
            git_dir=repo.git_dir,
            work_tree=repo.work_tree,
            config=repo.git_config,
            redactor=workspace.redactor,
            cwd=cwd,
        )
        self._environment = EnvironmentCapture()
        self._background = Background(self._write)

    def wait(self) -> None:
        """Return when the journal has it all.

        Raises:
            DiskFull: There was no room for it, and there is none now.
        """
        try:
            self._background.result()
        except DiskFull:
            self._write()

    def _write(self) -> None:
        events: list[tuple[str, Any]] = []
        try:
            events.append((journal.SOURCE, self._source.result().to_document()))
            captured = self._environment.result()
            events.append((journal.ENVIRONMENT, captured.environment.to_document()))
            events.append((journal.REQUIREMENTS, captured.requirements))
        except Exception as error:  # whatever a package's metadata or git may hold, it must not cost the run
            warnings.warn(f"Not all that a run is captured with could be found out: {error!r}", CaptureFailed, 2)
        try:
            self._writer.events(events)
        except RunEnded:
            return  # the run was abandoned before it began
