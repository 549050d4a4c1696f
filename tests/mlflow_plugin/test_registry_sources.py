"""What a version can be made from over MLflow: runs that are live or over, logged models, versions, files elsewhere."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from runstone import Client
from runstone.mlflow_plugin.compat import has_logged_models
from runstone.mlflow_plugin.registry import RegistryStore
from tests.mlflow_plugin.serving import serving
from tests.sharing import Team
from tests.support import git

pytestmark = pytest.mark.mlflow


class Twice(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Doubles what it is given."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """Twice the input."""
        del context, params
        return [2 * each for each in model_input]


@pytest.fixture
def uri(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """MLflow tracks to a fresh repository, and keeps its models there."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"runstone:{folder}")
    with warnings.catch_warnings(action="ignore"):
        yield f"runstone:{folder}"
        while mlflow.active_run() is not None:
            mlflow.end_run()


@pytest.fixture
def registry(uri: str) -> RegistryStore:
    """The store of that repository, with a model `churn`."""
    store = RegistryStore(uri)
    store.create_registered_model("churn")
    return store


def log_model(name: str = "model", **options: Any) -> Any:
    """Log a model to the active run."""
    return mlflow.pyfunc.log_model(name, python_model=Twice(), pip_requirements=["mlflow"], **options)


def predict(model_uri: str) -> Any:
    """What a model says to 21."""
    return mlflow.pyfunc.load_model(model_uri).predict([21])


def test_a_model_is_registered_while_its_run_goes_on(uri: str, folder: Path) -> None:
    """`log_model(registered_model_name=…)` inside a run: the version is there at once, and the run is all of one."""
    client = mlflow.MlflowClient()
    with mlflow.start_run() as run:
        mlflow.log_metric("before", 1)
        log_model(registered_model_name="churn")
        found = client.get_model_version("churn", "1")
        assert [42] == predict("models:/churn/1")
        assert "RUNNING" == client.get_run(run.info.run_id).info.status
        mlflow.log_metric("after", 2)

    assert (run.info.run_id, "READY") == (found.run_id, found.status)
    ended = client.get_run(run.info.run_id)
    assert ("FINISHED", {"before": 1.0, "after": 2.0}) == (ended.info.status, ended.data.metrics)
    native = Client(folder).get_model_version("churn", 1)
    assert f"runs:/{run.info.run_id}/model" == native.source
    assert {"before"} == set(_record_at(folder, native)["metrics"])  # the version stands on the run as it was then
    git("merge-base", "--is-ancestor", native.commit, "runs", cwd=folder)


def test_a_team_gets_the_version_of_a_run_that_goes_on(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a git remote, bytes and run are there before the version is; what the run logs later follows."""
    ann = team.folder / "ann"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"runstone:{ann}")
    with warnings.catch_warnings(action="ignore"), mlflow.start_run() as run:
        mlflow.log_metric("before", 1)
        log_model(registered_model_name="churn")
        assert ["churn@v1"] == team.tags()
        git("merge-base", "--is-ancestor", "churn@v1^{commit}", "runs", cwd=team.remote)
        mlflow.log_metric("after", 2)
    Client(ann).sync()

    bob = Client(team.clone("bob"))
    bob.sync()
    assert {"before": 1.0, "after": 2.0} == bob.get_run(run.info.run_id).data.metrics
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"runstone:{team.folder / 'bob'}")
    assert [42] == predict("models:/churn/1")
    team.check()


def test_each_form_of_a_runs_model_is_one_source(registry: RegistryStore, uri: str) -> None:
    """`runs:/…`, our own URIs, those of a server and of a logged model all name the same files."""
    with mlflow.start_run() as run:
        log_model()
    run_id, root = run.info.run_id, run.info.artifact_uri
    experiment = root.split("/@/")[1].split("/")[0]
    written = [
        f"runs:/{run_id}/model",
        f"{root}/model",
        f"runstone+file:{root.removeprefix('runstone:')}/model",
        f"mlflow-artifacts:/{experiment}/{run_id}/artifacts/model",
        f"mlflow-artifacts://host:5000/{experiment}/{run_id}/artifacts/model",
        "models:/churn/1",
    ]
    if has_logged_models():
        model_id = mlflow.get_run(run_id).outputs.model_outputs[0].model_id
        written += [f"models:/{model_id}", f"{uri}/@/{experiment}/models/{model_id}/artifacts"]

    made = [registry.create_model_version("churn", source) for source in written]

    assert list(range(1, len(written) + 1)) == [each.version for each in made]
    assert {run_id} == {each.run_id for each in made}
    assert {f"{root}/model"} == {registry.get_model_version_download_uri("churn", each.version) for each in made}
    assert "models:/churn/1" == made[5].source
    assert [f"models:/{model_id}"] * 2 == [each.source for each in made[6:]] if has_logged_models() else True
    assert [42] == predict(f"models:/churn/{len(written)}")


@pytest.mark.parametrize("source", ["../../x", "model/../../x"])
def test_a_source_cannot_leave_its_run(registry: RegistryStore, source: str) -> None:
    """A path with `..` is refused, whatever it would lead to."""
    with mlflow.start_run() as run:
        mlflow.log_text("x", "a.txt")

    for uri in (f"runs:/{run.info.run_id}/{source}", f"{run.info.artifact_uri}/{source}"):
        with pytest.raises(MlflowException) as refused:
            registry.create_model_version("churn", uri)
        assert "INVALID_PARAMETER_VALUE" == refused.value.error_code


def test_files_that_were_logged_as_such_can_be_a_version(registry: RegistryStore, tmp_path: Path) -> None:
    """A folder that `log_artifacts` kept is registered as it is, with the flavors of its MLmodel, if it has one."""
    mlflow.pyfunc.save_model(tmp_path / "saved", python_model=Twice(), pip_requirements=["mlflow"])
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(tmp_path / "saved"), "by/hand")
        mlflow.log_text("weights", "plain/weights.txt")
        registry.create_model_version("churn", f"runs:/{run.info.run_id}/by/hand")
    registry.create_model_version("churn", f"runs:/{run.info.run_id}/plain")

    native = registry._client
    assert ("python_function",) == native.get_model_version("churn", 1).flavors
    assert ("plain", ()) == (native.get_model_version("churn", 2).path, native.get_model_version("churn", 2).flavors)
    assert [42] == predict("models:/churn/1")


def test_files_elsewhere_are_fetched_into_a_run_that_says_where_from(
    registry: RegistryStore, folder: Path, tmp_path: Path
) -> None:
    """`register_model` of a local folder: the bytes are kept with a run of their own, and the version loads."""
    saved = tmp_path / "saved"
    mlflow.pyfunc.save_model(saved, python_model=Twice(), pip_requirements=["mlflow"])

    by_path = registry.create_model_version("churn", str(saved))
    by_uri = mlflow.register_model(saved.as_uri(), "churn")
    told = registry.create_model_version("churn", str(saved), run_id="0123456789abcdef0123456789abcdef")

    run = Client(folder).get_run(by_path.run_id)
    assert ("FINISHED", str(saved)) == (run.info.status, run.data.tags["runstone.source"])
    assert saved.as_uri() == Client(folder).get_run(by_uri.run_id).data.tags["runstone.source"]
    assert "0123456789abcdef0123456789abcdef" == told.run_id  # which another tracking server knows
    assert {"python_function"} == set(registry._client.get_model_version("churn", 3).flavors)
    for file in saved.rglob("*.pkl"):
        file.unlink()
    assert [[42]] * 3 == [predict(f"models:/churn/{number}") for number in (1, 2, 3)]


def test_where_files_are_from_is_told_without_passwords(registry: RegistryStore, tmp_path: Path) -> None:
    """A source may hold credentials, and a run is read by everybody."""
    (tmp_path / "weights.txt").write_text("1")

    made = registry.create_model_version(
        "churn", "https://kim:geheim@host/model", local_model_path=str(tmp_path / "weights.txt")
    )

    told = registry._client.get_run(made.run_id).data.tags["runstone.source"]
    assert "geheim" not in told
    assert "host/model" in told


def test_a_folder_that_lies_here_already_is_not_fetched(registry: RegistryStore, tmp_path: Path) -> None:
    """MLflow may say where the files of a far source lie on this machine: they are taken from there."""
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "weights.txt").write_text("1")

    made = registry.create_model_version("churn", "s3://bucket/model", local_model_path=str(tmp_path / "saved"))

    run = registry._client.get_run(made.run_id)
    assert "s3://bucket/model" == run.data.tags["runstone.source"]
    assert ["model/weights.txt"] == [each.path for each in registry._client.list_artifacts(run.info.run_id, "model")]


def test_what_cannot_be_fetched_makes_no_version(registry: RegistryStore, folder: Path) -> None:
    """The error says what was tried and what to do, and neither a version nor a run is left behind."""
    with pytest.raises(MlflowException) as refused:
        registry.create_model_version("churn", "http://127.0.0.1:9/model")

    assert "INVALID_PARAMETER_VALUE" == refused.value.error_code
    assert refused.value.message.startswith(
        "No version was made, since its files could not be fetched from 'http://127.0.0.1:9/model': "
    )
    assert refused.value.message.endswith("register that: `runs:/<run id>/<path>`")
    assert [] == registry._client.search_model_versions("name = 'churn'")
    assert [] == Client(folder).search_runs()


def test_a_server_fetches_nothing_that_nobody_allowed(
    uri: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server can reach more than its clients may: it fetches a source only where MLflow's own setting allows it."""
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "weights.txt").write_text("1")
    source = (tmp_path / "saved").as_uri()
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", uri)
    registry = RegistryStore(uri)
    registry.create_registered_model("churn")

    for options in ({}, {"local_model_path": str(tmp_path / "saved")}):
        with pytest.raises(MlflowException) as refused:
            registry.create_model_version("churn", source, **options)
        assert (
            f"This server does not fetch {source!r}. Log the model to a run, and register that: "
            "`runs:/<run id>/<path>`. Whoever runs the server can allow sources: "
            "`MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX=<regex>`" == refused.value.message
        )
    with pytest.raises(MlflowException, match="there is no such run or logged model in this server's repository"):
        registry.create_model_version("churn", "runs:/0123456789abcdef0123456789abcdef/model")
    monkeypatch.setenv("MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX", "^file:")
    assert 1 == registry.create_model_version("churn", source).version


def test_a_deleted_run_is_no_source(registry: RegistryStore) -> None:
    """The run can be restored, and the error says how."""
    with mlflow.start_run() as run:
        log_model()
    mlflow.delete_run(run.info.run_id)

    with pytest.raises(MlflowException, match=f"runstone runs restore {run.info.run_id}") as refused:
        registry.create_model_version("churn", f"runs:/{run.info.run_id}/model")
    assert "INVALID_PARAMETER_VALUE" == refused.value.error_code


def test_the_run_of_a_source_cannot_be_told_otherwise(registry: RegistryStore) -> None:
    """A version says which run made it: what is not so is not written down."""
    with mlflow.start_run() as run:
        log_model()

    with pytest.raises(MlflowException) as refused:
        registry.create_model_version("churn", f"runs:/{run.info.run_id}/model", "0123456789abcdef0123456789abcdef")
    assert (
        f"'runs:/{run.info.run_id}/model' is of run {run.info.run_id}, not of run 0123456789abcdef0123456789abcdef. "
        "Leave `run_id` out, or name that run." == refused.value.message
    )


def test_a_run_with_a_journal_of_its_own_is_registered_at_its_end(registry: RegistryStore, tmp_path: Path) -> None:
    """A run of Runstone's own API that goes on in another handle has no commit yet; the error says when it will."""
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: nowhere\n")
    client = registry._client
    run_id = client.create_run(client.create_experiment("own")).info.run_id
    client.log_artifacts(run_id, tmp_path / "saved", "model")

    with pytest.raises(MlflowException, match="has not ended, so its model cannot be registered yet"):
        registry.create_model_version("churn", f"runs:/{run_id}/model")
    client.set_terminated(run_id)
    assert 1 == registry.create_model_version("churn", f"runs:/{run_id}/model").version


@pytest.mark.skipif(not has_logged_models(), reason="MLflow 3 made logged models things of their own")
def test_a_logged_model_without_a_run_can_be_a_version(registry: RegistryStore, tmp_path: Path) -> None:
    """Its files are kept with a run that MLflow is not shown; the version names the model, and no run."""
    (tmp_path / "weights.txt").write_text("1")
    client = mlflow.MlflowClient()
    model = client.create_logged_model("0", name="alone")
    client.log_model_artifact(model.model_id, str(tmp_path / "weights.txt"))
    client.finalize_logged_model(model.model_id, "READY")

    made = mlflow.register_model(f"models:/{model.model_id}", "churn")

    assert (model.model_id, f"models:/{model.model_id}") == (made.model_id, made.source)
    assert not made.run_id
    fetched = mlflow.artifacts.download_artifacts("models:/churn/1", dst_path=str(tmp_path))
    assert "1" == (Path(fetched) / "weights.txt").read_text()


def test_a_copy_keeps_what_mlflow_knows(registry: RegistryStore) -> None:
    """`copy_model_version`: run, tags and description go along, and the source says what it is a copy of."""
    client = mlflow.MlflowClient()
    with mlflow.start_run() as run:
        log_model()
    first = client.create_model_version(
        "churn", f"runs:/{run.info.run_id}/model", run.info.run_id, {"a": "1"}, description="First"
    )

    copied = client.copy_model_version("models:/churn/1", "leavers")

    assert ("leavers", 1, "models:/churn/1") == (copied.name, copied.version, copied.source)
    assert (first.run_id, first.tags, "First") == (copied.run_id, copied.tags, copied.description)
    assert [42] == predict("models:/leavers/1")


def test_a_server_registers_live_runs_and_hands_out_what_it_has(folder: Path) -> None:
    """A client without the repository registers inside its run, loads by alias, and copies, all through the server."""
    code = """
        import json
        import mlflow

        class Twice(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                return [2 * each for each in model_input]

        client = mlflow.MlflowClient()
        with mlflow.start_run() as run:
            model = Twice()
            options = dict(python_model=model, pip_requirements=["mlflow"], registered_model_name="churn")
            mlflow.pyfunc.log_model("model", **options)
            mlflow.log_metric("after", 2)
        made = mlflow.register_model(f"runs:/{run.info.run_id}/model", "churn")
        client.set_registered_model_alias("churn", "champion", made.version)
        copied = client.copy_model_version("models:/churn/2", "leavers")
        uris = ["models:/churn/1", "models:/churn@champion", "models:/leavers/1"]
        print(json.dumps([
            run.info.artifact_uri,
            made.source,
            client.get_model_version_download_uri("churn", "1"),
            [client.get_model_version("churn", number).run_id == run.info.run_id for number in ("1", "2")],
            [mlflow.pyfunc.load_model(uri).predict([21]) for uri in uris],
            copied.source,
        ]))
    """
    with serving(folder, "--workers", "2") as server:
        root, source, fetched_from, are_of_run, answers, copied_from = server.run_client(code)
        troubles = server.troubles()

    assert root.startswith("mlflow-artifacts:/")
    assert f"{root}/model" == source == fetched_from
    assert [True, True] == are_of_run
    assert [[42]] * 3 == answers
    assert "models:/churn/2" == copied_from
    assert [] == troubles


def _record_at(folder: Path, version: Any) -> Any:
    from runstone.records import yaml

    return yaml.load(git("show", f"{version.commit}:{version.record}/run.yaml", cwd=folder).encode(), "run.yaml")
