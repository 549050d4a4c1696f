"""The client and the fluent API on registered models, as scripts written for MLflow call them."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import runstone
from runstone.client import Client
from runstone.entities import ModelVersion, RegisteredModel
from runstone.errors import (
    InvalidName,
    InvalidValue,
    ModelHasNoVersion,
    ModelNotFound,
    NotAModel,
    StageNotFound,
    UnknownStage,
    UsageError,
)
from runstone.registry.resolve import resolve, resolve_version
from runstone.registry.version import register_version
from runstone.tracking.workspace import Workspace
from runstone.uris import ModelUri, RunUri, parse_uri
from tests.registry.support import log_model


@pytest.fixture
def model(workspace: Workspace) -> RunUri:
    """A model of a run that has ended."""
    return log_model(workspace, "first-run")


@pytest.fixture
def version(workspace: Workspace, model: RunUri) -> ModelVersion:
    """It as version 1 of `churn`."""
    return register_version(workspace, "churn", model, description="The first", tags={"k": "v"})


@pytest.fixture
def client(git_repo: Path) -> Client:
    """A client of the repository."""
    return Client(git_repo)


@pytest.mark.mlflow
def test_a_version_is_no_sequence(version: ModelVersion, client: Client) -> None:
    """It has names and values, which `dict` gives; it is not equal to a tuple, and no JSON array."""
    found = client.get_model_version("churn", 1)
    assert isinstance(found, ModelVersion)
    assert tuple not in type(found).__mro__
    assert version == found == copy.deepcopy(found) == pickle.loads(pickle.dumps(found))
    assert found != client.copy_model_version("models:/churn/1", "other")
    assert ("churn", 1, "None", {"k": "v"}) == tuple(
        dict(found)[name] for name in ("name", "version", "current_stage", "tags")
    )
    names = {"last_updated_timestamp", "run_link", "status", "status_message", "aliases", "source"}
    assert names <= dict(found).keys()
    model = client.get_registered_model("churn")
    assert isinstance(model, RegisteredModel)
    assert ("churn", [found]) == (dict(model)["name"], list(dict(model)["latest_versions"]))
    assert "ModelVersion(name='churn', version=1, run_id='first-run'" in repr(found)
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(found)


def test_a_version_cannot_be_changed(version: ModelVersion, client: Client) -> None:
    """Nor does a change of its tags change what others are given."""
    with pytest.raises(AttributeError, match="ModelVersion cannot be changed: name"):
        version.name = "x"  # type: ignore[misc]  # what is tried
    with pytest.raises(AttributeError, match="ModelVersion cannot be changed: name"):
        del version.name
    with pytest.raises(TypeError):
        hash(version)
    client.get_model_version("churn", 1).tags["k"] = "changed"
    client.search_model_versions()[0].tags["k"] = "changed"
    assert {"k": "v"} == client.get_model_version("churn", 1).tags
    with pytest.raises(TypeError, match="ModelVersion has no nothing"):
        version.replace(nothing=1)
    with pytest.raises(TypeError, match="ModelVersion needs name, version"):
        ModelVersion(run_id="r")  # type: ignore[call-arg]  # what is tried


@pytest.mark.mlflow
def test_a_version_is_made_with_mlflows_arguments(version: ModelVersion, client: Client) -> None:
    """Nothing is to be awaited; the link of the run is kept as a tag; models have no ids of their own."""
    made = client.create_model_version(
        "churn", "runs:/first-run/model", "first-run", {"a": 1}, "http://ci/7", "Two", await_creation_for=10
    )
    assert (2, "http://ci/7", "Two") == (made.version, made.run_link, made.description)
    assert {"a": "1", "mlflow.runLink": "http://ci/7"} == client.get_model_version("churn", "2").tags
    assert (None, None) == (version.run_link, version.status_message)
    with pytest.raises(InvalidValue, match="leave `model_id` out"):
        client.create_model_version("churn", "runs:/first-run/model", model_id="m-1")
    with pytest.raises(InvalidValue, match="The source of a version must be"):
        client.create_model_version("churn", "models:/churn/1", "first-run")


@pytest.mark.mlflow
@pytest.mark.parametrize("bad", ["abc", None, 1.0, True, "04", "", "v1", "-1"])
def test_what_is_no_number_is_no_version(version: ModelVersion, client: Client, bad: object) -> None:
    """Every verb says so in the same words."""
    calls: list[Callable[[], object]] = [
        lambda: client.get_model_version("churn", bad),  # type: ignore[arg-type]  # what is tried
        lambda: client.delete_model_version("churn", bad),  # type: ignore[arg-type]  # what is tried
        lambda: client.update_model_version("churn", bad, "x"),  # type: ignore[arg-type]  # what is tried
        lambda: client.set_registered_model_alias("churn", "champion", bad),  # type: ignore[arg-type]  # what is tried
        lambda: client.transition_model_version_stage("churn", bad, "Staging"),  # type: ignore[arg-type]  # what is tried
        lambda: client.get_model_version_download_uri("churn", bad),  # type: ignore[arg-type]  # what is tried
    ]
    for call in calls:
        with pytest.raises(InvalidValue) as error:
            call()
        assert f"A version is named by its number, as 3 or '3', but this one by {bad!r}." == str(error.value)


def test_numbers_of_numpy_are_numbers(version: ModelVersion, client: Client) -> None:
    """As a table of versions holds them."""
    assert 1 == client.get_model_version("churn", np.int64(1)).version  # type: ignore[arg-type]  # is no int


@pytest.mark.mlflow
def test_the_latest_versions_of_stages(workspace: Workspace, version: ModelVersion, client: Client) -> None:
    """No stages are all; a stage that there is not is an error that names those there are."""
    register_version(workspace, "churn", RunUri("first-run", "model"))
    client.transition_model_version_stage("churn", 2, "Production")
    assert [2, 1] == [each.version for each in client.get_latest_versions("churn", [])]
    assert [1] == [each.version for each in client.get_latest_versions("churn", ["none"])]
    assert [] == client.get_latest_versions("churn", ["staging"])
    with pytest.raises(UnknownStage, match=r"no stage 'Bogus'\. It has Staging, Production, Archived"):
        client.get_latest_versions("churn", ["Production", "Bogus"])


@pytest.mark.mlflow
def test_none_is_the_newest_version_in_no_stage(workspace: Workspace, version: ModelVersion, client: Client) -> None:
    """`models:/churn/None`, however its letters are written."""
    for _ in range(2):
        register_version(workspace, "churn", RunUri("first-run", "model"))
    client.transition_model_version_stage("churn", 3, "Staging")

    def find(text: str) -> int:
        uri = parse_uri(text)
        assert isinstance(uri, ModelUri)
        return resolve_version(workspace.repo, uri).version

    assert (2, 2, 3) == (find("models:/churn/None"), find("models:/churn/none"), find("models:/churn/staging"))
    for number in (1, 2):
        client.transition_model_version_stage("churn", number, "Staging")
    with pytest.raises(StageNotFound, match="no version in the stage 'None'"):
        find("models:/churn/None")


@pytest.mark.mlflow
def test_an_alias_that_is_not_there(version: ModelVersion, client: Client) -> None:
    """To remove it does nothing; to remove one of no model is an error; what is no name is told as such."""
    client.delete_registered_model_alias("churn", "champion")
    client.set_registered_model_alias("churn", "champion", "1")
    client.delete_registered_model_alias("churn", "champion")
    assert {} == client.get_registered_model("churn").aliases
    with pytest.raises(ModelNotFound):
        client.delete_registered_model_alias("nothing", "champion")
    calls: tuple[Callable[[], None], ...] = (
        lambda: client.set_registered_model_alias("churn", None, 1),  # type: ignore[arg-type]  # what is tried
        lambda: client.delete_registered_model_alias("churn", None),  # type: ignore[arg-type]  # what is tried
    )
    for call in calls:
        with pytest.raises(InvalidName, match="The alias 'None' cannot be used: it is not text"):
            call()


@pytest.mark.mlflow
def test_aliases_and_stages_of_no_model(workspace: Workspace, version: ModelVersion, client: Client) -> None:
    """It is the model that is not there, or has no version yet."""
    with pytest.raises(ModelNotFound, match="no model 'nothing'"):
        client.get_model_version_by_alias("nothing", "champion")
    client.create_registered_model("empty")
    with pytest.raises(ModelHasNoVersion):
        client.get_model_version_by_alias("empty", "champion")
    for name, error in [("nothing", ModelNotFound), ("empty", ModelHasNoVersion)]:
        with pytest.raises(error):
            client.copy_model_version(f"models:/{name}/Production", "other")


@pytest.mark.mlflow
def test_what_cannot_be_archived(version: ModelVersion, client: Client) -> None:
    """Those in no stage; and no stage is named by a text, as in MLflow."""
    with pytest.raises(InvalidValue, match="Versions that are in no stage cannot be archived"):
        client.transition_model_version_stage("churn", 1, "None", archive_existing_versions=True)
    with pytest.raises(InvalidValue, match="or 'None' for none, but is None"):
        client.transition_model_version_stage("churn", 1, None)  # type: ignore[arg-type]  # what is tried
    with pytest.raises(UsageError):
        client.transition_model_version_stage("churn", 1, "Archived", archive_existing_versions=True)


@pytest.mark.mlflow
def test_a_version_is_described_only_by_what_is_said(version: ModelVersion, client: Client) -> None:
    """A call that says nothing is refused, as MLflow does, and takes nothing away; an empty text does."""
    with pytest.raises(InvalidValue, match="Nothing is to change: give a `description`"):
        client.update_model_version("churn", 1)
    assert "The first" == client.get_model_version("churn", 1).description
    assert None is client.update_model_version("churn", 1, "").description


@pytest.mark.mlflow
def test_versions_of_one_second_keep_the_order_of_their_numbers(
    workspace: Workspace, version: ModelVersion, client: Client
) -> None:
    """The oldest first is the lowest number first; else the highest is."""
    for _ in range(3):
        register_version(workspace, "churn", RunUri("first-run", "model"))

    def numbers(*order: str) -> list[int]:
        return [each.version for each in client.search_model_versions(order_by=order)]

    assert [1, 2, 3, 4] == numbers("creation_timestamp ASC") == numbers("last_updated_timestamp")
    assert [4, 3, 2, 1] == numbers("creation_timestamp DESC") == numbers() == numbers("name")


@pytest.mark.mlflow
def test_the_registry_without_a_client(
    workspace: Workspace, version: ModelVersion, git_repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names that MLflow's module has: with its order of arguments, and lists instead of pages."""
    monkeypatch.chdir(git_repo)
    again = runstone.register_model("runs:/first-run/model", "churn", await_registration_for=5, tags={"a": "b"})
    assert (2, {"a": "b"}) == (again.version, again.tags)
    copied = runstone.register_model("models:/churn/1", "other", tags={"c": "d"}, description="A copy")
    assert ("models:/churn/1", {"c": "d"}, "A copy") == (copied.copied_from, copied.tags, copied.description)
    assert {"k": "v"} == runstone.register_model("models:/churn/1", "other").tags
    assert ["churn", "other"] == [model.name for model in runstone.search_registered_models()]
    assert ["churn"] == [model.name for model in runstone.search_registered_models(1)]
    found = runstone.search_model_versions(filter_string="name = 'churn'", order_by=["version_number ASC"])
    assert ([1, 2], list) == ([each.version for each in found], type(found))
    assert (4, 3) == (len(runstone.search_model_versions(9)), len(runstone.search_model_versions(3)))
    runstone.set_model_version_tag("churn", "1", "checked", True)
    assert {"k": "v", "checked": "True"} == Client(git_repo).get_model_version("churn", 1).tags
    assert runstone.Client is runstone.MlflowClient
    assert runstone.get_tracking_uri() == runstone.get_registry_uri()
    runstone.set_registry_uri(runstone.get_registry_uri())
    with pytest.raises(InvalidValue, match="is a server's address"):
        runstone.set_registry_uri("https://registry.example.org")
    with pytest.raises(InvalidValue, match="leave `env_pack` out"):
        runstone.register_model("runs:/first-run/model", "churn", env_pack="x")
    with pytest.raises(runstone.exceptions.MlflowException, match="no model 'nothing'"):
        Client(git_repo).get_registered_model("nothing")


@pytest.mark.mlflow
def test_a_saved_model_that_was_logged_as_a_folder_is_a_model(client: Client, tmp_path: Path) -> None:
    """Its `MLmodel` file says what it is; a file of that name that says nothing makes no model."""
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: x\n  keras: {}\n")
    (saved / "weights.bin").write_text("1")
    run_id = client.create_run("0").info.run_id
    client.log_artifacts(run_id, saved, "model")
    client.log_artifact(run_id, saved, "more")
    client.log_artifacts(run_id, saved)
    (saved / "MLmodel").write_text("Nothing of the kind")
    client.log_artifacts(run_id, saved, "text")
    client.set_terminated(run_id)
    made = client.create_model_version("logged", f"runs:/{run_id}/model")
    again = client.create_model_version("logged", f"runs:/{run_id}/more/saved")
    assert (("keras", "python_function"), made.digest) == (made.flavors, again.digest)
    assert {"MLmodel", "weights.bin"} == {
        Path(each.path).name for each in resolve(client.workspace, "models:/logged/1").entries
    }
    assert ["model", "more/saved"] == sorted(model.path for model in client.get_run(run_id).models)
    with pytest.raises(NotAModel):
        client.create_model_version("logged", f"runs:/{run_id}/text")


def test_errors_carry_the_codes_of_mlflow(version: ModelVersion, client: Client) -> None:
    """As code that was written for MLflow asks for them."""
    calls: list[tuple[str, Callable[[], object]]] = [
        ("RESOURCE_DOES_NOT_EXIST", lambda: client.get_registered_model("nothing")),
        ("RESOURCE_DOES_NOT_EXIST", lambda: client.get_model_version("churn", 9)),
        ("RESOURCE_DOES_NOT_EXIST", lambda: client.get_run("0" * 32)),
        ("INVALID_PARAMETER_VALUE", lambda: client.get_model_version_by_alias("churn", "champion")),
        ("INVALID_PARAMETER_VALUE", lambda: client.transition_model_version_stage("churn", 1, "Prodution")),
        ("RESOURCE_ALREADY_EXISTS", lambda: client.create_registered_model("churn")),
        ("RESOURCE_ALREADY_EXISTS", lambda: client.create_experiment("trees")),
    ]
    for code, call in calls:
        with pytest.raises(runstone.exceptions.MlflowException) as error:
            call()
        assert code == error.value.error_code


def test_the_stages_that_a_version_may_have(version: ModelVersion, client: Client) -> None:
    """Those of MLflow, as there is no policy."""
    assert ["None", "Staging", "Production", "Archived"] == client.get_model_version_stages("churn", 1)


def test_a_version_that_is_retired_is_told_from_the_others(model: RunUri, client: Client) -> None:
    """The message names those that are left."""
    for _ in range(3):
        client.create_model_version("churn", str(model))
    client.delete_model_version("churn", 3)
    with pytest.raises(runstone.errors.VersionNotFound, match=r"`churn/3`: it is retired\. The registry has 1, 2\."):
        client.delete_model_version("churn", 3)
