"""Changes of a run that has ended: each one commit."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.errors import InvalidValue, RunIsLive, RunNotFound, RunstoneError
from runstone.git.runs.branch import read_runs
from runstone.registry.check import check_runs
from runstone.registry.resolve import resolve
from runstone.registry.version import register_version
from runstone.tracking import edit
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.read import need_recorded, read_metrics
from runstone.tracking.run import ActiveRun, join_run, start_run
from runstone.tracking.workspace import Workspace
from runstone.uris import RunUri
from tests.support import SOURCE, git


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


# --- amend


def message(workspace: Workspace) -> str:
    """The message of the newest commit on the branch."""
    return git("log", "-1", "--format=%B", "runs", cwd=workspace.repo.common_dir).strip()


@pytest.fixture
def measured(workspace: Workspace) -> ActiveRun:
    """A run that has ended, with a param, three points of a metric, a tag and notes."""
    with start_run(workspace, ensure_experiment(workspace.repo, "trees"), name="elm") as run:
        run.log_params({"lr": 0.1, "depth": 3})
        for step, value in enumerate([0.9, 0.5, 0.7]):
            run.log_metric("loss", value, step=step)
        run.set_tags({"team": "growth"})
        run.set_note("Fine.")
    return run


def test_amend_corrects_and_says_what_it_was(workspace: Workspace, measured: ActiveRun) -> None:
    """Typed values in the record and its files, the summary made anew; each old and new value in the commit."""
    changes = edit.amend_run(
        workspace,
        measured.id,
        reason="measured with\nthe wrong split",
        params={"lr": 0.01, "seed": 7},
        metrics=[("loss", 0.2, 1), ("loss", 0.6, None), ("auc", 0.8, None)],
        tags={"team": "core"},
        delete=["depth"],
        name="elm-2",
        note="Fine now.",
    )
    found = need_recorded(workspace, measured.id)
    assert {"lr": 0.01, "seed": 7} == found.run.params
    loss = found.run.metrics["loss"]
    assert (0.6, 2, 0.2, 0.9, 3) == (loss.last, loss.step, loss.min, loss.max, loss.count)
    assert (0.8, 0, 1) == (found.run.metrics["auc"].last, found.run.metrics["auc"].step, found.run.metrics["auc"].count)
    assert [(0, 0.9), (1, 0.2), (2, 0.6)] == [(p.step, p.value) for p in read_metrics(workspace, measured.id, "loss")]
    assert ("core", "elm-2", b"Fine now.") == (found.run.tags["team"], found.run.name, found.files["notes.md"])
    entry = found.run.amendments[0]
    keys = ["params.depth", "params.lr", "params.seed", "tags.team"]
    keys += ["metrics.loss@1", "metrics.loss", "metrics.auc", "name", "note"]
    assert (keys, "Kim Example <kim@example.org>") == (entry["keys"], entry["by"])
    assert ("measured with\nthe wrong split", keys) == (entry["reason"], [change.key for change in changes])
    expected = f"""\
Amend run elm-2

Run: {measured.id}
Experiment: trees
Reason: measured with the wrong split

params.depth: 3 → (none)
params.lr: 0.1 → 0.01
params.seed: (none) → 7
tags.team: "growth" → "core"
metrics.loss@1: 0.5 → 0.2
metrics.loss: 0.7 → 0.6
metrics.auc: (none) → 0.8
name: "elm" → "elm-2"
note: "Fine." → "Fine now.\""""
    assert expected == message(workspace)
    assert "lr: 0.1\n" in git("show", f"runs~1:{found.folder}/run.yaml", cwd=workspace.repo.common_dir)
    assert [] == list(check_runs(workspace.repo).problems)


def test_a_second_point_of_one_step_is_the_one_that_is_corrected(workspace: Workspace) -> None:
    """Where a script logged without steps, the points before the last stay as they are."""
    with start_run(workspace, ensure_experiment(workspace.repo, "trees")) as run:
        for value in (3, 2, 1):
            run.log_metric("loss", value)
    edit.amend_run(workspace, run.id, reason="off by one", metrics=[("loss", 0, None)])
    assert [3.0, 2.0, 0.0] == [point.value for point in read_metrics(workspace, run.id)]
    assert (0.0, 3.0, 3) == (
        need_recorded(workspace, run.id).run.metrics["loss"].min,
        need_recorded(workspace, run.id).run.metrics["loss"].max,
        need_recorded(workspace, run.id).run.metrics["loss"].count,
    )


def test_an_amendment_that_changes_nothing_writes_nothing(workspace: Workspace, measured: ActiveRun) -> None:
    """All was so already; but `1` is not `1.0` and not `True`."""
    tip = git("rev-parse", "runs", cwd=workspace.repo.common_dir)
    same = edit.amend_run(
        workspace, measured.id, reason="twice", params={"lr": 0.1}, metrics=[("loss", 0.7, None)], note="Fine."
    )
    assert ([], tip) == (same, git("rev-parse", "runs", cwd=workspace.repo.common_dir))
    edit.amend_run(workspace, measured.id, reason="typed", params={"depth": 3.0})
    assert "depth: 3.0" in str(
        git("show", f"runs:{need_recorded(workspace, measured.id).folder}/run.yaml", cwd=workspace.repo.common_dir)
    )


def test_secrets_are_redacted_in_an_amendment(workspace: Workspace, measured: ActiveRun) -> None:
    """In values, the reason and the notes; and one that was recorded is not told again by its correction."""
    token = f"ghp_{'a' * 36}"
    with pytest.warns(UserWarning, match="redacted"):
        edit.amend_run(
            workspace, measured.id, reason=f"with {token}", params={"api_key": "k"}, tags={"t": token}, note=token
        )
    assert token not in git("log", "-p", "--all", cwd=workspace.repo.common_dir)
    assert "with [redacted]" == need_recorded(workspace, measured.id).run.amendments[0]["reason"]


def test_hostile_text_stays_on_its_line_of_the_message(workspace: Workspace, measured: ActiveRun) -> None:
    """Line ends and escapes in values cannot make a line of their own, and long values are cut."""
    edit.amend_run(
        workspace,
        measured.id,
        reason="x\x1b[31m\nRun: fake",
        params={"k": "v\u2028Run: more\r\nRun: other" + "x" * 1000},
    )
    lines = message(workspace).split("\n")
    assert [f"Run: {measured.id}"] == [line for line in lines if line.startswith("Run:")]
    assert 7 == len(lines)
    assert 300 > max(map(len, lines))
    assert "\x1b" not in message(workspace)


def test_what_cannot_be_amended_says_why(workspace: Workspace, measured: ActiveRun) -> None:
    """No reason, nothing to change, an unknown param to delete, a live, a deleted or an unknown run."""
    with pytest.raises(InvalidValue, match="needs a reason"):
        edit.amend_run(workspace, measured.id, reason=" \n", params={"lr": 1})
    with pytest.raises(InvalidValue, match="Nothing was named"):
        edit.amend_run(workspace, measured.id, reason="why")
    with pytest.raises(RunstoneError, match=r"has no param 'x'\. It has: depth, lr"):
        edit.amend_run(workspace, measured.id, reason="why", delete=["x"])
    with pytest.raises(InvalidValue, match="must be a number"):
        edit.amend_run(workspace, measured.id, reason="why", metrics=[("loss", "low", None)])  # type: ignore[list-item]  # refused at run time too
    with pytest.raises(RunNotFound):
        edit.amend_run(workspace, "unknown", reason="why", params={"lr": 1})
    live = start_run(workspace, ensure_experiment(workspace.repo, "trees"))
    with pytest.raises(RunIsLive, match="cannot be amended"):
        edit.amend_run(workspace, live.id, reason="why", params={"lr": 1})
    live.end()
    edit.delete_run(workspace, measured.id)
    with pytest.raises(RunstoneError, match="is deleted"):
        edit.amend_run(workspace, measured.id, reason="why", params={"lr": 1})


AMEND = """
import sys
from runstone.client import Client
for number in range(10):
    Client(sys.argv[1]).amend_run(sys.argv[2], reason="again", params={f"{sys.argv[3]}{number}": number})
"""


def test_two_processes_that_amend_one_run_both_land(workspace: Workspace, measured: ActiveRun) -> None:
    """Twenty corrections of one record from two processes: all are in it, with twenty entries."""
    command = [sys.executable, "-c", AMEND, str(workspace.repo.work_tree), measured.id]
    processes = [
        subprocess.Popen([*command, name], cwd=SOURCE.parent, env={**os.environ, "PYTHONPATH": str(SOURCE)})
        for name in "ab"
    ]
    assert [0, 0] == [process.wait(60) for process in processes]
    found = need_recorded(workspace, measured.id).run
    assert {f"{name}{number}" for name in "ab" for number in range(10)} <= found.params.keys()
    assert 20 == len(found.amendments)


# --- move


def test_a_run_that_was_moved_is_found_by_all_that_was_known(workspace: Workspace, tmp_path: Path) -> None:
    """Artifacts, metrics, notes, index, child, model version; as one commit, and it validates."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors: {}\n")
    with start_run(workspace, ensure_experiment(workspace.repo, "trees"), name="oak") as run:
        run.log_metric("m", 1)
        run.set_note("Noted.")
        run.log_model(tmp_path / "model", "model", ["sklearn"], None)
    with start_run(workspace, ensure_experiment(workspace.repo, "trees"), parent=run.id) as child:
        pass
    register_version(workspace, "churn", RunUri(run.id, "model"))
    client = Client.of(workspace)
    before = client.get_run(run.id)
    old = need_recorded(workspace, run.id).folder
    target = ensure_experiment(workspace.repo, "Other trees")
    client.move_run(run.id, target.experiment_id)
    after = client.get_run(run.id)
    assert (target.experiment_id, "Other trees") == (after.experiment_id, after.experiment)
    assert before == replace(after, experiment_id=before.experiment_id, experiment="trees")
    moved = need_recorded(workspace, run.id)
    assert moved.folder == old.replace("/trees/", f"/{target.experiment_id}/")
    assert b"Noted." == moved.files["notes.md"]
    assert (
        f"Move run oak\n\nRun: {run.id}\nExperiment: Other trees\nFrom: trees\nTo: {target.experiment_id}"
        == message(workspace)
    )
    assert [run.id] == [each.id for each in client.search_runs([target.experiment_id])]
    assert [child.id] == [each.id for each in client.search_runs(["trees"])]
    assert [1.0] == [point.value for point in client.get_metric_history(run.id, "m")]
    parent = client.get_parent_run(child.id)
    assert parent is not None
    assert run.id == parent.id
    for uri in (f"runs:/{run.id}/model", "models:/churn/1"):
        assert ["model/MLmodel"] == [entry.path for entry in resolve(workspace, uri).entries]
    assert 2 == register_version(workspace, "churn", RunUri(run.id, "model")).version
    assert [] == list(check_runs(workspace.repo).problems)
    client.move_run(run.id, target.experiment_id)  # it is there already
    client.move_run([run.id, child.id], "trees")
    assert old == need_recorded(workspace, run.id).folder


def test_all_runs_are_moved_or_none(workspace: Workspace, run: ActiveRun) -> None:
    """One of them is live, or unknown."""
    target = ensure_experiment(workspace.repo, "other")
    tip = git("rev-parse", "runs", cwd=workspace.repo.common_dir)
    live = start_run(workspace, ensure_experiment(workspace.repo, "trees"))
    with pytest.raises(RunIsLive, match="cannot be moved"):
        edit.move_runs(workspace, [run.id, live.id], target)
    with pytest.raises(RunNotFound):
        edit.move_runs(workspace, [run.id, "unknown"], target)
    assert tip == git("rev-parse", "runs", cwd=workspace.repo.common_dir)
    live.abandon()


def test_several_runs_are_one_move_of_the_ref(workspace: Workspace, run: ActiveRun, measured: ActiveRun) -> None:
    """A commit each, and one entry in the reflog."""
    target = ensure_experiment(workspace.repo, "other")
    before = len(git("reflog", "show", "runs", cwd=workspace.repo.common_dir).split("\n"))
    commits = int(git("rev-list", "--count", "--first-parent", "runs", cwd=workspace.repo.common_dir))
    edit.move_runs(workspace, [run.id, measured.id], target)
    assert before + 1 == len(git("reflog", "show", "runs", cwd=workspace.repo.common_dir).split("\n"))
    assert commits + 2 == int(git("rev-list", "--count", "--first-parent", "runs", cwd=workspace.repo.common_dir))
    assert [] == list(read_runs(workspace.repo).list("experiments/trees").keys() - {"experiment.yaml"})


def test_what_is_added_while_a_run_is_moved_goes_with_it(workspace: Workspace, run: ActiveRun) -> None:
    """A handle that was opened before the move: its journal names the old folder, and no second run comes of it."""
    target = ensure_experiment(workspace.repo, "other")
    journals = workspace.repo.state_dir / "journal"
    added = join_run(workspace, run.id)
    added.log_metric("late", 2)
    path = next(journals.glob("*.live"))
    hidden = path.rename(journals.parent / path.name)  # as if it came between the look for it and the move of the ref
    workspace.open_runs.pop(run.id)
    edit.move_runs(workspace, [run.id], target)
    hidden.rename(path)
    added.end()
    found = need_recorded(workspace, run.id)
    assert ("other", 2.0) == (found.run.experiment_id, found.run.metrics["late"].last)
    assert ["experiment.yaml"] == list(read_runs(workspace.repo).list("experiments/trees"))
