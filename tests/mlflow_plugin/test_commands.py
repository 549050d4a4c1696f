"""`runstone run` and `runstone rerun` of programs that track through MLflow."""

import json
import sys
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.records.run import Run
from tests.cli.support import run_cli
from tests.mlflow_plugin.test_workload import ENVIRONMENT
from tests.support import run_python

pytestmark = pytest.mark.mlflow

TRAIN = """
import mlflow
mlflow.set_experiment("prices")
with mlflow.start_run(run_name="outer"):
    mlflow.log_param("depth", 3)
    mlflow.log_metric("rmse", 0.5)
    with mlflow.start_run(run_name="inner", nested=True):
        mlflow.log_metric("rmse", 0.25)
"""


def runs_of(client: Client) -> list[Run]:
    """All runs of a repository."""
    return list(client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]))


def test_a_run_that_mlflow_tracked_is_repeated(folder: Path, tmp_path: Path) -> None:
    """With no variable set: it is tracked to the repository again, in the checkout of its code, and compared."""
    (folder / "train.py").write_text(TRAIN)
    run_python(folder / "train.py", cwd=folder, env=ENVIRONMENT)
    client = Client(folder)
    old = next(run for run in runs_of(client) if run.name == "outer")
    other = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/other.db", "MLFLOW_RUN_ID": "0" * 32}
    done = run_cli("rerun", old.id, "--json", cwd=folder, env={**ENVIRONMENT, **other})
    assert 0 == done.returncode, done.stderr
    new = client.get_run(json.loads(done.stdout)["rerun_id"])
    assert (old.id, {"depth": 3}, old.source.snapshot) == (new.rerun_of, dict(new.params), new.source.snapshot)
    (inner,) = [run for run in runs_of(client) if run.parent == new.id]
    assert ("inner", None) == (inner.name, inner.rerun_of)


def test_a_run_within_a_command_is_nested_in_the_commands(folder: Path) -> None:
    """`runstone run` records the command, MLflow what is in it."""
    (folder / "train.py").write_text(TRAIN)
    done = run_cli("run", "--name", "around", "--", sys.executable, "train.py", cwd=folder, env=ENVIRONMENT)
    assert 0 == done.returncode, done.stderr
    client = Client(folder)
    runs = {run.name: run for run in runs_of(client)}
    assert {"around", "outer", "inner"} == set(runs)
    assert (runs["around"].id, runs["outer"].id) == (runs["outer"].parent, runs["inner"].parent)
