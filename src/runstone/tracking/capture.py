"""What a run is captured with: where its code came from and what it ran on, written to its journal from a thread.

It goes into the journal as soon as it is known, so that a run that is killed later has it too.
"""

import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from runstone.errors import DiskFull, RunEnded, RunstoneError
from runstone.git.code import hold
from runstone.git.code.snapshot import Snapshot
from runstone.git.repository import Repository
from runstone.git.runs import journal
from runstone.records.document import Document
from runstone.tracking.background import Background
from runstone.tracking.environment import EnvironmentCapture
from runstone.tracking.source import SourceCapture
from runstone.tracking.workspace import Workspace

_HEAD_START_S = 0.002
"""A small repository has answered by then. Else the thread would contend with the caller for the interpreter, which it
gets after up to 5 ms (`sys.getswitchinterval`), before it has even asked git: the end of a short run would wait for it.
"""


class Sink(Protocol):
    """A journal, as far as a capture writes to it."""

    @property
    def repo(self) -> Repository:
        """The repository."""

    def events(self, events: Iterable[tuple[str, Any]]) -> None:
        """Append lines; raises `RunEnded` where the journal is closed."""


class CaptureFailed(UserWarning):
    """The source or the environment of a run is not known; the run is recorded without."""


class Capture:
    """The capture of one run; it begins with the object.

    Args:
        workspace: The repository.
        writer: The run's journal.
        cwd: The working directory, if not the process's.
        command: The command line, if not the process's.
        read: What `runstone run` was told to read of that command.
        code: The state of the work tree, if it is known already and clean.
    """

    def __init__(
        self,
        workspace: Workspace,
        writer: Sink,
        *,
        cwd: Path | None = None,
        command: Sequence[str] | None = None,
        read: Document | None = None,
        code: Snapshot | None = None,
    ) -> None:
        self._writer = writer
        self._source = SourceCapture(
            workspace.repo, redactor=workspace.redactor, cwd=cwd, command=command, read=read, known=code
        )
        self._environment = EnvironmentCapture()
        self._background = Background(self._write, head_start_s=_HEAD_START_S)

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
        try:
            for captured in (self._capture_source, self._capture_environment):
                try:
                    events = captured()
                except Exception as error:  # whatever a package's metadata or git may hold, it must not cost the run
                    text = f"Not all that a run is captured with could be found out: {error!r}"
                    warnings.warn(text, CaptureFailed, stacklevel=2)
                else:
                    self._writer.events(events)
        except RunEnded:  # the run was abandoned before it began: nothing will name its snapshot
            with suppress(RunstoneError, OSError):
                hold.sweep(self._writer.repo)

    def _capture_source(self) -> list[tuple[str, Any]]:
        return [(journal.SOURCE, self._source.result().to_document())]

    def _capture_environment(self) -> list[tuple[str, Any]]:
        captured = self._environment.result()
        return [
            (journal.ENVIRONMENT, captured.environment.to_document()),
            (journal.REQUIREMENTS, captured.requirements),
        ]
