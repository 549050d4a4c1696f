"""Unmodified MLflow programs with `MLFLOW_TRACKING_URI=runstone:.`, each in a process of its own, then read back."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from runstone.client import Client
from runstone.mlflow_plugin import compat
from runstone.tracking.read import read_artifacts
from runstone.tracking.workspace import Workspace
from tests.git.support import check_clean
from tests.support import SOURCE, free_port, run_python

pytestmark = pytest.mark.mlflow

ENVIRONMENT = {
    "MLFLOW_TRACKING_URI": "runstone:.",
    "PYTHONWARNINGS": "ignore",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

BEGIN = """
import mlflow, numpy as np, pandas as pd
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True, as_frame=True)
"""


def program(code: str, folder: Path) -> str:
    """Run a program that knows nothing of Runstone; returns what it printed."""
    (folder / "train.py").write_text(BEGIN + code)
    return run_python(folder / "train.py", cwd=folder, env=ENVIRONMENT, timeout_s=300).stdout


def paths(folder: Path, run_id: str) -> list[str]:
    """The artifacts of a run."""
    return [entry.path for entry in read_artifacts(Workspace.open(folder), run_id)]


def runstone_command(folder: Path, *arguments: str) -> str:
    """What a `runstone` command prints."""
    command = [sys.executable, "-m", "runstone", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


LOG_MODEL = 'dict(name="model")' if compat.has_logged_models() else 'dict(artifact_path="model")'


def test_model_of_mlflow_is_read_registered_and_loaded_by_runstone(folder: Path) -> None:
    """A run of MLflow's fluent API has code, params, metrics, artifacts and a model, which both libraries load."""
    printed = program(
        f"""
mlflow.set_experiment("Iris")
with mlflow.start_run() as run:
    model = LogisticRegression(max_iter=200).fit(X, y)
    mlflow.log_params({{"max_iter": 200, "solver": "lbfgs"}})
    mlflow.log_metric("score", model.score(X, y))
    info = mlflow.sklearn.log_model(model, **{LOG_MODEL}, input_example=X.head(2), registered_model_name="iris")
    uri = info.model_uri
print(run.info.run_id)
client = mlflow.MlflowClient()
client.set_registered_model_alias("iris", "champion", 1)
for each in (uri, f"runs:/{{run.info.run_id}}/model", "models:/iris/1", "models:/iris@champion"):
    assert (mlflow.pyfunc.load_model(each).predict(X) == model.predict(X)).all(), each
assert mlflow.models.get_model_info("models:/iris/1").signature is not None
""",
        folder,
    )
    run_id = printed.split()[-1]
    client = Client(folder)
    run = client.get_run(run_id)
    assert ("FINISHED", {"max_iter": 200, "solver": "lbfgs"}) == (run.status, dict(run.params))
    assert "train.py" in " ".join(run.source.command)
    assert {"model/MLmodel", "model/requirements.txt"} <= set(paths(folder, run_id))
    (model,) = run.models
    assert ("model", ("sklearn", "python_function")) == (model.path, model.flavors)
    assert {"inputs", "outputs"} <= set(model.signature or {})
    assert model.digest == client.get_model_version("iris", 1).digest
    row = json.loads(runstone_command(folder, "runs", "list", "--json"))
    assert run_id in json.dumps(row)
    assert "champion" in runstone_command(folder, "models", "show", "iris")
    loaded = run_python(
        f"import runstone; print(len(runstone.pyfunc.load_model('runs:/{run_id}/model').predict("
        "__import__('sklearn.datasets').datasets.load_iris(as_frame=True).data)))",
        cwd=folder,
    )
    assert "150" == loaded.stdout.strip(), "the pickle is trusted, as git recorded it"
    check_clean(folder)


def test_everything_that_can_be_logged_comes_back(folder: Path) -> None:
    """Figures, dictionaries, tables, images, texts and folders are listed and loaded by MLflow's own calls."""
    program(
        """
import json, os, matplotlib.pyplot as plt, tempfile
with mlflow.start_run() as run:
    figure, axes = plt.subplots(); axes.plot([1, 2])
    mlflow.log_figure(figure, "plots/line.png")
    mlflow.log_dict({"a": [1, 2]}, "a.json")
    mlflow.log_table({"q": ["x"], "a": [1]}, "table.json")
    mlflow.log_table({"q": ["y"], "a": [2]}, "table.json")
    mlflow.log_image(np.zeros((4, 4, 3), dtype=np.uint8), key="dark", step=1)
    mlflow.log_image(np.zeros((4, 4, 3), dtype=np.uint8), "image.png")
    mlflow.log_text("hello", "texts/hello.txt")
    with tempfile.TemporaryDirectory() as some:
        open(os.path.join(some, "in it"), "w").write("x")
        mlflow.log_artifacts(some, "a folder")
        mlflow.log_artifact(os.path.join(some, "in it"))
run_id = run.info.run_id
uri = f"runs:/{run_id}"
top = {info.path for info in mlflow.artifacts.list_artifacts(run_id=run_id)}
assert {"plots", "a.json", "table.json", "images", "image.png", "texts", "a folder", "in it"} == top, top
assert "hello" == mlflow.artifacts.load_text(f"{uri}/texts/hello.txt")
assert {"a": [1, 2]} == mlflow.artifacts.load_dict(run.info.artifact_uri + "/a.json")
assert (4, 4) == mlflow.artifacts.load_image(f"{uri}/image.png").size
assert ["x", "y"] == list(mlflow.load_table("table.json", [run_id])["q"])
folder = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="a folder", dst_path=".")
assert "x" == open(os.path.join(folder, "in it")).read()
assert any(info.path.startswith("images/dark") for info in mlflow.artifacts.list_artifacts(f"{uri}/images"))
""",
        folder,
    )
    (run,) = Client(folder).search_runs()
    assert {"plots/line.png", "a folder/in it"} <= set(paths(folder, run.id))


@pytest.mark.parametrize(
    ("library", "fit", "metric"),
    [
        ("sklearn", "LogisticRegression(max_iter=300).fit(X, y)", "training_score"),
        ("xgboost", "data = lib.DMatrix(X, y); lib.train({}, data, 3, evals=[(data, 'all')])", "all-rmse"),
        ("lightgbm", "data = lib.Dataset(X, y); lib.train({}, data, 3, valid_sets=[data])", "training-l2"),
        ("statsmodels", "import statsmodels.api as sm; sm.OLS(y, sm.add_constant(X)).fit()", "rsquared"),
    ],
)
def test_autologging_works(library: str, fit: str, metric: str, folder: Path) -> None:
    """What MLflow logs by itself of a library's training is a run with params, metrics, datasets and a model."""
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    program(f"import {library} as lib\nmlflow.{library}.autolog()\n{fit}\n", folder)
    (run,) = Client(folder).search_runs()
    assert "FINISHED" == run.status
    assert metric in run.metrics
    assert run.params or library == "statsmodels"
    (model,) = run.models
    assert (library, True) == (model.flavors[0], model.size > 0)
    assert library == "statsmodels" or run.datasets[0].digest


def test_evaluation_of_a_model_works(folder: Path) -> None:
    """`mlflow.evaluate` measures a model in another run, and MLflow finds the model by what was measured."""
    quick = 'evaluator_config={"log_explainer": False, "log_model_explainability": False}'
    program(
        f"""
evaluate = getattr(getattr(mlflow, "models", None), "evaluate", None) or mlflow.evaluate
with mlflow.start_run() as maker:
    model = LogisticRegression(max_iter=300).fit(X, y)
    info = mlflow.sklearn.log_model(model, **{LOG_MODEL})
data = X.assign(label=y)
dataset = mlflow.data.from_pandas(data, targets="label", name="iris")
with mlflow.start_run(run_name="judge") as judge:
    mlflow.log_input(dataset, "eval")
    result = evaluate(info.model_uri, dataset, model_type="classifier", {quick})
assert result.metrics["accuracy_score"] > 0.9
if hasattr(mlflow, "search_logged_models"):
    (found,) = mlflow.search_logged_models(filter_string="metrics.accuracy_score > 0.9", output_format="list")
    assert found.model_id == info.model_id
    assert {{judge.info.run_id}} == {{metric.run_id for metric in found.metrics}}
""",
        folder,
    )
    judge, _ = Client(folder).search_runs()
    assert "judge" == judge.name
    assert judge.metrics["accuracy_score"].last > 0.9
    assert "iris" in {dataset.name for dataset in judge.datasets}


@pytest.mark.skipif(not compat.has_logged_models(), reason="this MLflow has no logged models")
def test_checkpoints_are_logged_models_with_metrics(folder: Path) -> None:
    """Models that are logged step by step are found by their metrics, and each lies in a folder of its own."""
    program(
        """
with mlflow.start_run() as run:
    for step in range(2):
        model = LogisticRegression(C=0.01 + step, max_iter=300).fit(X, y)
        info = mlflow.sklearn.log_model(model, name="checkpoint", step=step)
        mlflow.log_metric("accuracy", model.score(X, y), step=step, model_id=info.model_id)
order = [{"field_name": "metrics.accuracy", "ascending": False}]
best = mlflow.search_logged_models(order_by=order, max_results=1, output_format="list")[0]
assert best.model_id == info.model_id
assert (mlflow.sklearn.load_model(best.model_uri).predict(X) == model.predict(X)).all()
assert [0, 1] == sorted(output.step for output in mlflow.get_run(run.info.run_id).outputs.model_outputs)
alone = mlflow.sklearn.log_model(model, name="alone")  # with no run
assert alone.run_id is None
mlflow.register_model(f"models:/{info.model_id}", "iris")
assert (mlflow.pyfunc.load_model("models:/iris/1").predict(X) == model.predict(X)).all()
""",
        folder,
    )
    shown, own = sorted(Client(folder).search_runs(), key=lambda run: len(run.models), reverse=True)
    assert ["checkpoint", "checkpoint-2"] == sorted(model.path for model in shown.models)
    assert ["alone"] == [model.path for model in own.models]


def test_project_runs(folder: Path) -> None:
    """`mlflow run` of a small project logs to the repository it is started in."""
    project = folder / "project"
    project.mkdir()
    (project / "MLproject").write_text(
        "name: small\nentry_points:\n  main:\n    parameters: {alpha: {type: float, default: 0.1}}\n"
        f'    command: "{sys.executable} main.py {{alpha}}"\n'
    )
    (project / "main.py").write_text(
        "import sys, mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('twice', 2 * float(sys.argv[1]))\n"
    )
    run_python(
        "import mlflow; mlflow.projects.run('project', parameters={'alpha': 0.5}, env_manager='local')",
        cwd=folder,
        env={**ENVIRONMENT, "MLFLOW_TRACKING_URI": f"runstone:{folder}"},
        timeout_s=300,
    )
    (run,) = Client(folder).search_runs()
    assert ("FINISHED", 1.0, "0.5") == (run.status, run.metrics["twice"].last, str(run.params["alpha"]))


def test_model_is_served(folder: Path) -> None:
    """`mlflow models serve` of a registered model answers with its predictions."""
    program(
        f"""
with mlflow.start_run():
    mlflow.sklearn.log_model(LogisticRegression(max_iter=300).fit(X, y), **{LOG_MODEL}, registered_model_name="iris")
""",
        folder,
    )
    with started(folder, "models", "serve", "-m", "models:/iris/1", "--env-manager", "local") as url:
        body = json.dumps({"inputs": [[5.1, 3.5, 1.4, 0.2], [5.9, 3.0, 5.1, 1.8]]}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/invocations", body, headers)  # our own server
        with urllib.request.urlopen(request, timeout=30) as answer:  # our own server
            assert {"predictions": [0, 2]} == json.load(answer)


def test_server_hands_artifacts_through(folder: Path, tmp_path: Path) -> None:
    """A client that has no git logs and loads artifacts and a model by MLflow's server; the repository has them."""
    (tmp_path / "client").mkdir()
    with started(folder, "server", "--backend-store-uri", "runstone:.") as url:
        (tmp_path / "client" / "train.py").write_text(
            BEGIN
            + f"""
assert mlflow.get_tracking_uri().startswith("http://")
with mlflow.start_run() as run:
    mlflow.log_text("hello", "texts/hello.txt")
    model = LogisticRegression(max_iter=300).fit(X, y)
    info = mlflow.sklearn.log_model(model, **{LOG_MODEL}, registered_model_name="iris")
assert run.info.artifact_uri.startswith("mlflow-artifacts:"), run.info.artifact_uri
uri = f"runs:/{{run.info.run_id}}"
assert "hello" == mlflow.artifacts.load_text(f"{{uri}}/texts/hello.txt")
for each in (info.model_uri, f"{{uri}}/model", "models:/iris/1"):
    assert (mlflow.pyfunc.load_model(each).predict(X) == model.predict(X)).all(), each
"""
        )
        environment = {**ENVIRONMENT, "MLFLOW_TRACKING_URI": url}
        run_python(tmp_path / "client" / "train.py", cwd=tmp_path / "client", env=environment, timeout_s=300)
    (run,) = Client(folder).search_runs()
    (model,) = run.models
    assert ("model", ("sklearn", "python_function"), "FINISHED") == (model.path, model.flavors, run.status)
    assert {"texts/hello.txt", "model/MLmodel"} <= set(paths(folder, run.id))
    assert model.digest == Client(folder).get_model_version("iris", 1).digest
    check_clean(folder)


def test_mlflows_pages_show_the_artifacts_of_the_repository(folder: Path) -> None:
    """`mlflow ui` on a repository finds what was logged without it; what is logged through it is beside that."""
    client = Client(folder)
    run_id = client.create_run(client.create_experiment("pages")).info.run_id
    client.log_text(run_id, "hello", "texts/hello.txt")
    client.set_terminated(run_id)
    with started(folder, "ui", "--backend-store-uri", "runstone:.") as url:
        place = f"{url}/api/2.0/mlflow-artifacts/artifacts/pages-0000/{run_id}/artifacts/texts/more.txt"
        put = urllib.request.Request(place, b"more", method="PUT")
        with urllib.request.urlopen(put, timeout=30):  # the first thing that this server is asked
            pass
        with urllib.request.urlopen(f"{url}/get-artifact?run_uuid={run_id}&path=texts/hello.txt", timeout=30) as answer:
            assert b"hello" == answer.read()
    assert ["texts/hello.txt", "texts/more.txt"] == sorted(paths(folder, run_id))
    check_clean(folder)


@contextmanager
def started(folder: Path, *command: str) -> Iterator[str]:
    """One of MLflow's servers while the block lasts; yields its address once it answers."""
    port = free_port()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # MLflow 2 starts the gunicorn of it
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(SOURCE), "PATH": path}
    with (folder.parent / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command, "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 120
            while not _answers(f"{url}/health"):
                said = (folder.parent / "log").read_text()
                assert server.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.2)
            yield url
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30):  # our own server
            return True
    except OSError:
        return False
