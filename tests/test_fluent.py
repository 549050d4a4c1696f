"""The fluent API: the active run of each thread, the experiment, and MLflow's names and arguments."""

import inspect
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import mlflow.data
import mlflow.models
import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import runstone
import runstone.data
import runstone.models
import runstone.pyfunc
import runstone.sklearn
from runstone.errors import (
    ExperimentNotFound,
    InvalidName,
    InvalidValue,
    NotARepository,
    RunActive,
    RunNotFound,
    RunstoneError,
    UsageError,
)
from runstone.fluent import active
from tests.support import make_repository, run_python

pytestmark = pytest.mark.usefixtures("here")


def shared_functions() -> Iterator[Any]:
    """Every function and method that Runstone and MLflow both have."""
    pairs: list[tuple[str, Any, Any]] = [
        ("runstone.", runstone, mlflow),
        ("Client.", runstone.Client, mlflow.MlflowClient),
    ]
    modules: list[tuple[ModuleType, ModuleType]] = [
        (runstone.sklearn, mlflow.sklearn),
        (runstone.pyfunc, mlflow.pyfunc),
        (runstone.models, mlflow.models),
        (runstone.data, mlflow.data),
    ]
    pairs += [(f"{ours.__name__}.", ours, theirs) for ours, theirs in modules]
    for prefix, ours, theirs in pairs:
        for name, function in inspect.getmembers(ours, inspect.isfunction):
            if not name.startswith("_") and hasattr(theirs, name):
                yield pytest.param(function, getattr(theirs, name), id=prefix + name)
    yield pytest.param(runstone.Client.__init__, mlflow.MlflowClient.__init__, id="Client")


def positional(function: Callable[..., Any]) -> list[str]:
    """The names of the arguments that can be passed by position."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds]


@pytest.mark.mlflow
@pytest.mark.parametrize(("ours", "theirs"), list(shared_functions()))
def test_arguments_have_mlflows_names_and_order(ours: Callable[..., Any], theirs: Callable[..., Any]) -> None:
    """By position, ours are the first of MLflow's: what MLflow 3 added after them (traces, logged models) is not here.

    What is ours alone, as `run_id` of `create_run`, can only be named, so that it never takes MLflow's place.
    """
    mine = positional(ours)
    assert positional(theirs)[: len(mine)] == mine


@pytest.mark.mlflow
def test_the_everyday_names_are_all_there() -> None:
    """What scripts call most; a name that goes missing is noticed here, since the test above sees only shared ones."""
    fluent_names = """active_run create_experiment delete_experiment delete_run delete_tag end_run get_artifact_uri
    get_experiment get_experiment_by_name get_parent_run get_run get_tracking_uri last_active_run log_artifact
    log_artifacts log_dict log_figure log_image log_input log_metric log_metrics log_param log_params log_table log_text
    register_model search_experiments search_runs set_experiment set_experiment_tag set_experiment_tags set_tag set_tags
    set_tracking_uri start_run""".split()
    client_names = """create_experiment create_model_version create_run delete_experiment delete_registered_model_alias
    delete_run delete_tag download_artifacts get_experiment get_experiment_by_name get_metric_history get_model_version
    get_model_version_by_alias get_model_version_download_uri get_parent_run get_registered_model get_run list_artifacts
    log_artifact log_artifacts log_batch log_dict log_figure log_image log_inputs log_metric log_param log_table
    log_text rename_experiment restore_experiment restore_run search_experiments search_model_versions
    search_registered_models search_runs set_experiment_tag set_registered_model_alias set_tag set_terminated
    update_run""".split()
    assert [] == [name for name in fluent_names if not (hasattr(runstone, name) and hasattr(mlflow, name))]
    assert [] == [
        name for name in client_names if not (hasattr(runstone.Client, name) and hasattr(mlflow.MlflowClient, name))
    ]


def test_a_script_that_knows_nothing_of_runs(here: Path) -> None:
    """The first thing logged begins a run in `Default`; it is the active one until it ends."""
    assert (None, None) == (runstone.active_run(), runstone.last_active_run())
    assert 3 == runstone.log_param("depth", 3)
    run = runstone.active_run()
    assert run is not None
    runstone.log_metric("mse", 2, step=1)
    runstone.log_metrics({"mse": 1.0}, 2)
    runstone.log_params({"lr": 0.1})
    runstone.set_tag("a", 1)
    runstone.set_tags({"b": "2"})
    runstone.delete_tag("a")
    runstone.set_note("Why")
    runstone.log_batch(params={"x": 1})
    runstone.flush()
    with pytest.raises(InvalidValue, match=f"Run {run.id} has no tag 'a'"):
        runstone.delete_tag("a")
    runstone.end_run()
    found = runstone.last_active_run()
    assert found is not None
    assert (run.id, "FINISHED", "Default") == (found.info.run_id, found.info.status, found.experiment)
    assert ({"depth": 3, "lr": 0.1, "x": 1}, {"mse": 1.0}, {"b": "2"}) == (found.params, found.data.metrics, found.tags)
    assert [2.0, 1.0] == [point.value for point in runstone.get_metric_history(run.id, "mse")]
    assert found.info.experiment_id == runstone.get_experiment("0").experiment_id


def test_nested_runs_and_the_stack(here: Path) -> None:
    """The innermost is active; a second one must be asked for; ended out of order, the rest stays as it was."""
    with runstone.start_run() as outer:
        with pytest.raises(RunActive, match=f"Run {outer.id} is already active in this thread"):
            runstone.start_run()
        with runstone.start_run(nested=True) as middle:
            inner = runstone.start_run(nested=True, run_name="deep")
            assert inner is runstone.active_run()
            middle.end()
            assert inner is runstone.active_run()
            runstone.end_run("FAILED")
        assert outer is runstone.active_run()
        elsewhere = runstone.start_run(nested=True, parent_run_id=inner.id)
        runstone.end_run()
    assert (None, outer.id, middle.id, inner.id) == tuple(
        runstone.get_run(run.id).parent for run in (outer, middle, inner, elsewhere)
    )
    assert "FAILED" == runstone.get_run(inner.id).status
    parent = runstone.get_parent_run(inner.id)
    assert parent is not None
    assert (middle.id, None) == (parent.id, runstone.get_parent_run(outer.id))


def test_an_outer_run_may_end_before_its_inner_one(here: Path) -> None:
    """The inner one goes on and is active until it is ended itself."""
    with runstone.start_run() as outer:
        inner = runstone.start_run(nested=True)
    assert (False, inner) == (outer.is_open, runstone.active_run())
    runstone.log_metric("m", 1)
    runstone.end_run()
    assert (None, {"m": 1.0}) == (runstone.active_run(), runstone.get_run(inner.id).data.metrics)


def test_each_thread_has_its_own_active_run(here: Path) -> None:
    """One begun in a thread is not seen by another, and neither stands in the other's way."""
    outer = runstone.start_run()
    seen: list[Any] = []

    def work() -> None:
        seen.append(runstone.active_run())
        with runstone.start_run() as mine:
            runstone.log_metric("m", 1)
            seen.append(mine.id)
        last = runstone.last_active_run()
        seen.append(last.id if last else None)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [None, seen[1], seen[1]] == seen
    assert (outer, {}) == (runstone.active_run(), dict(outer.data.metrics))


def test_ids_resume_what_exists_and_begin_what_does_not(here: Path) -> None:
    """`run_id` of an ended run takes it up again, an own key begins one, an open handle is handed out again."""
    with runstone.start_run(run_id="fold-1", tags={"a": "1"}, description="Why") as run:
        runstone.log_metric("m", 1, step=1)
    with runstone.start_run("fold-1", tags={"b": "2"}):
        runstone.log_metric("m", 2, step=2)
    found = runstone.get_run("fold-1")
    assert (2, {"a": "1", "b": "2"}, 2) == (found.metrics["m"].count, found.tags, len(found.attempts))
    by_client = runstone.Client().create_run("0", run_id="mine")
    with runstone.start_run("mine") as same:
        assert by_client is same
    with pytest.raises(InvalidName):
        runstone.start_run("fold-1", tags={"": "x"})
    assert (None, False) == (runstone.active_run(), run.is_open)
    assert 2 == len(runstone.get_run("fold-1").attempts)
    with pytest.raises(InvalidName):
        runstone.start_run("../up")


def test_a_child_joins_the_run_it_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RUNSTONE_RUN_ID: a live run is joined and left open, an ended one taken up again, one not there is an error."""
    code = "import runstone\nwith runstone.start_run() as run: runstone.log_param('child', run.info.run_id)"
    with runstone.start_run(run_id="parent"):
        run_python(code, cwd=here, env={"RUNSTONE_RUN_ID": "parent"})
        assert {"child": "parent"} == runstone.get_run("parent").params
        assert "RUNNING" == runstone.get_run("parent").status
    run_python(code, cwd=here, env={"RUNSTONE_RUN_ID": "parent"})
    assert ["FINISHED", "FINISHED"] == [attempt["status"] for attempt in runstone.get_run("parent").attempts]
    monkeypatch.setenv("RUNSTONE_RUN_ID", "unknown")
    with pytest.raises(RunNotFound):
        runstone.log_metric("m", 1)
    monkeypatch.setenv("RUNSTONE_RUN_ID", "parent")
    with runstone.start_run() as run:
        assert "parent" == run.id
        with runstone.start_run(nested=True) as inner:
            assert "parent" != inner.id
    with runstone.start_run() as later:
        assert ("parent", False) == (runstone.get_run(later.id).parent, later.has_joined)


def test_experiments_by_name_id_and_environment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was set, else what the environment says, else `Default`, which MLflow calls `0`."""
    made = runstone.set_experiment("trees")
    assert made == runstone.set_experiment(experiment_id=made.experiment_id) == runstone.get_experiment_by_name("trees")
    runstone.set_experiment_tag("a", 1)
    runstone.set_experiment_tags({"b": 2})
    assert {"a": "1", "b": "2"} == dict(runstone.get_experiment(made.experiment_id).tags)
    other = runstone.create_experiment("other", tags={"c": "3"})
    with runstone.start_run() as first, runstone.start_run(experiment_id=other, nested=True) as second:
        pass
    active._experiment = None
    monkeypatch.setenv("RUNSTONE_EXPERIMENT_ID", other)
    with runstone.start_run() as third:
        pass
    monkeypatch.setenv("RUNSTONE_EXPERIMENT_NAME", "by name")
    with runstone.start_run() as fourth:
        pass
    names = [runstone.get_run(run.id).experiment for run in (first, second, third, fourth)]
    assert ["trees", "other", "other", "by name"] == names
    assert {"trees", "other", "by name"} == {experiment.name for experiment in runstone.search_experiments()}
    runstone.delete_experiment(other)
    with pytest.raises(RunstoneError, match=r"The experiment 'other' is deleted\. Restore it"):
        runstone.start_run(experiment_id=other)
    with pytest.raises(ExperimentNotFound):
        runstone.set_experiment(experiment_id="unknown")
    for arguments in ({}, {"experiment_name": "a", "experiment_id": "b"}):
        with pytest.raises(UsageError):
            runstone.set_experiment(**arguments)


def test_search_gives_frames_and_lists(here: Path) -> None:
    """Of the experiment in use, of named ones, of all; MLflow's column names; deleted ones only on request."""
    for name in ("trees", "nets"):
        runstone.set_experiment(name)
        for i in range(3):
            with runstone.start_run(run_name=f"{name} {i}"):
                runstone.log_param("i", i)
                runstone.log_metric("m", i)
    frame = runstone.search_runs(order_by=["metrics.m DESC"])
    assert [2.0, 1.0, 0.0] == frame["metrics.m"].tolist()
    assert {"run_id", "experiment_id", "status", "start_time", "params.i", "tags.mlflow.runName"} <= set(frame.columns)
    best = runstone.search_runs(experiment_names=["trees"], filter_string="metrics.m > 1", output_format="list")
    assert ["trees 2"] == [run.info.run_name for run in best]
    every = runstone.search_runs(search_all_experiments=True, max_results=4, output_format="list")
    assert 4 == len(every)
    runstone.delete_run(best[0].info.run_id)
    assert 5 == len(runstone.search_runs(search_all_experiments=True))
    assert 0 == len(runstone.search_runs(experiment_names=["no such"]))
    deleted = runstone.search_runs(run_view_type=runstone.entities.ViewType.DELETED_ONLY, search_all_experiments=True)
    assert [best[0].info.run_id] == deleted["run_id"].tolist()
    with pytest.raises(UsageError):
        runstone.search_runs(["trees"], experiment_names=["trees"])
    with pytest.raises(InvalidValue):
        runstone.search_runs(output_format="csv")  # type: ignore[call-overload]  # the point


def test_artifacts_of_every_kind(here: Path, tmp_path: Path) -> None:
    """Files, folders, text, dictionaries, images and tables land under the names given, none in the work tree."""
    (tmp_path / "out" / "sub").mkdir(parents=True)
    (tmp_path / "out" / "a.txt").write_text("a")
    (tmp_path / "out" / "sub" / "b.txt").write_text("b")
    with runstone.start_run() as run:
        runstone.log_artifact(tmp_path / "out" / "a.txt")
        runstone.log_artifact(str(tmp_path / "out"), "folder/")
        runstone.log_artifacts(tmp_path / "out", "content")
        runstone.log_text("é", "text.txt")
        runstone.log_dict({"a": 1}, "d.json")
        runstone.log_image(np.zeros((2, 2)), "black.png")
        runstone.log_image(Image.new("L", (2, 2)), key="series", step=3, timestamp=1000)
        runstone.log_table({"a": [1]}, "t.json")
        runstone.log_table(pd.DataFrame({"a": [2]}), "t.json")
        runstone.log_input(pd.DataFrame({"a": [1]}), "train", name="frame")
        assert f"runs:/{run.id}/text.txt" == runstone.get_artifact_uri("text.txt")
        with pytest.raises(InvalidValue):
            runstone.log_image(np.zeros((2, 2)))
        with pytest.raises(InvalidName):
            runstone.log_text("x", "../up.txt")
        with pytest.raises(InvalidName):
            runstone.log_artifact(tmp_path / "out" / "a.txt", "/abs")
    with runstone.start_run(run.id):
        runstone.log_table({"a": [3]}, "t.json")
    copied = Path(runstone.Client().download_artifacts(run.id))
    files = {path.relative_to(copied).as_posix() for path in copied.rglob("*") if path.is_file()}
    assert files == {
        "a.txt", "black.png", "content/a.txt", "content/sub/b.txt", "d.json", "folder/out/a.txt",
        "folder/out/sub/b.txt", "images/series/00000003-1000.png", "t.json", "text.txt",
    }  # fmt: skip
    assert '{"columns": ["a"], "data": [[1], [2], [3]]}' == (copied / "t.json").read_text()
    assert ("frame", "train") == ((d := runstone.get_run(run.id).inputs.dataset_inputs[0]).name, d.role)
    assert ["train.py"] == sorted(path.name for path in here.iterdir() if path.name != ".git")


def test_the_active_run_goes_on_wherever_the_script_goes(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `chdir` into no repository, or into another one, all is still logged where the run began."""
    other = make_repository(tmp_path / "other")
    with runstone.start_run() as run:
        for folder in (tmp_path, other):
            monkeypatch.chdir(folder)
            runstone.log_text("x", f"{folder.name}.txt")
            runstone.log_table({"a": [1]}, "t.json")
            runstone.log_batch(params={folder.name: 1})
            runstone.set_tag("t", "1")
            runstone.delete_tag("t")
    assert 2 == len(run.data.params)
    last = runstone.last_active_run()
    assert last is not None
    assert run.id == last.id
    assert 3 == len(runstone.Client(here).list_artifacts(run.id))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotARepository):
        runstone.start_run()


def test_the_repository_can_be_chosen(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `set_tracking_uri`, in any of its forms, or by RUNSTONE_REPO; a server's address is refused."""
    other = make_repository(tmp_path / "other")
    assert f"runstone:{here}" == runstone.get_tracking_uri()
    monkeypatch.setenv("RUNSTONE_REPO", str(other))
    assert f"runstone:{other}" == runstone.get_tracking_uri()
    for uri in (here, str(here), f"runstone:{here}", f"file://{here}", "."):
        runstone.set_tracking_uri(uri)
        assert f"runstone:{here}" == runstone.get_tracking_uri()
    with pytest.raises(InvalidValue, match=r"'http://host:5000' is a server's address"):
        runstone.set_tracking_uri("http://host:5000")
    with pytest.raises(NotARepository):
        runstone.set_tracking_uri(tmp_path)


def test_the_package_shows_what_it_has(here: Path) -> None:
    """Submodules appear when they are used, and what is not there is an AttributeError."""
    assert {"sklearn", "pyfunc", "models", "data", "entities", "start_run"} <= set(dir(runstone))
    assert "KILLED" == runstone.entities.RunStatus.KILLED
    with pytest.raises(AttributeError, match="module 'runstone' has no attribute 'nonsense'"):
        runstone.nonsense  # noqa: B018  # the access is the point
    code = (
        "import sys, runstone; before = 'runstone.sklearn' in sys.modules; runstone.sklearn.load_model; print(before)"
    )
    assert "False" == run_python(code, cwd=here).stdout.strip()


def test_log_metric_is_safe_when_it_returns(here: Path) -> None:
    """`kill -9` right after the call: the point is in the record."""
    code = "import os, runstone; runstone.log_metric('m', 1.5); os.kill(os.getpid(), 9)"
    assert -9 == run_python(code, cwd=here, check=False).returncode
    runs = runstone.search_runs(search_all_experiments=True, output_format="list")
    assert [("FAILED", {"m": 1.5})] == [(run.info.status, run.data.metrics) for run in runs]


@pytest.mark.mlflow
def test_an_unknown_id_of_32_hex_digits_is_no_new_run(git_repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such an id was meant to take a run up again, so a mistyped one must not begin another; an own key begins one."""
    monkeypatch.chdir(git_repo)
    with pytest.raises(runstone.errors.RunNotFound):
        runstone.start_run(run_id="0" * 32)
    with runstone.start_run(run_id="nightly-1") as run:
        assert "nightly-1" == run.info.run_id
