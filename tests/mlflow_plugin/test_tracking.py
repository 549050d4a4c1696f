"""The tracking store as a whole: in a user's own process, in MLflow's server, and beside Runstone's own API."""

import inspect
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest
from mlflow.entities import Metric, Param, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from runstone.client import Client
from runstone.git.repository import Repository
from runstone.mlflow_plugin.experiments import ExperimentStore
from runstone.mlflow_plugin.history import HistoryStore
from runstone.mlflow_plugin.log import LogStore
from runstone.mlflow_plugin.runs import RunStore
from runstone.mlflow_plugin.tracking import TrackingStore
from runstone.tracking import shared
from runstone.tracking.workspace import Workspace
from tests.support import git, make_repository, run_python

pytestmark = pytest.mark.mlflow
FINISHED = RunStatus.from_string("FINISHED")


@pytest.fixture
def served(store: TrackingStore, monkeypatch: pytest.MonkeyPatch) -> TrackingStore:
    """The store as a process of MLflow's server has it."""
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", "")
    return store


def begin(store: TrackingStore, name: str = "r", tags: Sequence[RunTag] = ()) -> str:
    """Begin a run and return its id."""
    return str(store.create_run("0", "kim", 1, tags, name).info.run_id)


def test_mlflows_fluent_api_works_on_a_repository(folder: Path) -> None:
    """A script of MLflow's, changed in nothing but its tracking URI, in a process of its own; we read its run."""
    script = """
import mlflow
mlflow.set_tracking_uri("runstone:.")
mlflow.set_experiment("churn")
with mlflow.start_run(run_name="first", description="A note.") as run:
    mlflow.log_params({"depth": 3, "lr": 0.1, "kind": "forest"})
    for step in range(5):
        mlflow.log_metrics({"loss": 1 / (step + 1)}, step=step)
    mlflow.set_tag("team", "red")
    with mlflow.start_run(nested=True):
        mlflow.log_metric("inner", 1)
found = mlflow.search_runs(filter_string="params.depth = '3' and metrics.loss < 0.3")
assert [run.info.run_id] == list(found.run_id), found
assert "3" == found["params.depth"][0]
print(run.info.run_id)
"""
    (folder / "script.py").write_text(script)
    run_id = run_python(folder / "script.py", cwd=folder).stdout.strip()
    run = Client(folder).get_run(run_id)
    assert ("first", "churn", "FINISHED") == (run.name, run.experiment, run.status)
    assert {"depth": 3, "lr": 0.1, "kind": "forest"} == run.params
    assert (0.2, 4, 5) == (run.metrics["loss"].last, run.metrics["loss"].step, run.metrics["loss"].count)
    assert "red" == run.tags["team"]
    assert "A note." == Client(folder).get_note(run_id)
    snapshot = run.source.snapshot
    assert snapshot is not None
    assert script == git("show", f"{snapshot}:script.py", cwd=folder) + "\n"
    (child,) = Client(folder).search_runs(filter_string=f"parent = '{run_id}'")
    assert {"inner": 1.0} == child.data.metrics
    assert [] == git("fsck", "--strict", "--no-dangling", cwd=folder).splitlines()


def test_a_killed_process_leaves_a_failed_run(folder: Path) -> None:
    """What it had logged is there, though nobody ended the run."""
    script = """
import mlflow, os
mlflow.set_tracking_uri("runstone:.")
mlflow.start_run(run_name="killed")
mlflow.log_metric("loss", 0.5)
os.kill(os.getpid(), 9)
"""
    done = run_python(script, cwd=folder, check=False)
    assert -9 == done.returncode
    (run,) = TrackingStore(f"runstone:{folder}").search_runs(["0"], "", ViewType.ALL)
    assert ("killed", "FAILED", {"loss": 0.5}) == (run.info.run_name, run.info.status, run.data.metrics)


def test_a_server_captures_nothing_of_itself(served: TrackingStore, folder: Path) -> None:
    """No code, command or packages of the server are taken for those of a run; the commit that a client tells is."""
    commit = git("rev-parse", "HEAD", cwd=folder)
    tags = [RunTag("mlflow.source.git.commit", commit), RunTag("mlflow.source.name", "train.py")]
    run_id = begin(served, tags=tags)
    served.update_run_info(run_id, FINISHED, 2, None)
    run = Client(folder).get_run(run_id)
    assert (commit, None, ()) == (run.source.commit, run.source.snapshot, run.source.command)
    assert run.environment.requirements is None
    assert {tag.key: tag.value for tag in tags}.items() <= served.get_run(run_id).data.tags.items()


@pytest.mark.parametrize("commit", ["main", "--help", "1" * 39, "../x", "Z" * 40, ""])
def test_what_is_no_commit_is_only_a_tag(commit: str, served: TrackingStore, folder: Path) -> None:
    """A client may tell anything as the commit of its code."""
    run_id = begin(served, tags=[RunTag("mlflow.source.git.commit", commit)])
    served.update_run_info(run_id, FINISHED, 2, None)
    run = Client(folder).get_run(run_id)
    assert (None, commit) == (run.source.commit, run.tags["mlflow.source.git.commit"])


def test_a_run_is_taken_up_again(store: TrackingStore, folder: Path) -> None:
    """Set to RUNNING after its end it takes more, and is a further attempt of the same run."""
    run_id = begin(store)
    store.update_run_info(run_id, FINISHED, 2, None)
    info = store.update_run_info(run_id, RunStatus.from_string("RUNNING"), 2, None)
    assert ("RUNNING", None) == (info.status, info.end_time)
    assert "RUNNING" == store.get_run(run_id).info.status
    store.log_metric(run_id, Metric("m", 1.0, 1, 0))
    info = store.update_run_info(run_id, RunStatus.from_string("FAILED"), 9, None)
    assert ("FAILED", 9) == (info.status, info.end_time)
    assert ["FINISHED", "FAILED"] == [attempt["status"] for attempt in Client(folder).get_run(run_id).attempts]


def test_what_is_added_after_the_end_is_seen_at_once_and_committed_together(
    served: TrackingStore, repo: Repository, folder: Path
) -> None:
    """Many calls on an ended run are one commit; searches find them before it is made."""
    run_id = begin(served)
    served.update_run_info(run_id, FINISHED, 2, None)
    before = git("rev-list", "--count", "--first-parent", "runs", cwd=folder)
    for step in range(20):
        served.log_metric(run_id, Metric("late", step, 1, step))
    served.set_tag(run_id, RunTag("late", "yes"))
    (found,) = served.search_runs(["0"], "metrics.late = 19 AND tags.late = 'yes'", ViewType.ALL)
    assert ("FINISHED", 2) == (found.info.status, found.info.end_time)
    assert 20 == len(served.get_metric_history(run_id, "late"))
    shared.flush(Workspace.open(folder))
    assert int(before) + 1 == int(git("rev-list", "--count", "--first-parent", "runs", cwd=folder))
    assert {"late": 19.0} == served.get_run(run_id).data.metrics


def test_a_run_that_is_live_can_be_deleted(served: TrackingStore, folder: Path) -> None:
    """It is ended as KILLED, so that what nobody will end does not stay for ever."""
    run_id = begin(served)
    served.log_metric(run_id, Metric("m", 1.0, 1, 0))
    served.delete_run(run_id)
    info = served.get_run(run_id).info
    assert ("KILLED", "deleted") == (info.status, info.lifecycle_stage)
    with pytest.raises(MlflowException) as raised:
        served.log_metric(run_id, Metric("m", 1.0, 1, 0))
    assert "INVALID_PARAMETER_VALUE" == raised.value.error_code
    served.restore_run(run_id)
    assert {"m": 1.0} == served.get_run(run_id).data.metrics


def test_runs_of_runstones_own_api_are_seen(store: TrackingStore, folder: Path) -> None:
    """A live run of the library: its params are text, its notes a tag; and what MLflow adds is seen by the library."""
    client = Client(folder)
    experiment_id = client.create_experiment("own")
    active = client.create_run(experiment_id, run_name="native")
    client.log_batch(active.id, params={"n": 10, "text": "10", "layers": [1, 2], "none": None})
    client.set_note(active.id, "Hm.")
    run = store.get_run(active.id)
    assert ({"n": "10", "text": "10", "layers": "[1, 2]", "none": "None"}, "Hm.") == (
        run.data.params,
        run.data.tags["mlflow.note.content"],
    )
    same = [Param("n", "10"), Param("text", "10"), Param("layers", "[1, 2]")]
    store.log_batch(active.id, [], same, [RunTag("a", "b")])
    with pytest.raises(MlflowException, match="cannot become"):
        store.log_param(active.id, Param("text", "11"))
    client.set_terminated(active.id)
    (found,) = store.search_runs([experiment_id], "params.n = '10' AND params.layers LIKE '[1,%' AND tags.a = 'b'", 1)
    assert "native" == found.info.run_name
    assert "python" in found.data.tags["mlflow.source.name"] or "pytest" in found.data.tags["mlflow.source.name"]
    sources = store.search_runs([experiment_id], "tags.`mlflow.source.git.branch` = 'main'", ViewType.ACTIVE_ONLY)
    assert [active.id] == [run.info.run_id for run in sources]


def test_threads_write_to_one_run(served: TrackingStore) -> None:
    """Eight threads with stores of their own lose nothing."""
    run_id = begin(served)

    def log(thread: int) -> None:
        for step in range(50):
            served.log_batch(run_id, [Metric(f"m{thread}", step, step, step)], [Param(f"p{thread}-{step}", "x")], [])

    threads = [Thread(target=log, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    served.update_run_info(run_id, FINISHED, 2, None)
    run = served.get_run(run_id)
    assert (400, dict.fromkeys((f"m{n}" for n in range(8)), 49.0)) == (len(run.data.params), run.data.metrics)
    assert [50] * 8 == [len(served.get_metric_history(run_id, f"m{number}")) for number in range(8)]


def test_processes_write_to_one_run(served: TrackingStore, folder: Path) -> None:
    """Three processes of a server log to one run at once, and one of them ends it: nothing is lost."""
    run_id = begin(served)
    script = f"""
import os, sys
os.environ["_MLFLOW_SERVER_FILE_STORE"] = ""
import mlflow
from mlflow.entities import Metric, Param
from runstone.mlflow_plugin.tracking import TrackingStore
store, number = TrackingStore("runstone:."), sys.argv[1]
for step in range(100):
    store.log_batch("{run_id}", [Metric("m" + number, step, step, step)], [Param(f"p{{number}}-{{step}}", "x")], [])
"""
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda number: run_python(script, str(number), cwd=folder), range(3)))
    served.update_run_info(run_id, FINISHED, 2, None)
    run = served.get_run(run_id)
    assert (300, {"m0": 99.0, "m1": 99.0, "m2": 99.0}) == (len(run.data.params), run.data.metrics)
    assert [100] * 3 == [len(served.get_metric_history(run_id, f"m{number}")) for number in range(3)]


def test_asynchronous_calls_are_written(folder: Path) -> None:
    """MLflow's own queue works on the store."""
    client = MlflowClient(f"runstone:{folder}")
    run_id = client.create_run("0").info.run_id
    for step in range(30):
        client.log_metric(run_id, "m", step, step=step, synchronous=False)
    client.log_param(run_id, "p", 1, synchronous=False).wait()
    client.set_tag(run_id, "t", "u", synchronous=False).wait()
    client.log_batch(run_id, [Metric("m", 99, 1, 99)], synchronous=False).wait()
    client.set_terminated(run_id)
    run = client.get_run(run_id)
    assert ({"m": 99.0}, {"p": "1"}, "u") == (run.data.metrics, run.data.params, run.data.tags["t"])
    assert 31 == len(client.get_metric_history(run_id, "m"))


def test_secrets_are_not_recorded(served: TrackingStore, folder: Path) -> None:
    """What looks like a password is replaced, in what comes back as in the repository."""
    run = served.create_run("0", "kim", 1, [RunTag("api_key", "sk-live-12345678901234567890")], "r")
    served.log_param(run.info.run_id, Param("password", "hunter2hunter2"))
    served.update_run_info(run.info.run_id, FINISHED, 2, None)
    found = served.get_run(run.info.run_id)
    assert run.data.tags["api_key"] == found.data.tags["api_key"]
    text = json.dumps(found.to_dictionary()) + git("grep", "-h", "-e", "", "runs", cwd=folder)
    assert "hunter2" not in text
    assert "sk-live" not in text


def test_gc_finds_and_removes_deleted_runs(served: TrackingStore, folder: Path) -> None:
    """As `mlflow gc` asks: which runs were deleted long ago; one that is removed leaves the tip of the branch."""
    kept, gone = begin(served, "kept"), begin(served, "gone")
    for run_id in (kept, gone):
        served.update_run_info(run_id, FINISHED, 2, None)
    served.delete_run(gone)
    assert ([gone], []) == (served._get_deleted_runs(), served._get_deleted_runs(older_than=3_600_000))
    with pytest.raises(MlflowException) as raised:
        served._hard_delete_run(kept)
    assert "INVALID_PARAMETER_VALUE" == raised.value.error_code
    served._hard_delete_run(gone)
    with pytest.raises(MlflowException, match=gone):
        served.get_run(gone)
    assert [kept] == [run.info.run_id for run in served.search_runs(["0"], "", ViewType.ALL)]
    assert "gone" not in git("grep", "-h", "-e", "^name", "runs", cwd=folder)


def test_models_of_a_run_are_listed_in_mlflows_tag(served: TrackingStore) -> None:
    """One after another, and whole, however long the list gets; what is no model is refused."""
    from mlflow.models import Model

    run_id = begin(served)
    for number in range(60):
        model = Model(artifact_path=f"model-{number}", run_id=run_id, flavors={"f": {"a": "b" * 99}})
        served.record_logged_model(run_id, model)
    listed = json.loads(served.get_run(run_id).data.tags["mlflow.log-model.history"])
    assert [f"model-{number}" for number in range(60)] == [model["artifact_path"] for model in listed]
    with pytest.raises(TypeError, match=r"mlflow\.models\.Model"):
        served.record_logged_model(run_id, {"a": "b"})


@pytest.mark.parametrize(
    ("uri", "said"), [("runstone:{}", "not.*git repository|No git repository"), ("s3://x", "no `runstone:` URI")]
)
def test_a_uri_that_is_no_repository_is_refused(uri: str, said: str, tmp_path: Path) -> None:
    """With an error that MLflow's callers catch."""
    with pytest.raises(MlflowException, match=said):
        TrackingStore(uri.format(tmp_path))


def test_a_bare_repository_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One without a work tree, as on a server, takes runs like any other."""
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", "")
    make_repository(tmp_path / "repo")
    git("clone", "-q", "--bare", "repo", "bare.git", cwd=tmp_path)
    store = TrackingStore(f"runstone:{tmp_path}/bare.git")
    run_id = begin(store)
    store.update_run_info(run_id, FINISHED, 2, None)
    assert [run_id] == [run.info.run_id for run in store.search_runs(["0"], "", ViewType.ALL)]


def test_a_read_only_repository_is_read(served: TrackingStore, folder: Path) -> None:
    """Looking at the runs of a repository changes no file of it that git or its users know."""
    run_id = begin(served)
    served.update_run_info(run_id, FINISHED, 2, None)
    before = git("for-each-ref", cwd=folder), git("status", "--porcelain", cwd=folder)
    served.search_experiments(ViewType.ALL)
    served.search_runs(["0"], "", ViewType.ALL)
    served.get_run(run_id)
    assert before == (git("for-each-ref", cwd=folder), git("status", "--porcelain", cwd=folder))


def test_no_two_parts_of_the_store_define_one_method_by_accident() -> None:
    """Of the parts only a class that builds on another may override what that has."""
    own = [ExperimentStore, LogStore, HistoryStore, RunStore]
    for cls in TrackingStore.__mro__:
        if cls in own or not cls.__module__.startswith("runstone.") or cls is TrackingStore:
            continue
        for base in own:
            if not issubclass(cls, base):
                twice = {name for name in vars(cls) if inspect.isfunction(vars(cls)[name]) and name in vars(base)}
                assert set() == {name for name in twice if not name.startswith("__")}, (cls, base)
