"""Many write to one registry at once: nothing is lost, and no number is given twice."""

import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

from runstone import Client
from runstone.mlflow_plugin.registry import RegistryStore
from tests.mlflow_plugin.serving import ended, serving
from tests.support import git

pytestmark = pytest.mark.mlflow

WRITERS = 4
ROUNDS = 6

WRITE = """
    import json, sys
    import mlflow
    from mlflow.exceptions import MlflowException

    run_id, me, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    client = mlflow.MlflowClient()
    try:
        client.create_registered_model("churn")
    except MlflowException as error:
        assert error.error_code == "RESOURCE_ALREADY_EXISTS", error
    numbers = []
    for i in range(rounds):
        made = client.create_model_version("churn", client.get_run(run_id).info.artifact_uri + "/model", run_id)
        numbers.append(int(made.version))
        client.set_model_version_tag("churn", made.version, "writer", str(me))
        client.set_registered_model_tag("churn", f"writer-{me}-{i}", made.version)
        client.set_registered_model_alias("churn", f"of-{me}", made.version)
    print(json.dumps(numbers))
"""


@pytest.fixture
def run_id(folder: Path, tmp_path: Path) -> str:
    """A run with a model."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: nowhere\n")
    client = Client(folder)
    with warnings.catch_warnings(action="ignore"):
        made = client.create_run(client.create_experiment("plain"))
    client.log_artifacts(made.info.run_id, tmp_path / "model", "model")
    client.set_terminated(made.info.run_id)
    return str(made.info.run_id)


def test_processes_on_one_repository(folder: Path, run_id: str, isolated_home: Path) -> None:
    """Each opens the repository itself, as code with `MLFLOW_TRACKING_URI=runstone:.` does."""
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"runstone:{folder}"}
    writers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(WRITE), run_id, str(me), str(ROUNDS)],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for me in range(WRITERS)
    ]
    _check(folder, [ended(writer) for writer in writers])


def test_clients_of_a_server_with_workers(folder: Path, run_id: str) -> None:
    """The workers of one server are processes, too; its clients see none of it."""
    with serving(folder, "--workers", "2") as server:
        writers = [server.begin_client(WRITE, run_id, str(me), str(ROUNDS)) for me in range(WRITERS)]
        numbers = [ended(writer) for writer in writers]
        troubles = server.troubles()

    _check(folder, numbers)
    assert [] == troubles


def _check(folder: Path, numbers: list[list[int]]) -> None:
    registry = RegistryStore(f"runstone:{folder}")
    given = [number for each in numbers for number in each]
    assert list(range(1, WRITERS * ROUNDS + 1)) == sorted(given)
    assert all(each == sorted(each) for each in numbers)
    model = registry.get_registered_model("churn")
    assert {f"of-{me}": each[-1] for me, each in enumerate(numbers)} == dict(model.aliases)
    tags = {f"writer-{me}-{i}": str(number) for me, each in enumerate(numbers) for i, number in enumerate(each)}
    assert tags == model.tags
    writers = {number: str(me) for me, each in enumerate(numbers) for number in each}
    versions = registry.search_model_versions("name = 'churn'")
    assert writers == {each.version: each.tags["writer"] for each in versions}
    assert "" == git("fsck", "--connectivity-only", "--no-dangling", cwd=folder)
    assert "" == git("status", "--short", cwd=folder)
