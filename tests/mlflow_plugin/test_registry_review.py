"""Under `promotion: review`, what MLflow would do at once is proposed, and the error names the proposal."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from runstone import Client
from runstone.mlflow_plugin.registry import RegistryStore
from tests.mlflow_plugin.serving import serving
from tests.support import git

pytestmark = pytest.mark.mlflow

MOVES: dict[str, tuple[Callable[[RegistryStore], object], str]] = {
    "a stage": (lambda s: s.transition_model_version_stage("churn", 1, "Staging", False), "promote/churn-v1-staging"),
    "an alias": (lambda s: s.set_registered_model_alias("churn", "champion", 1), "promote/churn-v1-champion"),
    "an alias that goes": (lambda s: s.delete_registered_model_alias("churn", "best"), "demote/churn-v1-best"),
    "a name": (lambda s: s.rename_registered_model("churn", "leavers"), "rename/churn-leavers"),
    "a model": (lambda s: s.delete_registered_model("churn"), "remove/churn"),
}


@pytest.fixture
def reviewed(folder: Path, tmp_path: Path) -> Path:
    """A repository with one version, `churn@best`, where promotions are reviewed since."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: nowhere\n")
    client = Client(folder)
    with warnings.catch_warnings(action="ignore"):
        run_id = client.create_run(client.create_experiment("plain")).info.run_id
    client.log_artifacts(run_id, tmp_path / "model", "model")
    client.set_terminated(run_id)
    client.create_model_version("churn", f"runs:/{run_id}/model")
    client.set_registered_model_alias("churn", "best", 1)
    (folder / "runstone.yaml").write_text("promotion: review\n")
    git("add", "runstone.yaml", cwd=folder)
    git("commit", "-q", "-m", "Review promotions", cwd=folder)
    return folder


@pytest.mark.parametrize("what", MOVES)
def test_a_protected_move_is_proposed(reviewed: Path, what: str) -> None:
    """Nothing is changed, a branch holds the proposal, and the error says which, and how it is merged."""
    call, branch = MOVES[what]
    registry = RegistryStore(f"runstone:{reviewed}")
    before = git("rev-parse", "main", cwd=reviewed)

    messages = []
    for _ in range(2):  # asked again, it is the same proposal
        with pytest.raises(MlflowException) as refused:
            call(registry)
        messages.append(refused.value.message)
        assert "PERMISSION_DENIED" == refused.value.error_code

    assert before == git("rev-parse", "main", cwd=reviewed)
    assert [branch] == git("for-each-ref", "--format=%(refname:short)", "refs/heads/*/*", cwd=reviewed).split()
    assert f"runstone proposals merge '{branch}'" in messages[0]
    assert messages[0] == messages[1]


def test_what_is_not_protected_is_done_at_once(reviewed: Path) -> None:
    """Descriptions, tags and new versions lead nobody anywhere, so no review stands in their way."""
    registry = RegistryStore(f"runstone:{reviewed}")
    run_id = registry.get_model_version("churn", 1).run_id

    registry.update_registered_model("churn", "Who leaves")
    registry.update_model_version("churn", 1, "The first")
    made = registry.create_model_version("churn", f"runs:/{run_id}/model")
    registry.delete_model_version("churn", made.version)

    assert "Who leaves" == registry.get_registered_model("churn").description
    assert [(1, "The first")] == [
        (each.version, each.description) for each in registry.search_model_versions("name = 'churn'")
    ]


def test_a_version_in_use_is_not_deleted(reviewed: Path) -> None:
    """It would be taken from under its alias: the error says what to propose first."""
    registry = RegistryStore(f"runstone:{reviewed}")

    with pytest.raises(MlflowException) as refused:
        registry.delete_model_version("churn", 1)
    assert "PERMISSION_DENIED" == refused.value.error_code
    assert (
        "churn v1 was not retired: it is churn@best, and such changes are reviewed here. "
        "Propose that first: `runstone models alias 'churn' best --delete`" == refused.value.message
    )


def test_a_client_of_a_server_is_told_the_proposal(reviewed: Path) -> None:
    """Over REST the message is the same, at once: MLflow's client does not try such an error again and again."""
    code = """
        import json, time
        import mlflow
        from mlflow.exceptions import MlflowException

        client = mlflow.MlflowClient()
        found = []
        for move in (
            lambda: client.transition_model_version_stage("churn", "1", "Staging"),
            lambda: client.set_registered_model_alias("churn", "champion", "1"),
            lambda: client.delete_registered_model("churn"),
        ):
            begun = time.monotonic()
            try:
                move()
            except MlflowException as error:
                found.append([error.error_code, str(error), time.monotonic() - begun])
        print(json.dumps(found))
    """
    with serving(reviewed, "--workers", "1") as server:
        found = server.run_client(code)
        troubles = server.troubles()

    assert ["PERMISSION_DENIED"] * 3 == [error_code for error_code, _, _ in found]
    for (_, message, took_s), branch in zip(
        found, ["promote/churn-v1-staging", "promote/churn-v1-champion", "remove/churn"], strict=True
    ):
        assert f"runstone proposals merge '{branch}'" in message
        assert took_s < 10
    assert [] == troubles
