"""Into MLflow's stores, read back by MLflow's own client."""

import logging
from pathlib import Path
from typing import Any

import pytest

from runstone import Client
from runstone.errors import InvalidValue, OutputRefused
from runstone.exports.choice import Choice
from runstone.records.dataset import Dataset
from runstone.tracking.workspace import Workspace

pytest.importorskip("mlflow.server", reason="MLflow is not installed as a whole")
pytestmark = pytest.mark.mlflow

import mlflow  # noqa: E402  # only where MLflow is
from mlflow.entities import ViewType  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

from runstone.exports.mlflow.store import export_to_mlflow  # noqa: E402


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow makes its database without a word, and opens folders; no other test has set a store."""
    mlflow.set_tracking_uri(None)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logging.getLogger("alembic").setLevel(logging.WARNING)


@pytest.fixture(params=["database", "folder"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place to export to."""
    (tmp_path / "out").mkdir()
    return f"sqlite:///{tmp_path}/out/mlflow.db" if request.param == "database" else str(tmp_path / "out" / "mlruns")


def open_client(uri: str) -> Any:
    """MLflow's client of what was exported, registry and all."""
    return MlflowClient(uri, uri)


def test_all_is_there_with_its_ids_and_times(filled: Workspace, uri: str, tmp_path: Path) -> None:
    """Experiments, runs, points, artifacts, versions with their numbers, alias and stage."""
    report = export_to_mlflow(filled, uri, Choice(with_deleted=True))
    assert report.is_whole
    assert {"new": 3} == report.carried["runs"]
    ours, theirs = Client(filled.repo.work_tree), open_client(uri)
    experiments = {e.name: e for e in theirs.search_experiments()}
    assert {"churn", "other"} == set(experiments) - {"Default"}
    assert "growth" == experiments["churn"].tags["team"]
    found = theirs.search_runs([e.experiment_id for e in experiments.values()], run_view_type=ViewType.ALL)
    assert 3 == len(found)
    for run in found:
        here = ours.get_run(run.info.run_id)
        assert (here.name, here.status, here.started, here.ended) == (
            run.info.run_name,
            run.info.status,
            run.info.start_time,
            run.info.end_time,
        )
        assert {"lr": "0.1", "depth": str(here.params["depth"]), "kind": "=cmd()"} == run.data.params
        assert here.lifecycle == run.info.lifecycle_stage
        history = theirs.get_metric_history(run.info.run_id, "loss")
        assert [(1.0 / (step + 1), 1_700_000_000_000 + step, step) for step in range(5)] == [
            (point.value, point.timestamp, point.step) for point in history
        ]
        assert 2 == len(theirs.get_metric_history(run.info.run_id, "odd"))
        place = theirs.download_artifacts(run.info.run_id, "notes/a.txt", str(tmp_path))
        assert f"text {here.params['depth']}" == Path(place).read_text()
    versions = sorted(theirs.search_model_versions("name = 'net'"), key=lambda v: int(v.version))
    assert [("1", "of run-0", "Staging"), ("3", "of run-2", "None")] == [
        (str(v.version), v.description, v.current_stage) for v in versions
    ]
    assert ({"champion": "3"}, {"owner": "kim"}) == (
        {k: str(v) for k, v in theirs.get_registered_model("net").aliases.items()},
        theirs.get_registered_model("net").tags,
    )
    assert versions[0].source.endswith("/artifacts/model")


def test_exported_again_it_adds_nothing(filled: Workspace, uri: str) -> None:
    """And what has changed since is brought up to date."""
    export_to_mlflow(filled, uri, Choice())
    again = export_to_mlflow(filled, uri, Choice())
    assert ({"same": 2}, {"same": 1}, {"same": 2}) == (
        again.carried["runs"],
        again.carried["models"],
        again.carried["versions"],
    )
    client = Client(filled.repo.work_tree)
    run = client.search_runs(order_by=["start_time ASC"])[0]
    client.set_tag(run.id, "late", "yes")
    client.set_registered_model_alias("net", "champion", 1)
    third = export_to_mlflow(filled, uri, Choice())
    assert {"updated": 1, "same": 1} == third.carried["runs"]
    theirs = open_client(uri)
    assert "yes" == theirs.get_run(run.id).data.tags["late"]
    assert "1" == str(theirs.get_registered_model("net").aliases["champion"])
    assert 5 == len(theirs.get_metric_history(run.id, "loss"))


def test_a_run_of_somebody_else_is_left_alone(filled: Workspace, tmp_path: Path) -> None:
    """One that has the id, and was not exported from here, is told."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    export_to_mlflow(filled, uri, Choice(["churn"]), with_models=False)
    theirs = open_client(uri)
    run = Client(filled.repo.work_tree).search_runs(order_by=["start_time ASC"])[0]
    theirs.delete_tag(run.id, "runstone.exported")
    theirs.delete_tag(run.id, "runstone.run_id")
    report = export_to_mlflow(filled, uri, Choice(["churn"]), with_models=False)
    assert (False, {"clash": 1}) == (report.is_whole, report.carried["runs"])
    assert "another run of this id is there" in report.not_carried[0].why


def test_artifacts_that_are_gone_are_listed(filled: Workspace, tmp_path: Path) -> None:
    """The run is exported without them."""
    run = Client(filled.repo.work_tree).search_runs(order_by=["start_time ASC"])[0]
    from runstone.tracking.read import read_artifacts

    entry = next(e for e in read_artifacts(filled, run.id) if e.path == "notes/a.txt")
    path = Path(filled.artifacts.cache.root) / "files" / "md5" / entry.md5[:2] / entry.md5[2:]
    path.chmod(0o644)
    path.unlink()
    report = export_to_mlflow(filled, f"sqlite:///{tmp_path}/mlflow.db", Choice())
    assert [("artifact", f"{run.id}: notes/a.txt")] == [(each.kind, each.what) for each in report.not_carried]


@pytest.mark.parametrize("uri", ["ftp://host/x", "s3://bucket/x"])
def test_places_that_are_none_are_refused(filled: Workspace, uri: str) -> None:
    """With what may be named instead."""
    with pytest.raises(InvalidValue, match="is no place to export to"):
        export_to_mlflow(filled, uri, Choice())


def test_a_server_that_does_not_answer_is_said(filled: Workspace) -> None:
    """And nothing is waited for."""
    with pytest.raises(OutputRefused):
        export_to_mlflow(filled, "http://127.0.0.1:9", Choice())


def test_a_server_gets_runs_with_ids_of_its_own(
    filled: Workspace, mlflow_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A tag keeps the id from here, by which a second export knows them; version numbers stay, with their gap."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    report = export_to_mlflow(filled, mlflow_server, Choice())
    assert ({"new": 2}, True) == (report.carried["runs"], report.is_whole)
    theirs = open_client(mlflow_server)
    experiment = theirs.get_experiment_by_name("churn")
    (run,) = theirs.search_runs([experiment.experiment_id])
    here = Client(filled.repo.work_tree).get_run(run.data.tags["runstone.run_id"])
    assert ("run-0", here.started, here.ended, "FINISHED") == (
        run.info.run_name,
        run.info.start_time,
        run.info.end_time,
        run.info.status,
    )
    assert 5 == len(theirs.get_metric_history(run.info.run_id, "loss"))
    assert "text 0" == Path(theirs.download_artifacts(run.info.run_id, "notes/a.txt", str(tmp_path))).read_text()
    assert ["1", "3"] == sorted(str(v.version) for v in theirs.search_model_versions("name = 'net'"))
    again = export_to_mlflow(filled, mlflow_server, Choice())
    assert ({"same": 2}, {"same": 2}) == (again.carried["runs"], again.carried["versions"])


@pytest.mark.parametrize("name", ["a b'c", 'say "yes"'])
def test_versions_of_a_name_with_quotes_are_known_again(filled: Workspace, uri: str, name: str) -> None:
    """A second export adds no versions, whatever signs the name of the model has."""
    client = Client(filled.repo.work_tree)
    source = f"runs:/{client.search_runs([e.experiment_id for e in client.search_experiments()])[0].id}/model"
    client.create_model_version(name, source)
    for _ in range(2):
        export_to_mlflow(filled, uri, Choice())
    found = [v for v in open_client(uri).search_model_versions() if v.name == name]
    assert ["1"] == [str(v.version) for v in found]


def test_a_deleted_experiment_is_deleted_there(filled: Workspace, uri: str) -> None:
    """Its runs are there with it, and a second export leaves all as it is."""
    client = Client(filled.repo.work_tree)
    client.delete_experiment(next(e for e in client.search_experiments() if e.name == "other").experiment_id)
    for _ in range(2):
        assert export_to_mlflow(filled, uri, Choice(with_deleted=True)).is_whole
    found = open_client(uri).search_experiments(view_type=ViewType.DELETED_ONLY)
    assert ["other"] == [e.name for e in found]


def test_datasets_come_along(filled: Workspace, uri: str) -> None:
    """What a run was trained on is named there."""
    client = Client(filled.repo.work_tree)
    run = client.create_run(client.search_experiments()[0].experiment_id)
    client.log_inputs(run.id, [Dataset("prices", "abc123", role="train")])
    client.set_terminated(run.id)
    export_to_mlflow(filled, uri, Choice())
    found = open_client(uri).get_run(run.id).inputs.dataset_inputs
    assert [("prices", "abc123")] == [(each.dataset.name, each.dataset.digest) for each in found]


def test_a_run_that_was_cut_short_is_written_anew(filled: Workspace, tmp_path: Path) -> None:
    """A run without the mark of a whole one is replaced, and not taken for somebody else's."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    export_to_mlflow(filled, uri, Choice())
    client = open_client(uri)
    run = client.search_runs([e.experiment_id for e in client.search_experiments()])[0]
    client.delete_tag(run.info.run_id, "runstone.exported")
    assert {"updated": 1, "same": 1} == export_to_mlflow(filled, uri, Choice()).carried["runs"]
    assert client.get_run(run.info.run_id).data.tags["runstone.exported"]


def test_a_database_that_cannot_be_opened_is_said_at_once(filled: Workspace, tmp_path: Path) -> None:
    """MLflow itself would try again for minutes."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputRefused, match="Name another place"):
        export_to_mlflow(filled, f"sqlite:///{tmp_path}/file/mlflow.db", Choice())


def test_a_key_too_long_for_a_file_is_told(filled: Workspace, tmp_path: Path) -> None:
    """The rest of the run is there."""
    client = Client(filled.repo.work_tree)
    run = client.create_run(client.search_experiments()[0].experiment_id, run_name="long")
    client.log_batch(run.id, params={"ü" * 200: "1", "short": "2"})
    client.set_terminated(run.id)
    report = export_to_mlflow(filled, str(tmp_path / "mlruns"), Choice())
    assert ["param"] == [each.kind for each in report.not_carried]
    assert {"short": "2"} == open_client(str(tmp_path / "mlruns")).get_run(run.id).data.params


def test_experiments_without_runs_are_there_and_nothing_is_elsewhere(
    filled: Workspace, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty experiment is exported, too; in the current folder nothing is made."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Client(filled.repo.work_tree).create_experiment("empty")
    first = export_to_mlflow(filled, uri, Choice())
    again = export_to_mlflow(filled, uri, Choice())
    assert ({"new": 3}, {"same": 3}) == (first.carried["experiments"], again.carried["experiments"])
    assert open_client(uri).get_experiment_by_name("empty") is not None
    made_by_mlflow = {"mlruns"} if mlflow.__version__.startswith("2.") else set()  # whenever it opens a database
    assert {each.name for each in (tmp_path / "here").iterdir()} <= made_by_mlflow


def test_what_stands_on_a_version_that_is_not_exported_is_told(filled: Workspace, uri: str) -> None:
    """A version whose run was not chosen, and the alias that points at it."""
    report = export_to_mlflow(filled, uri, Choice(["churn"]))
    assert [("version", "net 3"), ("alias", "net@champion")] == [(each.kind, each.what) for each in report.not_carried]
    assert ["1"] == [str(version.version) for version in open_client(uri).search_model_versions("name = 'net'")]


@pytest.fixture
def logged(git_repo: Path, tmp_path: Path) -> tuple[Workspace, dict[str, str]]:
    """A run that logged a model, one that measured it, a model that no run logged, a deleted one; with their ids."""
    pytest.importorskip("mlflow.entities.logged_model", reason="MLflow has logged models since 3")
    from mlflow.entities import LoggedModelInput, LoggedModelOutput, Metric

    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "MLmodel").write_text("flavors: {}\n")
    here = open_client(f"runstone+file://{git_repo}")
    experiment = here.create_experiment("churn")
    made_by = here.create_run(experiment).info.run_id
    ids = {"run": made_by}
    for name, source in (("net", made_by), ("alone", None), ("gone", made_by)):
        model = here.create_logged_model(experiment, name, source, {"team": "growth"}, {"depth": "3"}, "tree")
        here.log_model_artifacts(model.model_id, str(tmp_path / "files"))
        here.finalize_logged_model(model.model_id, "READY")
        ids[name] = model.model_id
    here.log_outputs(made_by, [LoggedModelOutput(ids["net"], 2)])
    here.log_text(made_by, "text", "notes.txt")
    here.set_terminated(made_by)
    ids["measured_by"] = measured_by = here.create_run(experiment).info.run_id
    here.log_inputs(measured_by, models=[LoggedModelInput(ids["net"])])
    point = Metric("auc", 0.9, 1_700_000_000_000, 1, ids["net"], "prices", "abc123")
    here.log_batch(measured_by, [point])
    here.set_terminated(measured_by)
    here.create_registered_model("net")
    for name in ("net", "alone"):
        here.create_model_version("net", f"models:/{ids[name]}")
    here.delete_logged_model(ids["gone"])
    return Workspace.open(git_repo), ids


def test_logged_models_are_there_with_their_ids(
    logged: tuple[Workspace, dict[str, str]], uri: str, tmp_path: Path
) -> None:
    """With what they are, who made and who measured them, their files, and the versions that were made from them.

    Whatever store this process tracks to.
    """
    workspace, ids = logged
    here_before = f"sqlite:///{tmp_path}/other.db"
    mlflow.set_tracking_uri(here_before)
    first = export_to_mlflow(workspace, uri, Choice(with_deleted=True))
    assert (True, {"new": 2}, {"new": 3}) == (first.is_whole, first.carried["runs"], first.carried["logged models"])
    theirs, here = open_client(uri), open_client(f"runstone+file://{workspace.repo.work_tree}")
    for name, source in (("net", ids["run"]), ("alone", None)):
        found, ours = theirs.get_logged_model(ids[name]), here.get_logged_model(ids[name])
        assert (name, source, "tree", {"depth": "3"}, "growth") == (
            found.name,
            found.source_run_id,
            found.model_type,
            found.params,
            found.tags["team"],
        )
        assert (ours.status, ours.creation_timestamp, ours.last_updated_timestamp) == (
            found.status,
            found.creation_timestamp,
            found.last_updated_timestamp,
        )
        assert ["MLmodel"] == [each.path for each in theirs.list_logged_model_artifacts(ids[name])]
    (point,) = theirs.get_logged_model(ids["net"]).metrics
    assert ("auc", 0.9, 1, ids["measured_by"], "prices") == (
        point.key,
        point.value,
        point.step,
        point.run_id,
        point.dataset_name,
    )
    made, measured = (theirs.get_run(ids[name]) for name in ("run", "measured_by"))
    assert [(ids["net"], 2)] == [(each.model_id, each.step) for each in made.outputs.model_outputs]
    assert [ids["net"]] == [each.model_id for each in measured.inputs.model_inputs]
    experiment = theirs.get_experiment_by_name("churn").experiment_id
    assert {ids["run"], ids["measured_by"]} == {run.info.run_id for run in theirs.search_runs([experiment])}
    assert {ids["net"], ids["alone"]} == {each.model_id for each in theirs.search_logged_models([experiment])}
    assert [(f"models:/{ids['net']}", ids["run"]), (f"models:/{ids['alone']}", None)] == [
        (version.source, version.run_id)
        for version in sorted(theirs.search_model_versions("name = 'net'"), key=lambda v: int(v.version))
    ]
    assert here_before == mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri if "://" in uri else f"file://{uri}")
    for number in (1, 2):
        got = mlflow.artifacts.download_artifacts(f"models:/net/{number}", dst_path=str(tmp_path / f"got-{number}"))
        assert (Path(got) / "MLmodel").is_file()
    again = export_to_mlflow(workspace, uri, Choice(with_deleted=True))
    assert ({"same": 3}, {"same": 2}) == (again.carried["logged models"], again.carried["versions"])
    here.set_logged_model_tags(ids["alone"], {"team": "sales"})
    third = export_to_mlflow(workspace, uri, Choice(with_deleted=True))
    assert {"updated": 1, "same": 2} == third.carried["logged models"]
    assert "sales" == open_client(uri).get_logged_model(ids["alone"]).tags["team"]


def test_a_server_gets_logged_models_with_ids_of_its_own(
    logged: tuple[Workspace, dict[str, str]], mlflow_server: str, tmp_path: Path
) -> None:
    """A tag keeps the id from here, by which a second export knows them."""
    workspace, ids = logged
    first = export_to_mlflow(workspace, mlflow_server, Choice())
    assert (True, {"new": 2}) == (first.is_whole, first.carried["logged models"])
    theirs = open_client(mlflow_server)
    experiment = theirs.get_experiment_by_name("churn").experiment_id
    models = {each.name: each for each in theirs.search_logged_models([experiment])}
    runs = {each.data.tags["runstone.run_id"]: each for each in theirs.search_runs([experiment])}
    assert {"net": ids["net"], "alone": ids["alone"]} == {
        name: model.tags["runstone.model_id"] for name, model in models.items()
    }
    assert (runs[ids["run"]].info.run_id, None) == (
        models["net"].source_run_id,
        models["alone"].source_run_id or None,
    )
    assert [models["net"].model_id] == [each.model_id for each in runs[ids["run"]].outputs.model_outputs]
    (point,) = theirs.get_logged_model(models["net"].model_id).metrics
    assert ("auc", 0.9, runs[ids["measured_by"]].info.run_id) == (point.key, point.value, point.run_id)
    version = theirs.get_model_version("net", "2")
    assert f"models:/{models['alone'].model_id}" == version.source
    assert ["MLmodel"] == [each.path for each in theirs.list_logged_model_artifacts(models["alone"].model_id)]
    again = export_to_mlflow(workspace, mlflow_server, Choice())
    assert ({"same": 2}, {"same": 2}) == (again.carried["logged models"], again.carried["versions"])


def test_models_and_versions_keep_when_they_were_made(filled: Workspace, uri: str) -> None:
    """As runs do, in a store that lets it be said."""
    export_to_mlflow(filled, uri, Choice())
    theirs, here = open_client(uri), open_client(f"runstone+file://{filled.repo.work_tree}")
    names = [here.get_registered_model("net").creation_timestamp, here.get_model_version("net", "1").creation_timestamp]
    assert names == [
        theirs.get_registered_model("net").creation_timestamp,
        theirs.get_model_version("net", "1").creation_timestamp,
    ]
