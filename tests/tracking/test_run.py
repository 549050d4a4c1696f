"""Runs: begun, resumed, joined, nested, ended, by threads and by processes; and what logging to them refuses."""

import math
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runstone.errors import (
    ArtifactRefused,
    EndingFailed,
    InvalidName,
    InvalidValue,
    ParamConflict,
    RefBlocked,
    RunEnded,
    RunExists,
    RunIsLive,
    RunNotFound,
    RunstoneError,
    UsageError,
)
from runstone.records.metric import Metric
from runstone.records.run import Run
from runstone.tracking import edit, read
from runstone.tracking.experiment import ensure_experiment
from runstone.tracking.run import ActiveRun, end_open_runs, find_open, is_live, join_run, resume_run, start_run
from runstone.tracking.secrets import SecretRedacted
from runstone.tracking.workspace import Workspace
from tests.support import git, run_python


def begin(workspace: Workspace, **options: Any) -> ActiveRun:
    """A run of the experiment `trees`."""
    return start_run(workspace, ensure_experiment(workspace.repo, "trees"), **options)


def fail(word: str) -> None:
    """Raise an error of ours."""
    raise RunstoneError(word)


def recorded(workspace: Workspace, run_id: str) -> Run:
    """A run as the branch holds it."""
    return read.need_recorded(workspace, run_id).run


def test_a_run_is_one_commit_with_all_it_logged(workspace: Workspace, git_repo: Path) -> None:
    """Start to end: the record says what was logged and where it came from; nothing else in the repository changed."""
    head = git("rev-parse", "HEAD", cwd=git_repo)
    with begin(workspace, name="first", tags={"team": "growth"}, description="Why") as run:
        run.log_params({"depth": 3, "wide": True, "none": None, "list": [1, {"a": "b"}], "lr": 0.1})
        run.log_metric("mse", 2.5, step=1)
        run.log_metrics({"mse": 1.5, "val/loss": math.nan}, step=2, timestamp=1000)
        before = git("rev-parse", "runs", cwd=git_repo)
    found = recorded(workspace, run.id)
    assert before == git("rev-parse", "runs^1", cwd=git_repo)
    assert ("first", "FINISHED", "trees", "trees") == (found.name, found.status, found.experiment, found.experiment_id)
    assert {"depth": 3, "wide": True, "none": None, "list": [1, {"a": "b"}], "lr": 0.1} == found.params
    assert (1.5, 2, 1.5, 2.5, 2) == tuple(
        getattr(found.metrics["mse"], name) for name in ("last", "step", "min", "max", "count")
    )
    assert math.isnan(found.metrics["val/loss"].last)
    assert ({"team": "growth"}, "Why") == (found.tags, read.read_file(workspace, run.id, "notes.md"))
    assert (head, head, False, "main") == (
        found.source.commit,
        found.source.snapshot,
        found.source.dirty,
        found.source.branch,
    )
    assert "pytest==" in (read.read_file(workspace, run.id, "requirements.txt") or "")
    assert [head, ""] == [git("rev-parse", "HEAD", cwd=git_repo), git("status", "--porcelain", cwd=git_repo)]
    assert "" == git("fsck", "--strict", "--no-dangling", cwd=git_repo)


def test_the_views_of_a_live_run_follow_what_is_logged(workspace: Workspace) -> None:
    """`info`, `data` and `inputs` are MLflow's, before the end and after it."""
    run = begin(workspace, start_time=5000)
    assert ("RUNNING", 5000, None) == (run.info.status, run.info.start_time, run.info.end_time)
    run.log_metric("m", 1)
    run.log_params({"p": 1})
    run.set_tags({"mlflow.runName": "renamed", "t": 1, "mlflow.note.content": "note"})
    assert ({"m": 1.0}, {"p": 1}, {"t": "1"}) == (run.data.metrics, run.data.params, run.data.tags)
    assert "renamed" == run.info.run_name
    run.end("KILLED", 6000)
    assert ("renamed", "KILLED", 5000, 6000) == (
        run.info.run_name,
        run.info.status,
        run.info.start_time,
        run.info.end_time,
    )
    assert ({"p": 1}, ()) == (run.data.params, run.inputs.dataset_inputs)


def test_asking_an_open_run_for_its_id_reads_nothing(workspace: Workspace) -> None:
    """Scripts write `run.info.run_id` at every step; with a long journal that must not read it all."""
    run = begin(workspace)
    run.log_metric("m", 1.0)
    opened: list[object] = []
    listening = True

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event == "open" and run.id in str(arguments[0]):
            opened.append(arguments[0])

    sys.addaudithook(listen)  # it cannot be removed again, so it is told to stop listening
    try:
        assert run.id == run.info.run_id
        assert [] == opened
        assert 1 == run.snapshot().metrics["m"].count
        assert opened
    finally:
        listening = False
    run.end()


@pytest.mark.parametrize(
    ("old", "new"), [(1, 2), (1, 1.0), (1, True), ("1", 1), (None, ""), ([1], [2]), ({"a": 1}, {"a": 2})]
)
def test_a_param_never_changes(workspace: Workspace, old: Any, new: Any) -> None:
    """The same value is accepted again; another one, or one of another type, is refused with the whole batch."""
    with begin(workspace) as run:
        run.log_params({"p": old})
        run.log_params({"p": old})
        with pytest.raises(ParamConflict) as caught:
            run.log_params({"other": 1, "p": new})
    assert (old, new, "p") == (caught.value.old, caught.value.new, "p")
    assert {"p": old} == recorded(workspace, run.id).params


def test_a_param_of_nan_may_be_logged_again(workspace: Workspace) -> None:
    """NaN is unequal to itself, but the same value all the same."""
    with begin(workspace) as run:
        run.log_params({"p": math.nan})
        run.log_params({"p": math.nan})


@pytest.mark.parametrize(
    ("batch", "error"),
    [
        ({"metrics": [Metric("m", "text", 0, 0)]}, InvalidValue),  # type: ignore[arg-type]  # the point
        ({"metrics": [Metric("a/../b", 1.0, 0, 0)]}, InvalidName),
        ({"params": {"p": 2}}, ParamConflict),
        ({"params": {"ok": 1, "": 2}}, InvalidName),
        ({"tags": {"ok": "1", "bad\n": "2"}}, InvalidName),
        ({"tags": {"mlflow.runName": " "}}, InvalidName),
        ({"params": {"deep": "x" * (8 * 1024 * 1024)}}, InvalidValue),
    ],
)
def test_a_batch_is_logged_whole_or_not_at_all(
    workspace: Workspace, batch: dict[str, Any], error: type[Exception]
) -> None:
    """Whatever part of it is refused, none of it is in the record."""
    good: dict[str, Any] = {"metrics": [Metric("m", 1.0, 0, 0)], "params": {"q": 1}, "tags": {"t": "1"}}
    with begin(workspace) as run:
        run.log_params({"p": 1})
        merged = {k: [*good[k], *v] if isinstance(v, list) else {**good[k], **v} for k, v in batch.items()}
        with pytest.raises(error):
            run.log_batch(**{**good, **merged})
    found = recorded(workspace, run.id)
    assert ({"p": 1}, {}, {}) == (found.params, found.metrics, found.tags)


def test_a_param_of_a_megabyte_and_five_thousand_params(workspace: Workspace) -> None:
    """What a record can hold it holds; beyond 8 MiB in all the error says where else to put it."""
    many = {f"p{i}": i for i in range(5000)}
    with begin(workspace) as run:
        run.log_params({"big": "x" * 1024**2, **many})
        with pytest.raises(InvalidValue, match=r"Log long text as a file: `log_text\(text, 'name.txt'\)`"):
            run.log_params({"bigger": "y" * 8 * 1024**2})
    assert {"big": "x" * 1024**2, **many} == recorded(workspace, run.id).params


def test_secrets_are_redacted_everywhere(workspace: Workspace, git_repo: Path) -> None:
    """Params, nested ones, tags, notes and names: the secret is in no object and no journal."""
    secret = "ghp_" + "a1B2" * 9
    with pytest.warns(SecretRedacted):  # noqa: PT031  # every call of the block is to redact
        with begin(workspace, name=f"run {secret}", tags={"note": secret}, description=f"with {secret}") as run:
            run.log_params({"api_key": "hunter2-hunter2", "nested": {"password": "hunter2-hunter2"}, "text": secret})
            run.set_tags({"mlflow.runName": f"again {secret}"})
            run.set_note(f"note {secret}")
            journal = run._writer.path.read_text()
        edit.delete_run(workspace, run.id, f"it holds {secret}")
    assert "again [redacted]" == recorded(workspace, run.id).name
    objects = git("cat-file", "--batch-check", "--batch-all-objects", cwd=git_repo).splitlines()
    names = [line.split()[0] for line in objects if " tree " not in line]
    everything = "".join(git("cat-file", "-p", name, cwd=git_repo) for name in names)
    assert "[redacted]" in journal
    for text in (everything, journal):
        assert [False, False] == [secret in text, "hunter2" in text]


def test_own_ids_and_what_they_may_be(workspace: Workspace) -> None:
    """A caller's key names the run; taken ones and unsafe ones are refused, live or recorded."""
    with begin(workspace, run_id="fold-1") as run:
        with pytest.raises(RunExists):
            begin(workspace, run_id="fold-1")
        assert "fold-1" == run.id
    with pytest.raises(RunExists):
        begin(workspace, run_id="fold-1")
    for bad in ("../x", "A", "con", "a" * 200, "x.lock"):
        with pytest.raises(InvalidName):
            begin(workspace, run_id=bad)


def test_what_a_start_refuses_leaves_nothing_behind(workspace: Workspace) -> None:
    """A bad tag, time or parent: no journal, no open run, no record."""
    refused: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"tags": {"": "x"}}, InvalidName),
        ({"start_time": 10**18}, InvalidValue),
        ({"parent": "no/such"}, InvalidName),
        ({"name": "a", "tags": {"mlflow.runName": "b"}}, UsageError),
    ]
    for options, error in refused:
        with pytest.raises(error):
            begin(workspace, **options)
    assert ({}, []) == (workspace.open_runs, list((workspace.repo.state_dir / "journal").glob("*.*")))


def test_an_ended_run_takes_nothing_more(workspace: Workspace) -> None:
    """Each way of logging says so; ending it again does nothing."""
    with begin(workspace) as run:
        pass
    calls: list[Callable[[], object]] = [
        lambda: run.log_metric("m", 1),
        lambda: run.log_metrics({"m": 1}),
        lambda: run.log_params({"p": 1}),
        lambda: run.set_tags({"t": "1"}),
        lambda: run.log_bytes(b"x", "x"),
        lambda: run.delete_tag("t"),
    ]
    for call in calls:
        with pytest.raises(RunEnded, match=f"Run {run.id} has ended"):
            call()
    run.end("FAILED")
    assert "FINISHED" == recorded(workspace, run.id).status


def test_a_resumed_run_adds_an_attempt(workspace: Workspace) -> None:
    """History, artifacts and params go on; the status and the end are those of the last attempt."""
    with begin(workspace) as run:
        run.log_params({"p": 1})
        run.log_metric("m", 1.0, step=0)
        run.log_bytes(b"1", "a.txt")
    first = recorded(workspace, run.id)
    again = resume_run(workspace, run.id)
    assert ("RUNNING", None, first.started) == (again.info.status, again.info.end_time, again.info.start_time)
    with pytest.raises(ParamConflict):
        again.log_params({"p": 2})
    with pytest.raises(ArtifactRefused, match="the run would have a file and a folder of this name"):
        again.log_bytes(b"2", "a.txt/b.txt")
    again.log_metric("m", 2.0, step=1)
    again.log_bytes(b"2", "b.txt")
    again.end("FAILED")
    found = recorded(workspace, run.id)
    assert ("FAILED", first.started, 2) == (found.status, found.started, found.metrics["m"].count)
    assert ["FINISHED", "FAILED"] == [attempt["status"] for attempt in found.attempts]
    assert ["a.txt", "b.txt"] == [entry.path for entry in read.read_artifacts(workspace, run.id)]
    edit.delete_run(workspace, run.id)
    with pytest.raises(RunstoneError, match=f"Run {run.id} is deleted. Restore it: `runstone runs restore {run.id}`"):
        resume_run(workspace, run.id)
    with pytest.raises(RunNotFound):
        resume_run(workspace, "unknown")


def test_a_run_that_is_live_cannot_be_resumed(workspace: Workspace) -> None:
    """Two processes must not both think that they end it."""
    run = begin(workspace)
    assert is_live(workspace, run.id)
    with pytest.raises(RunIsLive):
        resume_run(workspace, run.id)
    run.end()
    assert not is_live(workspace, run.id)


def test_adding_to_an_ended_run_leaves_its_status(workspace: Workspace) -> None:
    """A later metric, as of an evaluation, is one more commit; the run stays FAILED, and ended when it did."""
    run = begin(workspace)
    run.end("FAILED", 7000 + run.info.start_time)
    before = recorded(workspace, run.id)
    with join_run(workspace, run.id) as added:
        assert (True, True) == (added.has_joined, added.adds_to_ended)
        added.log_metric("late", 1.0)
    after = recorded(workspace, run.id)
    assert ("FAILED", before.ended, 1.0) == (after.status, after.ended, after.metrics["late"].last)


def test_nested_runs_end_in_any_order(workspace: Workspace) -> None:
    """To any depth; each is a record of its own that names its parent."""
    outer = begin(workspace)
    middle = begin(workspace, parent=outer.id)
    inner = begin(workspace, tags={"mlflow.parentRunId": middle.id})
    for run in (outer, inner, middle):
        run.end()
    assert (None, outer.id, middle.id) == tuple(recorded(workspace, r.id).parent for r in (outer, middle, inner))


def test_threads_share_a_run_and_lose_nothing(workspace: Workspace) -> None:
    """Eight threads with metrics, params, tags and files, and one param that they all log."""
    run = begin(workspace)

    def work(number: int) -> None:
        for step in range(200):
            run.log_metric("m", number, step=step)
            run.log_metric(f"m{number}", step, step=step)
        run.log_params({"shared": 1, f"p{number}": number})
        run.set_tags({f"t{number}": number})
        run.log_bytes(b"%d" % number, f"{number}.txt")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    run.end()
    found = recorded(workspace, run.id)
    assert 1600 == found.metrics["m"].count
    assert list(range(200)) == [point.value for point in read.read_metrics(workspace, run.id, "m3")]
    assert {"shared": 1} | {f"p{n}": n for n in range(8)} == found.params
    assert {f"t{n}": str(n) for n in range(8)} == found.tags
    assert [f"{n}.txt" for n in range(8)] == [entry.path for entry in read.read_artifacts(workspace, run.id)]


def test_two_threads_may_end_one_run(workspace: Workspace) -> None:
    """The second one waits for the first and does nothing."""
    run = begin(workspace)
    barrier = threading.Barrier(4)

    def end() -> None:
        barrier.wait()
        run.end()

    with ThreadPoolExecutor(4) as pool:
        for result in [pool.submit(end) for _ in range(4)]:
            result.result()
    assert "FINISHED" == recorded(workspace, run.id).status


def test_several_processes_log_to_one_run(workspace: Workspace, git_repo: Path) -> None:
    """Four that join by RUNSTONE_RUN_ID, one of them killed: nothing that was logged is lost."""
    run = begin(workspace, run_id="shared")
    code = """
import os, signal, sys, runstone
number = int(sys.argv[1])
with runstone.start_run() as run:
    assert run.info.run_id == 'shared'
    for step in range(100):
        runstone.log_metric('m', number, step=step)
    runstone.log_text(str(number), f'{number}.txt')
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    with ThreadPoolExecutor(4) as pool:
        done = pool.map(
            lambda n: run_python(code, str(n), cwd=git_repo, check=False, env={"RUNSTONE_RUN_ID": "shared"}), range(4)
        )
    assert [0, 0, 0, -9] == [each.returncode for each in done]
    assert "RUNNING" == run.info.status
    run.end()
    assert ("FINISHED", 400) == (recorded(workspace, "shared").status, recorded(workspace, "shared").metrics["m"].count)
    assert [f"{n}.txt" for n in range(4)] == [entry.path for entry in read.read_artifacts(workspace, "shared")]
    assert [] == list((workspace.repo.state_dir / "journal").glob("*.*"))


def test_what_is_done_when_recorded_is_all_done(workspace: Workspace) -> None:
    """An action that fails keeps neither the run from its record nor the next action from its turn."""
    seen: list[str] = []

    def look_and_fail(word: str) -> None:
        seen.append(recorded(workspace, run.id).status)
        fail(word)

    run = begin(workspace)
    run.when_recorded(lambda: look_and_fail("first"))
    run.when_recorded(lambda: look_and_fail("second"))
    with pytest.raises(RunstoneError, match="second") as caught:
        run.end()
    assert (["FINISHED", "FINISHED"], ["And before it: first"]) == (seen, caught.value.__notes__)
    run.end()
    assert 2 == len(seen)


def test_the_blocks_exception_is_never_hidden(workspace: Workspace) -> None:
    """Where ending fails too, the block's exception goes on, with the other one as a note and a warning."""
    run = begin(workspace)
    run.when_recorded(lambda: fail("no tag"))
    warned = pytest.warns(EndingFailed, match="could not be ended as it should: no tag")
    with warned, pytest.raises(KeyError) as caught, run:
        raise KeyError("mine")
    assert [f"Run {run.id} could not be ended as it should: no tag"] == caught.value.__notes__
    assert "FAILED" == recorded(workspace, run.id).status


def test_a_run_whose_end_failed_can_be_ended_later(workspace: Workspace, git_repo: Path) -> None:
    """A branch in the way of `runs`: the error names it, nothing is lost, and ending again records the run."""
    workspace = Workspace.open(git_repo)
    run = begin(workspace)
    run.log_metric("m", 1)
    tip = git("rev-parse", "runs", cwd=git_repo)
    hook = git_repo / ".git" / "hooks" / "reference-transaction"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RefBlocked):
        run.end("KILLED")
    assert (False, tip) == (run.is_open, git("rev-parse", "runs", cwd=git_repo))
    hook.unlink()
    run.end()
    assert ("KILLED", 1.0) == (recorded(workspace, run.id).status, recorded(workspace, run.id).metrics["m"].last)


def test_all_open_runs_are_tried_at_the_end_of_the_process(workspace: Workspace) -> None:
    """The error of one does not keep the other from being recorded."""
    first, second = begin(workspace), begin(workspace)
    second.when_recorded(lambda: fail("second"))
    with pytest.raises(RunstoneError, match="second"):
        end_open_runs("FINISHED")
    assert {"FINISHED"} == {recorded(workspace, run.id).status for run in (first, second)}
    assert (None, {}) == (find_open(workspace, first.id), workspace.open_runs)


def test_flush_syncs_and_the_run_goes_on(workspace: Workspace) -> None:
    """What was logged is on the disk; more can be logged."""
    with begin(workspace) as run:
        run.log_bytes(b"data", "a.bin")
        run.flush()
        assert set() == run._unsynced
        run.log_metric("m", 1)
    assert 1.0 == recorded(workspace, run.id).metrics["m"].last


def test_logged_folders_keep_their_files_and_refuse_links_that_lead_out(workspace: Workspace, tmp_path: Path) -> None:
    """Unusual names and empty folders are fine; a link out of the tree is refused before anything is kept."""
    folder = tmp_path / "out"
    for name in ("plain.txt", "with space.txt", "émoji 🎈.txt", "-dash", "deep/er/x.bin", "#hash"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "empty").mkdir()
    (folder / "inside.txt").symlink_to(folder / "plain.txt")
    secret = tmp_path / "secret.txt"
    secret.write_text("s")
    with begin(workspace) as run:
        run.log_artifact(folder, "kept")
        for target in (secret, tmp_path, tmp_path / "missing"):
            (folder / "link").symlink_to(target)
            with pytest.raises(ArtifactRefused):
                run.log_artifact(folder, "again")
            (folder / "link").unlink()
        (tmp_path / "none").mkdir()
        assert [] == run.log_artifact(tmp_path / "none", "nothing")
        for bad in ("../x", "/x", "a/../b", "C:/x", "a\\b", ".git/hooks"):
            with pytest.raises(InvalidName):
                run.log_artifact(secret, bad)
    expected = {"#hash", "-dash", "deep/er/x.bin", "inside.txt", "plain.txt", "with space.txt", "émoji 🎈.txt"}
    assert {f"kept/{name}" for name in expected} == {e.path for e in read.read_artifacts(workspace, run.id)}
