"""The capture of a run: in its journal as soon as it is known, and never in its way."""

import threading
import time
from pathlib import Path

import pytest

from runstone.errors import DiskFull
from runstone.git.runs import journal, live
from runstone.git.runs.journal import Writer
from runstone.tracking.capture import Capture, CaptureFailed
from runstone.tracking.environment import CapturedEnvironment, EnvironmentCapture
from runstone.tracking.workspace import Workspace
from tests.support import git


class FullDisk(Writer):
    """A journal on a disk that is full once; then there is room again."""

    is_full = True

    def events(self, events: object) -> None:
        """Refuse the first time."""
        if self.is_full:
            self.is_full = False
            raise DiskFull(self.path, "No space left on device")
        super().events(events)  # type: ignore[arg-type]  # passed on as it came


def begin(workspace: Workspace, kind: type[Writer] = Writer) -> Writer:
    """The journal of a run."""
    about = {"name": "n", "experiment": "e", "experiment_id": "e", "started": 0, "user": "u", "parent": None}
    return kind(workspace.repo, "captured", {"role": journal.START, **about})


def test_what_a_run_runs_on_is_in_its_journal_before_it_ends(git_repo: Path) -> None:
    """A run that is killed a moment later has its commit and its packages too."""
    workspace = Workspace.open(git_repo)
    writer = begin(workspace)
    Capture(workspace, writer)
    until = time.monotonic() + 30
    found = live.compose_live(workspace.repo, "captured")
    while (found is None or found.requirements is None) and time.monotonic() < until:
        time.sleep(0.05)
        found = live.compose_live(workspace.repo, "captured")
    assert found is not None
    assert found.requirements is not None
    assert (workspace.repo.head(), True) == (found.run.source.commit, found.run.environment.python is not None)
    writer.abandon()


def test_the_source_does_not_wait_for_the_packages(git_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where reading the packages takes long, a run that is killed meanwhile has its code: snapshot, and the ref."""
    release = threading.Event()
    read = EnvironmentCapture.result

    def slow(self: EnvironmentCapture) -> CapturedEnvironment:
        release.wait(30)
        return read(self)

    monkeypatch.setattr(EnvironmentCapture, "result", slow)
    (git_repo / "new.py").write_text("new\n")
    workspace = Workspace.open(git_repo)
    writer = begin(workspace)
    capture = Capture(workspace, writer)
    until = time.monotonic() + 30
    found = live.compose_live(workspace.repo, "captured")
    while (found is None or found.run.source.snapshot is None) and time.monotonic() < until:
        time.sleep(0.02)
        found = live.compose_live(workspace.repo, "captured")
    assert found is not None
    assert None is found.requirements
    assert workspace.repo.refs.read(f"refs/runstone/snapshots/{found.run.source.snapshot}") is not None
    release.set()
    capture.wait()
    writer.abandon()


def test_a_run_that_was_refused_leaves_no_ref_behind(git_repo: Path) -> None:
    """Its journal is gone before its snapshot is taken; that of another live run stays held."""
    (git_repo / "new.py").write_text("other\n")
    workspace = Workspace.open(git_repo)
    other = Writer(workspace.repo, "other", {"role": journal.START})
    Capture(workspace, other).wait()
    kept = git("for-each-ref", "refs/runstone/", cwd=git_repo)
    (git_repo / "new.py").write_text("new\n")
    writer = begin(workspace)
    writer.abandon()
    Capture(workspace, writer).wait()
    assert kept
    assert kept == git("for-each-ref", "refs/runstone/", cwd=git_repo)
    other.abandon()


def test_a_disk_that_was_full_when_the_run_began_does_not_keep_it_from_ending(git_repo: Path) -> None:
    """What could not be written then is written at the end."""
    workspace = Workspace.open(git_repo)
    writer = begin(workspace, FullDisk)
    Capture(workspace, writer).wait()
    found = live.compose_live(workspace.repo, "captured")
    assert found is not None
    assert workspace.repo.head() == found.run.source.commit
    writer.abandon()


def test_an_environment_that_cannot_be_read_costs_a_warning_only(
    git_repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is recorded with what is known."""

    def broken(self: EnvironmentCapture) -> None:
        raise UnicodeError("a package's metadata")

    monkeypatch.setattr(EnvironmentCapture, "result", broken)
    workspace = Workspace.open(git_repo)
    writer = begin(workspace)
    with pytest.warns(CaptureFailed, match="a package's metadata"):
        Capture(workspace, writer).wait()
    found = live.compose_live(workspace.repo, "captured")
    assert found is not None
    assert (workspace.repo.head(), None) == (found.run.source.commit, found.requirements)
    writer.abandon()
