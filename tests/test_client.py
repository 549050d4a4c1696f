"""The explicit client: every verb with the repository and the run named."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest

import runstone
from runstone.client import Client
from runstone.entities import Metric, Param, RunTag
from runstone.errors import (
    ArtifactCorrupt,
    ArtifactNotFound,
    ArtifactRefused,
    CopyRefused,
    ExperimentExists,
    ExperimentNotFound,
    InvalidName,
    InvalidUri,
    InvalidValue,
    NotARepository,
    RunExists,
    RunIsLive,
    RunNotFound,
)
from tests.support import SOURCE, git, make_repository, run_python


@pytest.fixture
def client(git_repo: Path) -> Client:
    """A client of a fresh repository."""
    return Client(git_repo)


def new_run(client: Client, **options: Any) -> str:
    """A run of `Default`."""
    return client.create_run("0", **options).id


def test_a_run_by_client_alone(client: Client) -> None:
    """Create, log, end: as with the fluent API, but nothing is active."""
    experiment_id = client.create_experiment("trees", tags={"a": "1"})
    run_id = client.create_run(experiment_id, start_time=1000, tags={"t": "1"}, run_name="oak").info.run_id
    assert None is runstone.active_run()
    client.log_metric(run_id, "m", 2.5, 1234, 7)
    assert 3 == client.log_param(run_id, "p", 3)
    client.set_tag(run_id, "u", 2)
    client.delete_tag(run_id, "t")
    client.set_note(run_id, "Why")
    client.log_batch(run_id, [Metric("m", 3.5, 1235, 8)], [Param("q", None)], [RunTag("v", "3")])
    client.log_inputs(run_id, [pd.DataFrame({"a": [1]})])
    client.set_terminated(run_id, end_time=2000)
    run = client.get_run(run_id)
    assert ("oak", "FINISHED", 1000, 2000) == (run.name, run.status, run.started, run.ended)
    assert ({"p": 3, "q": None}, {"u": "2", "v": "3"}, {"m": 3.5}) == (run.params, run.tags, run.data.metrics)
    assert [Metric("m", 2.5, 1234, 7), Metric("m", 3.5, 1235, 8)] == client.get_metric_history(run_id, "m")
    assert ("Why", True) == (client.get_note(run_id), "pytest==" in (client.get_requirements(run_id) or ""))
    assert 1 == len(run.datasets)


def test_set_terminated_ends_corrects_and_refuses(client: Client, git_repo: Path) -> None:
    """It ends this process's run; of an ended one it corrects the status; another process's run it leaves alone."""
    run_id = new_run(client)
    client.set_terminated(run_id, "FAILED", 10**12)
    client.set_terminated(run_id)
    assert ("FINISHED", 10**12) == (client.get_run(run_id).status, client.get_run(run_id).ended)
    client.update_run(run_id, "KILLED", "renamed")
    assert ("KILLED", "renamed") == (client.get_run(run_id).status, client.get_run(run_id).name)
    client.update_run(second := new_run(client), status="FAILED")
    assert "FAILED" == client.get_run(second).status
    live = new_run(client, run_id="shared")
    code = """
import runstone
from runstone.errors import RunIsLive
client = runstone.Client()
client.log_metric('shared', 'm', 1)
try:
    client.set_terminated('shared', 'FAILED')
except RunIsLive:
    print('refused')
"""
    assert "refused" == run_python(code, cwd=git_repo).stdout.strip()
    client.set_terminated(live)
    assert ("FINISHED", {"m": 1.0}) == (client.get_run(live).status, client.get_run(live).data.metrics)


def test_one_may_correct_a_run_one_has_added_to(client: Client, git_repo: Path) -> None:
    """A handle this process joined with while the run was live is let go of first."""
    code = """
import sys, runstone
with runstone.start_run(run_id='shared'):
    print('ready', flush=True)
    sys.stdin.readline()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=git_repo,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        client.log_metric("shared", "m", 1)
        with pytest.raises(RunIsLive):
            client.delete_run("shared")
        client.log_metric("shared", "m", 2)
        process.stdin.write("\n")
        process.stdin.flush()
        assert 0 == process.wait()
    client.set_terminated("shared", "FAILED")
    run = client.get_run("shared")
    assert ("FAILED", 2) == (run.status, run.metrics["m"].count)


def test_logging_to_an_ended_run_is_a_commit_of_its_own(client: Client, git_repo: Path) -> None:
    """Each call, at once; the status stays."""
    run_id = new_run(client)
    client.set_terminated(run_id, "FAILED")
    tip = git("rev-parse", "runs", cwd=git_repo)
    client.log_metric(run_id, "late", 1)
    client.set_tag(run_id, "mlflow.runName", "later")
    assert "2" == git("rev-list", "--first-parent", "--count", f"{tip}..runs", cwd=git_repo)
    run = client.get_run(run_id)
    assert ("FAILED", "later", {"late": 1.0}) == (run.status, run.name, run.data.metrics)


def test_experiments_by_client(client: Client) -> None:
    """Ids, names, tags, lifecycle; `0` is `Default` wherever an id is asked for."""
    experiment_id = client.create_experiment("trees")
    with pytest.raises(ExperimentExists):
        client.create_experiment("trees")
    client.rename_experiment(experiment_id, "woods")
    client.set_experiment_tag(experiment_id, "a", 1)
    client.set_experiment_tag(experiment_id, "b", 2)
    client.delete_experiment_tag(experiment_id, "a")
    assert ("woods", {"b": "2"}) == (
        client.get_experiment(experiment_id).name,
        dict(client.get_experiment(experiment_id).tags),
    )
    client.delete_experiment(experiment_id)
    assert [] == list(client.search_experiments())
    client.restore_experiment(experiment_id)
    assert ["woods"] == [found.name for found in client.search_experiments(filter_string="tags.b = '2'")]
    with pytest.raises(ExperimentNotFound):
        client.get_experiment("0")
    client.set_terminated(new_run(client))
    assert "Default" == client.get_experiment("0").name
    assert 1 == len(client.search_runs(["0"])) == len(client.search_runs("0"))
    with pytest.raises(InvalidValue, match="an experiment has no artifact location of its own"):
        client.create_experiment("x", "s3://bucket")


def test_runs_are_deleted_restored_and_found(client: Client) -> None:
    """With a reason; an unknown run is an error of one kind everywhere."""
    run_id = new_run(client)
    client.set_terminated(run_id)
    client.delete_run(run_id, reason="wrong data")
    assert ([], "deleted") == (list(client.search_runs()), client.get_run(run_id).lifecycle)
    client.restore_run(run_id)
    assert [run_id] == [run.id for run in client.search_runs()]
    with pytest.raises(RunExists):
        new_run(client, run_id=run_id)
    calls: list[Any] = [
        lambda: client.get_run("unknown"),
        lambda: client.delete_run("unknown"),
        lambda: client.restore_run("unknown"),
        lambda: client.set_terminated("unknown"),
        lambda: client.log_metric("unknown", "m", 1),
        lambda: client.list_artifacts("unknown"),
        lambda: client.download_artifacts("unknown"),
        lambda: client.get_metric_history("unknown", "m"),
        lambda: client.get_note("unknown"),
    ]
    for call in calls:
        with pytest.raises(
            RunNotFound, match=r"^No run 'unknown' in this repository\. List them: `runstone runs list`"
        ):
            call()


def test_paging_gives_every_run_once(client: Client) -> None:
    """Pages of two, by token."""
    for i in range(5):
        client.set_terminated(new_run(client, run_id=f"run-{i}"))
    found: list[str] = []
    token: str | None = None
    while True:
        page = client.search_runs(order_by=["attributes.run_id"], max_results=2, page_token=token)
        found += [run.id for run in page]
        token = page.token
        if token is None:
            break
    assert [f"run-{i}" for i in range(5)] == found
    assert 5 == len(client.search_runs_frame())


def test_artifacts_go_in_and_out(client: Client, tmp_path: Path) -> None:
    """Listed by folder; copied out whole or in part, over what is there; each file checked."""
    run_id = new_run(client)
    client.log_text(run_id, "one", "a/b/one.txt")
    client.log_text(run_id, "", "a/empty.txt")
    client.log_dict(run_id, {"k": 1}, "d.yaml")
    figure = plt.figure()
    client.log_figure(run_id, figure, "f.png", save_kwargs={"dpi": 10})
    plt.close(figure)
    client.set_terminated(run_id)
    assert [("a", True, None), ("d.yaml", False, 5)] == [
        (f.path, f.is_dir, f.file_size) for f in client.list_artifacts(run_id)[:2]
    ]
    assert [("a/b", True), ("a/empty.txt", False)] == [(f.path, f.is_dir) for f in client.list_artifacts(run_id, "a")]
    assert [] == client.list_artifacts(run_id, "d.yaml") == client.list_artifacts(run_id, "none")
    target = tmp_path / "out"
    target.mkdir()
    (target / "a" / "b").mkdir(parents=True)
    (target / "a" / "b" / "one.txt").write_text("an older, longer text")
    assert str(target / "a" / "b") == client.download_artifacts(run_id, "a/b", target)
    assert "one" == (target / "a" / "b" / "one.txt").read_text()
    assert "one" == Path(client.download_artifacts(run_id, "a/b/one.txt")).read_text()
    assert {"a", "d.yaml", "f.png"} == {path.name for path in Path(client.download_artifacts(run_id)).iterdir()}
    for path, error in [("none", ArtifactNotFound), ("../x", InvalidUri), ("a/../../x", InvalidUri)]:
        with pytest.raises(error):
            client.download_artifacts(run_id, path)
    with pytest.raises(CopyRefused, match="it is not an existing folder"):
        client.download_artifacts(run_id, "", tmp_path / "missing")
    with pytest.raises(ArtifactRefused, match="it is not a folder"):
        client.log_artifacts(run_id, tmp_path / "missing")


def test_a_copy_never_leaves_its_folder_by_a_link(client: Client, tmp_path: Path) -> None:
    """A link that lies in the target folder is not followed, and nothing is made behind it."""
    run_id = new_run(client)
    client.log_text(run_id, "one", "a/b/one.txt")
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (target / "a").symlink_to(outside)
    with pytest.raises(CopyRefused, match="a symbolic link leads out of the folder"):
        client.download_artifacts(run_id, "", target)
    assert [] == list(outside.iterdir())


def test_damaged_bytes_are_not_handed_out(client: Client, tmp_path: Path) -> None:
    """A file of the cache that was changed is found by its digest; no file of that name appears."""
    run_id = new_run(client)
    client.log_text(run_id, "one", "a.txt")
    client.set_terminated(run_id)
    (digest,) = [entry.md5 for entry in runstone.tracking.read.read_artifacts(client.workspace, run_id)]
    path = client.workspace.artifacts.cache.path(digest)
    path.chmod(0o644)
    path.write_text("two")
    with pytest.raises(ArtifactCorrupt):
        client.download_artifacts(run_id, "", tmp_path)
    assert not (tmp_path / "a.txt").exists()


def test_a_table_by_several_threads_keeps_every_row(client: Client) -> None:
    """Reading what is there and adding to it is one step."""
    run_id = new_run(client)
    threads = [threading.Thread(target=client.log_table, args=(run_id, {"a": [i]}, "t.json")) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = json.loads(Path(client.download_artifacts(run_id, "t.json")).read_text())["data"]
    assert [[i] for i in range(8)] == sorted(rows)
    client.set_terminated(run_id)


def test_the_client_knows_its_repository(client: Client, git_repo: Path, tmp_path: Path) -> None:
    """A folder in it, or `runstone:PATH`; the registry is in the same one."""
    assert client.workspace is Client(f"runstone:{git_repo}").workspace is Client.of(client.workspace).workspace
    assert client.workspace is Client(git_repo, str(git_repo)).workspace
    other = make_repository(tmp_path / "other")
    with pytest.raises(InvalidValue, match="The registry of a repository is in that repository"):
        Client(git_repo, str(other))
    with pytest.raises(NotARepository):
        Client(tmp_path)


def test_what_is_not_kept_is_refused(client: Client) -> None:
    """Arguments of MLflow that would be lost in silence raise instead."""
    run_id = new_run(client)
    with pytest.raises(InvalidValue, match="stands twice in one batch, with different values"):
        client.log_batch(run_id, params=[Param("p", 1), Param("p", 2)])
    with pytest.raises(InvalidValue):
        client.log_inputs(run_id, models=["m"])
    with pytest.raises(InvalidName):
        client.log_text(run_id, "x", "/abs.txt")
    for source in ("models:/m/1", "runs:/other/model"):
        with pytest.raises(InvalidValue, match="The source of a version must be"):
            client.create_model_version("m", source, run_id=run_id)
    assert {} == client.get_run(run_id).params
