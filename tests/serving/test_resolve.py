"""What a URI stands for, pinned; and folders that must not be served."""

from pathlib import Path
from typing import Any

import pytest

import runstone
import runstone.pyfunc
import runstone.sklearn
from runstone.errors import (
    ArtifactCorrupt,
    InvalidModelFolder,
    ModelFileChanged,
    ModelNotFound,
    RunstoneError,
    UntrustedModel,
)
from runstone.serving.problem import Problem
from runstone.serving.resolve import identify, load
from runstone.serving.scoring import Scorer
from runstone.tracking.workspace import Workspace
from tests.serving.support import load_folder, save_odd
from tests.support import run_python


def log(model: Any, name: str | None = None) -> str:
    """Log a model in a run of its own; the run's id."""
    with runstone.start_run() as run:
        runstone.sklearn.log_model(model, "model", registered_model_name=name)
    return run.info.run_id


def test_a_version_an_alias_and_a_run(here: Path, diabetes: tuple[Any, Any]) -> None:
    """Each names the same bytes, and the first two the same version."""
    run_id = log(diabetes[0], "churn")
    runstone.Client().set_registered_model_alias("churn", "champion", 1)
    workspace = Workspace.open(here)
    by_alias, by_run = identify(workspace, "models:/churn@champion"), identify(workspace, f"runs:/{run_id}/model")
    assert ("models:/churn/1", "churn", 1, run_id) == (by_alias.pinned, by_alias.model, by_alias.version, by_alias.run)
    assert by_alias.digest == by_run.digest
    assert str(by_alias.digest).startswith("md5:")
    x = diabetes[1][:2]
    for identity in (by_alias, by_run):
        assert diabetes[0].predict(x).tolist() == load(workspace, identity).predictor.predict(x, {}).tolist()
    with pytest.raises(ModelNotFound):
        identify(workspace, "models:/other/1")


def test_a_folder_has_the_digest_it_would_have_in_git(here: Path, diabetes: tuple[Any, Any], tmp_path: Path) -> None:
    """So that a copied folder can be told from another one."""
    run_id = log(diabetes[0])
    copy = tmp_path / "copy"
    copy.mkdir()
    runstone.Client().download_artifacts(run_id, "model", str(copy))
    (folder,) = [path.parent for path in copy.rglob("MLmodel")]
    assert identify(Workspace.open(here), f"runs:/{run_id}/model").digest == identify(None, str(folder)).digest


def test_a_pickle_that_nobody_vouches_for(tmp_path: Path) -> None:
    """Is not loaded, and what it would have done is not done."""
    import pickle

    class Malicious:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    folder = save_odd(tmp_path / "model")
    (folder / "model.pkl").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(UntrustedModel):
        load(None, identify(None, str(folder)))
    assert not (tmp_path / "touched").exists()


def test_a_path_that_escapes(tmp_path: Path) -> None:
    """Is refused, also where the caller vouches for the folder."""
    folder = save_odd(tmp_path / "model")
    (folder / "model.pkl").rename(tmp_path / "outside.pkl")
    text = (folder / "MLmodel").read_text().replace("model.pkl", "../outside.pkl")
    (folder / "MLmodel").write_text(text)
    with pytest.raises(InvalidModelFolder, match=r"the path '\.\./outside\.pkl' leaves the folder"):
        load_folder(folder)
    with pytest.raises(InvalidModelFolder, match="neither a folder nor"):
        identify(None, str(tmp_path / "nothing"))


def test_bytes_that_are_not_the_recorded_ones(here: Path, diabetes: tuple[Any, Any]) -> None:
    """A cache whose file was changed is found out before the weights are loaded."""
    log(diabetes[0], "churn")
    workspace = Workspace.open(here)
    identity = identify(workspace, "models:/churn/1")
    entry = next(e for e in runstone_entries(workspace, identity.pinned) if "/model." in e.path)
    (path,) = list(workspace.repo.common_dir.rglob(f"{entry.md5[:2]}/{entry.md5[2:]}"))
    path.chmod(0o644)
    path.write_bytes(b"changed")
    with pytest.raises((ArtifactCorrupt, ModelFileChanged, RunstoneError)):
        load(workspace, identity)


def runstone_entries(workspace: Workspace, uri: str) -> Any:
    """The files of a model as git records them."""
    from runstone.registry.resolve import resolve

    return resolve(workspace, uri).entries


HINTED = """
import mlflow.pyfunc

class Lengths(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[str], params=None) -> list[int]:
        return [len(text) for text in model_input]

mlflow.pyfunc.save_model({path!r}, python_model=Lengths())
"""


@pytest.mark.mlflow
def test_a_model_of_mlflow_with_type_hints(tmp_path: Path) -> None:
    """It holds its input against its hints itself, so lists reach it as they are, and a column of CSV as a list."""
    pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    run_python(HINTED.format(path=str(tmp_path / "model")), cwd=tmp_path, env=environment)
    loaded = load_folder(tmp_path / "model")
    assert loaded.metadata.extra["is_signature_from_type_hint"] is True
    assert [3, 0] == Scorer(loaded).score_json(b'{"inputs": ["abc", ""]}')
    assert [3, 2] == Scorer(loaded).score_csv(b"text\nabc\nde\n")
    with pytest.raises(Problem, match="takes its data as it is, under the key `inputs`"):
        Scorer(loaded).score_json(b'{"dataframe_split": {"columns": ["a"], "data": [["abc"]]}}')


LOADER = """
from pathlib import Path

class Times:
    def __init__(self, factor):
        self.factor = factor

    def predict(self, data, params=None):
        return [self.factor * value for value in data["x"]]

def _load_pyfunc(path):
    return Times(float(Path(path).read_text()))
"""


def test_a_model_of_its_own_loader(tmp_path: Path) -> None:
    """A module in the model folder loads it; only where the caller vouches for the folder."""
    (tmp_path / "times_loader.py").write_text(LOADER)
    (tmp_path / "factor.txt").write_text("3")
    runstone.pyfunc.save_model(
        tmp_path / "model", "times_loader", tmp_path / "factor.txt", code_paths=[tmp_path / "times_loader.py"]
    )
    body = b'{"dataframe_records": [{"x": 2}, {"x": 0.5}]}'
    assert [6.0, 1.5] == Scorer(load_folder(tmp_path / "model")).score_json(body)
    with pytest.raises(UntrustedModel):
        load(None, identify(None, str(tmp_path / "model")))


def test_what_is_no_model_folder(tmp_path: Path) -> None:
    """A slip of the keyboard is answered with what to name, whatever lies in the folder."""
    with pytest.raises(InvalidModelFolder, match="Name a folder, or `models:/NAME/VERSION`"):
        identify(None, "churn@champion")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").touch()
    with pytest.raises(InvalidModelFolder, match="it has no file MLmodel"):
        identify(None, str(tmp_path))
