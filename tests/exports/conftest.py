"""A repository with something of everything to export."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runstone import Client
from runstone.records.metric import Metric
from runstone.tracking.workspace import Workspace
from tests.support import free_port


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client makes `mlflow.db` in the current folder where it looks for a model by itself."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def filled(git_repo: Path, tmp_path: Path) -> Workspace:
    """Three runs of two experiments, one of them deleted; a model with two versions, a gap, an alias and a stage."""
    client = Client(git_repo)
    model = tmp_path / "model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {}\n")
    (model / "weights.txt").write_text("weights")
    churn = client.create_experiment("churn", tags={"team": "growth"})
    other = client.create_experiment("other")
    for number, experiment in enumerate((churn, churn, other)):
        run = client.create_run(experiment, start_time=1_700_000_000_000 + number, run_name=f"run-{number}")
        points = [Metric("loss", 1.0 / (step + 1), 1_700_000_000_000 + step, step) for step in range(5)]
        odd = [Metric("odd", float("nan"), 1_700_000_000_000, 0), Metric("odd", float("inf"), 1_700_000_000_001, 1)]
        client.log_batch(run.id, points + odd, {"lr": 0.1, "depth": number, "kind": "=cmd()"}, {"stage": "x"})
        client.log_text(run.id, f"text {number}", "notes/a.txt")
        run.log_model(model, "model", ["files"], None)
        client.set_terminated(run.id, "FINISHED", 1_700_000_100_000 + number)
    runs = client.search_runs([churn, other], order_by=["start_time ASC"])
    for each in runs:
        client.create_model_version("net", f"runs:/{each.id}/model", description=f"of {each.name}")
    client.delete_model_version("net", 2)
    client.set_registered_model_alias("net", "champion", 3)
    client.transition_model_version_stage("net", 1, "Staging")
    client.set_registered_model_tag("net", "owner", "kim")
    client.delete_run(runs[1].id)
    return Workspace.open(git_repo)


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[str]:
    """MLflow's own server on a database of its own."""
    port = free_port()
    folder = tmp_path / "server"
    folder.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end, (folder / "log").read_text()
                time.sleep(0.1)
        yield address
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
