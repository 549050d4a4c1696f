"""The registry store by itself: what MLflow reads of versions that others made, names, webhooks, places, prompts."""

import logging
import warnings
from pathlib import Path

import pytest
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.abstract_store import AbstractStore

from runstone import Client
from runstone.mlflow_plugin.compat import entity, has_logged_models
from runstone.mlflow_plugin.registry import RegistryStore
from tests.support import git

pytestmark = pytest.mark.mlflow


@pytest.fixture
def registry(folder: Path) -> RegistryStore:
    """MLflow's registry on a fresh repository."""
    return RegistryStore(f"runstone:{folder}")


@pytest.fixture
def run_id(folder: Path, tmp_path: Path) -> str:
    """A run that Runstone's own client made, with a model."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: nowhere\n")
    client = Client(folder)
    with warnings.catch_warnings(action="ignore"):
        made = client.create_run(client.create_experiment("plain"))
    client.log_artifacts(made.info.run_id, model, "model")
    client.set_terminated(made.info.run_id)
    return str(made.info.run_id)


def test_it_has_every_method_that_mlflow_asks_a_registry_for() -> None:
    """No method that MLflow's class declares abstract is left to that class, where it would do nothing at all."""
    asked = {name for name, each in vars(AbstractStore).items() if getattr(each, "__isabstractmethod__", False)}

    assert len(asked) >= 20
    assert set() == {name for name in asked if getattr(RegistryStore, name) is getattr(AbstractStore, name)}


def test_a_version_that_runstone_made_is_whole_for_mlflow(registry: RegistryStore, folder: Path, run_id: str) -> None:
    """Whoever registered a version, MLflow sees its run, its files, who made it and when, its stage and aliases."""
    client = Client(folder)
    client.create_model_version("churn", f"runs:/{run_id}/model", description="First", tags={"team": "growth"})
    client.set_registered_model_alias("churn", "champion", 1)
    client.transition_model_version_stage("churn", 1, "Production")

    found = registry.get_model_version("churn", "1")

    uri = f"runstone:{folder}/@/plain/{run_id}/artifacts/model"
    assert uri == found.source == registry.get_model_version_download_uri("churn", 1)
    assert (1, run_id, "First", {"team": "growth"}) == (found.version, found.run_id, found.description, found.tags)
    assert ("Production", ["champion"], "READY") == (found.current_stage, found.aliases, found.status)
    assert ("Kim Example", None) == (found.user_id, found.run_link)
    assert found.creation_timestamp == found.last_updated_timestamp > 1_700_000_000_000
    assert [["champion"]] == [each.aliases for each in registry.search_model_versions("name = 'churn'")]


def test_what_mlflow_makes_runstone_reads(registry: RegistryStore, folder: Path, run_id: str) -> None:
    """Models, versions, tags, aliases and links that are made over MLflow are those of Runstone's own client."""
    registry.create_registered_model("churn", [RegisteredModelTag("team", "growth")], "Who leaves")
    registry.create_model_version(
        "churn", f"runs:/{run_id}/model", run_id, [ModelVersionTag("a", "1")], "https://host/run", "First"
    )
    registry.set_registered_model_alias("churn", "champion", 1)

    client = Client(folder)
    version = client.get_model_version_by_alias("churn", "champion")
    assert ("Who leaves", {"team": "growth"}) == (
        client.get_registered_model("churn").description,
        client.get_registered_model("churn").tags,
    )
    assert ("First", "https://host/run", f"runs:/{run_id}/model") == (
        version.description,
        version.run_link,
        version.source,
    )
    assert {"a": "1", "mlflow.runLink": "https://host/run"} == version.tags
    assert {"a": "1"} == registry.get_model_version("churn", 1).tags


def test_a_name_that_mlflow_forbids_is_read_where_there_is_one(
    registry: RegistryStore, folder: Path, run_id: str
) -> None:
    """Runstone's names may hold `/`: such a model is listed, read and changed as any other."""
    Client(folder).create_model_version("team/churn", f"runs:/{run_id}/model")

    assert ["team/churn"] == [each.name for each in registry.search_registered_models()]
    assert "team/churn" == registry.get_model_version("team/churn", 1).name
    registry.set_registered_model_alias("team/churn", "best", 1)
    assert 1 == registry.get_model_version_by_alias("team/churn", "best").version


@pytest.mark.skipif(not has_logged_models(), reason="until MLflow 3 a name may hold a slash")
def test_a_new_name_is_one_that_mlflow_allows(registry: RegistryStore) -> None:
    """MLflow's own clients could not ask for `team/churn`."""
    for name in ("team/churn", "a:b"):
        with pytest.raises(MlflowException, match="cannot contain '/' or ':'"):
            registry.create_registered_model(name)
        with pytest.raises(MlflowException) as absent:
            registry.get_registered_model(name)
        assert "INVALID_PARAMETER_VALUE" == absent.value.error_code
    registry.create_registered_model("churn")
    with pytest.raises(MlflowException, match="cannot contain '/' or ':'"):
        registry.rename_registered_model("churn", "team/churn")


def test_a_stage_of_the_projects_own_can_be_entered(registry: RegistryStore, folder: Path, run_id: str) -> None:
    """MLflow knows four stages; a policy may have others, and those are stages here, too."""
    (folder / "registry").mkdir(exist_ok=True)
    Client(folder).create_model_version("churn", f"runs:/{run_id}/model")
    policy = folder / "registry" / "policy.yaml"
    policy.write_text("schema: runstone/policy/v1\nstages:\n  Canary: {}\n  Production: {from: [Canary]}\n")
    git("add", ".", cwd=folder)
    git("commit", "-q", "-m", "Policy", cwd=folder)

    assert "Canary" == registry.transition_model_version_stage("churn", 1, "canary", False).current_stage
    assert [1] == [each.version for each in registry.get_latest_versions("churn", ["Canary"])]
    with pytest.raises(MlflowException, match="Invalid Model Version stage: Nowhere"):
        registry.transition_model_version_stage("churn", 1, "Nowhere", False)


def test_in_a_server_files_are_reached_through_it(folder: Path, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of a server cannot open the repository: where its root is `mlflow-artifacts:`, sources begin with it."""
    Client(folder).create_model_version("churn", f"runs:/{run_id}/model")
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")

    def source() -> str:
        return str(RegistryStore(f"runstone:{folder}").get_model_version("churn", 1).source)

    assert source().startswith(f"runstone:{folder}/@/")
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", f"runstone:{folder}")
    assert f"mlflow-artifacts:/plain/{run_id}/artifacts/model" == source()
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", "sqlite:///mlflow.db")  # its artifacts are not these
    assert source().startswith(f"runstone:{folder}/@/")


def test_what_is_no_repository_is_said_at_once(tmp_path: Path) -> None:
    """A wrong URI is an error of MLflow's when the store is made."""
    with pytest.raises(MlflowException, match="git"):
        RegistryStore(f"runstone:{tmp_path}")


@pytest.mark.skipif(not has_logged_models(), reason="there are no webhooks in this MLflow")
def test_webhooks_are_none_and_cannot_be_made(
    registry: RegistryStore, run_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    """MLflow asks for the webhooks of each event after each write: it finds none, and logs no error."""
    deliver = entity("deliver_webhook", "mlflow.webhooks.delivery")
    event, payload = (
        entity("WebhookEvent", "mlflow.entities.webhook"),
        entity("RegisteredModelCreatedPayload", "mlflow.webhooks.types"),
    )
    created = event.from_str("registered_model.created")
    with caplog.at_level(logging.INFO):
        deliver(event=created, payload=payload(name="churn", tags={}, description=None), store=registry)

    assert [] == [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert [] == list(registry.list_webhooks()) == list(registry.list_webhooks_by_event(created))
    with pytest.raises(MlflowException) as refused:
        registry.create_webhook("w", "https://host", [created])
    assert "NOT_IMPLEMENTED" == refused.value.error_code
    assert "Runstone sends no webhooks: `create_webhook` is not supported." == refused.value.message


@pytest.mark.skipif(not has_logged_models(), reason="prompts are newer than this MLflow")
def test_prompts_are_kept_as_models(
    registry: RegistryStore, folder: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`register_prompt` and `load_prompt` work; prompts are no models to a search, and their runs are not shown."""
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"runstone:{folder}")
    made = mlflow.genai.register_prompt("greeting", "Hello {{name}}", commit_message="First", tags={"lang": "en"})
    mlflow.genai.register_prompt("greeting", [{"role": "user", "content": "Hi {{name}}"}])
    mlflow.genai.set_prompt_alias("greeting", "live", 1)

    assert (1, "First") == (made.version, made.commit_message)
    assert "Hello Kim" == mlflow.genai.load_prompt("prompts:/greeting@live").format(name="Kim")
    assert [{"role": "user", "content": "Hi Kim"}] == mlflow.genai.load_prompt("greeting", version=2).format(name="Kim")
    assert ["greeting"] == [each.name for each in mlflow.genai.search_prompts()]
    assert [] == list(registry.search_registered_models())
    assert [] == list(registry.search_model_versions())
    assert [2, 1] == [each.version for each in registry.search_prompt_versions("greeting")]
    assert [run_id] == [
        each.info.run_id for each in mlflow.search_runs(search_all_experiments=True, output_format="list")
    ]
    registry.create_registered_model("churn")
    with pytest.raises(MlflowException, match="registered as a model, not a prompt"):
        registry.get_prompt_version("churn", 1)
