"""Reading one run: live or recorded, its history, its artifacts, its other files."""

import pytest

from runstone.errors import RunNotFound
from runstone.records.metric import Metric
from runstone.tracking import read
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import resume_run, start_run
from runstone.tracking.workspace import Workspace


def test_a_run_reads_the_same_live_and_recorded(workspace: Workspace) -> None:
    """History in the order written, artifacts by path, notes and packages."""
    run = start_run(workspace, ensure_experiment(workspace.repo, "trees"), description="Why")
    points = [Metric("m", float("nan"), 5, 3), Metric("other", 1.0, 5, 0), Metric("m", 2.0, 4, -1)]
    run.log_points(points)
    run.log_bytes(b"22", "b/c.txt")
    run.log_bytes(b"1", "a.txt")

    def look() -> tuple[object, ...]:
        history = sorted(read.read_metrics(workspace, run.id), key=lambda point: point.key)
        return (
            repr(history),
            [point.step for point in read.read_metrics(workspace, run.id, "m")],
            read.read_metrics(workspace, run.id, "unknown"),
            [(entry.path, entry.size) for entry in read.read_artifacts(workspace, run.id)],
            read.read_file(workspace, run.id, "notes.md"),
            read.read_file(workspace, run.id, "other.md"),
        )

    live = look()
    assert (repr([points[0], points[2], points[1]]), [3, -1], [], [("a.txt", 1), ("b/c.txt", 2)], "Why", None) == live
    run.end()
    assert live == look()


def test_a_resumed_run_is_read_with_what_was_there_before(workspace: Workspace) -> None:
    """While it is live, the record and the journal count together."""
    run = start_run(workspace, ensure_experiment(workspace.repo, "trees"), description="Why")
    run.log_metric("m", 1.0)
    run.log_bytes(b"1", "a.txt")
    run.end()
    again = resume_run(workspace, run.id)
    again.log_metric("m", 2.0, step=1)
    again.log_bytes(b"2", "b.txt")
    assert [1.0, 2.0] == [point.value for point in read.read_metrics(workspace, run.id, "m")]
    assert ["a.txt", "b.txt"] == [entry.path for entry in read.read_artifacts(workspace, run.id)]
    assert "Why" == read.read_file(workspace, run.id, "notes.md")
    again.end()


@pytest.mark.parametrize("run_id", ["unknown", "", "../..", "a/b", "\n", "x" * 1000])
def test_an_unknown_run_is_not_found(workspace: Workspace, run_id: str) -> None:
    """Whatever the text: it never becomes a path."""
    for call in (read.read_metrics, read.read_artifacts, read.need_recorded):
        with pytest.raises(RunNotFound):
            call(workspace, run_id)
    assert not read.is_taken(workspace, "unknown")


def test_a_run_that_logged_no_metric_has_an_empty_history(workspace: Workspace) -> None:
    """Live and ended alike."""
    run = start_run(workspace, ensure_experiment(workspace.repo, "trees"))
    assert [] == read.read_metrics(workspace, run.id)
    run.end()
    assert [] == read.read_metrics(workspace, run.id, "loss")
