"""Changes of a run that has ended: each one commit."""

from pathlib import Path

import pytest

from runstone.errors import InvalidValue, RunIsLive, RunNotFound, RunstoneError
from runstone.tracking import edit
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.read import need_recorded
from runstone.tracking.run import ActiveRun, join_run, start_run
from runstone.tracking.workspace import Workspace
from tests.support import git


@pytest.fixture
def workspace(git_repo: Path) -> Workspace:
    """The workspace of a fresh repository."""
    return Workspace.open(git_repo)


@pytest.fixture
def run(workspace: Workspace) -> ActiveRun:
    """A run that has ended."""
    with start_run(workspace, ensure_experiment(workspace.repo, "trees"), name="oak") as run:
        run.log_metric("m", 1)
    return run


def test_delete_leaves_a_tombstone_and_restore_brings_the_run_back(workspace: Workspace, run: ActiveRun) -> None:
    """With the reason, in the record and in the commit; deleting again changes nothing."""
    before = need_recorded(workspace, run.id).run
    edit.delete_run(workspace, run.id, "wrong data")
    gone = need_recorded(workspace, run.id).run
    assert ("deleted", "wrong data") == (gone.lifecycle, (gone.deleted or {})["reason"])
    message = git("log", "-1", "--format=%B", "runs", cwd=workspace.repo.common_dir)
    assert f"Delete run oak\n\nRun: {run.id}\nExperiment: trees\nReason: wrong data" == message.strip()
    tip = git("rev-parse", "runs", cwd=workspace.repo.common_dir)
    edit.delete_run(workspace, run.id)
    assert tip == git("rev-parse", "runs", cwd=workspace.repo.common_dir)
    edit.restore_run(workspace, run.id)
    assert before == need_recorded(workspace, run.id).run


def test_a_status_can_be_corrected(workspace: Workspace, run: ActiveRun) -> None:
    """The end stays as it was, unless another one is given."""
    ended = need_recorded(workspace, run.id).run.ended
    edit.set_status(workspace, run.id, "FAILED")
    assert ("FAILED", ended) == (run.info.status, run.info.end_time)
    edit.set_status(workspace, run.id, "KILLED", 5000)
    assert ("KILLED", 5000) == (run.info.status, run.info.end_time)
    with pytest.raises(InvalidValue):
        edit.set_status(workspace, run.id, "RUNNING")
    with pytest.raises(InvalidValue):
        edit.set_status(workspace, run.id, "FAILED", 10**18)


def test_what_cannot_be_changed_says_why(workspace: Workspace, run: ActiveRun) -> None:
    """Unknown, live or deleted runs."""
    with pytest.raises(RunNotFound):
        edit.delete_run(workspace, "unknown")
    live = start_run(workspace, ensure_experiment(workspace.repo, "trees"))
    with pytest.raises(RunIsLive, match=f"Run {live.id} cannot be deleted: a process still logs to it"):
        edit.delete_run(workspace, live.id)
    live.end()
    edit.delete_run(workspace, run.id)
    with pytest.raises(RunstoneError, match=r"is deleted\. Restore it"):
        edit.set_status(workspace, run.id, "FAILED")


def test_a_handle_that_only_added_does_not_stand_in_the_way(workspace: Workspace, run: ActiveRun) -> None:
    """A long-lived client that once logged to the run may delete it, and what it logged is kept."""
    joined = join_run(workspace, run.id)
    joined.log_metric("late", 2)
    edit.delete_run(workspace, run.id)
    found = need_recorded(workspace, run.id).run
    assert ("deleted", 2.0, False) == (found.lifecycle, found.metrics["late"].last, joined.is_open)
