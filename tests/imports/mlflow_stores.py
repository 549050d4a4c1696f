"""Stores of MLflow's for the tests: by MLflow itself, by its migrations up to an old revision, and by hand."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests.cli.support import environment
from tests.support import free_port

STARTED = 1_700_000_000_000
FIRST, SECOND, CHILD, GONE = (f"{number:032x}" for number in (0xA1, 0xB2, 0xC3, 0xD4))
MLMODEL = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\nmlflow_version: 2.0.0\n"

_FILL = (
    f"STARTED, MLMODEL = {STARTED}, {MLMODEL!r}"
    + """
import json, sys
from pathlib import Path
import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
uri, folder = sys.argv[1], Path(sys.argv[2])
mlflow.set_tracking_uri(uri)
client = MlflowClient(uri, uri)
churn = client.create_experiment("churn", None if uri.startswith("file") else f"file://{folder}/artifacts/churn",
                                 tags={"team": "growth", "mlflow.note.content": "About churn"})
old = client.create_experiment("old")
(folder / "model").mkdir(parents=True)
(folder / "model" / "MLmodel").write_text(MLMODEL)
(folder / "model" / "model.bin").write_text("weights")
told = {}
def begin(name, **tags):
    run = client.create_run(churn, start_time=STARTED + 1000 * len(told), tags=tags, run_name=name)
    told[name] = run.info.run_id
    return run
first = begin("first", **{"mlflow.user": "kim", "mlflow.note.content": "# It works", "x": "y"})
points = [Metric("loss", 1 / (step + 1), STARTED + step, step) for step in range(5)]
points += [Metric("val/auc", float("nan"), STARTED, 0)]
params = [Param("lr", "0.1"), Param("depth", "3"), Param("flag", "True"), Param("zip", "007"), Param("kind", "forest")]
client.log_batch(first.info.run_id, points, params)
data = Dataset("tab", "2981c147", "local", json.dumps({"uri": "s3://b/tab.csv"}), schema="{}", profile="{}")
client.log_inputs(first.info.run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])
client.log_text(first.info.run_id, "hello", "notes/a.txt")
client.log_artifacts(first.info.run_id, str(folder / "model"), "model")
client.set_terminated(first.info.run_id, "FINISHED", STARTED + 60000)
child = begin("child", **{"mlflow.parentRunId": first.info.run_id})
client.set_terminated(child.info.run_id, "FAILED")
second = begin("second")
client.log_artifacts(second.info.run_id, str(folder / "model"), "model")
deleted = begin("deleted")
client.delete_run(deleted.info.run_id)
running = begin("running")
client.log_metric(running.info.run_id, "loss", 3.0, STARTED, 0)
client.create_registered_model("Churn", {"owner": "kim"}, "Predicts churn")
for run, text in ((first, "The first"), (second, None), (second, None), (second, None)):
    client.create_model_version("Churn", f"{run.info.artifact_uri}/model", run.info.run_id, description=text)
client.delete_model_version("Churn", "2")
client.delete_model_version("Churn", "4")
client.set_model_version_tag("Churn", "1", "ok", "yes")
client.transition_model_version_stage("Churn", "1", "Production")
client.set_registered_model_alias("Churn", "champion", "3")
ended = client.create_run(old, start_time=STARTED)
client.set_terminated(ended.info.run_id)
client.delete_experiment(old)
if hasattr(client, "create_logged_model"):
    made = client.create_logged_model(churn, name="forest", source_run_id=first.info.run_id, tags={"t": "1"},
                                      params={"p": "2"}, model_type="tree")
    client.log_model_artifacts(made.model_id, str(folder / "model"))
    client.finalize_logged_model(made.model_id, "READY")
    lone = client.create_logged_model(churn, name="lone")
    told.update(logged=made.model_id, lone=lone.model_id)
    client.create_registered_model("Forest")
    client.create_model_version("Forest", f"models:/{made.model_id}", first.info.run_id, model_id=made.model_id)
print(json.dumps(told))
"""
)


def fill(uri: str, folder: Path) -> dict[str, str]:
    """Have MLflow fill one of its stores; the ids of what it made, by name."""
    import json

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FILL, uri, str(folder)],
        env=environment({"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    told: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return told


@contextmanager
def server(store: str, folder: Path) -> Iterator[str]:
    """MLflow's server on one of its stores; its address."""
    port = free_port()
    log = (folder / "server.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--port", str(port), "--workers", "1"],
        env=environment({"MLFLOW_DISABLE_TELEMETRY": "true"}),
        cwd=folder,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "server.log").read_text()
            try:
                with urlopen(f"{address}/health", timeout=5):
                    break
            except (URLError, OSError):
                time.sleep(0.1)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def old_database(path: Path, revision: str) -> None:
    """A database as an old MLflow left it: its migrations run up to a revision, and rows put in by SQL."""
    import sqlalchemy
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    uri = f"sqlite:///{path}"
    engine = sqlalchemy.create_engine(uri)
    Base.metadata.create_all(engine)
    config = _get_alembic_config(uri)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    with sqlite3.connect(path) as database:
        _insert(database, "experiments", experiment_id=0, name="Default", lifecycle_stage="active")
        _insert(database, "experiments", experiment_id=1, name="old", lifecycle_stage="deleted")
        for number, (run_id, experiment) in enumerate(((FIRST, 0), (SECOND, 1))):
            _insert(
                database,
                "runs",
                run_uuid=run_id,
                name="",
                source_type="LOCAL",
                source_name="train.py",
                source_version="c" * 40,
                entry_point_name="",
                user_id="kim",
                status="FINISHED",
                start_time=STARTED + number,
                end_time=STARTED + 1000,
                lifecycle_stage="active",
                artifact_uri=f"./mlruns/{experiment}/{run_id}/artifacts",
                experiment_id=experiment,
            )
        _insert(database, "params", key="lr", value="0.1", run_uuid=FIRST)
        _insert(database, "tags", key="mlflow.runName", value="brave", run_uuid=FIRST)
        for step in range(3):
            _insert(
                database, "metrics", key="m", value=float(step), timestamp=STARTED + step, run_uuid=FIRST, step=step
            )
        columns = [row[1] for row in database.execute("PRAGMA table_info(model_versions)")]
        if columns:
            _insert(database, "registered_models", name="Churn", creation_time=STARTED)
            _insert(
                database,
                "model_versions",
                name="Churn",
                version=7,
                creation_time=STARTED,
                current_stage="Staging",
                source=f"./mlruns/0/{FIRST}/artifacts/model",
                run_id=FIRST,
            )
    model = path.parent / "mlruns" / "0" / FIRST / "artifacts" / "model"
    model.mkdir(parents=True)
    (model / "MLmodel").write_text(MLMODEL)


def _insert(database: sqlite3.Connection, table: str, **values: Any) -> None:
    known = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    kept = {key: value for key, value in values.items() if key in known}
    marks = ", ".join("?" * len(kept))
    database.execute(f"INSERT INTO {table} ({', '.join(kept)}) VALUES ({marks})", list(kept.values()))


def old_folder(root: Path) -> None:
    """A folder as MLflow 1.0 laid it out, by hand: metas without names and times, metrics with and without steps."""
    run = root / "0" / FIRST
    for name in ("metrics/val", "params", "tags", "artifacts/model"):
        (run / name).mkdir(parents=True)
    (root / "0" / "meta.yaml").write_text(
        "artifact_location: /somewhere/else/mlruns/0\nexperiment_id: 0\nlifecycle_stage: active\nname: Default\n"
    )
    (run / "meta.yaml").write_text(
        f"artifact_uri: /somewhere/else/mlruns/0/{FIRST}/artifacts\nend_time: {STARTED + 5000}\nentry_point_name: ''\n"
        f"experiment_id: '0'\nlifecycle_stage: active\nname: ''\nrun_uuid: {FIRST}\nsource_name: train.py\n"
        f"source_type: 4\nsource_version: {'c' * 40}\nstart_time: {STARTED}\nstatus: 3\ntags: []\nuser_id: kim\n"
    )
    (run / "params" / "lr").write_text("0.1")
    (run / "tags" / "mlflow.runName").write_text("brave")
    (run / "metrics" / "loss").write_text(f"{STARTED} 0.5 0\n{STARTED + 1} 0.25 1\n{STARTED + 2} 0.1")
    (run / "metrics" / "val" / "auc").write_text(f"{STARTED} 0.75\n{STARTED + 1} nan\n")
    (run / "artifacts" / "model" / "MLmodel").write_text(MLMODEL)
    trash = root / ".trash" / "1"
    trash.mkdir(parents=True)
    (trash / "meta.yaml").write_text("experiment_id: '1'\nlifecycle_stage: deleted\nname: gone\n")
    version = root / "models" / "Churn" / "version-2"
    version.mkdir(parents=True)
    (version.parent / "meta.yaml").write_text("name: Churn\ndescription: Predicts churn\ncreation_timestamp: 1\n")
    (version / "meta.yaml").write_text(
        f"name: Churn\nversion: 2\ncurrent_stage: Staging\nrun_id: {FIRST}\ncreation_timestamp: {STARTED}\n"
        f"source: /somewhere/else/mlruns/0/{FIRST}/artifacts/model\nstatus: READY\n"
    )
